"""The scheduler: which delivery is sent next. It does nothing else, knows no clock, and keeps no thread waiting.

* Of a lane (callback group and device) at most one delivery is in flight; the next one leaves when it is settled.
* A lane whose head failed waits for its time; the others go on.
* Replays go behind what is live, in their lane and in their group.
* Applications take turns, and in each its groups; a group has a breaker and as many attempts in flight as it bears.
* Groups that do not answer have few of all places for attempts together, however many they are.
* What does not fit into memory is left in the store and asked for later (`needs_rows`).

The driver offers rows in the order of their commits, oldest first, and answers a LoadRequest with a read that sees
everything settled before the request was handed out.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Generic, assert_never

import msgspec

from firmcast.ids import ApplicationId, DeviceId, EventId
from firmcast.push.model import GroupId, Trouble
from firmcast.push.retry import Blocked, Dead, Delivered, FailureReason, RetryAt, Verdict
from firmcast.push.scheduling.breaker import Breaker, BreakerPolicy, BreakerState
from firmcast.push.scheduling.concurrency import Concurrency, ConcurrencyPolicy, casts_doubt
from firmcast.push.scheduling.group_lanes import GroupLanes, Offered
from firmcast.push.scheduling.lane import DeliveryT, Lane, LaneState
from firmcast.push.scheduling.lane_limits import LaneLimits
from firmcast.push.scheduling.spill import LoadRequest
from firmcast.push.scheduling.timers import Timers
from firmcast.push.scheduling.turns import Turns


class Sendable(msgspec.Struct, Generic[DeliveryT], frozen=True, kw_only=True, gc=False):
    """A delivery that is to be sent now."""

    row: DeliveryT
    group_id: GroupId
    attempt: int
    """Number of this attempt, from 1."""

    sent_at: datetime
    first_attempted_at: datetime
    retried: bool
    """True when an earlier attempt left something to remember, spent or not."""

    probe: bool
    """True when this attempt decides whether its group is tried at all."""

    trial: bool
    """True when its group was suspect."""


class Lanes(Generic[DeliveryT]):
    """All lanes of all groups."""

    def __init__(
        self,
        *,
        limits: LaneLimits,
        breaker_policy: BreakerPolicy,
        concurrency_policy: ConcurrencyPolicy,
        draw: Callable[[], float],
        group_of: Callable[[DeliveryT], GroupId | None],
        application_of: Callable[[GroupId], ApplicationId],
    ) -> None:
        """Start empty.

        Args:
            limits: how much may be in flight and in memory.
            breaker_policy: when a breaker opens and how it closes.
            concurrency_policy: how many attempts of a group may be in flight.
            draw: gives a number from 0 to 1 at each call and is the only source of chance.
            group_of: tells the group of a row that is offered; None leaves the row in the store, since its group has
                yet to begin, and will do so with `add_backlog`.
            application_of: tells whose a group is that has begun.
        """
        self._group_of = group_of
        self._application_of = application_of
        self._limits = limits
        self._breaker_policy = breaker_policy
        self._concurrency_policy = concurrency_policy
        self._draw = draw
        self._groups: dict[GroupId, GroupLanes[DeliveryT]] = {}
        self._dropped: dict[GroupId, set[DeviceId]] = {}  # what groups that ended still have in flight
        self._turns: Turns[DeliveryT] = Turns()
        self._held: deque[GroupLanes[DeliveryT]] = deque()  # suspects that wait for their trial
        self._hungry: dict[GroupId, None] = {}  # an ordered set
        self._timers: Timers[DeliveryT] = Timers()
        self._trials = 0
        self._queued = 0

    # ------------------------------------------------------------------ what the driver tells

    def add_backlog(self, group_id: GroupId, *, unheard: bool = False) -> None:
        """Read all that the store holds of a group; of what is in memory already nothing is lost, or sent twice.

        `unheard` when it is only that rows may be there which nobody told of: some of a read under way then counts.
        """
        group = self._group(group_id)
        if unheard:
            group.doubt()
        else:
            group.read_again(EventId(0))
        self._note_hunger(group)

    def keep_only(self, is_mine: Callable[[DeviceId], bool]) -> None:
        """Drop all rows of devices that are no longer ours.

        Heads that are in flight end, and nothing of their lanes follows (`in_flight_devices` counts them). Reads that
        were asked for before count for nothing; what is offered from now on is ours. When such a device comes back,
        `add_backlog` finds what is left of it.
        """
        for group in self._groups.values():
            with self._counting(group):
                group.keep_only(is_mine)
            self._note_hunger(group)

    def offer(self, rows: Iterable[DeliveryT], now: datetime) -> None:
        """Take rows just committed, in the order of their event ids."""
        for row in rows:
            group_id = self._group_of(row)
            if group_id is None:
                continue
            group = self._group(group_id)
            if group.offer(row, now, room=self._has_room(group)) is Offered.QUEUED:
                self._queued += 1
                self._join_turn(group)
            else:
                self._note_hunger(group)

    def offer_late(self, rows: Iterable[DeliveryT], now: datetime) -> None:
        """Take rows that may be older than others offered before.

        As when dead letters are sent again, or when several nodes commit: an event then becomes visible after others
        with higher ids. What is in memory already is recognised; what was settled is not, and must not be offered.
        """
        for row in rows:
            group_id = self._group_of(row)
            if group_id is None:
                continue
            group = self._group(group_id)
            before = group.queued
            outcome = group.offer_late(row, now, room=self._has_room(group))
            self._queued += group.queued - before
            if outcome is Offered.QUEUED:
                self._join_turn(group)
            else:
                self._note_hunger(group)

    def withdraw(self, group_id: GroupId, device_id: DeviceId, event_id: EventId) -> None:
        """Take a row back that is no longer in the store; one on its way may finish, and is not tried again."""
        group = self._groups.get(group_id)
        if group is not None:
            with self._counting(group):
                group.withdraw(device_id, event_id)
            self._join_turn(group)
            self._note_hunger(group)

    def loaded(self, request: LoadRequest, rows: Sequence[DeliveryT], now: datetime) -> bool:
        """Take what the store answered to a request; fewer rows than the limit mean that there are no more.

        Return False when the group has ended.

        Where several nodes write, all that was committed before the read has been offered before, save what it brings:
        an older row of the same lane may be among it.
        """
        group = self._groups.get(request.group_id)
        if group is None:
            return False
        with self._counting(group):
            group.loaded(request, rows, now)
        self._join_turn(group)
        self._note_hunger(group)
        return True

    def settle(self, sendable: Sendable[DeliveryT], verdict: Verdict, now: datetime) -> None:
        """Tell what became of an attempt; each Sendable is settled exactly once.

        Raises:
            ValueError: when it is not in flight.
        """
        self._trials -= sendable.trial
        group = self._groups.get(sendable.group_id)
        if group is None:
            self._settle_dropped(sendable)
            return
        lane = group.lanes.get(sendable.row.device_id)
        if lane is None or lane.rows[0] is not sendable.row or lane.state is not LaneState.IN_FLIGHT:
            raise ValueError("the delivery is not in flight")
        self._turns.returned(group)
        match verdict:
            case Delivered():
                before = group.queued
                group.complete(lane)
                self._queued += group.queued - before
                self._note_success(group, now)
            case RetryAt():
                self._put_back(group, lane, sendable, verdict, now)
            case Dead():
                with self._counting(group):
                    group.complete(lane)
                self._note_failure(group, sendable, verdict.failure, now)
            case Blocked():
                with self._counting(group):
                    group.block_head(lane)
                self._note_failure(group, sendable, verdict.failure, now)
            case _:
                assert_never(verdict)
        if group.queued and not group.ended:
            self._turns.join(group)
        if group.is_hungry():
            self._hungry[group.group_id] = None

    def pause(self, group_id: GroupId) -> None:
        """Send nothing more to a group; what is in flight may finish."""
        group = self._group(group_id)
        group.paused = True
        with self._counting(group):
            group.leave_resting()

    def resume(self, group_id: GroupId) -> None:
        """Go on where a paused group stopped."""
        group = self._group(group_id)
        group.paused = False
        group.recover()
        self._join_turn(group)
        self._note_hunger(group)

    def hold(self, group_id: GroupId, until: datetime) -> None:
        """Send nothing to a group before a time that its receiver has named."""
        group = self._group(group_id)
        if group.breaker.hold(until):
            self._opened(group)

    def hasten(self, group_id: GroupId, now: datetime) -> None:
        """Try what waits at once, as when the callback has moved."""
        group = self._group(group_id)
        group.recover()
        group.breaker.hasten(now)
        if group.breaker.probe_at is not None:
            self._timers.add_probe(group.breaker.probe_at, group)
        self._join_turn(group)
        self._note_hunger(group)

    def unblock(self, group_id: GroupId, device_id: DeviceId) -> None:
        """Let a blocked lane go on, once the store no longer says that it is blocked; another one is left alone."""
        group = self._groups.get(group_id)
        if group is not None:
            group.unblock(device_id)
            self._note_hunger(group)

    def drop_group(self, group_id: GroupId) -> None:
        """Forget a group that has ended; what is in flight may finish and is settled for nothing."""
        group = self._groups.pop(group_id, None)
        if group is None:
            return
        self._turns.end(group)
        self._queued -= group.queued
        group.ended = True
        self._hungry.pop(group_id, None)
        if group.flying:
            self._dropped[group_id] = {lane.device_id for lane in group.flying}

    # ------------------------------------------------------------------ what the driver asks

    def take(self, now: datetime, most: int | None = None) -> list[Sendable[DeliveryT]]:
        """Return what is to be sent now, about `most` if there is more; all of it counts as in flight from here on."""
        self._fire_timers(now)
        taken: list[Sendable[DeliveryT]] = []
        self._take_trials(now, taken)
        turns, unreserved = self._turns, self._limits.in_flight - self._limits.reserved
        while turns.in_flight < self._limits.in_flight and (most is None or len(taken) < most):
            is_scarce = turns.in_flight >= unreserved
            group = turns.first_idle() if is_scarce else turns.first()
            if group is None:
                break
            if group.suspect:
                self._hold(group)
            elif not self._take_next(group, now, taken):
                turns.leave(group)
        self._take_trials(now, taken)
        return taken

    def needs_rows(self) -> list[LoadRequest]:
        """Return the reads that memory has room for; each is answered once, with `loaded`."""
        requests = []
        total = self._queued
        for group_id in list(self._hungry):
            group = self._groups[group_id]
            if not group.is_hungry():
                del self._hungry[group_id]
                continue
            room = max(self._limits.total_rows - total, 0 if group.queued else self._limits.least_rows)
            is_open = group.breaker.state is not BreakerState.CLOSED
            most = self._limits.open_rows if is_open else self._limits.load_rows
            if room == 0:
                continue
            request = group.wanted(limit=min(room, most))
            if request is not None:
                del self._hungry[group_id]
                total += request.limit
                requests.append(request)
        return requests

    def next_timer(self) -> datetime | None:
        """Return when `take` will next have something that it has not now, if nothing else happens before."""
        return self._timers.next_due()

    def in_flight_devices(self, is_meant: Callable[[DeviceId], bool]) -> int:
        """Count the attempts in flight of some devices, those of groups that have ended included."""
        flying = [lane.device_id for group in self._groups.values() for lane in group.flying]
        flying += [device_id for devices in self._dropped.values() for device_id in devices]
        return sum(1 for device_id in flying if is_meant(device_id))

    @property
    def queued(self) -> int:
        """How many rows are in memory, those in flight included."""
        return self._queued

    @property
    def in_flight(self) -> int:
        return self._turns.in_flight

    @property
    def groups(self) -> Mapping[GroupId, GroupLanes[DeliveryT]]:
        """Every group that has lanes or has left any in the store: to be looked at only."""
        return self._groups

    def breaker_state(self, group_id: GroupId) -> BreakerState:
        """Return what may be sent to a group."""
        group = self._groups.get(group_id)
        return BreakerState.CLOSED if group is None else group.breaker.state

    # ------------------------------------------------------------------ inside

    def _group(self, group_id: GroupId) -> GroupLanes[DeliveryT]:
        group = self._groups.get(group_id)
        if group is None:
            group = GroupLanes(
                group_id,
                self._application_of(group_id),
                breaker=Breaker(self._breaker_policy, self._draw),
                concurrency=Concurrency(self._concurrency_policy),
                timers=self._timers,
                window_rows=self._limits.window_rows,
            )
            self._groups[group_id] = group
            self._turns.enter(group)
        return group

    @contextmanager
    def _counting(self, group: GroupLanes[DeliveryT]) -> Iterator[None]:
        """Keep the total true over something that changes how many rows of a group are in memory."""
        before = group.queued
        yield
        self._queued += group.queued - before

    def _has_room(self, group: GroupLanes[DeliveryT]) -> bool:
        if group.breaker.state is not BreakerState.CLOSED:
            return group.queued < self._limits.open_rows
        return self._queued < self._limits.total_rows or group.queued < self._limits.least_rows

    def _put_back(
        self,
        group: GroupLanes[DeliveryT],
        lane: Lane[DeliveryT],
        sendable: Sendable[DeliveryT],
        verdict: RetryAt,
        now: datetime,
    ) -> None:
        trouble = Trouble(
            attempts=sendable.attempt if verdict.spends_attempt else sendable.attempt - 1,
            first_attempted_at=sendable.first_attempted_at,
            due_at=verdict.at,
        )
        with self._counting(group):
            group.put_back(lane, trouble)
        if verdict.holds_callback:
            if group.breaker.hold(verdict.at):
                self._opened(group)
        else:
            self._note_failure(group, sendable, verdict.reason, now)

    def _note_success(self, group: GroupLanes[DeliveryT], now: datetime) -> None:
        group.suspect = False
        group.concurrency.succeeded()
        if group.breaker.succeeded(now):
            group.concurrency.restart()
            group.recover()

    def _note_failure(
        self,
        group: GroupLanes[DeliveryT],
        sendable: Sendable[DeliveryT],
        reason: FailureReason,
        now: datetime,
    ) -> None:
        group.concurrency.failed(reason, sendable.sent_at, now)
        group.suspect |= casts_doubt(reason)
        opened = group.breaker.failed(
            sendable.row.device_id,
            reason,
            now,
            probe=sendable.probe,
            no_lane_is_well=group.no_lane_is_well,
        )
        if opened:
            self._opened(group)
        elif group.breaker.state is not BreakerState.CLOSED:
            self._shrink(group)

    def _opened(self, group: GroupLanes[DeliveryT]) -> None:
        self._shrink(group)
        probe_at = group.breaker.probe_at
        assert probe_at is not None
        self._timers.add_probe(probe_at, group)

    def _shrink(self, group: GroupLanes[DeliveryT]) -> None:
        """Keep little of a group that is down; stragglers come back in numbers, so not for each of them."""
        if group.queued - group.in_flight > 2 * self._limits.open_rows:
            with self._counting(group):
                group.keep_oldest(self._limits.open_rows)

    def _settle_dropped(self, sendable: Sendable[DeliveryT]) -> None:
        """Take note that an attempt of a group that ended meanwhile is over."""
        devices = self._dropped.get(sendable.group_id, set())
        devices.discard(sendable.row.device_id)
        if not devices:
            self._dropped.pop(sendable.group_id, None)

    def _fire_timers(self, now: datetime) -> None:
        for timer in self._timers.pop_due(now):
            if timer.is_return:
                timer.group.return_parked(now)
                self._note_hunger(timer.group)
            elif timer.lane is not None:
                timer.group.wake(timer.lane)
            self._join_turn(timer.group)

    def _join_turn(self, group: GroupLanes[DeliveryT]) -> None:
        if group.queued and not group.ended:
            self._turns.join(group)

    def _hold(self, group: GroupLanes[DeliveryT]) -> None:
        """Let a suspect wait for its trial."""
        self._turns.leave(group)
        if not group.held:
            group.held = True
            self._held.append(group)

    def _take_trials(self, now: datetime, taken: list[Sendable[DeliveryT]]) -> None:
        """Try suspects, each in its turn."""
        unreserved = self._limits.in_flight - self._limits.reserved
        while self._held and self._trials < self._limits.trials and self._turns.in_flight < unreserved:
            group = self._held.popleft()
            group.held = False
            if group.ended:
                continue
            if not group.suspect:
                self._join_turn(group)
            elif self._take_next(group, now, taken):
                self._trials += 1
                self._hold(group)

    def _take_next(self, group: GroupLanes[DeliveryT], now: datetime, taken: list[Sendable[DeliveryT]]) -> bool:
        """Take the next delivery of a group; False when it has none to be sent now."""
        lane = group.next_lane(now)
        if lane is None:
            if group.is_stuck():
                with self._counting(group):
                    group.park_waiting(now)
                self._note_hunger(group)
            return False
        self._turns.departed(group)
        taken.append(_sendable(group, lane, now))
        return True

    def _note_hunger(self, group: GroupLanes[DeliveryT]) -> None:
        if group.is_hungry():
            self._hungry[group.group_id] = None


def _sendable(group: GroupLanes[DeliveryT], lane: Lane[DeliveryT], now: datetime) -> Sendable[DeliveryT]:
    trouble = lane.trouble
    return Sendable(
        row=lane.rows[0],
        group_id=group.group_id,
        attempt=1 if trouble is None else trouble.attempts + 1,
        sent_at=now,
        first_attempted_at=now if trouble is None else trouble.first_attempted_at,
        retried=trouble is not None,
        probe=group.breaker.state is BreakerState.PROBING,
        trial=group.suspect,
    )
