from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.db.columns import from_column, from_optional_column, to_column, to_optional_column

SHANGHAI = timezone(timedelta(hours=8))


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_comes_back_as_it_was(moment: datetime) -> None:
    assert from_column(to_column(moment)) == moment
    assert from_column(to_column(moment)).tzinfo is UTC


def test_a_time_of_another_zone_is_converted() -> None:
    local = datetime(2026, 3, 1, 8, 30, tzinfo=SHANGHAI)
    assert from_column(to_column(local)) == datetime(2026, 3, 1, 0, 30, tzinfo=UTC)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(TypeError):
        to_column(datetime(2026, 3, 1, tzinfo=UTC).replace(tzinfo=None))


def test_none_stays_none() -> None:
    assert to_optional_column(None) is None
    assert from_optional_column(None) is None
