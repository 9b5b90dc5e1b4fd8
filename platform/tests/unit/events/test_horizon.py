"""Nothing appears at or before the horizon, however the writers of the log interleave, and it follows their end."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from firmcast.events.horizon import Horizon, Observation
from firmcast.ids import EventId


def seen(position: int, *writers: str) -> Observation:
    return Observation(position=EventId(position), writers=frozenset(writers))


def test_without_writers_all_that_is_there_is_final() -> None:
    horizon = Horizon()
    assert horizon.observe(seen(7)) == 7
    assert horizon.is_settled


def test_a_position_waits_for_everybody_who_was_writing_when_it_was_seen() -> None:
    horizon = Horizon()
    assert horizon.observe(seen(3, "a", "b")) == 0
    assert not horizon.is_settled
    assert horizon.observe(seen(5, "b", "c")) == 0
    assert horizon.observe(seen(8, "c", "d")) == 3
    assert horizon.observe(seen(9, "d")) == 5
    assert horizon.observe(seen(9)) == 9


def test_under_writing_without_a_pause_it_moves_all_the_same() -> None:
    horizon = Horizon()
    for number in range(1, 1000):
        assert horizon.observe(seen(number, f"writer-{number}")) == number - 1


def test_a_writer_that_stays_open_holds_it_and_costs_a_bounded_memory() -> None:
    horizon = Horizon()
    for number in range(1, 10_000):
        assert horizon.observe(seen(number, "stays", f"writer-{number}")) == 0
    assert horizon.observe(seen(10_000, "next")) >= 1
    assert horizon.observe(seen(10_000)) == 10_000


def test_it_never_goes_back() -> None:
    horizon = Horizon()
    horizon.observe(seen(9))
    assert horizon.observe(seen(4)) == 9
    assert horizon.observe(seen(0)) == 9


@dataclass
class Log:
    """A log as PostgreSQL keeps it: a sequence, and transactions that hold what they took from it until they end."""

    last: int = 0
    opened: int = 0
    held: dict[str, list[int]] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)

    def begin(self) -> None:
        self.opened += 1
        self.held[f"writer-{self.opened}"] = []

    def take(self, which: int) -> None:
        if self.held:
            self.last += 1
            list(self.held.values())[which % len(self.held)].append(self.last)

    def end(self, which: int, *, commits: bool) -> None:
        if self.held:
            positions = self.held.pop(list(self.held)[which % len(self.held)])
            if commits:
                self.committed.update(positions)


Step = st.one_of(
    st.just(("begin", 0)),
    st.tuples(st.sampled_from(["take", "commit", "abort"]), st.integers(0, 9)),
    st.just(("look", 0)),  # at the last position; the writers are looked at when the next one begins, or later
)


@given(st.lists(Step, max_size=120))
def test_a_reader_who_stops_at_the_horizon_misses_nothing(steps: list[tuple[str, int]]) -> None:
    log, horizon = Log(), Horizon()
    looked_at: int | None = None
    found: set[int] = set()

    def look_at_writers(position: int) -> None:
        final = horizon.observe(seen(position, *log.held))
        assert all(position > final for held in log.held.values() for position in held)
        found.update(number for number in log.committed if number <= final)

    for kind, which in steps:
        match kind:
            case "begin":
                log.begin()
            case "take":
                log.take(which)
            case "commit" | "abort":
                log.end(which, commits=kind == "commit")
            case _ if looked_at is None:
                looked_at = log.last
            case _:
                look_at_writers(looked_at)
                looked_at = None
    if looked_at is not None:
        look_at_writers(looked_at)
    while log.held:
        log.end(0, commits=True)
    look_at_writers(log.last)
    assert horizon.final == log.last
    assert found == log.committed
