"""Events are appended here and nowhere else, inside the transaction of the change that they tell.

Whoever is told of events (projections) writes in that same transaction, so an event and what follows from it are
committed together or not at all.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from firmcast.db.port import Transaction
from firmcast.events import store
from firmcast.events.model import Event, NewEvent
from firmcast.ids import DeviceId, EventId, new_message_id

Projection = Callable[[Transaction, Sequence[Event]], Awaitable[None]]


class EventLog:
    """The durable, ordered log of what happened to each device."""

    def __init__(self, *, encode: Callable[[Event], bytes], projections: Sequence[Projection] = ()) -> None:
        """Have `encode` make the bytes that are sent of an event; they are frozen with it."""
        self._encode = encode
        self._projections = tuple(projections)

    async def append(self, tx: Transaction, new_events: Sequence[NewEvent]) -> list[Event]:
        """Number the events, each device's without a gap and in the order given, and write them."""
        if not new_events:
            return []
        counts = Counter(new.device_id for new in new_events)
        upcoming: dict[DeviceId, int] = {}
        # In one order for everybody, so that two transactions never wait for each other's rows.
        for device_id in sorted(counts):
            upcoming[device_id] = await store.take_sequences(tx, device_id, counts[device_id])
        events: list[Event] = []
        for new in new_events:
            sequence = upcoming[new.device_id]
            upcoming[new.device_id] = sequence + 1
            events.append(await self._write(tx, new, sequence))
        for projection in self._projections:
            await projection(tx, events)
        return events

    async def _write(self, tx: Transaction, new: NewEvent, sequence: int) -> Event:
        message_id = new_message_id()

        def numbered(event_id: EventId) -> Event:
            return Event(
                event_id=event_id,
                message_id=message_id,
                sequence=sequence,
                application_id=new.application_id,
                device_id=new.device_id,
                task_id=new.task_id,
                device_upgrade_id=new.device_upgrade_id,
                occurred_at=new.occurred_at,
                synthesised=new.synthesised,
                fact=new.fact,
            )

        unwritten = numbered(EventId(0))
        return numbered(await store.insert(tx, unwritten, self._encode(unwritten)))
