"""What others may ask of the log; writing is `EventLog`'s alone."""

from collections.abc import Sequence

from firmcast.db.port import Transaction
from firmcast.events import store
from firmcast.events.horizon import Observation
from firmcast.events.model import Event, StoredEvent
from firmcast.ids import DeviceId, EventId


async def bodies(tx: Transaction, event_ids: Sequence[EventId]) -> dict[EventId, StoredEvent]:
    """Return what is sent of these events, by position; those that are not in the log are absent."""
    return {event.event_id: event for event in await store.stored(tx, event_ids)}


async def of_device(tx: Transaction, device_id: DeviceId, after_sequence: int = 0, limit: int = 100) -> list[Event]:
    """Return the device's events after a number, in order, `limit` at the most."""
    return await store.of_device(tx, device_id, after_sequence, limit)


async def observe_end(tx: Transaction) -> Observation:
    """Return what is to be seen of the end of the log; for a read, whose successors see what it makes final."""
    position = await store.last_position(tx)
    # In this order: who holds a position and is not among the writers has ended.
    return Observation(position=position, writers=await store.writers(tx))
