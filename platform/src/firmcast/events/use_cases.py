"""What others may ask of the log; writing is `EventLog`'s alone."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from firmcast.db.port import Transaction
from firmcast.events import store
from firmcast.events.horizon import Observation
from firmcast.events.model import Event, EventAge, EventFilter, EventHeading, StoredEvent, Stretch
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, EventId

BEFORE_ALL: Final = EventId(0)

_SIFTED_AT_ONCE: Final = 1_000
"""Events of an application that one read looks at, to find those that are wanted."""

_DISORDER: Final = timedelta(hours=1)
"""How far the order of the log is from that of time, at the most."""


async def bodies(tx: Transaction, event_ids: Sequence[EventId]) -> dict[EventId, StoredEvent]:
    """Return what is sent of these events, by position; those that are not in the log are absent."""
    return {event.event_id: event for event in await store.stored(tx, event_ids)}


async def latest_of_device(tx: Transaction, device_id: DeviceId, limit: int) -> list[EventId]:
    """Return the device's latest events, the last first."""
    return await store.latest_of_device(tx, device_id, limit)


async def ages(tx: Transaction, after: EventId, limit: int) -> list[EventAge]:
    """Return how old the next events after a position are, in the order of the log."""
    return await store.ages(tx, after, limit)


async def remove(tx: Transaction, event_ids: Sequence[EventId]) -> None:
    """Remove events that are old and that nobody needs; the numbers of their devices go on where they were."""
    await store.remove(tx, event_ids)


async def times(tx: Transaction, event_ids: Sequence[EventId]) -> dict[EventId, datetime]:
    """Return when these events happened; those that are not in the log are absent."""
    return await store.times(tx, event_ids)


async def of_device(tx: Transaction, device_id: DeviceId, after_sequence: int = 0, limit: int = 100) -> list[Event]:
    """Return the device's events after a number, in order, `limit` at the most."""
    return await store.of_device(tx, device_id, after_sequence, limit)


async def stretch(
    tx: Transaction,
    application_id: ApplicationId,
    after: EventId,
    through: EventId,
    wanted: EventFilter,
    limit: int,
) -> Stretch:
    """Return the application's next events after a position, up to one that is final, `limit` at the most.

    It does a bounded work: where few events are wanted there can be none in the stretch, and more beyond it.
    """
    looked_at = limit if wanted.takes_all else max(limit, _SIFTED_AT_ONCE)
    found = await store.of_application(tx, application_id, after, through, looked_at)
    taken = [event_id for event_id, event_type, device_id in found if wanted.takes(event_type, device_id)]
    if len(taken) > limit:
        reached = taken[limit - 1]
    elif len(found) == looked_at:
        reached = found[-1][0]
    else:
        reached = max(after, through)
    events = await store.stored(tx, taken[:limit]) if taken else []
    return Stretch(events=tuple(events), reached=reached)


async def applications_between(tx: Transaction, after: EventId, through: EventId) -> list[ApplicationId]:
    """Return the applications that have events after a position, up to another."""
    return await store.applications_between(tx, after, through)


async def forgotten_through(tx: Transaction) -> EventId:
    """Return the position up to which events were removed for their age, 0 for none.

    Some of them may still be there, because something refers to them.
    """
    return await store.forgotten_through(tx)


async def note_forgotten(tx: Transaction, through: EventId) -> None:
    """Keep that events are removed up to a position; for whoever removes them, in the same transaction.

    A reader who comes with an older position is then told that there is a gap.
    """
    await store.note_forgotten(tx, through)


async def observe_end(tx: Transaction) -> Observation:
    """Return what is to be seen of the end of the log; for a read, whose successors see what it makes final."""
    position = await store.last_position(tx)
    # In this order: who holds a position and is not among the writers has ended.
    return Observation(position=position, writers=await store.writers(tx))


async def headings(
    tx: Transaction, application_id: ApplicationId, after: EventId = BEFORE_ALL, limit: int = 100
) -> list[EventHeading]:
    """Return what an application's events after a position are, in the order of the log, `limit` at the most."""
    return await store.headings(tx, application_id, after, limit)


async def headings_of_device(
    tx: Transaction, device_id: DeviceId, after_sequence: int = 0, limit: int = 100
) -> list[EventHeading]:
    """Return what a device's events after a number are, in order, `limit` at the most."""
    return await store.headings_of_device(tx, device_id, after_sequence, limit)


async def between(
    tx: Transaction,
    device_id: DeviceId,
    begin: datetime,
    end: datetime,
    *,
    device_upgrade_id: DeviceUpgradeId | None = None,
    limit: int,
    newest_first: bool,
) -> list[Event]:
    """Return what happened to a device in a stretch of time, `end` excluded, `limit` at the most."""
    return await store.between(tx, device_id, begin, end, device_upgrade_id, limit, newest_first=newest_first)


async def sequences_of(tx: Transaction, event_ids: Sequence[EventId]) -> dict[EventId, int]:
    """Return the numbers that events have within their devices; those that are no longer kept are absent."""
    return await store.sequences_of(tx, event_ids)


async def latest_of_upgrade(
    tx: Transaction, device_id: DeviceId, device_upgrade_id: DeviceUpgradeId, limit: int
) -> list[EventId]:
    """Return the latest events of a device's upgrade, the last first."""
    return await store.latest_of_upgrade(tx, device_id, device_upgrade_id, limit)


async def first(tx: Transaction) -> tuple[EventId, datetime] | None:
    """Return the position of the first event that the log still holds, and when it happened; None for no event."""
    return await store.at(tx, BEFORE_ALL)


async def last(tx: Transaction) -> EventId:
    """Return the position of the last event, 0 for none; others may yet be committed before it."""
    return await store.last(tx)


async def sequences(tx: Transaction, device_id: DeviceId) -> tuple[int, int]:
    """Return the first and the last number that the log still holds of a device, 0 and 0 for none."""
    return await store.sequences(tx, device_id)


async def position_before(tx: Transaction, moment: datetime) -> EventId:
    """Return a position that the events of `moment` and later come after, as far as the log is in the order of time.

    It is in the order of commits: an event that took up to an hour from its report to its commit, or whose node had a
    clock that much out of step, is still found.
    """
    low, high, moment = 1, await store.last(tx) + 1, moment - _DISORDER
    while low < high:
        middle = (low + high) // 2
        found = await store.at(tx, EventId(middle))
        if found is None or found[1] >= moment:
            high = middle
        else:
            low = found[0] + 1
    return EventId(low - 1)


async def position_after(tx: Transaction, moment: datetime) -> EventId:
    """Return a position that no event before `moment` comes after, as far as the log is in the order of time."""
    return await position_before(tx, moment + 2 * _DISORDER)
