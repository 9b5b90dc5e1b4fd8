"""A list is asked for a page at a time: so many rows, after so many others, in an order that the statement fixes."""

from dataclasses import dataclass
from typing import Final

ALL_ROWS: Final = (1 << 31) - 1
"""The limit of a page that holds everything."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted; without arguments all of it."""

    offset: int = 0
    limit: int = ALL_ROWS
