"""The throttle lets no more through than it may, and refuses nothing below that."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.rest.throttle import Throttle

PERIOD = 8.0
CALLERS = st.sampled_from(["a", "b", "c"])
# Whole quarters of a second, so that sums are exact.
STEPS = st.integers(0, 40).map(lambda quarters: quarters / 4)
CALLS = st.lists(st.tuples(CALLERS, STEPS), max_size=80)


def throttle(calls: int) -> Throttle:
    return Throttle(calls, timedelta(seconds=PERIOD))


def admitted_in(history: list[float], now: float) -> int:
    return sum(now - PERIOD < moment <= now for moment in history)


@given(st.integers(1, 6), CALLS)
def test_it_lets_exactly_the_limit_through_in_any_period(limit, calls):
    it, now, admitted = throttle(limit), 0.0, {"a": [], "b": [], "c": []}
    for caller, step in calls:
        now += step
        before = admitted_in(admitted[caller], now)
        wait = it.admit(caller, now)
        assert (wait == 0) == (before < limit), "below the limit nobody is refused, at the limit everybody"
        if wait == 0:
            admitted[caller].append(now)
        else:
            assert 0 < wait <= PERIOD
    for history in admitted.values():
        assert all(admitted_in(history, moment) <= limit for moment in history)


@given(st.integers(1, 6), CALLS)
def test_whoever_waits_as_told_is_let_through_and_not_a_moment_earlier(limit, calls):
    it, now = throttle(limit), 0.0
    for caller, step in calls:
        now += step
        wait = it.admit(caller, now)
        if wait:
            assert it.admit(caller, now + wait - 0.25) > 0 or wait <= 0.25
            now += wait
            assert it.admit(caller, now) == 0


@given(CALLS)
def test_what_one_caller_does_changes_nothing_for_another(calls):
    together, now = throttle(2), 0.0
    alone = {"a": throttle(2), "b": throttle(2), "c": throttle(2)}
    for caller, step in calls:
        now += step
        assert together.admit(caller, now) == alone[caller].admit(caller, now)


@given(st.lists(st.tuples(st.integers(0, 1000).map(str), STEPS), max_size=200))
def test_nobody_is_remembered_for_long(calls):
    it, now = throttle(2), 0.0
    for caller, step in calls:
        now += step
        it.admit(caller, now)
    # Each call drops two: so soon after the crowd has gone, nobody is left of it.
    for _ in range(len(it) + 1):
        now += PERIOD
        it.admit("last", now)
    assert len(it) == 1


def test_a_crowd_that_has_gone_is_forgotten_faster_than_another_comes():
    it = throttle(1)
    for number in range(1000):
        it.admit(f"first {number}", 0.0)
    for number in range(1000):
        it.admit(f"second {number}", PERIOD)
    assert len(it) == 1000


@pytest.mark.parametrize(("calls", "seconds"), [(0, 1), (-1, 1), (1, 0), (1, -1)])
def test_it_needs_a_limit_and_a_period(calls, seconds):
    with pytest.raises(ValueError):
        Throttle(calls, timedelta(seconds=seconds))
