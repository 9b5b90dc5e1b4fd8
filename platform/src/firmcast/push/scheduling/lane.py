"""A lane holds the undelivered events of one callback group and device; at most its head is on its way.

Live events come first, in their order; replays follow, in theirs. So a replay delays no live event by more than the
attempt that is under way, however it fares.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
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

    @property
    def replay(self) -> int:
        """Above 0 for history that is told again: live events go first."""
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

    __slots__ = (
        "_set_aside",
        "device_id",
        "highest",
        "probes",
        "rows",
        "stale",
        "state",
        "trouble",
        "unwanted",
        "version",
    )

    def __init__(self, first: DeliveryT) -> None:
        """Open the lane with its oldest undelivered event."""
        self.device_id = first.device_id
        self.rows: deque[DeliveryT] = deque((first,))
        self.highest = first.event_id
        self.trouble = first.trouble
        self.state = LaneState.READY
        self.probes = 0
        self.version = 0  # grows with each wait, so that a timer of an earlier one means nothing
        self.unwanted = False  # the head on its way is not to be tried again, unless it is offered once more
        self.stale = False  # given away while its head was on its way: what is written of it may be refused
        self._set_aside: tuple[DeliveryT, Trouble] | None = None  # a replay that failed before a live event came

    @property
    def head(self) -> DeliveryT:
        return self.rows[0]

    def append(self, row: DeliveryT) -> None:
        """Add an event newer than all of the lane's; a live one becomes the head when a replay waits there."""
        self.highest = row.event_id
        if self.rows[-1].replay > 0 and not is_replay(row):
            self._place(row)
        else:
            self.rows.append(row)

    def insert(self, row: DeliveryT) -> bool:
        """Put an old event back where its number says, behind a head already tried; False when it is there."""
        position = self._find(row.event_id)
        if position is not None:
            if position == 0:
                self.unwanted = False
            return False
        self._place(row)
        return True

    def _place(self, row: DeliveryT) -> None:
        may_lead = self.state is not LaneState.IN_FLIGHT and (
            self.trouble is None or (is_replay(self.head) and not is_replay(row))
        )
        position = len(self.rows)
        while position > (0 if may_lead else 1) and _order(self.rows[position - 1]) > _order(row):
            position -= 1
        if position == 0:
            if self.trouble is not None:
                self._set_aside = (self.head, self.trouble)
            self.trouble = row.trouble
        self.rows.insert(position, row)

    def _find(self, event_id: EventId) -> int | None:
        if self.head.event_id == event_id:
            return 0
        for replays in (False, True):  # behind the head each kind is in order
            position = bisect_left(self.rows, (replays, event_id), lo=1, key=_order)
            if position < len(self.rows) and self.rows[position].event_id == event_id:
                return position
        return None

    def fail(self, trouble: Trouble) -> None:
        """Let the head wait; when it is a replay and a live event has come meanwhile, that one leads now."""
        self.trouble = trouble
        self.state = LaneState.WAITING
        self.version += 1
        if is_replay(self.head) and len(self.rows) > 1 and not is_replay(self.rows[1]):
            failed = self.rows.popleft()
            self._set_aside = (failed, trouble)
            self._lead_anew()
            self._place(failed)

    def advance(self) -> bool:
        """Let go of the head; return whether there is another."""
        self.rows.popleft()
        return self._lead_anew()

    def withdraw(self, event_id: EventId) -> bool:
        """Let go of an event that nobody wants any more; return whether it is gone, which one on its way is not yet."""
        position = self._find(event_id)
        if position is None:
            return False
        if position == 0 and self.state is LaneState.IN_FLIGHT:
            self.unwanted = True
            return False
        del self.rows[position]
        if position == 0:
            self._lead_anew()
        return True

    def keep(self, rows: Iterable[DeliveryT]) -> bool:
        """Hold only these, which it held before, in their order; return whether it has another head, or none."""
        before = self.head
        self.rows = deque(rows)
        if not self.rows:
            self.state = LaneState.GONE
            return True
        self.highest = max(row.event_id for row in self.rows)
        if self.head is before:
            return False
        self._lead_anew()
        return True

    def _lead_anew(self) -> bool:
        """Be ready with what is the head now; return whether there is one."""
        self.unwanted = False
        if not self.rows:
            self.trouble = None
            self.state = LaneState.GONE
            return False
        self.trouble = self.rows[0].trouble
        if self._set_aside is not None and self._set_aside[0] is self.rows[0]:
            self.trouble = self._set_aside[1]
            self._set_aside = None
        self.state = LaneState.READY
        return True


def is_replay(row: QueuedDelivery) -> bool:
    """Say whether live events go before `row`."""
    return row.replay > 0


def _order(row: QueuedDelivery) -> tuple[bool, EventId]:
    return is_replay(row), row.event_id
