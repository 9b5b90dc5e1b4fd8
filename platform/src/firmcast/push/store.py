"""The tables of push: lanes in trouble, attempts, dead letters, and what is read of deliveries still to be made.

How rows of deliveries come and go says `delivery_store.py`.

What is written of every delivery goes in one statement for a whole batch, its rows in one JSON text: the store then
works through them without taking turns with the event loop for each row.

What is read of one subscription in order is spelt for PostgreSQL as a range of (subscription, event). With an equality
it may prefer to walk the whole table in the order of events, which the limit makes look short: among a million rows of
a callback that is down, in search of a few of another's.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Final

import msgspec

from firmcast.db.columns import from_column, to_column
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import differing, packed, portable
from firmcast.ids import DeviceId, EventId, Partition, SubscriptionId
from firmcast.push.model import Settlement, Trouble

# Is an event still on its way to a subscription?
SELECT_DELIVERY: Final = portable("SELECT 1 FROM delivery WHERE event_id = ?1 AND subscription_id = ?2")

# Which subscriptions have anything left: from one to the next in the index, however many rows each has.
SELECT_SUBSCRIPTIONS: Final = portable(
    "WITH RECURSIVE present (subscription_id) AS ("
    " SELECT MIN(subscription_id) FROM delivery"
    " UNION ALL"
    " SELECT (SELECT MIN(d.subscription_id) FROM delivery d WHERE d.subscription_id > present.subscription_id)"
    " FROM present WHERE present.subscription_id IS NOT NULL"
    ") SELECT subscription_id FROM present WHERE subscription_id IS NOT NULL"
)

# The oldest that each subscription still waits for, and whether it was tried: found as the subscriptions are.
SELECT_OLDEST: Final = portable(
    "WITH RECURSIVE present (subscription_id) AS ("
    " SELECT MIN(subscription_id) FROM delivery"
    " UNION ALL"
    " SELECT (SELECT MIN(d.subscription_id) FROM delivery d WHERE d.subscription_id > present.subscription_id)"
    " FROM present WHERE present.subscription_id IS NOT NULL"
    "), oldest (subscription_id, event_id) AS ("
    " SELECT subscription_id,"
    " (SELECT MIN(d.event_id) FROM delivery d WHERE d.subscription_id = present.subscription_id)"
    " FROM present WHERE subscription_id IS NOT NULL"
    ") SELECT d.subscription_id, d.event_id, d.device_id, l.event_id IS NOT NULL FROM oldest o"
    " JOIN delivery d ON d.event_id = o.event_id AND d.subscription_id = o.subscription_id"
    " LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
)

# The next part of a subscription's backlog, with what is known of failed attempts.
SELECT_BACKLOG: Final = packed(
    sqlite="SELECT json_group_array(json_array(event_id, replay, edition, attempts, first_attempted_at,"
    " next_attempt_at, blocked)) FROM ("
    "SELECT d.event_id, d.replay, d.edition, l.attempts, l.first_attempted_at, l.next_attempt_at, l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE d.subscription_id = ?1 AND d.event_id > ?2 ORDER BY d.event_id LIMIT ?3)",
    postgres="SELECT d.event_id, d.replay, d.edition, l.attempts, l.first_attempted_at, l.next_attempt_at, l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE (d.subscription_id, d.event_id) > (?1, ?2) AND d.subscription_id <= ?1"
    " ORDER BY d.subscription_id, d.event_id LIMIT ?3",
)

# The same for a node that has some partitions only: it passes the others' rows by.
SELECT_BACKLOG_OF_PARTITIONS: Final = packed(
    sqlite="SELECT json_group_array(json_array(event_id, replay, edition, attempts, first_attempted_at,"
    " next_attempt_at, blocked)) FROM ("
    "SELECT d.event_id, d.replay, d.edition, l.attempts, l.first_attempted_at, l.next_attempt_at, l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE d.subscription_id = ?1 AND d.event_id > ?2 AND d.partition IN (SELECT value FROM json_each(?4))"
    " ORDER BY d.event_id LIMIT ?3)",
    postgres="SELECT d.event_id, d.replay, d.edition, l.attempts, l.first_attempted_at, l.next_attempt_at, l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE (d.subscription_id, d.event_id) > (?1, ?2) AND d.subscription_id <= ?1"
    " AND d.partition = ANY(?4::bigint[]) ORDER BY d.subscription_id, d.event_id LIMIT ?3",
)

# What another node has just written, for the node that delivers it.
SELECT_DELIVERIES_OF: Final = differing(
    sqlite="SELECT event_id, subscription_id, replay, edition FROM delivery"
    " WHERE event_id IN (SELECT value FROM json_each(?1)) AND partition IN (SELECT value FROM json_each(?2))"
    " ORDER BY event_id, subscription_id",
    postgres="SELECT event_id, subscription_id, replay, edition FROM delivery WHERE event_id = ANY(?1::bigint[])"
    " AND partition = ANY(?2::bigint[]) ORDER BY event_id, subscription_id",
)

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

# The log of attempts, one at a time.
INSERT_ATTEMPT: Final = portable(
    "INSERT INTO attempt (event_id, subscription_id, device_id, number, attempted_at, duration, status, failure,"
    " detail, address, answer) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
)

# The log of attempts that delivered:
# [[event, subscription, device, number, attempted at, duration, status, address, answer], …].
INSERT_DELIVERED_ATTEMPTS: Final = differing(
    sqlite="INSERT INTO attempt (event_id, subscription_id, device_id, number, attempted_at, duration, status,"
    " failure, detail, address, answer)"
    " SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, '', '',"
    " value ->> 7, CAST(value ->> 8 AS BLOB) FROM json_each(?1)",
    postgres="INSERT INTO attempt (event_id, subscription_id, device_id, number, attempted_at, duration, status,"
    " failure, detail, address, answer)"
    " SELECT (row ->> 0)::bigint, row ->> 1, row ->> 2, (row ->> 3)::bigint, (row ->> 4)::bigint,"
    " (row ->> 5)::bigint, (row ->> 6)::bigint, '', '', row ->> 7, convert_to(row ->> 8, 'UTF8')"
    " FROM jsonb_array_elements(?1::jsonb) row",
)

# Was an event ever sent to a subscription?
SELECT_ATTEMPTED: Final = portable("SELECT device_id FROM attempt WHERE event_id = ?1 AND subscription_id = ?2 LIMIT 1")

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
PURGE_LANES: Final = portable("DELETE FROM lane WHERE subscription_id = ?1")

_MOST_TEXT: Final = 128
"""Bytes of an answer that are logged along with others; a row with more is cheaper by itself."""


def _json(rows: Iterable[Sequence[object]]) -> str:
    return msgspec.json.encode(list(rows)).decode()


async def is_pending(tx: Transaction, event_id: EventId, subscription_id: SubscriptionId) -> bool:
    """Say whether the delivery is still to be made."""
    return await tx.fetch_row(SELECT_DELIVERY, event_id, subscription_id) is not None


async def subscriptions_with_deliveries(tx: Transaction) -> list[SubscriptionId]:
    """Return the subscriptions that have deliveries to be made, in the order of their ids."""
    return [SubscriptionId(row[0]) for row in await tx.fetch(SELECT_SUBSCRIPTIONS)]


async def oldest(tx: Transaction) -> list[tuple[SubscriptionId, EventId, DeviceId, bool]]:
    """Return (subscription, event, device, tried) of the oldest delivery of each subscription that has any."""
    rows = await tx.fetch(SELECT_OLDEST)
    return [(SubscriptionId(row[0]), EventId(row[1]), DeviceId(row[2]), bool(row[3])) for row in rows]


async def backlog(
    tx: Transaction,
    subscription_id: SubscriptionId,
    after: EventId,
    limit: int,
    partitions: Collection[Partition] | None = None,
) -> list[tuple[EventId, SubscriptionId, int, int, Trouble | None]]:
    """Return (event, subscription, replay, edition, trouble) of the deliveries after an event, the oldest first.

    Of some partitions, or of all when none are named.
    """
    if partitions is None:
        rows = await tx.fetch(SELECT_BACKLOG, subscription_id, after, limit)
    else:
        rows = await tx.fetch(SELECT_BACKLOG_OF_PARTITIONS, subscription_id, after, limit, sorted(partitions))
    rows.sort(key=itemgetter(0))
    return [(EventId(row[0]), subscription_id, row[1], row[2], _trouble(row[3:])) for row in rows]


async def deliveries_of(
    tx: Transaction, event_ids: Sequence[EventId], partitions: Collection[Partition]
) -> list[tuple[EventId, SubscriptionId, int, int]]:
    """Return (event, subscription, replay, edition) of these events' deliveries that are of these partitions."""
    rows = await tx.fetch(SELECT_DELIVERIES_OF, list(event_ids), sorted(partitions))
    return [(EventId(row[0]), SubscriptionId(row[1]), row[2], row[3]) for row in rows]


def _trouble(row: Row) -> Trouble | None:
    if row[0] is None:
        return None
    return Trouble(
        attempts=row[0],
        first_attempted_at=from_column(row[1]),
        due_at=from_column(row[2]),
        blocked=bool(row[3]),
    )


async def upsert_lanes(tx: Transaction, rows: Sequence[tuple[Settlement, Trouble, str]]) -> None:
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


async def delete_lanes(tx: Transaction, settled: Sequence[Settlement]) -> None:
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


async def hasten_lanes(tx: Transaction, now: datetime, due_at: datetime, *, except_reason: str) -> None:
    """Let no lane wait longer than `due_at`, but for one reason where that was given before `now`."""
    await tx.execute(HASTEN_LANES, to_column(due_at), except_reason, to_column(now))


async def held(tx: Transaction, reason: str, now: datetime) -> dict[SubscriptionId, datetime]:
    """Return the latest time after now that lanes of a subscription wait for, for one reason."""
    rows = await tx.fetch(SELECT_HELD, reason, to_column(now))
    return {SubscriptionId(row[0]): from_column(row[1]) for row in rows}


async def insert_delivered_attempts(tx: Transaction, delivered: Sequence[Settlement]) -> None:
    """Log attempts that delivered."""
    rows, others = [], []
    for item in delivered:
        answer = _as_text(item.answer.snippet)
        if answer is None:
            others.append((item, ""))
            continue
        rows.append(
            (
                item.delivery.event_id,
                item.delivery.subscription_id,
                item.delivery.device_id,
                item.attempt,
                to_column(item.attempted_at),
                int(item.answer.duration * 1_000_000),
                item.answer.status,
                item.answer.address or "",
                answer,
            )
        )
    if rows:
        await tx.execute(INSERT_DELIVERED_ATTEMPTS, _json(rows))
    await insert_attempts(tx, others)


def _as_text(answer: bytes) -> str | None:
    """Return a short answer as the text of which it is the UTF-8; None for a long one, or when it is of none.

    The stores read a row's text once for each of its columns, and PostgreSQL has no NUL in a text.
    """
    try:
        return None if len(answer) > _MOST_TEXT or b"\0" in answer else answer.decode()
    except UnicodeDecodeError:
        return None


async def insert_attempts(tx: Transaction, rows: Sequence[tuple[Settlement, str]]) -> None:
    """Log attempts, each by itself; beside each why it failed, empty where it did not."""
    await tx.execute_many(
        INSERT_ATTEMPT,
        [
            (
                item.delivery.event_id,
                item.delivery.subscription_id,
                item.delivery.device_id,
                item.attempt,
                to_column(item.attempted_at),
                int(item.answer.duration * 1_000_000),
                item.answer.status,
                failure,
                item.answer.detail,
                item.answer.address or "",
                item.answer.snippet,
            )
            for item, failure in rows
        ],
    )


async def attempted_device(tx: Transaction, event_id: EventId, subscription_id: SubscriptionId) -> DeviceId | None:
    """Return the device of an event that was sent to the subscription; None when the log knows of no attempt."""
    row = await tx.fetch_row(SELECT_ATTEMPTED, event_id, subscription_id)
    return None if row is None else DeviceId(row[0])


async def insert_dead_letters(tx: Transaction, rows: Sequence[tuple[Settlement, str, str]]) -> None:
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


async def take_dead_letter(
    tx: Transaction, event_id: EventId, subscription_id: SubscriptionId
) -> tuple[DeviceId, int] | None:
    """Remove a dead letter and return its device and sequence; None when there is none."""
    row = await tx.fetch_row(DELETE_DEAD_LETTER, event_id, subscription_id)
    return None if row is None else (DeviceId(row[0]), row[1])


async def delete_dead_letters(tx: Transaction, delivered: Sequence[Settlement]) -> None:
    """Forget that these deliveries had been given up once."""
    if delivered:
        keys = [(item.delivery.event_id, item.delivery.subscription_id) for item in delivered]
        await tx.execute(DELETE_DEAD_LETTERS, _json(keys))


async def dead_letters_after(
    tx: Transaction, subscription_id: SubscriptionId, device_id: DeviceId | None, after: EventId, limit: int
) -> list[EventId]:
    """Return the next dead letters of a subscription, of one device if it is named, the oldest first."""
    if device_id is None:
        rows = await tx.fetch(SELECT_DEAD_AFTER, subscription_id, after, limit)
    else:
        rows = await tx.fetch(SELECT_DEAD_OF_LANE, subscription_id, after, limit, device_id)
    return [EventId(row[0]) for row in rows]


async def purge_lanes(tx: Transaction, subscription_id: SubscriptionId) -> None:
    """Forget what the lanes of a subscription wait for."""
    await tx.execute(PURGE_LANES, subscription_id)


async def purge_dead_letters(tx: Transaction, subscription_id: SubscriptionId, limit: int) -> int:
    """Remove the oldest `limit` dead letters of a subscription, and return how many there were."""
    return await tx.execute(PURGE_DEAD_LETTERS, subscription_id, limit)
