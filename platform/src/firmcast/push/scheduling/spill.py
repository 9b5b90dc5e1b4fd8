"""What a group has left in the store: where its rows are read on, and what happens while a read is under way."""

from dataclasses import dataclass
from typing import Generic

from firmcast.ids import EventId
from firmcast.push.model import GroupId
from firmcast.push.scheduling.lane import DeliveryT


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRequest:
    """Undelivered rows wanted of the store: of one group, after an event, oldest first, at most so many."""

    group_id: GroupId
    after: EventId
    limit: int


class Spill(Generic[DeliveryT]):
    """The place in the store from which a group's rows are still to be read, and the read that is under way."""

    __slots__ = ("amnesty", "arrivals", "back_to", "cursor", "late", "overflowed", "request", "settled")

    def __init__(self, cursor: EventId) -> None:
        """Read on after `cursor`."""
        self.cursor = cursor
        self.amnesty = False  # the callback has recovered: older troubles no longer wait for their time
        self.request: LoadRequest | None = None
        self._clear()

    def _clear(self) -> None:
        """Keep nothing of what happened during a read."""
        self.arrivals: list[DeliveryT] = []  # newer than all before them
        self.late: dict[EventId, DeliveryT] = {}  # older than others, and perhaps not seen by the read
        self.overflowed = False  # more arrived than may be kept
        self.settled: set[EventId] = set()  # the read may still show them
        self.back_to: EventId | None = None  # where to read on after it: there was no place for a late one

    def begin(self, request: LoadRequest) -> None:
        """Take note that a read is under way."""
        self.request = request
        self._clear()

    def end(self) -> None:
        """Take note that a read has been taken in."""
        self.request = None
        if self.back_to is not None:
            self.cursor = min(self.cursor, self.back_to)
        self._clear()

    def start_over(self, after: EventId) -> None:
        """Read again what comes after an event; a read under way counts for nothing."""
        if self.back_to is not None:
            after = min(after, self.back_to)
        self.cursor = min(self.cursor, after)
        self.request = None
        self._clear()

    def note_arrival(self, row: DeliveryT, *, room: int) -> None:
        """Take note of a row newer than all before it; `room` is how many rows the window still takes."""
        if self.request is None or self.overflowed:
            return
        if self._has_room(room):
            self.arrivals.append(row)
        else:
            self.overflowed = True
            self.arrivals = []

    def note_late(self, row: DeliveryT, *, room: int) -> None:
        """Take note of a row that a read under way may have passed by."""
        if self.request is None:
            return
        if self._has_room(room):
            self.late[row.event_id] = row
        else:
            self.miss(EventId(row.event_id - 1))

    def miss(self, after: EventId) -> None:
        """Read again what comes after an event, when the read under way has been taken in."""
        if self.request is None:
            self.cursor = min(self.cursor, after)
        else:
            self.back_to = after if self.back_to is None else min(self.back_to, after)

    def note_settled(self, event_id: EventId) -> None:
        """Take note that a row is no longer in the store; a read under way may still show it."""
        if self.request is not None:
            self.settled.add(event_id)

    def forget(self, event_id: EventId) -> None:
        """Take note that a row was taken back, perhaps before it was queued."""
        self.note_settled(event_id)
        self.late.pop(event_id, None)

    def _has_room(self, room: int) -> bool:
        assert self.request is not None
        return self.request.limit + len(self.arrivals) + len(self.late) < room
