"""A part of the log as one application reads it, on each store."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.db.port import Database
from firmcast.events import use_cases
from firmcast.events.log import EventLog
from firmcast.events.model import DeviceDeleted, EventFilter, EventType, FirmwareStateChanged, NewEvent, Stretch
from firmcast.ids import ApplicationId, DeviceId, EventId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
APP = ApplicationId("app")
ALL = EventFilter()
STATES = EventFilter(event_types=frozenset({EventType.FIRMWARE_STATE_CHANGED}))
MOVED = FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING)


def new(device: str, fact=MOVED, application: str = APP) -> NewEvent:
    return NewEvent(application_id=ApplicationId(application), device_id=DeviceId(device), occurred_at=NOW, fact=fact)


async def append(tx, log: EventLog, events):
    return await log.append(tx, events)


async def read_all(database: Database, wanted: EventFilter, limit: int) -> tuple[list[str], int]:
    """Return the message ids of all stretches one after another, and how many there were."""
    final = (await database.read(use_cases.observe_end)).position
    found: list[str] = []
    reached, reads = EventId(0), 0
    while reached < final:
        part: Stretch = await database.read(use_cases.stretch, APP, reached, final, wanted, limit)
        assert len(part.events) <= limit
        assert part.reached > reached
        assert all(reached < event.event_id <= part.reached for event in part.events)
        found += [event.message_id for event in part.events]
        reached, reads = part.reached, reads + 1
    return found, reads


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_stretches_together_are_the_applications_events_in_order(
    database: Database, event_log: EventLog, limit: int
) -> None:
    mixed = [new(f"d{number % 3}", application="other" if number % 4 == 1 else APP) for number in range(20)]
    events = await database.write(append, event_log, mixed)
    found, _ = await read_all(database, ALL, limit)
    assert found == [event.message_id for event in events if event.application_id == APP]


async def test_a_filter_takes_types_and_a_device(database: Database, event_log: EventLog) -> None:
    events = await database.write(
        append, event_log, [new("a"), new("b"), new("a", DeviceDeleted()), new("b"), new("a")]
    )
    ids = [event.message_id for event in events]
    assert (await read_all(database, STATES, 2))[0] == [ids[0], ids[1], ids[3], ids[4]]
    of_a = EventFilter(device_id=DeviceId("a"))
    assert (await read_all(database, of_a, 2))[0] == [ids[0], ids[2], ids[4]]
    both = EventFilter(event_types=STATES.event_types, device_id=DeviceId("a"))
    assert (await read_all(database, both, 2))[0] == [ids[0], ids[4]]


async def test_where_little_is_wanted_a_read_does_a_bounded_work_and_goes_on(
    database: Database, event_log: EventLog
) -> None:
    await database.write(append, event_log, [new("a") for _ in range(2_500)])
    (last,) = await database.write(append, event_log, [new("a", DeviceDeleted())])
    deleted = EventFilter(event_types=frozenset({EventType.DEVICE_DELETED}))
    found, reads = await read_all(database, deleted, 10)
    assert found == [last.message_id]
    assert reads == 3


async def test_nothing_new_still_moves_on(database: Database, event_log: EventLog) -> None:
    (event,) = await database.write(append, event_log, [new("a", application="other")])
    part = await database.read(use_cases.stretch, APP, EventId(0), event.event_id, ALL, 10)
    assert part == Stretch(events=(), reached=event.event_id)
    # Another node may have told a position that this one does not know to be final yet.
    ahead = await database.read(use_cases.stretch, APP, EventId(event.event_id + 5), event.event_id, ALL, 10)
    assert ahead == Stretch(events=(), reached=EventId(event.event_id + 5))


async def test_what_was_forgotten_is_noted_and_never_unsaid(database: Database) -> None:
    assert await database.read(use_cases.forgotten_through) == 0
    await database.write(use_cases.note_forgotten, EventId(70))
    await database.write(use_cases.note_forgotten, EventId(40))
    assert await database.read(use_cases.forgotten_through) == 70


@given(
    st.sets(st.sampled_from(EventType)),
    st.none() | st.sampled_from(["a", "b"]),
    st.sampled_from(EventType),
    st.sampled_from(["a", "b"]),
)
def test_a_filter_without_arguments_takes_all_and_each_argument_takes_some(types, device, event_type, of) -> None:
    wanted = EventFilter(event_types=frozenset(types), device_id=None if device is None else DeviceId(device))
    taken = wanted.takes(event_type, DeviceId(of))
    assert taken == ((not types or event_type in types) and (device is None or device == of))
    assert not wanted.takes_all or taken
