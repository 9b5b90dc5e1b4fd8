"""How fast a replay goes."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from firmcast.push.replay.pace import allowance, pay

NOW = datetime(2026, 11, 28, tzinfo=UTC)


@given(
    rate=st.integers(1, 10_000),
    turns=st.lists(st.tuples(st.integers(0, 3_000_000), st.floats(0, 1)), min_size=1, max_size=50),
)
def test_never_more_than_the_rate(rate: int, turns: list[tuple[int, float]]) -> None:
    paid_until, now, written = NOW, NOW, 0
    for microseconds, portion in turns:
        now += timedelta(microseconds=microseconds)
        most = allowance(paid_until, now, rate)
        taken = int(most * portion)
        paid_until = pay(paid_until, now, taken, rate)
        written += taken
        assert written <= rate * (now - NOW).total_seconds() + 1e-6
        assert most <= rate
        assert allowance(paid_until, now, rate) <= most - taken


@given(rate=st.integers(1, 10_000), steps=st.integers(1, 30))
def test_whoever_takes_all_that_he_may_gets_the_whole_rate(rate: int, steps: int) -> None:
    paid_until, now, written = NOW, NOW, 0
    for _ in range(steps):
        now += timedelta(milliseconds=100)
        taken = allowance(paid_until, now, rate)
        paid_until = pay(paid_until, now, taken, rate)
        written += taken
    assert rate * steps // 10 - 1 - steps <= written <= rate * steps // 10


@given(rate=st.integers(1, 10_000), back=st.integers(2, 10_000))
def test_a_clock_that_is_set_back_stops_it_for_a_second_at_the_most(rate: int, back: int) -> None:
    now = NOW - timedelta(seconds=back)
    paid_until = pay(NOW, now, allowance(NOW, now, rate), rate)
    assert allowance(paid_until, now + timedelta(seconds=1), rate) == rate
