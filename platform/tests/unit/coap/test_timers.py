"""The heap of deadlines against a plain list of them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.coap.timers import Timed, Timers


class Recorder(Timed):
    def __init__(self, name: int, fired: list[tuple[int, float]]) -> None:
        super().__init__()
        self.name = name
        self.fired = fired

    def fire(self, now: float) -> None:
        self.fired.append((self.name, now))


actions = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 9), st.integers(0, 50)),
    st.tuples(st.just("clear"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("run"), st.just(0), st.integers(0, 20)),
)


@given(st.lists(actions, max_size=200))
@settings(max_examples=150)
def test_the_heap_fires_what_a_plain_table_would_fire(steps: list[tuple[str, int, int]]) -> None:
    timers = Timers()
    fired: list[tuple[int, float]] = []
    timed = [Recorder(name, fired) for name in range(10)]
    table: dict[int, float] = {}
    now = 0.0
    for kind, name, amount in steps:
        if kind == "set":
            timers.set(timed[name], now + amount)
            table[name] = now + amount
        elif kind == "clear":
            timers.clear(timed[name])
            table.pop(name, None)
        else:
            now += amount
            due = {name for name, when in table.items() if when <= now}
            fired.clear()
            timers.run(now)
            assert sorted(fired) == [(name, now) for name in sorted(due)]
            for gone in due:
                del table[gone]
        assert timers.next_due() == min(table.values(), default=None)
        assert len(timers) == len(table)


def test_cleared_deadlines_do_not_pile_up() -> None:
    timers = Timers()
    for number in range(10_000):
        timed = Timed()
        timers.set(timed, 1_000.0 + number)
        timers.clear(timed)
    assert len(timers._heap) < 200
    assert timers.next_due() is None
    assert timers._heap == []
