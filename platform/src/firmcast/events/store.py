"""The SQL of the event log."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from firmcast.db.columns import from_column, to_column
from firmcast.db.port import Transaction
from firmcast.db.statement import differing, portable
from firmcast.events.model import (
    Event,
    EventType,
    Fact,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    Outcome,
    StoredEvent,
    type_of,
)
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, EventId, MessageId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState

# Take the next numbers of a device; the row stays locked until the commit, so numbers follow the order of commits.
TAKE_SEQUENCES: Final = portable(
    "INSERT INTO event_stream (device_id, last_sequence) VALUES (?1, ?2)"
    " ON CONFLICT (device_id) DO UPDATE SET last_sequence = event_stream.last_sequence + excluded.last_sequence"
    " RETURNING last_sequence"
)

# Write an event; its position in the log comes back.
INSERT_EVENT: Final = portable(
    "INSERT INTO event (message_id, device_id, sequence, application_id, task_id, device_upgrade_id, event_type,"
    " occurred_at, synthesised, fact, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING event_id"
)

# What is sent of events: for the pusher, by position.
SELECT_STORED: Final = differing(
    sqlite="SELECT event_id, message_id, device_id, sequence, application_id, event_type, occurred_at, synthesised,"
    " body FROM event WHERE event_id IN (SELECT value FROM json_each(?1)) ORDER BY event_id",
    postgres="SELECT event_id, message_id, device_id, sequence, application_id, event_type, occurred_at, synthesised,"
    " body FROM event WHERE event_id = ANY(?1::bigint[]) ORDER BY event_id",
)

# The history of one device, in order.
SELECT_OF_DEVICE: Final = portable(
    "SELECT event_id, message_id, sequence, application_id, device_id, task_id, device_upgrade_id, occurred_at,"
    " synthesised, event_type, fact FROM event WHERE device_id = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3"
)


async def take_sequences(tx: Transaction, device_id: DeviceId, count: int) -> int:
    """Return the first of `count` numbers that follow the device's last one."""
    row = await tx.fetch_row(TAKE_SEQUENCES, device_id, count)
    assert row is not None
    last: int = row[0]
    return last - count + 1


async def insert(tx: Transaction, event: Event, body: bytes) -> EventId:
    """Write an event with the bytes that will be sent of it."""
    row = await tx.fetch_row(
        INSERT_EVENT,
        event.message_id,
        event.device_id,
        event.sequence,
        event.application_id,
        event.task_id,
        event.device_upgrade_id,
        type_of(event.fact).value,
        to_column(event.occurred_at),
        int(event.synthesised),
        msgspec.json.encode(event.fact),
        body,
    )
    assert row is not None
    return EventId(row[0])


async def stored(tx: Transaction, event_ids: Sequence[EventId]) -> list[StoredEvent]:
    """Return what is sent of these events, in the order of the log."""
    return [
        StoredEvent(
            event_id=EventId(row[0]),
            message_id=MessageId(row[1]),
            device_id=DeviceId(row[2]),
            sequence=row[3],
            application_id=ApplicationId(row[4]),
            event_type=EventType(row[5]),
            occurred_at=from_column(row[6]),
            synthesised=bool(row[7]),
            body=row[8],
        )
        for row in await tx.fetch(SELECT_STORED, list(event_ids))
    ]


async def of_device(tx: Transaction, device_id: DeviceId, after_sequence: int, limit: int) -> list[Event]:
    """Return the device's events after a number."""
    return [
        Event(
            event_id=EventId(row[0]),
            message_id=MessageId(row[1]),
            sequence=row[2],
            application_id=ApplicationId(row[3]),
            device_id=DeviceId(row[4]),
            task_id=TaskId(row[5]),
            device_upgrade_id=DeviceUpgradeId(row[6]),
            occurred_at=from_column(row[7]),
            synthesised=bool(row[8]),
            fact=_fact(EventType(row[9]), row[10]),
        )
        for row in await tx.fetch(SELECT_OF_DEVICE, device_id, after_sequence, limit)
    ]


def _fact(event_type: EventType, encoded: bytes) -> Fact:
    fields: dict[str, Any] = msgspec.json.decode(encoded)
    if event_type is EventType.FIRMWARE_STATE_CHANGED:
        return FirmwareStateChanged(state=FirmwareUpdateState(fields["state"]))
    return FirmwareUpgradeEnded(**{**fields, "outcome": Outcome(fields["outcome"])})
