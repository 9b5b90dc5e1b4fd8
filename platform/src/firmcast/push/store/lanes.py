"""The table of lanes in trouble: what the head of a lane waits for, and why."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from firmcast.db.columns import from_column, to_column
from firmcast.db.port import Transaction
from firmcast.db.statement import differing, portable
from firmcast.ids import DeviceId, EventId, SubscriptionId
from firmcast.push.model import Settlement, Trouble

_UPSERT_LANE: Final = (
    "INSERT INTO lane (subscription_id, device_id, event_id, attempts, first_attempted_at, next_attempt_at, reason,"
    " blocked) SELECT subscription_id, device_id, event_id, ?3, ?4, ?5, ?6, ?7 FROM delivery"
    " WHERE event_id = ?1 AND subscription_id = ?2 AND edition = ?8{lock}"
    " ON CONFLICT (subscription_id, device_id) DO UPDATE SET event_id = excluded.event_id,"
    " attempts = excluded.attempts, first_attempted_at = excluded.first_attempted_at,"
    " next_attempt_at = excluded.next_attempt_at, reason = excluded.reason, blocked = excluded.blocked"
)

# A lane waits, or stands; only while its delivery is there, so that nothing is left of a deleted subscription: who
# removes the delivery at this moment is waited for.
UPSERT_LANE: Final = differing(sqlite=_UPSERT_LANE.format(lock=""), postgres=_UPSERT_LANE.format(lock=" FOR SHARE"))

# A lane is well again.
DELETE_LANE: Final = portable("DELETE FROM lane WHERE subscription_id = ?1 AND device_id = ?2")

# Somebody has decided about the delivery that its lane stands for.
UNBLOCK_LANE: Final = portable(
    "DELETE FROM lane WHERE subscription_id = ?2 AND event_id = ?1 AND blocked = 1"
    " AND device_id = (SELECT d.device_id FROM delivery d WHERE d.event_id = ?1 AND d.subscription_id = ?2)"
    " RETURNING device_id"
)

# What failed of a subscription is over: its deliveries begin anew, save where somebody has to decide.
FORGET_TROUBLES: Final = portable("DELETE FROM lane WHERE subscription_id = ?1 AND blocked = 0")

# After a start nothing waits long, except where the receiver named a time; what has failed in the future says that the
# clock has been set back since, and such a time means nothing.
HASTEN_LANES: Final = portable(
    "UPDATE lane SET next_attempt_at = ?1 WHERE next_attempt_at > ?1 AND (reason <> ?2 OR first_attempted_at > ?3)"
)

# Until when receivers have asked to be left alone; asked at a start, and when devices become ours.
SELECT_HELD: Final = portable(
    "SELECT subscription_id, MAX(next_attempt_at) FROM lane WHERE reason = ?1 AND next_attempt_at > ?2 AND blocked = 0"
    " GROUP BY subscription_id"
)

PURGE_LANES: Final = portable("DELETE FROM lane WHERE subscription_id = ?1")


async def upsert(tx: Transaction, rows: Sequence[tuple[Settlement, Trouble, str]]) -> None:
    """Remember what the lanes of these deliveries wait for, and why."""
    await tx.execute_many(
        UPSERT_LANE,
        [
            (
                item.delivery.event_id,
                item.delivery.subscription_id,
                trouble.attempts,
                to_column(trouble.first_attempted_at),
                to_column(trouble.due_at),
                reason,
                int(trouble.blocked),
                item.delivery.edition,
            )
            for item, trouble, reason in rows
        ],
    )


async def delete(tx: Transaction, settled: Sequence[Settlement]) -> None:
    """Forget the troubles of the lanes of these deliveries."""
    keys = [(item.delivery.subscription_id, item.delivery.device_id) for item in settled]
    await tx.execute_many(DELETE_LANE, keys)


async def unblock(tx: Transaction, event_id: EventId, subscription_id: SubscriptionId) -> DeviceId | None:
    """Let the lane go on that stands for a delivery, and return its device; None when none does."""
    row = await tx.fetch_row(UNBLOCK_LANE, event_id, subscription_id)
    return None if row is None else DeviceId(row[0])


async def forget_troubles(tx: Transaction, subscription_id: SubscriptionId) -> None:
    """Forget what failed of a subscription's lanes, save of those that somebody has to decide about."""
    await tx.execute(FORGET_TROUBLES, subscription_id)


async def hasten(tx: Transaction, now: datetime, due_at: datetime, *, except_reason: str) -> None:
    """Let no lane wait longer than `due_at`, but for one reason where that was given before `now`."""
    await tx.execute(HASTEN_LANES, to_column(due_at), except_reason, to_column(now))


async def held(tx: Transaction, reason: str, now: datetime) -> dict[SubscriptionId, datetime]:
    """Return the latest time after now that lanes of a subscription wait for, for one reason."""
    rows = await tx.fetch(SELECT_HELD, reason, to_column(now))
    return {SubscriptionId(row[0]): from_column(row[1]) for row in rows}


async def purge(tx: Transaction, subscription_id: SubscriptionId) -> None:
    """Forget what the lanes of a subscription wait for."""
    await tx.execute(PURGE_LANES, subscription_id)
