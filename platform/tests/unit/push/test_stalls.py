"""An event that lies untried without a reason is told of; one that waits for a receiver is not."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from firmcast.ids import ApplicationId, DeviceId, EventId, SubscriptionId
from firmcast.push.backlog_watch import Stalls
from firmcast.push.lanes import Lanes
from firmcast.push.model import GroupId, OldestUndelivered, Trouble
from firmcast.push.retry import Blocked, DeadReason, Delivered, FailureReason, RetryAt
from firmcast.push.scheduling.breaker import BreakerPolicy
from firmcast.push.scheduling.census import has_reason_to_rest, take_census
from firmcast.push.scheduling.concurrency import ConcurrencyPolicy
from firmcast.push.scheduling.lane_limits import LaneLimits

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LIMIT = timedelta(minutes=5)
GROUP, OTHER = GroupId(1), GroupId(2)
SUBSCRIPTION, DEVICE = SubscriptionId("s"), DeviceId("d")


def oldest(event: int = 1, *, tried: bool = False) -> list[OldestUndelivered]:
    return [
        OldestUndelivered(
            subscription_id=SUBSCRIPTION,
            event_id=EventId(event),
            device_id=DEVICE,
            occurred_at=NOW - timedelta(days=1),
            tried=tried,
        )
    ]


def nothing(_subscription_id: SubscriptionId, _device_id: DeviceId) -> bool:
    return False


def test_an_event_that_nobody_tries_is_told_of_after_a_while() -> None:
    stalls = Stalls(LIMIT)
    assert stalls.look(oldest(), nothing, NOW) == []
    assert stalls.look(oldest(), nothing, NOW + LIMIT - timedelta(seconds=1)) == []
    assert stalls.look(oldest(), nothing, NOW + LIMIT) == [SUBSCRIPTION]
    assert stalls.look([], nothing, NOW + LIMIT) == []


def test_a_backlog_that_moves_is_none_however_old_it_is() -> None:
    stalls = Stalls(LIMIT)
    for minute in range(60):
        assert stalls.look(oldest(1 + minute), nothing, NOW + timedelta(minutes=minute)) == []


@pytest.mark.parametrize(("tried", "explained"), [(True, False), (False, True)])
def test_a_receiver_that_is_down_is_not_our_stall(tried: bool, explained: bool) -> None:
    stalls = Stalls(LIMIT)
    for look in range(3):
        found = stalls.look(oldest(tried=tried), lambda *_: explained, NOW + look * LIMIT)
        assert found == []


def test_time_that_was_explained_does_not_count() -> None:
    stalls = Stalls(LIMIT)
    stalls.look(oldest(), nothing, NOW)
    stalls.look(oldest(), lambda *_: True, NOW + LIMIT)
    assert stalls.look(oldest(), nothing, NOW + 2 * LIMIT) == []
    assert stalls.look(oldest(), nothing, NOW + 3 * LIMIT) == [SUBSCRIPTION]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    group_id: GroupId
    device_id: DeviceId
    event_id: EventId
    trouble: Trouble | None = None
    replay: int = 0


def row(event: int, device: str, group: GroupId = GROUP) -> Row:
    return Row(group_id=group, device_id=DeviceId(device), event_id=EventId(event))


def lanes() -> Lanes[Row]:
    return Lanes(
        limits=LaneLimits(in_flight=100, reserved=10, window_rows=50, total_rows=200, open_rows=50, load_rows=20),
        breaker_policy=BreakerPolicy(),
        concurrency_policy=ConcurrencyPolicy(),
        application_of=lambda _: ApplicationId("one"),
        draw=lambda: 0.0,
        group_of=lambda row: row.group_id,
    )


def again(reason: FailureReason) -> RetryAt:
    return RetryAt(at=NOW + timedelta(hours=1), reason=reason)


def test_lanes_are_counted_by_state() -> None:
    it = lanes()
    it.offer([row(1, "a"), row(2, "b"), row(3, "b")], NOW)
    first, _second = it.take(NOW)
    it.settle(first, again(FailureReason.SERVER_ERROR), NOW)
    it.offer([row(4, "c")], NOW)
    census = take_census(it.groups.values())
    assert census.lanes == {"ready": 1, "in_flight": 1, "waiting": 1, "blocked": 0}
    assert census.breakers == {"closed": 1, "open": 0, "probing": 0}


def test_lanes_of_a_callback_that_is_down_are_blocked() -> None:
    it = lanes()
    it.offer([row(number, f"d{number}", OTHER) for number in range(1, 9)], NOW)
    for sendable in it.take(NOW):
        it.settle(sendable, again(FailureReason.CONNECT), NOW)
    census = take_census(it.groups.values())
    assert census.lanes == {"ready": 0, "in_flight": 0, "waiting": 0, "blocked": 8}
    assert census.breakers == {"closed": 0, "open": 1, "probing": 0}
    assert has_reason_to_rest(it.groups[OTHER], DeviceId("d1"))


def test_a_lane_that_stands_still_is_counted_and_has_its_reason() -> None:
    it = lanes()
    it.offer([row(1, "a"), row(2, "b")], NOW)
    first, second = it.take(NOW)
    it.settle(first, Blocked(reason=DeadReason.UNACCEPTABLE, failure=FailureReason.UNACCEPTABLE), NOW)
    it.settle(second, Delivered(), NOW)
    assert take_census(it.groups.values()).lanes == {"ready": 0, "in_flight": 0, "waiting": 0, "blocked": 1}
    assert has_reason_to_rest(it.groups[GROUP], DeviceId("a"))


def test_a_lane_rests_for_a_reason_or_for_none() -> None:
    it = lanes()
    it.offer([row(1, "a"), row(2, "b")], NOW)
    group = it.groups[GROUP]
    assert not has_reason_to_rest(group, DeviceId("a"))
    first, second = it.take(NOW)
    assert has_reason_to_rest(group, DeviceId("a"))
    it.settle(first, again(FailureReason.SERVER_ERROR), NOW)
    it.settle(second, again(FailureReason.SERVER_ERROR), NOW)
    assert has_reason_to_rest(group, DeviceId("a"))
    assert not has_reason_to_rest(group, DeviceId("z"))
    it.pause(GROUP)
    assert has_reason_to_rest(group, DeviceId("z"))
