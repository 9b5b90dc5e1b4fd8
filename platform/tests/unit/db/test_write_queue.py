"""Writes that somebody waits for go first, those behind are never left, and in each line the order is kept."""

from collections import defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.db.write_queue import LONGEST_BEHIND, Rank, WriteQueue

TURN = 0.004


@dataclass(frozen=True)
class Write:
    """Comes before the transaction of some number begins."""

    rank: Rank
    number: int
    asked_at: float


def test_what_somebody_waits_for_goes_first() -> None:
    queue: WriteQueue[str] = WriteQueue()
    queue.put("settlement", Rank.BEHIND, 0.0)
    queue.put("report", Rank.PROMPT, 0.01)
    assert queue.first(0.02) == ("report", Rank.PROMPT)
    assert queue.joining() is None
    assert queue.first(0.02) == ("settlement", Rank.BEHIND)
    assert not queue


def test_prompt_writes_join_whatever_has_begun_and_those_behind_nothing() -> None:
    queue: WriteQueue[str] = WriteQueue()
    for write in ("one", "two"):
        queue.put(write, Rank.BEHIND, 0.0)
    assert queue.first(0.0) == ("one", Rank.BEHIND)
    queue.put("report", Rank.PROMPT, 0.0)
    assert queue.joining() == "report"
    assert queue.joining() is None
    assert queue.first(0.0) == ("two", Rank.BEHIND)


def test_one_behind_that_has_waited_long_enough_goes_first_and_not_twice_in_a_row() -> None:
    queue: WriteQueue[str] = WriteQueue()
    queue.put("old", Rank.BEHIND, 0.0)
    queue.put("old too", Rank.BEHIND, 0.0)
    queue.put("report", Rank.PROMPT, 0.0)
    queue.put("report too", Rank.PROMPT, 0.0)
    assert queue.first(LONGEST_BEHIND - 0.001) == ("report", Rank.PROMPT)
    assert queue.first(LONGEST_BEHIND) == ("old", Rank.BEHIND)
    assert queue.first(LONGEST_BEHIND) == ("report too", Rank.PROMPT)
    assert queue.first(LONGEST_BEHIND) == ("old too", Rank.BEHIND)


def test_an_empty_queue_has_no_first() -> None:
    with pytest.raises(IndexError):
        WriteQueue[str]().first(0.0)


def test_what_is_cleared_is_all_that_waits() -> None:
    queue: WriteQueue[str] = WriteQueue()
    queue.put("settlement", Rank.BEHIND, 0.0)
    queue.put("report", Rank.PROMPT, 0.0)
    assert queue.clear() == ["report", "settlement"]
    assert len(queue) == 0


@given(
    arrivals=st.lists(st.lists(st.sampled_from(Rank), max_size=6), max_size=40),
    joins=st.lists(st.integers(min_value=0, max_value=4), min_size=1),
)
def test_order_is_kept_and_nobody_is_left(arrivals: list[list[Rank]], joins: list[int]) -> None:
    """One transaction takes a turn; some writes come before each, and some prompt ones join it."""
    queue: WriteQueue[Write] = WriteQueue()
    done: list[Write] = []
    done_at: dict[Write, float] = {}
    turn = number = 0
    while turn < len(arrivals) or queue:
        now = turn * TURN
        for rank in arrivals[turn] if turn < len(arrivals) else ():
            queue.put(Write(rank, number, now), rank, now)
            number += 1
        group: list[Write] = []
        if queue:
            waited_for = len(queue)
            write, rank = queue.first(now)
            assert write.rank is rank
            group.append(write)
            while len(group) <= joins[turn % len(joins)] and (joining := queue.joining()) is not None:
                assert joining.rank is Rank.PROMPT
                group.append(joining)
            assert len(queue) == waited_for - len(group)
        for write in group:
            done_at[write] = now
        done += group
        turn += 1
    by_rank = defaultdict(list)
    for write in done:
        by_rank[write.rank].append(write.number)
    assert sorted(write.number for write in done) == list(range(number))
    assert all(numbers == sorted(numbers) for numbers in by_rank.values())
    assert_those_behind_have_their_turns(done, done_at)


def assert_those_behind_have_their_turns(done: list[Write], done_at: dict[Write, float]) -> None:
    """From when one behind has waited long enough, it waits for those before it in its line and a turn between each."""
    ready_at = 0.0
    for write in (write for write in done if write.rank is Rank.BEHIND):
        due = max(write.asked_at + LONGEST_BEHIND, ready_at)
        assert done_at[write] <= due + 2 * TURN + 1e-9
        ready_at = done_at[write]
