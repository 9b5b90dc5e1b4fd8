"""A lane holds the undelivered events of one callback group and device; at most its head is on its way."""

from collections import deque
from enum import Enum
from typing import Generic, Protocol, TypeVar

from firmcast.ids import DeviceId, EventId
from firmcast.push.model import Trouble


class QueuedDelivery(Protocol):
    """What the scheduler has to know of a delivery; it carries whatever else the sender needs."""

    @property
    def device_id(self) -> DeviceId: ...

    @property
    def event_id(self) -> EventId: ...

    @property
    def trouble(self) -> Trouble | None:
        """What the store remembers of failed attempts at this delivery."""
        ...


DeliveryT = TypeVar("DeliveryT", bound=QueuedDelivery)


class LaneState(Enum):
    """Where the head of a lane is."""

    READY = "ready"
    IN_FLIGHT = "in_flight"
    WAITING = "waiting"
    """Until its time comes, or its group's breaker closes."""

    GONE = "gone"
    """The lane was emptied or dropped; whoever still points at it must pass on."""


class Lane(Generic[DeliveryT]):
    """The part of a lane that is in memory: always its oldest undelivered events, without a gap."""

    __slots__ = ("device_id", "highest", "probes", "rows", "state", "trouble", "version")

    def __init__(self, first: DeliveryT) -> None:
        """Open the lane with its oldest undelivered event."""
        self.device_id = first.device_id
        self.rows: deque[DeliveryT] = deque((first,))
        self.highest = first.event_id
        self.trouble = first.trouble
        self.state = LaneState.READY
        self.probes = 0
        self.version = 0  # grows with each wait, so that a timer of an earlier one means nothing

    @property
    def head(self) -> DeliveryT:
        return self.rows[0]

    def is_in_flight(self, row: DeliveryT) -> bool:
        """Say whether `row` is the head and on its way."""
        return self.state is LaneState.IN_FLIGHT and self.rows[0] is row

    def append(self, row: DeliveryT) -> None:
        """Add an event newer than all of the lane's."""
        self.rows.append(row)
        self.highest = row.event_id

    def insert(self, row: DeliveryT) -> bool:
        """Put an old event back where its number says, behind a head already tried; False when it is there."""
        if any(row.event_id == present.event_id for present in self.rows):
            return False
        first = 1 if self.state is LaneState.IN_FLIGHT or self.trouble is not None else 0
        position = len(self.rows)
        while position > first and self.rows[position - 1].event_id > row.event_id:
            position -= 1
        self.rows.insert(position, row)
        self.highest = max(self.highest, row.event_id)
        return True

    def advance(self) -> bool:
        """Let go of the head; return whether there is another."""
        self.rows.popleft()
        if self.rows:
            self.trouble = self.rows[0].trouble
            self.state = LaneState.READY
            return True
        self.trouble = None
        self.state = LaneState.GONE
        return False
