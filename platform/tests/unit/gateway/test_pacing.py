"""Bytes leave at the rate that is set, however they are asked for, and in equal shares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.gateway.pacing import CHUNK, Pacing, Rate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


SENDERS = st.lists(st.tuples(st.integers(1, CHUNK), st.floats(0, 3)), min_size=1, max_size=60)


@given(per_second=st.integers(100, 1_000_000), asked=SENDERS)
def test_no_span_of_time_has_more_than_its_rate_and_a_short_burst(per_second: int, asked: list) -> None:
    rate, now, sent = Rate(per_second), 50.0, []
    for size, pause in asked:
        now += pause
        sent.append((now + rate.reserve(size, now), size))
    assert [at for at, _ in sent] == sorted(at for at, _ in sent)
    burst = max(0.25 * per_second, CHUNK) + CHUNK
    for first in range(len(sent)):
        total = 0
        for at, size in sent[first:]:
            total += size
            assert total <= per_second * (at - sent[first][0]) + burst + 1e-3


@given(per_second=st.integers(1000, 100_000), size=st.integers(64, CHUNK))
def test_the_rate_is_used_up_by_who_asks_for_more(per_second: int, size: int) -> None:
    rate, now, total = Rate(per_second), 0.0, 0
    while now < 2:
        now += rate.reserve(size, now)
        total += size
    assert total >= per_second * 2 * 0.99


def test_those_who_wait_have_equal_shares_and_the_slow_one_costs_nobody_any() -> None:
    clock = Clock()
    pacing = Pacing(together=100_000, each=40_000, clock=clock)
    sent = {"a": 0, "b": 0, "slow": 0}
    paces = {name: pacing.pace() for name in sent}
    due = dict.fromkeys(sent, clock.now)
    while clock.now < 1010:
        name = min(due, key=lambda one: due[one])
        clock.now = due[name]
        # The slow one is done with 1 KiB in each second; the others could have all.
        due[name] = clock.now + max(paces[name].reserve(1024), 1.0 if name == "slow" else 0.0)
        sent[name] += 1024
    assert sent["a"] == pytest.approx(400_000, rel=0.05)
    assert sent["b"] == pytest.approx(400_000, rel=0.05)
    assert sent["slow"] == pytest.approx(10_240, abs=2048)


def test_without_bounds_there_is_nothing_to_ask() -> None:
    assert Pacing(together=0, each=0, clock=Clock()).pace() is None


def test_what_waits_goes_first() -> None:
    clock = Clock()
    pace = Pacing(together=0, each=1000, clock=clock).pace()
    assert pace is not None
    assert pace.may_send()
    assert pace.reserve(CHUNK) == 0
    assert pace.reserve(CHUNK) == 0
    assert not pace.may_send()
    assert pace.reserve(1000) == pytest.approx(2 * CHUNK / 1000 - CHUNK / 1000)
    clock.now += 60
    pace.waiting = 1
    assert not pace.may_send()
