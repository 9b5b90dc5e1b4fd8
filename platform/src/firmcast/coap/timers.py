"""Deadlines are values on one heap: nothing waits, the driver asks when to come back and says what time it is then."""

from heapq import heapify, heappop, heappush

_COMPACT_ABOVE = 64
_FRESH = float("inf")


class Timed:
    """Something with at most one deadline. `due` is that deadline; `entry` is the heap entry that will look at it."""

    __slots__ = ("due", "entry")

    def __init__(self) -> None:
        self.due: float | None = None
        self.entry: float | None = None

    def fire(self, now: float) -> None:
        """Do what was to be done at the deadline; the deadline has been cleared."""


class Timers:
    """A heap of deadlines. Moving one later, or clearing it, costs nothing until its entry surfaces.

    A new deadline reaches the heap only when somebody asks for the next one: most are cleared before, by an answer
    given in the same turn.
    """

    __slots__ = ("_fresh", "_heap", "_live", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed]] = []
        self._fresh: list[Timed] = []
        self._serial = 0
        self._live = 0

    def __len__(self) -> int:
        """How many deadlines are set."""
        return self._live

    def set(self, timed: Timed, when: float) -> None:
        """Give `timed` the deadline `when`, in place of any it had."""
        if timed.due is None:
            self._live += 1
        timed.due = when
        entry = timed.entry
        if entry is None:
            timed.entry = _FRESH
            self._fresh.append(timed)
        elif when < entry and entry != _FRESH:
            self._push(timed, when)

    def clear(self, timed: Timed) -> None:
        """Take the deadline of `timed` away, if it has one."""
        if timed.due is not None:
            timed.due = None
            self._live -= 1
            if len(self._heap) > _COMPACT_ABOVE and len(self._heap) > 2 * self._live:
                self._compact()

    def next_due(self) -> float | None:
        """Return the earliest deadline, or None."""
        if self._fresh:
            self._settle()
        heap = self._heap
        while heap:
            when, _, timed = heap[0]
            if timed.entry == when and timed.due == when:
                return when
            heappop(heap)
            self._requeue(timed, when)
        return None

    def run(self, now: float) -> None:
        """Fire everything due at `now` or before, in order of deadline."""
        self._settle()
        heap = self._heap
        while heap and heap[0][0] <= now:
            when, _, timed = heappop(heap)
            if timed.entry == when and timed.due is not None and timed.due <= now:
                timed.entry = None
                timed.due = None
                self._live -= 1
                timed.fire(now)
                if self._fresh:
                    self._settle()
            else:
                self._requeue(timed, when)

    def _requeue(self, timed: Timed, when: float) -> None:
        # An entry that is not the newest of its owner is litter; the newest one follows its owner's deadline.
        if timed.entry != when:
            return
        timed.entry = None
        if timed.due is not None:
            self._push(timed, timed.due)

    def _push(self, timed: Timed, when: float) -> None:
        timed.entry = when
        self._serial += 1
        heappush(self._heap, (when, self._serial, timed))

    def _settle(self) -> None:
        for timed in self._fresh:
            timed.entry = None
            if timed.due is not None:
                self._push(timed, timed.due)
        self._fresh.clear()

    def _compact(self) -> None:
        owners = {id(timed): timed for _, _, timed in self._heap if timed.entry != _FRESH}
        self._heap.clear()
        for timed in owners.values():
            timed.entry = timed.due
            if timed.due is not None:
                self._serial += 1
                self._heap.append((timed.due, self._serial, timed))
        heapify(self._heap)
