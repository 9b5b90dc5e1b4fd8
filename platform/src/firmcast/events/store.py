"""The SQL of the event log."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from types import MappingProxyType
from typing import Final

import msgspec

from firmcast.db.columns import from_column, to_column
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import differing, packed, portable
from firmcast.errors import StoreError
from firmcast.events.model import (
    DeviceAdded,
    DeviceBound,
    DeviceDeleted,
    DeviceInfoChanged,
    Event,
    EventAge,
    EventHeading,
    EventType,
    Fact,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    StoredEvent,
    type_of,
)
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, EventId, MessageId, TaskId

# Take the next numbers of devices: [[device, how many], …]. The rows stay locked until the commit, so the numbers
# follow the order of commits; they are given in one order, so that no two transactions wait for each other's.
TAKE_SEQUENCES: Final = differing(
    sqlite="INSERT INTO event_stream (device_id, last_sequence)"
    " SELECT value ->> 0, value ->> 1 FROM json_each(?1) WHERE true"
    " ON CONFLICT (device_id) DO UPDATE SET last_sequence = event_stream.last_sequence + excluded.last_sequence"
    " RETURNING device_id, last_sequence",
    postgres="",
)

# Take positions in the log, so that events are known in full before they are written. On SQLite there is one writer,
# and the highest position ever given stays noted when the event is deleted; the insert itself moves it on.
TAKE_POSITIONS: Final = differing(
    sqlite="WITH RECURSIVE step (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM step WHERE number < ?1)"
    " SELECT number + coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0) FROM step",
    postgres="",
)

# Both at once, where each statement is a turn with the server. No position is given before the last of the devices is
# locked, which they all have to be for the count of them.
TAKE_NUMBERS: Final = differing(
    sqlite="",
    postgres="WITH taken AS (INSERT INTO event_stream (device_id, last_sequence)"
    " SELECT row ->> 0, (row ->> 1)::bigint FROM jsonb_array_elements(?1::jsonb) row"
    " ON CONFLICT (device_id) DO UPDATE SET last_sequence = event_stream.last_sequence + excluded.last_sequence"
    " RETURNING device_id, last_sequence),"
    " locked AS (SELECT array_agg(device_id) AS devices, array_agg(last_sequence) AS lasts, count(*) FROM taken)"
    " SELECT devices, lasts, ARRAY(SELECT nextval(pg_get_serial_sequence('event', 'event_id'))"
    " FROM generate_series(1, CASE WHEN locked.count > 0 THEN ?2::bigint END)) FROM locked",
)

# Write events, as one JSON text with a list for each; in one statement, since each one costs a turn with the loop.
INSERT_EVENTS: Final = differing(
    sqlite="INSERT INTO event (event_id, message_id, device_id, sequence, application_id, task_id, device_upgrade_id,"
    " event_type, occurred_at, synthesised, fact, body)"
    " SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,"
    " value ->> 7, value ->> 8, value ->> 9, CAST(value ->> 10 AS BLOB), CAST(value ->> 11 AS BLOB)"
    " FROM json_each(?1)",
    postgres="INSERT INTO event (event_id, message_id, device_id, sequence, application_id, task_id,"
    " device_upgrade_id, event_type, occurred_at, synthesised, fact, body)"
    " SELECT (row ->> 0)::bigint, row ->> 1, row ->> 2, (row ->> 3)::bigint, row ->> 4, row ->> 5, row ->> 6,"
    " row ->> 7, (row ->> 8)::bigint, (row ->> 9)::smallint, convert_to(row ->> 10, 'UTF8'),"
    " convert_to(row ->> 11, 'UTF8') FROM jsonb_array_elements(?1::jsonb) row",
)

# The latest events of a device.
SELECT_LATEST_OF_DEVICE: Final = portable(
    "SELECT event_id FROM event WHERE device_id = ?1 ORDER BY sequence DESC LIMIT ?2"
)

# What is sent of events: for the pusher, by position.
SELECT_STORED: Final = packed(
    sqlite="SELECT json_group_array(json_array(event_id, message_id, device_id, sequence, application_id, event_type,"
    " occurred_at, synthesised, CAST(body AS TEXT))) FROM event WHERE event_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT event_id, message_id, device_id, sequence, application_id, event_type, occurred_at, synthesised,"
    " body FROM event WHERE event_id = ANY(?1::bigint[])",
)

# The age of the next events in the log, and which upgrade each is of; for whoever removes old ones.
SELECT_AGES: Final = portable(
    "SELECT event_id, occurred_at, device_upgrade_id FROM event WHERE event_id > ?1 ORDER BY event_id LIMIT ?2"
)

# They are old, and nobody needs them.
DELETE_EVENTS: Final = differing(
    sqlite="DELETE FROM event WHERE event_id IN (SELECT value FROM json_each(?1))",
    postgres="DELETE FROM event WHERE event_id = ANY(?1::bigint[])",
)

# When events happened.
SELECT_TIMES: Final = differing(
    sqlite="SELECT event_id, occurred_at FROM event WHERE event_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT event_id, occurred_at FROM event WHERE event_id = ANY(?1::bigint[])",
)

# The history of one device, in order.
SELECT_OF_DEVICE: Final = portable(
    "SELECT event_id, message_id, sequence, application_id, device_id, task_id, device_upgrade_id, occurred_at,"
    " synthesised, event_type, fact FROM event WHERE device_id = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3"
)

# The last position that was given. Read before the writers: see `horizon.py`.
SELECT_LAST_POSITION: Final = differing(
    sqlite="SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)",
    postgres="SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('event', 'event_id')::regclass), 0)",
)

# Which transactions write to the log: each locks its devices' rows before it takes a position, and until it has ended.
# On SQLite nobody can be writing what is not seen.
SELECT_WRITERS: Final = differing(
    sqlite="SELECT '' WHERE false",
    postgres="SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation'"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND relation = 'event_stream'::regclass AND mode = 'RowExclusiveLock'",
)

# What comes next for an application, with what it is filtered by; the body is read only of what is wanted. It is spelt
# as a range, since with an equality PostgreSQL may prefer to walk the whole log in its order, past all others' events.
SELECT_OF_APPLICATION: Final = portable(
    "SELECT event_id, event_type, device_id FROM event"
    " WHERE (application_id, event_id) > (?1, ?2) AND (application_id, event_id) <= (?1, ?3)"
    " ORDER BY application_id, event_id LIMIT ?4"
)

# Who has something new in a part of the log.
SELECT_APPLICATIONS: Final = portable(
    "SELECT DISTINCT application_id FROM event WHERE event_id > ?1 AND event_id <= ?2"
)

# Up to where events were removed for their age.
SELECT_FORGOTTEN: Final = portable("SELECT through FROM event_forgotten")

# Events were removed for their age, up to a position; it never goes back.
UPSERT_FORGOTTEN: Final = differing(
    sqlite="INSERT INTO event_forgotten (one, through) VALUES (1, ?1)"
    " ON CONFLICT (one) DO UPDATE SET through = max(event_forgotten.through, excluded.through)",
    postgres="INSERT INTO event_forgotten (one, through) VALUES (1, ?1)"
    " ON CONFLICT (one) DO UPDATE SET through = greatest(event_forgotten.through, excluded.through)",
)

# What happened to a device in [?2, ?3), in one upgrade or in all (''): a device's events are few enough to be sorted.
SELECT_NEWEST_BETWEEN: Final = portable(
    "SELECT event_id, message_id, sequence, application_id, device_id, task_id, device_upgrade_id, occurred_at,"
    " synthesised, event_type, fact FROM event WHERE device_id = ?1 AND occurred_at >= ?2 AND occurred_at < ?3"
    " AND (?4 = '' OR device_upgrade_id = ?4) ORDER BY occurred_at DESC, sequence DESC LIMIT ?5"
)
SELECT_OLDEST_BETWEEN: Final = portable(
    "SELECT event_id, message_id, sequence, application_id, device_id, task_id, device_upgrade_id, occurred_at,"
    " synthesised, event_type, fact FROM event WHERE device_id = ?1 AND occurred_at >= ?2 AND occurred_at < ?3"
    " AND (?4 = '' OR device_upgrade_id = ?4) ORDER BY occurred_at, sequence LIMIT ?5"
)

# Which numbers events have within their devices.
SELECT_SEQUENCES_OF: Final = differing(
    sqlite="SELECT event_id, sequence FROM event WHERE event_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT event_id, sequence FROM event WHERE event_id = ANY(?1::bigint[])",
)

# The latest events of one of a device's upgrades.
SELECT_LATEST_OF_UPGRADE: Final = portable(
    "SELECT event_id FROM event WHERE device_id = ?1 AND device_upgrade_id = ?2 ORDER BY sequence DESC LIMIT ?3"
)

# What an application's events after a position are, for whoever looks for some of them.
SELECT_HEADINGS: Final = portable(
    "SELECT event_id, application_id, device_id, sequence, event_type, occurred_at FROM event"
    " WHERE (application_id, event_id) > (?1, ?2) AND application_id <= ?1 ORDER BY application_id, event_id LIMIT ?3"
)

# The same of one device, after one of its numbers.
SELECT_HEADINGS_OF_DEVICE: Final = portable(
    "SELECT event_id, application_id, device_id, sequence, event_type, occurred_at FROM event"
    " WHERE device_id = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3"
)

# The first event from a position on, and when it happened: to find a time in the log.
SELECT_AT: Final = portable("SELECT event_id, occurred_at FROM event WHERE event_id >= ?1 ORDER BY event_id LIMIT 1")

# The last event there is.
SELECT_LAST: Final = portable("SELECT event_id FROM event ORDER BY event_id DESC LIMIT 1")

# The first and the last number that the log holds of a device.
SELECT_SEQUENCES: Final = portable(
    "SELECT (SELECT sequence FROM event WHERE device_id = ?1 ORDER BY sequence LIMIT 1),"
    " (SELECT sequence FROM event WHERE device_id = ?1 ORDER BY sequence DESC LIMIT 1)"
)

_TYPES: Final[Mapping[str, EventType]] = MappingProxyType({each.value: each for each in EventType})
"""A look-up for where very many are read: to call the enum costs ten times as much."""

_FACTS: Final[Mapping[EventType, type[Fact]]] = MappingProxyType(
    {
        EventType.FIRMWARE_STATE_CHANGED: FirmwareStateChanged,
        EventType.FIRMWARE_UPGRADE_ENDED: FirmwareUpgradeEnded,
        EventType.DEVICE_ADDED: DeviceAdded,
        EventType.DEVICE_BOUND: DeviceBound,
        EventType.DEVICE_INFO_CHANGED: DeviceInfoChanged,
        EventType.DEVICE_DELETED: DeviceDeleted,
    }
)
"""What each type that is told holds."""


async def take_numbers(tx: Transaction, counts: Mapping[DeviceId, int]) -> tuple[dict[DeviceId, int], list[EventId]]:
    """Return, for each device, the first of so many numbers that follow its last one, and as many positions, growing.

    The positions are at the end of the log, and are given once the devices' rows are locked: so a device's grow with
    its numbers, whoever else writes.
    """
    said, total = _json(sorted(counts.items())), sum(counts.values())
    # Of each store's statements those of the other are empty, and cost nothing.
    together = await tx.fetch_row(TAKE_NUMBERS, said, total)
    if together is None:
        lasts = dict(await tx.fetch(TAKE_SEQUENCES, said))
        positions = [row[0] for row in await tx.fetch(TAKE_POSITIONS, total)]
    else:
        devices, numbers, positions = together
        lasts = dict(zip(devices, numbers, strict=True))
    return {device_id: last - counts[device_id] + 1 for device_id, last in lasts.items()}, sorted(positions)


async def insert(tx: Transaction, events: Sequence[tuple[Event, bytes]]) -> None:
    """Write events, each with the bytes that will be sent of it."""
    rows = [
        (
            event.event_id,
            event.message_id,
            event.device_id,
            event.sequence,
            event.application_id,
            event.task_id or "",
            event.device_upgrade_id or "",
            type_of(event.fact),
            to_column(event.occurred_at),
            int(event.synthesised),
            _json(event.fact),
            body.decode(),
        )
        for event, body in events
    ]
    await tx.execute(INSERT_EVENTS, _json(rows))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


async def stored(tx: Transaction, event_ids: Sequence[EventId]) -> list[StoredEvent]:
    """Return what is sent of these events, in the order of the log."""
    found = [
        StoredEvent(
            event_id=event_id,
            message_id=message_id,
            device_id=device_id,
            sequence=sequence,
            application_id=application_id,
            event_type=_TYPES[event_type],
            occurred_at=from_column(occurred_at),
            synthesised=synthesised != 0,
            body=body if isinstance(body, bytes) else body.encode(),
        )
        for event_id, message_id, device_id, sequence, application_id, event_type, occurred_at, synthesised, body in (
            await tx.fetch(SELECT_STORED, list(event_ids))
        )
    ]
    found.sort(key=attrgetter("event_id"))
    return found


async def latest_of_device(tx: Transaction, device_id: DeviceId, limit: int) -> list[EventId]:
    """Return the device's latest events, the last first."""
    return [EventId(row[0]) for row in await tx.fetch(SELECT_LATEST_OF_DEVICE, device_id, limit)]


async def ages(tx: Transaction, after: EventId, limit: int) -> list[EventAge]:
    """Return how old the next events after a position are."""
    return [
        EventAge(
            event_id=EventId(row[0]),
            occurred_at=from_column(row[1]),
            device_upgrade_id=DeviceUpgradeId(row[2]) if row[2] else None,
        )
        for row in await tx.fetch(SELECT_AGES, after, limit)
    ]


async def remove(tx: Transaction, event_ids: Sequence[EventId]) -> None:
    """Remove events from the log."""
    await tx.execute(DELETE_EVENTS, list(event_ids))


async def times(tx: Transaction, event_ids: Sequence[EventId]) -> dict[EventId, datetime]:
    """Return when these events happened."""
    return {EventId(row[0]): from_column(row[1]) for row in await tx.fetch(SELECT_TIMES, list(event_ids))}


async def of_device(tx: Transaction, device_id: DeviceId, after_sequence: int, limit: int) -> list[Event]:
    """Return the device's events after a number."""
    return [_event(row) for row in await tx.fetch(SELECT_OF_DEVICE, device_id, after_sequence, limit)]


async def between(
    tx: Transaction,
    device_id: DeviceId,
    begin: datetime,
    end: datetime,
    device_upgrade_id: DeviceUpgradeId | None,
    limit: int,
    *,
    newest_first: bool,
) -> list[Event]:
    """Return what happened to a device in a stretch of time, in the order of time asked for."""
    statement = SELECT_NEWEST_BETWEEN if newest_first else SELECT_OLDEST_BETWEEN
    rows = await tx.fetch(statement, device_id, to_column(begin), to_column(end), device_upgrade_id or "", limit)
    return [_event(row) for row in rows]


async def sequences_of(tx: Transaction, event_ids: Sequence[EventId]) -> dict[EventId, int]:
    """Return the numbers that events have within their devices."""
    return {EventId(row[0]): row[1] for row in await tx.fetch(SELECT_SEQUENCES_OF, list(event_ids))}


async def latest_of_upgrade(
    tx: Transaction, device_id: DeviceId, device_upgrade_id: DeviceUpgradeId, limit: int
) -> list[EventId]:
    """Return the latest events of a device's upgrade, the last first."""
    return [EventId(row[0]) for row in await tx.fetch(SELECT_LATEST_OF_UPGRADE, device_id, device_upgrade_id, limit)]


def _event(row: Row) -> Event:
    return Event(
        event_id=EventId(row[0]),
        message_id=MessageId(row[1]),
        sequence=row[2],
        application_id=ApplicationId(row[3]),
        device_id=DeviceId(row[4]),
        task_id=TaskId(row[5]) if row[5] else None,
        device_upgrade_id=DeviceUpgradeId(row[6]) if row[6] else None,
        occurred_at=from_column(row[7]),
        synthesised=bool(row[8]),
        fact=_fact(EventType(row[9]), row[10]),
    )


async def last_position(tx: Transaction) -> EventId:
    """Return the last position that was given, 0 for none; its transaction need not have ended."""
    row = await tx.fetch_row(SELECT_LAST_POSITION)
    return EventId(row[0] if row else 0)


async def writers(tx: Transaction) -> frozenset[str]:
    """Return names of the transactions that are writing to the log and may hold positions."""
    return frozenset(row[0] for row in await tx.fetch(SELECT_WRITERS))


async def of_application(
    tx: Transaction, application_id: ApplicationId, after: EventId, through: EventId, limit: int
) -> list[tuple[EventId, EventType, DeviceId]]:
    """Return (position, type, device) of the application's next events after a position and up to another."""
    rows = await tx.fetch(SELECT_OF_APPLICATION, application_id, after, through, limit)
    return [(EventId(row[0]), EventType(row[1]), DeviceId(row[2])) for row in rows]


async def applications_between(tx: Transaction, after: EventId, through: EventId) -> list[ApplicationId]:
    """Return the applications that have events in a part of the log."""
    return [ApplicationId(row[0]) for row in await tx.fetch(SELECT_APPLICATIONS, after, through)]


async def forgotten_through(tx: Transaction) -> EventId:
    """Return the position up to which events were removed, 0 for none."""
    row = await tx.fetch_row(SELECT_FORGOTTEN)
    return EventId(row[0] if row else 0)


async def note_forgotten(tx: Transaction, through: EventId) -> None:
    """Keep that events were removed up to a position."""
    await tx.execute(UPSERT_FORGOTTEN, through)


async def headings(tx: Transaction, application_id: ApplicationId, after: EventId, limit: int) -> list[EventHeading]:
    """Return what an application's events after a position are, in order."""
    return [_heading(row) for row in await tx.fetch(SELECT_HEADINGS, application_id, after, limit)]


async def headings_of_device(
    tx: Transaction, device_id: DeviceId, after_sequence: int, limit: int
) -> list[EventHeading]:
    """Return what a device's events after a number are, in order."""
    return [_heading(row) for row in await tx.fetch(SELECT_HEADINGS_OF_DEVICE, device_id, after_sequence, limit)]


async def at(tx: Transaction, position: EventId) -> tuple[EventId, datetime] | None:
    """Return the first event from a position on, and when it happened; None at the end."""
    row = await tx.fetch_row(SELECT_AT, position)
    return None if row is None else (EventId(row[0]), from_column(row[1]))


async def last(tx: Transaction) -> EventId:
    """Return the position of the last event there is, 0 for none."""
    row = await tx.fetch_row(SELECT_LAST)
    return EventId(row[0] if row else 0)


async def sequences(tx: Transaction, device_id: DeviceId) -> tuple[int, int]:
    """Return the first and the last number that the log holds of a device, 0 and 0 for none."""
    row = await tx.fetch_row(SELECT_SEQUENCES, device_id)
    return (0, 0) if row is None else (row[0] or 0, row[1] or 0)


def _heading(row: Row) -> EventHeading:
    return EventHeading(
        event_id=EventId(row[0]),
        application_id=ApplicationId(row[1]),
        device_id=DeviceId(row[2]),
        sequence=row[3],
        event_type=EventType(row[4]),
        occurred_at=from_column(row[5]),
    )


def _fact(event_type: EventType, encoded: bytes) -> Fact:
    fact = _FACTS.get(event_type)
    if fact is None:
        message = f"the log holds an event of a type that nothing tells: {event_type}"
        raise StoreError(message)
    return msgspec.json.decode(encoded, type=fact)
