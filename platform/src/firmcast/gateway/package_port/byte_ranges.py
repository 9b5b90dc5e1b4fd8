"""A Range header becomes parts of a body of known size: all of it, some of it, or none that exists.

Source: RFC 9110, sections 14.1.2, 14.2 and 15.5.17. What is no valid ranges-specifier is passed over, and so is what
would cost more than the body itself: many ranges, or ranges that together are longer than it.
"""

import re
import sys
from dataclasses import dataclass
from typing import Final

MOST_RANGES: Final = 16
_SPECIFIER: Final = re.compile(r"bytes=(.*)", re.IGNORECASE | re.DOTALL)
_RANGE: Final = re.compile(r"([0-9]*)-([0-9]*)")
_MOST_DIGITS: Final = 18
"""Longer numbers lie behind any body, and are not worth the time to read them."""


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `start` up to, and without, `end`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Bytes."""
        return self.end - self.start


class UnsatisfiableError(Exception):
    """None of the ranges exists in this body."""


def requested_parts(header: str | None, size: int) -> tuple[Part, ...] | None:
    """Return the parts of a body of `size` bytes that a Range header names, as it orders them; None for all of it.

    Raises UnsatisfiableError.
    """
    found = _SPECIFIER.fullmatch(header) if header is not None else None
    if found is None:
        return None
    specs = [spec for each in found[1].split(",") if (spec := each.strip(" \t"))]
    if not specs or len(specs) > MOST_RANGES:
        return None
    parts: list[Part] = []
    for spec in specs:
        read = _RANGE.fullmatch(spec)
        if read is None:
            return None
        first, last = read[1], read[2]
        if not first and not last:
            return None
        if first and last and _order(last) < _order(first):
            return None
        part = _part(first, last, size)
        if part is not None:
            parts.append(part)
    if not parts:
        raise UnsatisfiableError
    return tuple(parts) if sum(part.length for part in parts) <= size else None


def _part(first: str, last: str, size: int) -> Part | None:
    """Return what a range means here; None where no byte of it exists."""
    if not first:
        start, end = max(0, size - _number(last)), size
    else:
        start, end = _number(first), size if not last else min(size, _number(last) + 1)
    return Part(start, end) if start < end else None


def _number(digits: str) -> int:
    length, digits = _order(digits)
    return int(digits or "0") if length <= _MOST_DIGITS else sys.maxsize


def _order(digits: str) -> tuple[int, str]:
    """Return what sorts as the number does, however long it is."""
    significant = digits.lstrip("0")
    return len(significant), significant
