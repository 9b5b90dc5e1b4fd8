"""A cursor is one position, spelt in one way, and nothing else is taken for one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.errors import InvalidValueError
from firmcast.feed.cursor import parse_cursor, spell_cursor
from firmcast.ids import EventId

POSITIONS = st.integers(0, (1 << 63) - 1).map(EventId)


@given(POSITIONS)
def test_a_cursor_is_read_as_it_was_spelt(position: EventId) -> None:
    cursor = spell_cursor(position)
    assert re.fullmatch(r"[A-Za-z0-9_-]{12}", cursor)
    assert parse_cursor(cursor) == position


def test_cursors_of_earlier_releases_are_good() -> None:
    assert parse_cursor("AQAAAAAAAAAA") == 0
    assert parse_cursor("AQAAAAAAAAAq") == 42


@given(st.text(max_size=20) | st.text("AQq_-=+/", min_size=12, max_size=12) | st.binary(max_size=20).map(str))
def test_what_is_none_is_refused(text: str) -> None:
    try:
        position = parse_cursor(text)
    except InvalidValueError:
        return
    assert spell_cursor(position) == text


@pytest.mark.parametrize("text", ["", "42", "AQAAAAAAAAA=", "AgAAAAAAAAAA", "Af__________", "AQAAAAAAAAAé", "A" * 999])
def test_these_are_none(text: str) -> None:
    with pytest.raises(InvalidValueError, match="after"):
        parse_cursor(text)
