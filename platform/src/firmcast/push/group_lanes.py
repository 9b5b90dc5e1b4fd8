"""Of one callback group's backlog only a window is in memory: its oldest part, lane by lane; the rest is read later.

While rows are left behind ("spilled"), `cursor` divides them: every undelivered row up to it is in memory, every one
after it is in the store, save heads that were on their way when the window was cut. New rows are then not queued,
since they would overtake; reading on from the cursor finds them.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Generic

from firmcast.ids import DeviceId, EventId
from firmcast.push.breaker import Breaker, BreakerState
from firmcast.push.lane import DeliveryT, Lane, LaneState, is_replay
from firmcast.push.model import GroupId, Trouble
from firmcast.push.timers import Timers


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRequest:
    """Undelivered rows wanted of the store: of one group, after an event, oldest first, at most so many."""

    group_id: GroupId
    after: EventId
    limit: int


class Offered(Enum):
    """What became of a row that was offered."""

    QUEUED = "queued"
    LEFT = "left"
    """It stays in the store and is read later."""

    KNOWN = "known"
    """It is in memory already, or was settled."""


class _Spill(Generic[DeliveryT]):
    """What is remembered of rows left in the store."""

    __slots__ = ("amnesty", "arrivals", "cursor", "overflowed", "request", "settled")

    def __init__(self, cursor: EventId) -> None:
        self.cursor = cursor
        self.request: LoadRequest | None = None
        self.arrivals: list[DeliveryT] = []  # offered while a read is under way
        self.overflowed = False  # more arrived than `arrivals` may hold
        self.settled: set[EventId] = set()  # settled while a read is under way: it may still show them
        self.amnesty = False  # the callback has recovered: older troubles no longer wait for their time

    def begin(self, request: LoadRequest) -> None:
        self.request = request
        self.arrivals = []
        self.overflowed = False
        self.settled = set()

    def cut_back(self, cursor: EventId) -> None:
        """Forget a read under way: what it brings begins too late."""
        self.cursor = min(self.cursor, cursor)
        self.request = None
        self.arrivals = []
        self.settled = set()


class GroupLanes(Generic[DeliveryT]):
    """The lanes of one group that are in memory, its breaker, and what it has left in the store."""

    __slots__ = (
        "_ready",
        "_ready_replays",
        "_spill",
        "_timers",
        "breaker",
        "group_id",
        "highest",
        "in_flight",
        "in_turn",
        "lanes",
        "paused",
        "queued",
        "window_rows",
    )

    def __init__(self, group_id: GroupId, breaker: Breaker, timers: Timers[DeliveryT], *, window_rows: int) -> None:
        """Start empty; `window_rows` is how many rows may be in memory."""
        self.group_id = group_id
        self.breaker = breaker
        self.window_rows = window_rows
        self.lanes: dict[DeviceId, Lane[DeliveryT]] = {}
        self.highest = EventId(0)  # of all rows ever queued
        self.queued = 0
        self.in_flight = 0
        self.in_turn = False
        self.paused = False
        self._ready: deque[Lane[DeliveryT]] = deque()
        self._ready_replays: deque[Lane[DeliveryT]] = deque()  # with a replay at their head: they leave last
        self._spill: _Spill[DeliveryT] | None = None
        self._timers = timers

    # ------------------------------------------------------------------ rows in

    def offer(self, row: DeliveryT, now: datetime, *, room: bool) -> Offered:
        """Queue a row newer than all before it, or leave it in the store."""
        spill = self._spill
        if spill is not None:
            if spill.request is not None and not spill.overflowed:
                if self.queued + spill.request.limit + len(spill.arrivals) < self.window_rows:
                    spill.arrivals.append(row)
                else:
                    spill.overflowed = True
                    spill.arrivals = []
            return Offered.LEFT
        if row.event_id <= self.highest:
            return Offered.KNOWN
        if self.paused or not room or self.queued >= self.window_rows:
            self._spill = _Spill(self.highest)
            return Offered.LEFT
        self._enqueue(row, now)
        return Offered.QUEUED

    def offer_again(self, row: DeliveryT) -> Offered:
        """Queue a row older than others of its lane, as when a dead letter is sent again."""
        lane = self.lanes.get(row.device_id)
        spill = self._spill
        if spill is not None and row.event_id > spill.cursor and (lane is None or lane.highest < row.event_id):
            spill.cut_back(spill.cursor)  # a read under way may have passed the row by
            return Offered.LEFT
        if self.queued >= self.window_rows or self.paused:
            self.cut_after(EventId(row.event_id - 1))
            return Offered.LEFT
        if lane is None:
            self._add_lane(Lane(row))
        elif not lane.insert(row):
            return Offered.KNOWN
        elif lane.head is row:
            self._make_ready(lane)
        self.queued += 1
        self.highest = max(self.highest, row.event_id)
        return Offered.QUEUED

    def leave_all(self) -> None:
        """Begin with everything in the store, as at start-up."""
        if self._spill is None:
            self._spill = _Spill(EventId(0))

    def wanted(self, *, limit: int) -> LoadRequest | None:
        """Return the next read that the window has room for, and remember that it is under way."""
        if not self.is_hungry():
            return None
        spill = self._spill
        assert spill is not None
        request = LoadRequest(
            group_id=self.group_id,
            after=spill.cursor,
            limit=max(1, min(limit, self.window_rows - self.queued)),
        )
        spill.begin(request)
        return request

    def is_hungry(self) -> bool:
        """Say whether rows were left in the store that there is room for now."""
        spill = self._spill
        if spill is None or spill.request is not None or self.paused:
            return False
        if self.breaker.state is BreakerState.CLOSED:
            return self.queued <= self.window_rows // 2
        return self.queued == 0  # a probe needs one row, no more

    def loaded(self, request: LoadRequest, rows: Sequence[DeliveryT], now: datetime) -> bool:
        """Take in what a read brought; False when the window was cut back meanwhile and the rows are of no use."""
        spill = self._spill
        if spill is None or spill.request is not request:
            return False
        spill.request = None
        for row in rows:
            spill.cursor = row.event_id
            if row.event_id in spill.settled:
                continue
            lane = self.lanes.get(row.device_id)
            if lane is None or row.event_id > lane.highest:
                self._enqueue(row, now, amnesty=spill.amnesty)
            elif lane.insert(row):  # one sent again, older than the head that was on its way; else it is there
                self.queued += 1
                if lane.head is row:
                    self._let_lead(lane, now, amnesty=spill.amnesty)
        if len(rows) < request.limit and not spill.overflowed:
            self._spill = None
            for row in spill.arrivals:
                if row.event_id > spill.cursor:
                    self._enqueue(row, now)
            self.highest = max(self.highest, spill.cursor)
        spill.arrivals = []
        return True

    # ------------------------------------------------------------------ heads out

    def next_lane(self, now: datetime) -> Lane[DeliveryT] | None:
        """Return the lane whose head is to be sent now, marked as in flight; None when none may be."""
        if self.paused:
            return None
        if self.breaker.state is not BreakerState.CLOSED:
            return self._probe_lane(now)
        if self.in_flight >= self.breaker.window:
            return None
        for ready in (self._ready, self._ready_replays):
            while ready:
                lane = ready.popleft()
                if lane.state is LaneState.READY:
                    self._depart(lane)
                    return lane
        return None

    def _probe_lane(self, now: datetime) -> Lane[DeliveryT] | None:
        """Choose the oldest live head, but each lane in its turn: the oldest may be the one event that always fails."""
        probe_at = self.breaker.probe_at
        if probe_at is None or probe_at > now:
            return None
        resting = (lane for lane in self.lanes.values() if lane.state in {LaneState.READY, LaneState.WAITING})
        lane = min(resting, key=lambda lane: (lane.probes, is_replay(lane.head), lane.head.event_id), default=None)
        if lane is not None:
            lane.probes += 1
            self._depart(lane)
            self.breaker.begin_probe()
        return lane

    def _depart(self, lane: Lane[DeliveryT]) -> None:
        lane.state = LaneState.IN_FLIGHT
        self.in_flight += 1

    def complete(self, lane: Lane[DeliveryT]) -> None:
        """Let go of a head that was delivered or given up."""
        spill = self._spill
        if spill is not None and spill.request is not None:
            spill.settled.add(lane.head.event_id)
        self.in_flight -= 1
        self.queued -= 1
        if lane.advance():
            self._make_ready(lane)
        else:
            del self.lanes[lane.device_id]

    def withdraw(self, device_id: DeviceId, event_id: EventId) -> None:
        """Let go of a row that is no longer in the store; one on its way is let go of when it is settled."""
        spill = self._spill
        if spill is not None and spill.request is not None:
            spill.settled.add(event_id)
        lane = self.lanes.get(device_id)
        if lane is None or not lane.withdraw(event_id):
            return
        self.queued -= 1
        if not lane.rows:
            del self.lanes[device_id]
        elif lane.state is LaneState.READY:
            self._make_ready(lane)

    def put_back(self, lane: Lane[DeliveryT], trouble: Trouble) -> None:
        """Let a head wait that was not delivered; while the breaker is open it needs no timer of its own."""
        self.in_flight -= 1
        lane.trouble = trouble
        lane.state = LaneState.WAITING
        lane.version += 1
        if self.breaker.state is BreakerState.CLOSED:
            self._timers.add_lane(trouble.due_at, self, lane)

    def is_waiting(self, lane: Lane[DeliveryT], version: int) -> bool:
        """Say whether a timer still means something."""
        return lane.version == version and lane.state is LaneState.WAITING

    def wake(self, lane: Lane[DeliveryT]) -> None:
        """Make a waiting lane ready."""
        self._make_ready(lane)

    def recover(self) -> None:
        """Make every lane ready, the oldest head first, as the callback answers again."""
        for lane in self.lanes.values():
            lane.probes = 0
            if lane.state is LaneState.WAITING:
                lane.state = LaneState.READY
        ready = [lane for lane in self.lanes.values() if lane.state is LaneState.READY]
        self._ready.clear()
        self._ready_replays.clear()
        for lane in sorted(ready, key=lambda lane: lane.head.event_id):
            self._make_ready(lane)
        if self._spill is not None:
            self._spill.amnesty = True

    def no_lane_is_well(self) -> bool:
        return all(lane.trouble is not None for lane in self.lanes.values())

    # ------------------------------------------------------------------ memory

    def keep_oldest(self, count: int) -> None:
        """Leave all but the oldest `count` resting rows to the store; those in flight stay."""
        resting = sorted(row.event_id for lane in self.lanes.values() for row in self._resting_rows(lane))
        if len(resting) > count:
            self.cut_after(EventId(resting[count] - 1))

    def leave_resting(self) -> None:
        """Leave all rows that are not in flight to the store, and all that are still to come."""
        resting = [row.event_id for lane in self.lanes.values() for row in self._resting_rows(lane)]
        self.cut_after(EventId(min(resting) - 1) if resting else self.highest)

    def cut_after(self, cursor: EventId) -> None:
        """Leave the resting rows after an event to the store."""
        for lane in list(self.lanes.values()):
            self._cut(lane, cursor)
        if self._spill is None:
            self._spill = _Spill(cursor)
        else:
            self._spill.cut_back(cursor)

    def _resting_rows(self, lane: Lane[DeliveryT]) -> list[DeliveryT]:
        rows = list(lane.rows)
        return rows[1:] if lane.state is LaneState.IN_FLIGHT else rows

    def _cut(self, lane: Lane[DeliveryT], cursor: EventId) -> None:
        head = [lane.head] if lane.state is LaneState.IN_FLIGHT else []
        kept = [row for row in self._resting_rows(lane) if row.event_id <= cursor]
        self.queued -= len(lane.rows) - len(head) - len(kept)
        if not lane.keep(head + kept):
            return
        if lane.rows:
            self._make_ready(lane)
        else:
            del self.lanes[lane.device_id]

    def _enqueue(self, row: DeliveryT, now: datetime, *, amnesty: bool = False) -> None:
        self.queued += 1
        self.highest = max(self.highest, row.event_id)
        lane = self.lanes.get(row.device_id)
        if lane is None:
            lane = self.lanes[row.device_id] = Lane(row)
        else:
            lane.append(row)
        if lane.head is row:
            self._let_lead(lane, now, amnesty=amnesty)

    def _let_lead(self, lane: Lane[DeliveryT], now: datetime, *, amnesty: bool) -> None:
        """Have a lane with another head sent when it is time for that one."""
        trouble = lane.trouble
        if trouble is None or trouble.due_at <= now or amnesty:
            self._make_ready(lane)
            return
        lane.state = LaneState.WAITING
        lane.version += 1
        if self.breaker.state is BreakerState.CLOSED:
            self._timers.add_lane(trouble.due_at, self, lane)

    def _add_lane(self, lane: Lane[DeliveryT]) -> None:
        self.lanes[lane.device_id] = lane
        self._make_ready(lane)

    def _make_ready(self, lane: Lane[DeliveryT]) -> None:
        lane.state = LaneState.READY
        (self._ready_replays if is_replay(lane.head) else self._ready).append(lane)
