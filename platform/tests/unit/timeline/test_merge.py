"""Pages of a merged history hold every entry once, in order, however its sources are cut off."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.ids import DeviceUpgradeId
from firmcast.journal.model import Decision, Exchange, ExchangeKind, Transfer
from firmcast.timeline.merge import Part, cut_part, merged
from firmcast.timeline.model import Cursor, Entry

START = datetime(2026, 1, 1, tzinfo=UTC)
EXCHANGE = Exchange(kind=ExchangeKind.READ)
DECISION = Decision(heard="registered", before="waiting", after="inspecting")


def entry(source: int, place: int, seconds: int) -> Entry:
    at = START + timedelta(seconds=seconds)
    return Entry(at=at, what=(EXCHANGE, DECISION)[source], place=place)


def read(sources, *, newest_first: bool, at_once: int, page: int) -> list[list[Entry]]:
    """Read pages as the API does: of each source so many entries from the cursor on."""
    pages, after = [], None
    for _ in range(1000):
        parts = []
        for source in sources:
            ordered = sorted(source, key=lambda each: each.order, reverse=newest_first)
            if after is not None:
                ordered = [
                    each for each in ordered
                    if (each.at <= after.moment if newest_first else each.at >= after.moment)
                ]  # fmt: skip
            parts.append(cut_part(ordered[:at_once], at_once))
        found = merged(parts, newest_first=newest_first, limit=page, after=after)
        pages.append(list(found.entries))
        after = found.next
        if after is None:
            return pages
    raise AssertionError("the pages never end")


moments = st.lists(st.integers(0, 40), max_size=25)


@given(exchanges=moments, decisions=moments, newest_first=st.booleans(), page=st.integers(1, 30))
def test_every_entry_is_told_once_and_in_order(exchanges, decisions, newest_first, page) -> None:
    sources = [
        [entry(source, place, seconds) for place, seconds in enumerate(drawn)]
        for source, drawn in enumerate((exchanges, decisions))
    ]
    # More at once than one moment ever has.
    told = [each for part in read(sources, newest_first=newest_first, at_once=26, page=page) for each in part]
    everything = [each for source in sources for each in source]
    assert told == sorted(everything, key=lambda each: each.order, reverse=newest_first)


@given(
    exchanges=st.lists(st.integers(0, 400), max_size=40, unique=True),
    decisions=st.lists(st.integers(0, 400), max_size=40, unique=True),
    newest_first=st.booleans(),
    at_once=st.integers(2, 6),
    page=st.integers(1, 30),
)
def test_sources_that_are_cut_off_are_read_to_their_ends(exchanges, decisions, newest_first, at_once, page) -> None:
    sources = [
        [entry(source, place, seconds) for place, seconds in enumerate(drawn)]
        for source, drawn in enumerate((exchanges, decisions))
    ]
    told = [each for part in read(sources, newest_first=newest_first, at_once=at_once, page=page) for each in part]
    everything = [each for source in sources for each in source]
    assert told == sorted(everything, key=lambda each: each.order, reverse=newest_first)


def test_more_of_one_moment_than_a_source_gives_at_once_does_not_stop_the_pages() -> None:
    crowd = [entry(0, place, 5) for place in range(10)]
    told = read([[*crowd, entry(0, 0, 1)], []], newest_first=True, at_once=3, page=100)
    assert told[-1][-1] == entry(0, 0, 1)


def test_at_one_moment_causes_come_first() -> None:
    parts = [Part(entries=[entry(1, 0, 1)]), Part(entries=[entry(0, 0, 1)])]
    assert [each.what for each in merged(parts, newest_first=False, limit=9).entries] == [EXCHANGE, DECISION]
    assert [each.what for each in merged(parts, newest_first=True, limit=9).entries] == [DECISION, EXCHANGE]


@pytest.mark.parametrize("newest_first", [False, True])
def test_of_a_transfer_the_latest_line_stands(newest_first) -> None:
    def way(blocks: int, at: int, began: int = 0, upgrade: str = "u") -> Entry:
        what = Transfer(
            way="uri",
            began_at=START + timedelta(seconds=began),
            last_at=START + timedelta(seconds=at),
            blocks=blocks,
            reached=blocks * 1024,
            total=9999,
        )
        return Entry(at=what.last_at, what=what, device_upgrade_id=DeviceUpgradeId(upgrade))

    entries = [way(1, 1), way(5, 60), way(9, 70), way(2, 100, began=90), way(3, 30, upgrade="v")]
    if newest_first:
        entries.reverse()
    found = merged([Part(entries=entries)], newest_first=newest_first, limit=9)
    assert {each.what.blocks for each in found.entries if isinstance(each.what, Transfer)} == {9, 2, 3}


def test_nothing_has_one_empty_page() -> None:
    found = merged([Part(entries=[])], newest_first=True, limit=9, after=Cursor(moment=START))
    assert (found.entries, found.next) == ((), None)
