"""A time of the management API has its offset, and is read as UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.errors import InvalidValueError
from firmcast.rest.times import requested_time

OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=OFFSETS).filter(lambda moment: 1970 < moment.year < 2200))
def test_what_is_written_with_an_offset_is_read(moment):
    read = requested_time(moment.isoformat(), "from")
    assert read == moment
    assert read is not None
    assert read.tzinfo is UTC


def test_a_plus_sign_that_became_a_blank_is_read():
    assert requested_time("2026-01-01T02:00:00 02:00", "from") == datetime(2026, 1, 1, tzinfo=UTC)


def test_nothing_is_no_time():
    assert requested_time("", "from") is None


@given(st.text(min_size=1, max_size=50))
def test_anything_else_is_refused(text):
    with pytest.raises(InvalidValueError):
        requested_time(text, "from")


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01T00:00:00", "20260101", "12:00", "2026-01-01 00:00:00Z"])
def test_a_time_without_its_instant_is_refused(text):
    with pytest.raises(InvalidValueError):
        requested_time(text, "from")
