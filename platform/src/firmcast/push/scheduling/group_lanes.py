"""Of one callback group's backlog only a window is in memory: its oldest part, lane by lane; the rest is read later.

While rows are left behind ("spilled"), `cursor` divides them: every undelivered row up to it is in memory, every one
after it is in the store. New rows are then not queued, since they would overtake; reading on from the cursor finds
them. The cursor can go back, when rows before it were missed: what is in memory then stays there and is recognised.

Of a blocked lane only the place of its first row is in memory. When all that is in memory waits for its time while
others are in the store, the lanes that wait are parked: they give their room up, and are read again when it is time.
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum
from typing import Generic

from firmcast.ids import ApplicationId, DeviceId, EventId
from firmcast.push.model import GroupId, Trouble
from firmcast.push.scheduling.absent import AbsentLanes
from firmcast.push.scheduling.breaker import Breaker, BreakerState
from firmcast.push.scheduling.concurrency import Concurrency
from firmcast.push.scheduling.lane import DeliveryT, Lane, LaneState, is_replay
from firmcast.push.scheduling.spill import LoadRequest, Spill
from firmcast.push.scheduling.timers import Timers

_REPLAYS_PORTION = 4
"""Of a group's attempts in flight one in so many may be a replay, so that live events find a place at once."""


class Offered(Enum):
    """What became of a row that was offered."""

    QUEUED = "queued"
    LEFT = "left"
    """It stays in the store and is read later."""

    KNOWN = "known"
    """It is in memory already, or was settled."""


class GroupLanes(Generic[DeliveryT]):
    """The lanes of one group that are in memory, its breaker, and what it has left in the store."""

    __slots__ = (
        "_ready",
        "_ready_replays",
        "_replays_flying",
        "_spill",
        "_timers",
        "absent",
        "among_idle",
        "application_id",
        "breaker",
        "concurrency",
        "ended",
        "flying",
        "group_id",
        "held",
        "highest",
        "lanes",
        "paused",
        "queued",
        "suspect",
        "window_rows",
    )

    def __init__(
        self,
        group_id: GroupId,
        application_id: ApplicationId,
        *,
        breaker: Breaker,
        concurrency: Concurrency,
        timers: Timers[DeliveryT],
        window_rows: int,
    ) -> None:
        """Start empty; `window_rows` is how many rows may be in memory."""
        self.group_id = group_id
        self.application_id = application_id
        self.breaker = breaker
        self.concurrency = concurrency
        self.window_rows = window_rows
        self.lanes: dict[DeviceId, Lane[DeliveryT]] = {}
        self.highest = EventId(0)  # of all rows ever queued
        self.queued = 0
        self.flying: set[Lane[DeliveryT]] = set()  # whose heads are on their way
        self.paused = False
        self.ended = False
        self.suspect = False  # it failed as a whole, or kept us waiting, and has not answered since
        self.held = False  # it waits until fewer suspects are tried
        self.among_idle = False  # kept by Turns
        self._replays_flying = 0
        self.absent = AbsentLanes()
        self._ready: deque[Lane[DeliveryT]] = deque()
        self._ready_replays: deque[Lane[DeliveryT]] = deque()  # with a replay at their head: they leave last
        self._spill: Spill[DeliveryT] | None = None
        self._timers = timers

    @property
    def in_flight(self) -> int:
        return len(self.flying)

    # ------------------------------------------------------------------ rows in

    def offer(self, row: DeliveryT, now: datetime, *, room: bool) -> Offered:
        """Queue a row newer than all before it, or leave it in the store."""
        spill = self._spill
        if spill is not None:
            spill.note_arrival(row, room=self.window_rows - self.queued)
            return Offered.LEFT
        if row.event_id <= self.highest:
            return Offered.KNOWN
        if self.paused or not room or self.queued >= self.window_rows:
            self._spill = Spill(self.highest)
            return Offered.LEFT
        return Offered.QUEUED if self._take_in(row, now) else Offered.LEFT

    def offer_late(self, row: DeliveryT, now: datetime, *, room: bool) -> Offered:
        """Queue a row that may be older than others before it, or leave it in the store."""
        lane = self.lanes.get(row.device_id)
        spill = self._spill
        if spill is not None and row.event_id > spill.cursor and (lane is None or lane.highest < row.event_id):
            spill.note_late(row, room=self.window_rows - self.queued)
            return Offered.LEFT
        if self.paused or not room or self.queued >= self.window_rows:
            self.read_again(EventId(row.event_id - 1))
            return Offered.LEFT
        return Offered.QUEUED if self._take_in(row, now) else Offered.KNOWN

    def read_again(self, after: EventId) -> None:
        """Read again what the store has after an event; rows in memory stay, and are recognised."""
        if self._spill is None:
            self._spill = Spill(after)
        else:
            self._spill.start_over(after)

    def doubt(self) -> None:
        """Read again all that the store has.

        A read from its beginning that is under way still counts, or none would where this happens all the time: it
        shows no row without those before it in its lane.
        """
        spill = self._spill
        if spill is not None and spill.request is not None and not spill.request.after:
            spill.miss(EventId(0))
        else:
            self.read_again(EventId(0))

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
            self._miss(request.after)
            return False
        for row in rows:
            spill.cursor = row.event_id
            if row.event_id not in spill.settled:
                self._take_in(row, now, amnesty=spill.amnesty)
        is_all = len(rows) < request.limit and not spill.overflowed and spill.back_to is None
        for row in spill.late.values():
            if is_all or row.event_id <= spill.cursor:
                self._take_in(row, now)
        if is_all:
            self._spill = None
            for row in spill.arrivals:
                if row.event_id > spill.cursor:
                    self._take_in(row, now)
            self.highest = max(self.highest, spill.cursor)
        spill.end()
        return True

    def _miss(self, after: EventId) -> None:
        """Read again what a read has brought in vain; one that is under way still counts, or none would ever."""
        if self._spill is None:
            self._spill = Spill(after)
        else:
            self._spill.miss(after)

    # ------------------------------------------------------------------ heads out

    def next_lane(self, now: datetime) -> Lane[DeliveryT] | None:
        """Return the lane whose head is to be sent now, marked as in flight; None when none may be."""
        if self.paused:
            return None
        if self.breaker.state is not BreakerState.CLOSED:
            return self._probe_lane(now)
        window = int(self.concurrency.window)
        if len(self.flying) < window:
            lane = self._first_ready(self._ready)
            if lane is None and self._replays_flying < max(1, window // _REPLAYS_PORTION):
                lane = self._first_ready(self._ready_replays)
            if lane is not None:
                return lane
        self.concurrency.used_up = bool(self._ready or self._ready_replays)
        return None

    def _first_ready(self, ready: deque[Lane[DeliveryT]]) -> Lane[DeliveryT] | None:
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
        self.flying.add(lane)
        if lane.rows[0].replay > 0:
            self._replays_flying += 1

    def _return(self, lane: Lane[DeliveryT]) -> None:
        self.flying.discard(lane)
        if lane.rows[0].replay > 0:
            self._replays_flying -= 1

    def complete(self, lane: Lane[DeliveryT]) -> None:
        """Let go of a head that was delivered or given up."""
        if lane.stale:
            self._drop_stale(lane)
            return
        spill = self._spill
        if spill is not None and not lane.unwanted:
            spill.note_settled(lane.rows[0].event_id)
        self._let_go_of_head(lane)

    def put_back(self, lane: Lane[DeliveryT], trouble: Trouble) -> None:
        """Let a head wait that was not delivered; while the breaker is open it needs no timer of its own."""
        if lane.stale:
            self._drop_stale(lane)
            return
        if lane.unwanted:
            if self.absent.is_blocked(lane.device_id):
                self._block(lane.device_id, lane.head.event_id)
            self._let_go_of_head(lane)
            return
        self._return(lane)
        lane.fail(trouble)
        if lane.state is LaneState.READY:
            self._make_ready(lane)
        elif self.breaker.state is BreakerState.CLOSED:
            self._timers.add_lane(trouble.due_at, self, lane)

    def _let_go_of_head(self, lane: Lane[DeliveryT]) -> None:
        self._return(lane)
        self.queued -= 1
        if lane.advance():
            self._make_ready(lane)
        else:
            del self.lanes[lane.device_id]

    def withdraw(self, device_id: DeviceId, event_id: EventId) -> None:
        """Let go of a row that is no longer in the store; one on its way is let go of when it is settled."""
        spill = self._spill
        if spill is not None:
            spill.forget(event_id)
        if self.absent.is_blocked(device_id):
            self.unblock(device_id)  # perhaps that row was what blocks it; if not, the store says so again
        lane = self.lanes.get(device_id)
        if lane is None or not lane.withdraw(event_id):
            return
        self.queued -= 1
        if not lane.rows:
            del self.lanes[device_id]
        elif lane.state is LaneState.READY:
            self._make_ready(lane)

    def is_waiting(self, lane: Lane[DeliveryT], version: int) -> bool:
        """Say whether a timer still means something."""
        return not self.ended and lane.version == version and lane.state is LaneState.WAITING

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
        self.return_parked(None)
        if self._spill is not None:
            self._spill.amnesty = True

    def no_lane_is_well(self) -> bool:
        return all(lane.trouble is not None for lane in self.lanes.values())

    # ------------------------------------------------------------------ lanes that stand still, and go

    def block_head(self, lane: Lane[DeliveryT]) -> None:
        """Let a lane stand still that has its head on its way: nothing of it is sent until `unblock`."""
        if lane.stale:
            self._drop_stale(lane)
            return
        if not lane.unwanted or self.absent.is_blocked(lane.device_id):
            self._block(lane.device_id, lane.head.event_id)
        self._let_go_of_head(lane)

    def unblock(self, device_id: DeviceId) -> None:
        """Let a lane go on from the first row that it has in the store."""
        position = self.absent.unblock(device_id)
        if position is not None:
            self.read_again(EventId(position - 1))
        elif self._spill is not None:
            self._spill.start_over(self._spill.cursor)  # a read under way may still show it as blocked

    def keep_only(self, is_mine: Callable[[DeviceId], bool]) -> None:
        """Drop what rests of devices that are no longer ours; heads on their way are the last of their lanes."""
        for lane in list(self.lanes.values()):
            if not is_mine(lane.device_id):
                lane.stale = True
                self._drop_resting(lane)
        self.absent.keep_only(is_mine)
        if self._spill is not None:
            self._spill.start_over(self._spill.cursor)  # a read under way may show their rows

    def _drop_stale(self, lane: Lane[DeliveryT]) -> None:
        """Let go of a lane that was given away; when it has come back meanwhile, the store says what is left of it."""
        has_come_back = len(lane.rows) > 1 or not lane.unwanted
        position = min(row.event_id for row in lane.rows)
        self._return(lane)
        lane.state = LaneState.READY
        self._cut(lane, EventId(-1))
        if has_come_back:
            self.read_again(EventId(position - 1))

    def _block(self, device_id: DeviceId, event_id: EventId) -> None:
        """Keep nothing of a lane but where it is read on."""
        lane = self.lanes.get(device_id)
        if lane is not None:
            event_id = min((event_id, *(row.event_id for row in self._resting_rows(lane))))
            self._drop_resting(lane)
        self.absent.block(device_id, event_id)

    # ------------------------------------------------------------------ lanes that wait in the store

    def is_stuck(self) -> bool:
        """Say whether what waits for its time keeps out what the store still has."""
        spill = self._spill
        if self.paused or self.flying or spill is None or spill.request is not None or not self.queued:
            return False
        return self.breaker.state is BreakerState.CLOSED and not self.is_hungry()

    def park_waiting(self, now: datetime) -> None:
        """Leave the lanes that wait to the store, and come back to them when it is time."""
        for lane in [lane for lane in self.lanes.values() if lane.state is LaneState.WAITING]:
            trouble = lane.trouble
            assert trouble is not None
            position = min(row.event_id for row in lane.rows)
            self.absent.park(lane.device_id, position, trouble.due_at, behind_replay=is_replay(lane.head))
            self._drop_resting(lane)
        self._plan_return(now)

    def return_parked(self, now: datetime | None) -> None:
        """Read again the parked lanes whose time has come, or all of them."""
        position = self.absent.take_back(now)
        if position is not None:
            self.read_again(EventId(position - 1))
        if now is not None:
            self._plan_return(now)

    def _plan_return(self, now: datetime) -> None:
        return_at = self.absent.plan_return(now)
        if return_at is not None:
            self._timers.add_return(return_at, self)

    def _drop_resting(self, lane: Lane[DeliveryT]) -> None:
        """Leave all of a lane to the store; a head on its way ends, and is not put back."""
        lane.unwanted = True
        self._cut(lane, EventId(-1))

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
            self._spill = Spill(cursor)
        else:
            self._spill.start_over(cursor)

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

    def _take_in(self, row: DeliveryT, now: datetime, *, amnesty: bool = False) -> bool:
        """Put a row where its number says; False when it is there, or its lane stands still."""
        self.highest = max(self.highest, row.event_id)
        if row.trouble is not None and row.trouble.blocked:
            self._block(row.device_id, row.event_id)
            return False
        if row.device_id in self.absent:
            if self.absent.note_row(row.device_id, row.event_id, now, is_live=not is_replay(row)):
                self._plan_return(now)
            return False
        lane = self.lanes.get(row.device_id)
        if lane is None:
            lane = self.lanes[row.device_id] = Lane(row)
        elif row.event_id > lane.highest:
            lane.append(row)
        elif not lane.insert(row):
            return False
        self.queued += 1
        if lane.rows[0] is row:
            self._let_lead(lane, now, amnesty=amnesty)
        return True

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

    def _make_ready(self, lane: Lane[DeliveryT]) -> None:
        lane.state = LaneState.READY
        (self._ready_replays if lane.rows[0].replay > 0 else self._ready).append(lane)
