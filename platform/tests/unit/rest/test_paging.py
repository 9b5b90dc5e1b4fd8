"""Page numbers and sizes are kept within their range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.rest.errors import ApiError
from firmcast.rest.paging import requested_page
from firmcast_sdk.wire.errors import PAGE_BEYOND_LIMIT


@given(number=st.none() | st.integers(), size=st.none() | st.integers())
def test_a_page_is_within_its_range_or_refused(number, size):
    def ask():
        return requested_page(number, size, default_size=10, largest_size=100, beyond=PAGE_BEYOND_LIMIT)

    if 0 <= (number or 0) < 2**31 and 1 <= (10 if size is None else size) <= 100:
        page = ask()
        assert page.offset == page.number * page.size
        assert page.offset < 2**63
    else:
        with pytest.raises(ApiError) as caught:
            ask()
        assert caught.value.error is PAGE_BEYOND_LIMIT


def test_the_first_page_is_the_default():
    page = requested_page(None, None, default_size=7, largest_size=100, beyond=PAGE_BEYOND_LIMIT)
    assert (page.number, page.size, page.offset) == (0, 7, 0)


@pytest.mark.parametrize(("number", "size", "offset"), [(0, 5, 0), (3, 5, 15)])
def test_pages_are_numbered_from_zero(number, size, offset):
    assert requested_page(number, size, default_size=1, largest_size=9, beyond=PAGE_BEYOND_LIMIT).offset == offset
