"""Whoever goes on after the mark misses nothing, in whatever order events were handled."""

from hypothesis import given
from hypothesis import strategies as st

from firmcast.cli.read_mark import ReadMark


def test_it_waits_for_the_first_that_is_not_handled() -> None:
    mark = ReadMark()
    for cursor in "abc":
        mark.read(cursor)
    assert not mark.handled("b")
    assert mark.cursor == ""
    assert mark.handled("a")
    assert mark.cursor == "b"
    assert mark.handled("c")
    assert (mark.cursor, len(mark)) == ("c", 0)


def test_where_nothing_is_it_goes_on_only_when_all_before_is_handled() -> None:
    mark = ReadMark()
    assert mark.reached("now")
    assert not mark.reached("now")
    mark.read("a")
    assert not mark.reached("later")
    mark.handled("a")
    assert mark.reached("later")
    assert mark.cursor == "later"


@given(st.permutations(range(12)), st.integers(0, 12))
def test_all_up_to_the_mark_is_handled_and_the_next_is_not(order: list[int], handled: int) -> None:
    mark = ReadMark()
    for number in range(12):
        mark.read(str(number))
    moves = [mark.handled(str(number)) for number in order[:handled]]
    done = set(order[:handled])
    first_open = next((number for number in range(12) if number not in done), 12)
    assert mark.cursor == (str(first_open - 1) if first_open else "")
    assert len(mark) == 12 - first_open
    assert any(moves) == (first_open > 0)
