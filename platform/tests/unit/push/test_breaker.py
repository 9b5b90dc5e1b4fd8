"""When a callback counts as down, how it is probed and how it comes back."""

from datetime import UTC, datetime, timedelta

from firmcast.ids import DeviceId
from firmcast.push.retry import FailureReason
from firmcast.push.scheduling.breaker import Breaker, BreakerPolicy, BreakerState

NOW = datetime(2026, 11, 24, tzinfo=UTC)
POLICY = BreakerPolicy(failures=3, failing_lanes=6, recovery=4)


def breaker() -> Breaker:
    return Breaker(POLICY, lambda: 0.0)


def fail(it: Breaker, lane: int, reason: FailureReason, *, probe: bool = False, no_lane_is_well: bool = False) -> bool:
    device = DeviceId(str(lane))
    return it.failed(device, reason, NOW, probe=probe, no_lane_is_well=lambda: no_lane_is_well)


def opened() -> Breaker:
    it = breaker()
    assert [fail(it, lane, FailureReason.CONNECT) for lane in range(3)] == [False, False, True]
    return it


def test_a_callback_that_cannot_be_reached_by_several_lanes_opens_it() -> None:
    it = opened()
    assert it.state is BreakerState.OPEN
    assert it.probe_at == NOW + timedelta(seconds=1)


def test_one_lane_that_cannot_connect_does_not_while_another_is_well() -> None:
    it = breaker()
    assert not any(fail(it, 1, FailureReason.CONNECT) for _ in range(20))
    assert fail(it, 1, FailureReason.CONNECT, no_lane_is_well=True)


def test_one_lane_answered_500_never_opens_it() -> None:
    it = breaker()
    assert not any(fail(it, 1, FailureReason.SERVER_ERROR, no_lane_is_well=True) for _ in range(100))


def test_many_lanes_failing_for_any_reason_open_it() -> None:
    it = breaker()
    assert [fail(it, lane, FailureReason.SERVER_ERROR) for lane in range(6)] == [False] * 5 + [True]


def test_a_success_starts_the_count_again() -> None:
    it = breaker()
    for lane in range(10):
        assert not fail(it, lane, FailureReason.CONNECT)
        assert not fail(it, lane + 100, FailureReason.CONNECT)
        it.succeeded(NOW)


def test_our_own_faults_never_open_it() -> None:
    it = breaker()
    assert not any(fail(it, lane, FailureReason.LOCAL) for lane in range(100))


def test_probes_grow_rarer_up_to_a_bound() -> None:
    it = opened()
    waits = []
    for _ in range(8):
        it.begin_probe()
        assert it.state is BreakerState.PROBING
        assert fail(it, 1, FailureReason.CONNECT, probe=True)
        assert it.probe_at is not None
        waits.append((it.probe_at - NOW).total_seconds())
    assert waits == [2, 5, 10, 20, 20, 20, 20, 20]


def test_stragglers_change_nothing_while_it_is_open() -> None:
    it = opened()
    before = it.probe_at
    assert not fail(it, 9, FailureReason.CONNECT)
    assert it.probe_at == before


def test_one_that_has_just_come_back_is_trusted_less() -> None:
    it = opened()
    it.begin_probe()
    assert it.succeeded(NOW)
    assert it.state is BreakerState.CLOSED
    assert [fail(it, 1, FailureReason.CONNECT) for _ in range(3)] == [False, False, True]
    it.begin_probe()
    it.succeeded(NOW)
    for _ in range(4):
        assert not it.succeeded(NOW)
    assert not any(fail(it, 1, FailureReason.CONNECT) for _ in range(20))


def test_a_hold_is_kept_even_over_a_success_and_a_failed_probe() -> None:
    it = breaker()
    until = NOW + timedelta(seconds=60)
    assert it.hold(until)
    assert not it.hold(until - timedelta(seconds=1))
    assert not it.succeeded(NOW)
    assert it.state is BreakerState.OPEN
    it.begin_probe()
    assert fail(it, 1, FailureReason.CONNECT, probe=True)
    assert it.probe_at == until
    it.begin_probe()
    assert it.succeeded(until)
    assert it.state is BreakerState.CLOSED
