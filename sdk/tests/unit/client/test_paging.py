"""A list that changes while it is read: nothing twice in a row, an end in any case."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast_sdk import UnexpectedAnswerError
from firmcast_sdk.client.call import Call, Page, Paging, Repeat, Request
from firmcast_sdk.client.paging import PageWalk


def paging(page_size=2):
    def call(page_no):
        request = Request(method="GET", path="/list", query=str(page_no))
        return Call(request=request, parse=lambda _: None, repeat=Repeat.ALWAYS)

    return Paging(page_size=page_size, call=call, identify=lambda item: item)


def page(*items, total, page_size=2):
    return Page(items=items, total=total, page_size=page_size)


def read(walk, give):
    """All items, from a function of the page number."""
    found = []
    while (call := walk.next_call()) is not None:
        found += walk.take(give(int(call.request.query))).items
    return found


def test_an_empty_list():
    walk = PageWalk(paging())
    assert walk.total is None
    assert read(walk, lambda _: page(total=0)) == []
    assert walk.total == 0


def test_pages_follow_up_to_the_total():
    items = ["a", "b", "c", "d", "e"]
    walk = PageWalk(paging())
    assert read(walk, lambda no: page(*items[no * 2 : no * 2 + 2], total=5)) == items
    assert walk.total == 5


def test_a_platform_that_gives_smaller_pages_than_asked_for_is_read_to_the_end():
    items = [str(number) for number in range(7)]
    walk = PageWalk(paging(page_size=100))
    assert read(walk, lambda no: page(*items[no * 3 : no * 3 + 3], total=7, page_size=3)) == items


def test_items_that_vanish_meanwhile_end_the_walk():
    walk = PageWalk(paging())
    pages = [page("a", "b", total=6), page("e", "f", total=4), page(total=4)]
    assert read(walk, lambda no: pages[no]) == ["a", "b", "e", "f"]
    assert walk.total == 6


def test_a_total_that_lies_ends_at_the_empty_page():
    assert read(PageWalk(paging()), lambda no: page("a", total=10**9) if no == 0 else page(total=10**9)) == ["a"]


def test_items_that_were_pushed_onto_the_next_page_are_not_given_twice():
    pages = [page("d", "c", total=4), page("c", "b", total=5), page("a", total=5)]
    assert read(PageWalk(paging()), lambda no: pages[no]) == ["d", "c", "b", "a"]


def test_a_list_that_repeats_itself_is_an_error():
    walk = PageWalk(paging())
    with pytest.raises(UnexpectedAnswerError):
        read(walk, lambda _: page("a", "b", total=10**12))


@settings(max_examples=200)
@given(
    start=st.integers(0, 30),
    changes=st.lists(st.integers(-5, 5), max_size=30),
    page_size=st.integers(1, 7),
    answered=st.integers(0, 7),
)
def test_a_changing_list_is_read_in_a_bounded_number_of_pages(start, changes, page_size, answered):
    """The newest stands first, as in the platform's lists; each page read, some come and some go."""
    size = answered or page_size
    items = list(range(start))
    coming = iter(changes)
    reads = 0

    def give(number):
        nonlocal reads, items
        reads += 1
        given_items = tuple(str(item) for item in items[number * size : (number + 1) * size])
        answer = Page(items=given_items, total=len(items), page_size=answered)
        change = next(coming, 0)
        newest = max(items, default=0)
        items = [newest + step for step in range(change, 0, -1)] + items if change > 0 else items[: len(items) + change]
        return answer

    walk = PageWalk(paging(page_size))
    try:
        read(walk, give)
    except UnexpectedAnswerError:
        pytest.fail("a list that only grows by a few is taken for a broken one")
    assert reads <= start + 5 * len(changes) + 1
    assert walk.total == start
