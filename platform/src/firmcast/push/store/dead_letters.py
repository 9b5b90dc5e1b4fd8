"""The table of dead letters: deliveries that were given up, until somebody decides about them."""

from collections.abc import Sequence
from typing import Final

from firmcast.db.columns import rows_as_json, to_column
from firmcast.db.port import Transaction
from firmcast.db.statement import differing, portable
from firmcast.ids import DeviceId, EventId, SubscriptionId
from firmcast.push.model import Settlement

# A delivery is given up: it moves here, before its row is deleted.
INSERT_DEAD_LETTER: Final = portable(
    "INSERT INTO dead_letter (event_id, subscription_id, device_id, sequence, attempts, reason, failure, died_at)"
    " SELECT event_id, subscription_id, device_id, sequence, ?3, ?4, ?5, ?6 FROM delivery"
    " WHERE event_id = ?1 AND subscription_id = ?2 AND edition = ?7"
    " ON CONFLICT (event_id, subscription_id) DO UPDATE SET attempts = excluded.attempts,"
    " reason = excluded.reason, failure = excluded.failure, died_at = excluded.died_at"
)

# A dead letter is sent again: it moves back.
DELETE_DEAD_LETTER: Final = portable(
    "DELETE FROM dead_letter WHERE event_id = ?1 AND subscription_id = ?2 RETURNING device_id, sequence"
)

# They were delivered by a replay: [[event, subscription], …].
DELETE_DEAD_LETTERS: Final = differing(
    sqlite="DELETE FROM dead_letter WHERE (event_id, subscription_id) IN"
    " (SELECT value ->> 0, value ->> 1 FROM json_each(?1))",
    postgres="DELETE FROM dead_letter WHERE (event_id, subscription_id) IN"
    " (SELECT (row ->> 0)::bigint, row ->> 1 FROM jsonb_array_elements(?1::jsonb) row)",
)

# The next dead letters of a subscription, to send them again; or of one of its lanes.
SELECT_DEAD_AFTER: Final = differing(
    sqlite="SELECT event_id FROM dead_letter WHERE subscription_id = ?1 AND event_id > ?2 ORDER BY event_id LIMIT ?3",
    postgres="SELECT event_id FROM dead_letter WHERE (subscription_id, event_id) > (?1, ?2) AND subscription_id <= ?1"
    " ORDER BY subscription_id, event_id LIMIT ?3",
)

SELECT_DEAD_OF_LANE: Final = portable(
    "SELECT event_id FROM dead_letter WHERE subscription_id = ?1 AND device_id = ?4 AND event_id > ?2"
    " ORDER BY event_id LIMIT ?3"
)

# What a deleted subscription leaves behind goes a part at a time.
PURGE_DEAD_LETTERS: Final = portable(
    "DELETE FROM dead_letter WHERE (event_id, subscription_id) IN (SELECT event_id, subscription_id FROM dead_letter"
    " WHERE subscription_id >= ?1 AND subscription_id <= ?1 ORDER BY subscription_id, event_id LIMIT ?2)"
)


async def insert(tx: Transaction, rows: Sequence[tuple[Settlement, str, str]]) -> None:
    """Keep deliveries that are given up; beside each the reason, and why the last attempt failed."""
    await tx.execute_many(
        INSERT_DEAD_LETTER,
        [
            (
                item.delivery.event_id,
                item.delivery.subscription_id,
                item.attempt,
                reason,
                failure,
                to_column(item.settled_at),
                item.delivery.edition,
            )
            for item, reason, failure in rows
        ],
    )


async def take(tx: Transaction, event_id: EventId, subscription_id: SubscriptionId) -> tuple[DeviceId, int] | None:
    """Remove a dead letter and return its device and sequence; None when there is none."""
    row = await tx.fetch_row(DELETE_DEAD_LETTER, event_id, subscription_id)
    return None if row is None else (DeviceId(row[0]), row[1])


async def delete(tx: Transaction, delivered: Sequence[Settlement]) -> None:
    """Forget that these deliveries had been given up once."""
    if delivered:
        keys = [(item.delivery.event_id, item.delivery.subscription_id) for item in delivered]
        await tx.execute(DELETE_DEAD_LETTERS, rows_as_json(keys))


async def after(
    tx: Transaction, subscription_id: SubscriptionId, device_id: DeviceId | None, after: EventId, limit: int
) -> list[EventId]:
    """Return the next dead letters of a subscription, of one device if it is named, the oldest first."""
    if device_id is None:
        rows = await tx.fetch(SELECT_DEAD_AFTER, subscription_id, after, limit)
    else:
        rows = await tx.fetch(SELECT_DEAD_OF_LANE, subscription_id, after, limit, device_id)
    return [EventId(row[0]) for row in rows]


async def purge(tx: Transaction, subscription_id: SubscriptionId, limit: int) -> int:
    """Remove the oldest `limit` dead letters of a subscription, and return how many there were."""
    return await tx.execute(PURGE_DEAD_LETTERS, subscription_id, limit)
