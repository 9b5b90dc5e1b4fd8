"""What others may ask of the log; writing is `EventLog`'s alone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from firmcast.db.port import Transaction
from firmcast.events import store
from firmcast.events.horizon import Observation
from firmcast.events.model import Event, EventFilter, StoredEvent, Stretch
from firmcast.ids import ApplicationId, DeviceId, EventId

_SIFTED_AT_ONCE: Final = 1_000
"""Events of an application that one read looks at, to find those that are wanted."""


async def bodies(tx: Transaction, event_ids: Sequence[EventId]) -> dict[EventId, StoredEvent]:
    """Return what is sent of these events, by position; those that are not in the log are absent."""
    return {event.event_id: event for event in await store.stored(tx, event_ids)}


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
