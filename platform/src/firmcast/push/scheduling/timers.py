"""All waits stand in one heap; an entry that no longer means anything is passed over when its time comes."""

import heapq
import itertools
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Generic

from firmcast.push.scheduling.breaker import BreakerState
from firmcast.push.scheduling.lane import DeliveryT, Lane

if TYPE_CHECKING:
    from firmcast.push.scheduling.group_lanes import GroupLanes


_COMPACTED_FROM = 1_024
"""Entries; a heap that is smaller is not worth looking through."""


@dataclass(slots=True)
class Timer(Generic[DeliveryT]):
    """A wait of one lane, or, without one, of a group's breaker or of its parked lanes."""

    due_at: datetime
    group: "GroupLanes[DeliveryT]"
    lane: Lane[DeliveryT] | None
    version: int
    is_return: bool = False

    def is_live(self) -> bool:
        """Say whether what was waited for still waits."""
        if self.lane is not None:
            return self.group.is_waiting(self.lane, self.version)
        if self.is_return:
            return not self.group.ended and self.group.absent.return_at == self.due_at
        breaker = self.group.breaker
        return not self.group.ended and breaker.state is BreakerState.OPEN and breaker.probe_at == self.due_at


class Timers(Generic[DeliveryT]):
    """The heap of waits."""

    __slots__ = ("_compacted_at", "_heap", "_numbers")

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, Timer[DeliveryT]]] = []
        self._compacted_at = _COMPACTED_FROM
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add_lane(self, due_at: datetime, group: "GroupLanes[DeliveryT]", lane: Lane[DeliveryT]) -> None:
        """Wait for a troubled lane."""
        self._add(Timer(due_at, group, lane, lane.version))

    def add_probe(self, due_at: datetime, group: "GroupLanes[DeliveryT]") -> None:
        """Wait for the next probe of a group."""
        self._add(Timer(due_at, group, None, 0))

    def add_return(self, due_at: datetime, group: "GroupLanes[DeliveryT]") -> None:
        """Wait for the parked lanes of a group."""
        self._add(Timer(due_at, group, None, 0, is_return=True))

    def next_due(self) -> datetime | None:
        """Return when the first live timer is due."""
        while self._heap and not self._heap[0][2].is_live():
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: datetime) -> list[Timer[DeliveryT]]:
        """Remove and return the live timers whose time has come, in order of their time."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            _, _, timer = heapq.heappop(self._heap)
            if timer.is_live():
                due.append(timer)
        return due

    def _add(self, timer: Timer[DeliveryT]) -> None:
        heapq.heappush(self._heap, (timer.due_at, next(self._numbers), timer))
        if len(self._heap) > self._compacted_at:  # most may be of waits that have ended early, and are far off
            self._heap = [entry for entry in self._heap if entry[2].is_live()]
            heapq.heapify(self._heap)
            self._compacted_at = max(_COMPACTED_FROM, 2 * len(self._heap))
