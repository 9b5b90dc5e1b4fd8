"""How many attempts of one callback are made at once."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.push.retry import FailureReason
from firmcast.push.scheduling.concurrency import Concurrency, ConcurrencyPolicy

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLICY = ConcurrencyPolicy(least=4, start=16, restart=2, most=256)


def answers(it: Concurrency, count: float) -> None:
    for _ in range(int(count)):
        it.succeeded()


def test_it_doubles_with_each_round_trip_while_it_is_used_up() -> None:
    it = Concurrency(POLICY)
    it.used_up = True
    windows = []
    for _ in range(5):
        answers(it, it.window)
        windows.append(it.window)
    assert windows == [32, 64, 128, 256, 256]


def test_it_does_not_grow_while_something_else_holds_deliveries_back() -> None:
    it = Concurrency(POLICY)
    answers(it, 1000)
    assert it.window == 16


def test_a_receiver_that_cannot_bear_it_halves_it_once_for_each_round_trip() -> None:
    it = Concurrency(POLICY)
    later = NOW + 15 * SECOND
    for _ in range(16):
        it.failed(FailureReason.TIMEOUT, NOW, later)
    assert it.window == 8
    for _ in range(8):
        it.failed(FailureReason.THROTTLED, later, later + SECOND)
    assert it.window == 4
    it.failed(FailureReason.CONNECT, later + SECOND, later + 2 * SECOND)
    assert it.window == 4, "never less"


def test_after_it_was_halved_it_grows_slowly() -> None:
    it = Concurrency(ConcurrencyPolicy(least=4, start=128, most=256))
    it.used_up = True
    it.failed(FailureReason.UNAVAILABLE, NOW, NOW)
    answers(it, it.window)
    assert it.window == 68
    it.restart()
    answers(it, it.window)
    assert it.window == 4, "from two it doubles again"


@pytest.mark.parametrize(
    "reason", [FailureReason.SERVER_ERROR, FailureReason.REFUSED, FailureReason.LOCAL, FailureReason.GONE]
)
def test_answers_that_say_nothing_of_its_load_leave_it(reason: FailureReason) -> None:
    it = Concurrency(POLICY)
    it.failed(reason, NOW, NOW)
    assert it.window == 16


@given(
    st.integers(1, 20),
    st.lists(st.sampled_from(["well", "used up", "spare", "restart", *FailureReason]), max_size=200),
)
def test_it_stays_in_its_bounds(most: int, happened: list[str]) -> None:
    it = Concurrency(ConcurrencyPolicy(least=4, start=16, restart=2, most=most))
    for number, what in enumerate(happened):
        now = NOW + number * SECOND
        before = it.window
        if isinstance(what, FailureReason):
            it.failed(what, now - SECOND, now)
            assert it.window in {before, max(4, before / 2)}
        elif what == "well":
            it.succeeded()
            assert before <= it.window <= before + 1
        elif what == "restart":
            it.restart()
        else:
            it.used_up = what == "used up"
        assert 1 <= it.window <= most
