"""A Range header means what RFC 9110 says, and nothing that anybody writes there costs more than the body."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firmcast.gateway.package_port.byte_ranges import MOST_RANGES, Part, UnsatisfiableError, requested_parts

SIZE = 10_000


@pytest.mark.parametrize(
    ("header", "parts"),
    [
        (None, None),
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 1000)]),
        ("bytes=-500", [(9500, 10_000)]),
        ("bytes=9500-", [(9500, 10_000)]),
        ("bytes=0-0,-1", [(0, 1), (9999, 10_000)]),
        ("bytes= 0-999, 4500-5499, -1000", [(0, 1000), (4500, 5500), (9000, 10_000)]),
        ("Bytes=0-0", [(0, 1)]),
        ("bytes=,0-0,\t,", [(0, 1)]),
        ("bytes=500-700,601-999", [(500, 701), (601, 1000)]),
        ("bytes=0-99999999999999999999999999", [(0, 10_000)]),
        ("bytes=-99999999999999999999999999", [(0, 10_000)]),
        ("bytes=000-0009", [(0, 10)]),
        ("bytes=0-1,20000-", [(0, 2)]),
        ("bytes=0-9999", [(0, 10_000)]),
        # Not valid, or of another unit: as if it were not there.
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=5-2", None),
        ("bytes=99999999999999999999999999-2", None),
        ("bytes=99999999999999999999999999-99999999999999999999999998", None),
        ("bytes=0-1,5-2", None),
        ("bytes=0 - 1", None),
        ("bytes 0-1", None),
        ("bytes=0-1;2-3", None),
        ("bytes=0-1, bytes=2-3", None),
        ("items=0-1", None),
        ("bytes=+1-2", None),
        ("bytes=\u0661-\u0662", None),
        # More than the body itself.
        ("bytes=0-,0-", None),
        ("bytes=" + ",".join(["0-0"] * (MOST_RANGES + 1)), None),
    ],
)
def test_the_examples_of_the_standard_and_their_neighbours(header: str | None, parts: list | None) -> None:
    found = requested_parts(header, SIZE)
    assert (None if found is None else [(part.start, part.end) for part in found]) == parts


@pytest.mark.parametrize("header", ["bytes=10000-", "bytes=10000-10001", "bytes=-0", "bytes=20000-,-0"])
def test_ranges_that_do_not_exist_are_told_apart_from_those_that_are_not_understood(header: str) -> None:
    with pytest.raises(UnsatisfiableError):
        requested_parts(header, SIZE)


NUMBERS = st.one_of(st.just(""), st.integers(0, 40).map(str), st.text("0123456789", min_size=1, max_size=30))
RANGES = st.tuples(NUMBERS, NUMBERS).map("-".join)
LISTS = st.lists(RANGES, min_size=1, max_size=MOST_RANGES + 2).map(",".join)
WRITTEN = st.one_of(st.text(), LISTS, LISTS.map("bytes=".__add__), LISTS.map("bytes= , ".__add__))


def by_the_book(header: str, size: int) -> list[list[int]] | None:
    """Return the positions that each range of a valid header names, byte by byte; None where it is not valid."""
    if header[:6].lower() != "bytes=":
        return None
    named = []
    for spec in filter(None, (one.strip(" \t") for one in header[6:].split(","))):
        if not re.fullmatch(r"[0-9]+-[0-9]*|-[0-9]+", spec):
            return None
        first, last = spec.split("-")
        if first and last and int(last) < int(first):
            return None
        if first:
            named.append([at for at in range(size) if at >= int(first) and (not last or at <= int(last))])
        else:
            named.append([at for at in range(size) if at >= size - int(last)])
    return named or None


@given(header=WRITTEN, size=st.integers(1, 30))
@example(header="bytes=1-1,-1", size=1)
def test_every_header_is_read_as_the_standard_reads_it(header: str, size: int) -> None:
    named = by_the_book(header, size)
    try:
        parts = requested_parts(header, size)
    except UnsatisfiableError:
        assert named is not None
        assert not any(named)
        return
    if parts is None:
        assert named is None or len(named) > MOST_RANGES or sum(map(len, named)) > size
        return
    assert named is not None
    assert [list(range(part.start, part.end)) for part in parts] == [positions for positions in named if positions]
    assert sum(part.length for part in parts) <= size


def test_a_part_knows_its_length() -> None:
    assert Part(3, 7).length == 4
