"""Events are appended here and nowhere else, inside the transaction of the change that they tell.

Whoever is told of events (projections) writes in that same transaction, so an event and what follows from it are
committed together or not at all.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from firmcast.db.port import Channel, Transaction
from firmcast.events import store
from firmcast.events.model import Event, NewEvent
from firmcast.ids import EventId, new_message_id

NEW_EVENTS: Final = Channel("new_events")
"""Announced, after the commit, with the EventId of the last event of each batch that was appended."""

Written = tuple[Event, bytes]
"""An event, and what is sent of it."""

Projection = Callable[[Transaction, Sequence[Written]], Awaitable[None]]
"""Awaits nothing but the transaction; an error of it undoes the events too."""


class EventLog:
    """The durable, ordered log of what happened to each device."""

    def __init__(self, *, encode: Callable[[Event], bytes], projections: Sequence[Projection] = ()) -> None:
        """Have `encode` make the bytes, in UTF-8, that are sent of an event; they are frozen with it."""
        self._encode = encode
        self._projections = tuple(projections)

    async def append(self, tx: Transaction, new_events: Sequence[NewEvent]) -> list[Event]:
        """Number the events, each device's without a gap and in the order given, and write them.

        However many events and devices there are, it takes two statements (SQLite: three) and those of the projections.
        """
        if not new_events:
            return []
        upcoming, positions = await store.take_numbers(tx, Counter(new.device_id for new in new_events))
        events: list[Event] = []
        for new, position in zip(new_events, positions, strict=True):
            sequence = upcoming[new.device_id]
            upcoming[new.device_id] = sequence + 1
            events.append(_numbered(new, position, sequence))
        written = [(event, self._encode(event)) for event in events]
        await store.insert(tx, written)
        for projection in self._projections:
            await projection(tx, written)
        tx.announce(NEW_EVENTS, (events[-1].event_id,))
        return events


def _numbered(new: NewEvent, position: EventId, sequence: int) -> Event:
    return Event(
        event_id=position,
        message_id=new_message_id(),
        sequence=sequence,
        application_id=new.application_id,
        device_id=new.device_id,
        task_id=new.task_id,
        device_upgrade_id=new.device_upgrade_id,
        occurred_at=new.occurred_at,
        synthesised=new.synthesised,
        fact=new.fact,
    )
