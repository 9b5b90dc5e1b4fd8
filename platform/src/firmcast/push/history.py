"""What became of the events of one device in a stretch of time: the attempts at them, and those that were given up.

The events of the device are found in the log, as for the other lists: see `store/listing.py`. What is of them is few
enough to be sorted.
"""

from datetime import datetime
from typing import Final

from firmcast.db.columns import to_column
from firmcast.db.port import Transaction
from firmcast.db.statement import differing
from firmcast.events import use_cases as events
from firmcast.ids import DeviceId, DeviceUpgradeId, EventId
from firmcast.push.model import Attempt, DeadLetter
from firmcast.push.store.listing import EVENTS_OF_DEVICE, attempt_of, dead_letter_of

# Attempts at the events ?1 in a stretch of time [?2, ?3).
SELECT_NEWEST_ATTEMPTS: Final = differing(
    sqlite="SELECT attempt_id, event_id, subscription_id, device_id, number, attempted_at, duration, status, failure,"
    " detail, address, answer FROM attempt WHERE event_id IN (SELECT value FROM json_each(?1)) AND attempted_at >= ?2"
    " AND attempted_at < ?3 ORDER BY attempted_at DESC, +attempt_id DESC LIMIT ?4",
    postgres="SELECT attempt_id, event_id, subscription_id, device_id, number, attempted_at, duration, status, failure,"
    " detail, address, answer FROM attempt WHERE event_id = ANY(?1::bigint[]) AND attempted_at >= ?2"
    " AND attempted_at < ?3 ORDER BY attempted_at DESC, +attempt_id DESC LIMIT ?4",
)
SELECT_OLDEST_ATTEMPTS: Final = differing(
    sqlite="SELECT attempt_id, event_id, subscription_id, device_id, number, attempted_at, duration, status, failure,"
    " detail, address, answer FROM attempt WHERE event_id IN (SELECT value FROM json_each(?1)) AND attempted_at >= ?2"
    " AND attempted_at < ?3 ORDER BY attempted_at, +attempt_id LIMIT ?4",
    postgres="SELECT attempt_id, event_id, subscription_id, device_id, number, attempted_at, duration, status, failure,"
    " detail, address, answer FROM attempt WHERE event_id = ANY(?1::bigint[]) AND attempted_at >= ?2"
    " AND attempted_at < ?3 ORDER BY attempted_at, +attempt_id LIMIT ?4",
)

# Those of these events that were given up.
SELECT_NEWEST_DEAD: Final = differing(
    sqlite="SELECT event_id, subscription_id, device_id, sequence, attempts, reason, failure, died_at FROM dead_letter"
    " WHERE event_id IN (SELECT value FROM json_each(?1)) AND died_at >= ?2 AND died_at < ?3"
    " ORDER BY died_at DESC, event_id DESC, subscription_id LIMIT ?4",
    postgres="SELECT event_id, subscription_id, device_id, sequence, attempts, reason, failure, died_at"
    " FROM dead_letter WHERE event_id = ANY(?1::bigint[]) AND died_at >= ?2 AND died_at < ?3"
    " ORDER BY died_at DESC, event_id DESC, subscription_id LIMIT ?4",
)
SELECT_OLDEST_DEAD: Final = differing(
    sqlite="SELECT event_id, subscription_id, device_id, sequence, attempts, reason, failure, died_at FROM dead_letter"
    " WHERE event_id IN (SELECT value FROM json_each(?1)) AND died_at >= ?2 AND died_at < ?3"
    " ORDER BY died_at, event_id, subscription_id LIMIT ?4",
    postgres="SELECT event_id, subscription_id, device_id, sequence, attempts, reason, failure, died_at"
    " FROM dead_letter WHERE event_id = ANY(?1::bigint[]) AND died_at >= ?2 AND died_at < ?3"
    " ORDER BY died_at, event_id, subscription_id LIMIT ?4",
)


async def events_of(tx: Transaction, device_id: DeviceId, device_upgrade_id: DeviceUpgradeId | None) -> list[EventId]:
    """Return the latest events of a device, or of one of its upgrades."""
    if device_upgrade_id is None:
        return await events.latest_of_device(tx, device_id, EVENTS_OF_DEVICE)
    return await events.latest_of_upgrade(tx, device_id, device_upgrade_id, EVENTS_OF_DEVICE)


async def attempts_between(
    tx: Transaction, event_ids: list[EventId], begin: datetime, end: datetime, limit: int, *, newest_first: bool
) -> list[Attempt]:
    """Return attempts at these events in a stretch of time, in the order of time asked for."""
    statement = SELECT_NEWEST_ATTEMPTS if newest_first else SELECT_OLDEST_ATTEMPTS
    rows = await tx.fetch(statement, list(event_ids), to_column(begin), to_column(end), limit)
    return [attempt_of(row) for row in rows]


async def dead_letters_between(
    tx: Transaction, event_ids: list[EventId], begin: datetime, end: datetime, limit: int, *, newest_first: bool
) -> list[DeadLetter]:
    """Return those of these events that were given up in a stretch of time, in the order of time asked for."""
    statement = SELECT_NEWEST_DEAD if newest_first else SELECT_OLDEST_DEAD
    rows = await tx.fetch(statement, list(event_ids), to_column(begin), to_column(end), limit)
    return [dead_letter_of(row) for row in rows]
