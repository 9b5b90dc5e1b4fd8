"""Merged pages hold what sorting everything would, and are put together out of a few short reads."""

from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.groups.merge import Merge

DEVICES = st.sets(st.integers(0, 400).map(lambda number: f"{number:03}"), max_size=120)


def read(groups, asked, number):
    return [
        (group_id, device_id)
        for group_id, after in asked.items()
        for device_id in [device_id for device_id in sorted(groups[group_id]) if device_id > after][:number]
    ]


def merged(groups, after, limit):
    merge = Merge(groups, after, limit)
    rows = 0
    rounds = 0
    asked, number = merge.wanted()
    while asked:
        found = read(groups, asked, number)
        rows += len(found)
        rounds += 1
        merge.take(asked, number, found)
        asked, number = merge.wanted()
    return merge.page(), rows, rounds


@settings(max_examples=200, deadline=None)
@given(
    groups=st.dictionaries(st.sampled_from("abcdef"), DEVICES),
    after=st.sampled_from(["", "000", "100", "399", "999"]),
    limit=st.integers(1, 60),
)
def test_a_page_is_what_sorting_everything_gives(groups, after, limit):
    everything = sorted(device_id for device_id in set().union(*groups.values()) if device_id > after)
    page, _, _ = merged(groups, after, limit)
    assert page == everything[:limit]


@settings(max_examples=50, deadline=None)
@given(groups=st.dictionaries(st.sampled_from("abcdef"), DEVICES), limit=st.integers(1, 60))
def test_pages_follow_each_other_without_gap_or_repetition(groups, limit):
    pages = []
    page, _, _ = merged(groups, "", limit)
    while page:
        pages += page
        page, _, _ = merged(groups, page[-1], limit)
    assert pages == sorted(set().union(*groups.values()))


def test_one_group_is_read_in_one_round():
    groups = {"a": {f"{number:05}" for number in range(20_000)}}
    page, rows, rounds = merged(groups, "00100", 1000)
    assert (page[0], len(page)) == ("00101", 1000)
    assert rows < 1100
    assert rounds == 1


def test_many_groups_are_read_in_short_pieces():
    groups = {f"g{group}": {f"{number:05}" for number in range(group, 20_000, 256)} for group in range(256)}
    page, rows, rounds = merged(groups, "", 1000)
    assert page == [f"{number:05}" for number in range(1000)]
    assert rows <= 1000 + 256 * 16
    assert rounds == 1


def test_a_large_group_among_empty_ones_takes_the_rest_in_one_piece():
    groups = {f"g{group}": set() for group in range(255)} | {"large": {f"{number:05}" for number in range(20_000)}}
    page, rows, rounds = merged(groups, "", 1000)
    assert page == [f"{number:05}" for number in range(1000)]
    assert rows < 1100
    assert rounds == 2
