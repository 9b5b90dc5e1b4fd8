"""What the scheduler does for an event does not grow with what is down, or with what waits: calls are counted."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from types import FrameType

from firmcast.ids import ApplicationId, DeviceId, EventId
from firmcast.push.lanes import Lanes
from firmcast.push.model import GroupId, Trouble
from firmcast.push.retry import Delivered, FailureReason, RetryAt
from firmcast.push.scheduling.breaker import BreakerPolicy, BreakerState
from firmcast.push.scheduling.concurrency import ConcurrencyPolicy
from firmcast.push.scheduling.lane_limits import LaneLimits

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LIVE = [GroupId(number) for number in range(1, 11)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    group_id: GroupId
    device_id: DeviceId
    event_id: EventId
    trouble: Trouble | None = None
    replay: int = 0


class World:
    """Ten callbacks that answer, and others that do not."""

    def __init__(self, dead: int, *, lanes_of_dead: int = 3) -> None:
        self.event = count(1)
        self.lanes: Lanes[Row] = Lanes(
            limits=LaneLimits(),
            breaker_policy=BreakerPolicy(failures=1, failing_lanes=1),
            concurrency_policy=ConcurrencyPolicy(),
            draw=lambda: 0.0,
            group_of=lambda row: row.group_id,
            application_of=lambda group_id: ApplicationId(str(group_id)),
        )
        self.dead = [GroupId(100 + number) for number in range(dead)]
        for group in self.dead:
            self.lanes.offer([self.row(group, device) for device in range(lanes_of_dead)], NOW)
            for sendable in self.lanes.take(NOW):
                self.lanes.settle(sendable, RetryAt(at=NOW, reason=FailureReason.TIMEOUT), NOW)
        assert all(self.lanes.breaker_state(group) is BreakerState.OPEN for group in self.dead)

    def row(self, group: GroupId, device: int) -> Row:
        return Row(group_id=group, device_id=DeviceId(str(device)), event_id=EventId(next(self.event)))

    def deliver(self, groups: Iterable[GroupId], now: datetime, rounds: int = 50) -> None:
        """Have an event for each of these groups, again and again; those that are live answer at once."""
        for number in range(rounds):
            self.lanes.offer([self.row(group, number) for group in groups], now)
            for sendable in self.lanes.take(now):
                if sendable.group_id in LIVE:
                    self.lanes.settle(sendable, Delivered(), now)


def calls(work: Callable[[], None]) -> int:
    """Count the functions that are called, those of the interpreter included."""
    counted = count()

    def profile(_frame: FrameType, what: str, _argument: object) -> None:
        if what in {"call", "c_call"}:
            next(counted)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return next(counted)


def test_a_thousand_dead_callbacks_among_ten_that_live_cost_these_nothing() -> None:
    alone, among = World(dead=0), World(dead=1000)
    expected = calls(lambda: alone.deliver(LIVE, NOW))
    assert calls(lambda: among.deliver(LIVE, NOW)) <= 1.02 * expected
    assert among.lanes.queued == 3000


def test_nor_do_they_while_all_of_them_are_being_probed() -> None:
    among = World(dead=1000)
    later = NOW + timedelta(minutes=1)
    probes = among.lanes.take(later)
    assert len(probes) == LaneLimits().trials, "they have a part of the places, however many they are"
    alone = World(dead=0)
    expected = calls(lambda: alone.deliver(LIVE, later))
    assert calls(lambda: among.deliver(LIVE, later)) <= 1.02 * expected


def test_an_event_for_a_dead_callback_costs_the_same_however_many_lanes_wait_there() -> None:
    few, many = World(dead=1, lanes_of_dead=3), World(dead=1, lanes_of_dead=2_000)
    expected = calls(lambda: few.deliver(few.dead, NOW, rounds=500))
    assert calls(lambda: many.deliver(many.dead, NOW, rounds=500)) <= 1.02 * expected
    assert many.lanes.queued <= 2 * LaneLimits().open_rows


def test_a_failure_costs_the_same_however_many_lanes_are_in_trouble() -> None:
    def fail_one_after_another(troubled: int) -> int:
        world = World(dead=0)
        world.lanes._breaker_policy = BreakerPolicy(failures=10**6, failing_lanes=10**6)
        far = NOW + timedelta(hours=1)
        for device in range(troubled):
            world.lanes.offer([world.row(LIVE[0], device)], NOW)
            for sendable in world.lanes.take(NOW):
                world.lanes.settle(sendable, RetryAt(at=far, reason=FailureReason.SERVER_ERROR), NOW)

        def work() -> None:
            for device in range(100_000, 100_100):
                world.lanes.offer([world.row(LIVE[0], device)], NOW)
                (sendable,) = world.lanes.take(NOW)
                world.lanes.settle(sendable, RetryAt(at=far, reason=FailureReason.SERVER_ERROR), NOW)

        return calls(work)

    assert fail_one_after_another(1500) <= 1.02 * fail_one_after_another(15)
