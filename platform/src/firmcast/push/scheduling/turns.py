"""Whose turn it is: that of the application with the fewest attempts under way; in it, its groups take turns.

What is scarce is not deliveries but places for attempts, and an attempt keeps its place until it is answered. So each
application is charged for as long as its receivers take: a slow one, or one with a thousand callbacks, holds as many
places as any other that wants them, and no more.
"""

import heapq
import itertools
from collections import OrderedDict, deque
from typing import Generic

from firmcast.ids import ApplicationId
from firmcast.push.scheduling.group_lanes import GroupLanes
from firmcast.push.scheduling.lane import DeliveryT


class _Application(Generic[DeliveryT]):
    """The groups of one application that may have something to send, in the order of their turns."""

    __slots__ = ("in_flight", "members", "ticket", "wanting")

    def __init__(self) -> None:
        self.members = 0
        self.in_flight = 0
        self.wanting: OrderedDict[GroupLanes[DeliveryT], None] = OrderedDict()
        self.ticket = 0  # names its entry in the heap that counts


class Turns(Generic[DeliveryT]):
    """All groups that may have something to send."""

    __slots__ = ("_active", "_applications", "_changed", "_heap", "_idle", "_tickets", "in_flight")

    def __init__(self) -> None:
        self.in_flight = 0
        self._active = 0  # applications that have something under way
        self._applications: dict[ApplicationId, _Application[DeliveryT]] = {}
        self._heap: list[tuple[int, int, _Application[DeliveryT]]] = []  # by attempts under way
        self._tickets = itertools.count(1)
        self._changed: dict[_Application[DeliveryT], None] = {}  # an ordered set: not where they belong in the heap
        self._idle: deque[GroupLanes[DeliveryT]] = deque()  # with nothing under way; some no longer

    def enter(self, group: GroupLanes[DeliveryT]) -> None:
        """Take note of a new group."""
        self._applications.setdefault(group.application_id, _Application()).members += 1

    def end(self, group: GroupLanes[DeliveryT]) -> None:
        """Forget a group, and what it has under way."""
        application = self._applications[group.application_id]
        application.members -= 1
        if group.in_flight:
            self.in_flight -= group.in_flight
            application.in_flight -= group.in_flight
            if not application.in_flight:
                self._active -= 1
            self._changed[application] = None
        self.leave(group)
        if not application.members:
            del self._applications[group.application_id]

    def join(self, group: GroupLanes[DeliveryT]) -> None:
        """Have a group take part; it may have done so before."""
        application = self._applications[group.application_id]
        if group not in application.wanting:
            application.wanting[group] = None
            self._changed[application] = None
        if not group.flying and not group.among_idle:
            group.among_idle = True
            self._idle.append(group)

    def leave(self, group: GroupLanes[DeliveryT]) -> None:
        """Have a group take part no more until it joins again."""
        self._applications[group.application_id].wanting.pop(group, None)

    def departed(self, group: GroupLanes[DeliveryT]) -> None:
        """Take note that an attempt is under way; the other groups of the application come first now."""
        application = self._applications[group.application_id]
        self.in_flight += 1
        application.in_flight += 1
        if application.in_flight == 1:
            self._active += 1
        self._changed[application] = None
        if group in application.wanting:
            application.wanting.move_to_end(group)

    def returned(self, group: GroupLanes[DeliveryT]) -> None:
        """Take note that an attempt is over."""
        application = self._applications[group.application_id]
        self.in_flight -= 1
        application.in_flight -= 1
        if not application.in_flight:
            self._active -= 1
        self._changed[application] = None

    def first(self) -> GroupLanes[DeliveryT] | None:
        """Return the group whose turn it is."""
        if len(self._applications) == 1:
            (only,) = self._applications.values()
            return next(iter(only.wanting), None)
        heap = self._heap
        for application in self._changed:
            application.ticket = next(self._tickets)
            heapq.heappush(heap, (application.in_flight, application.ticket, application))
        self._changed.clear()
        while heap:
            _, ticket, application = heap[0]
            if ticket == application.ticket and application.wanting:
                return next(iter(application.wanting))
            heapq.heappop(heap)
        return None

    def first_idle(self) -> GroupLanes[DeliveryT] | None:
        """Return the group that has waited longest with nothing under way.

        Those of an application that has more than its share are passed over: one with many groups would take all.
        """
        while self._idle:
            group = self._idle[0]
            if not group.in_flight and self._may_have_more(group):
                return group
            self._idle.popleft().among_idle = False
        return None

    def _may_have_more(self, group: GroupLanes[DeliveryT]) -> bool:
        application = self._applications.get(group.application_id)
        if application is None or group not in application.wanting:
            return False
        return application.in_flight * self._active <= self.in_flight
