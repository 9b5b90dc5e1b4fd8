"""Whether a request still holds for the package as it is: If-Match, If-None-Match and If-Range against a strong tag.

Source: RFC 9110, section 13. Packages have no date of modification, so a date in If-Range never holds.
"""

import re
from enum import Enum, unique
from typing import Final

_TAG: Final = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


@unique
class Precondition(Enum):
    """What the preconditions of a GET or HEAD make of it."""

    HOLDS = "holds"
    UNCHANGED = "unchanged"
    """The client has it already: 304."""
    FAILS = "fails"
    """The client wanted another one: 412."""


def evaluate(if_match: str | None, if_none_match: str | None, entity_tag: str) -> Precondition:
    """Return what becomes of a request for what has `entity_tag`, a strong one in its quotes (section 13.2.2)."""
    if if_match is not None and if_match.strip() != "*" and ("", entity_tag) not in _tags(if_match):
        return Precondition.FAILS
    if if_none_match is not None:
        # Here tags are compared weakly (section 13.1.2).
        listed = {tag for _, tag in _tags(if_none_match)}
        if if_none_match.strip() == "*" or entity_tag in listed:
            return Precondition.UNCHANGED
    return Precondition.HOLDS


def range_holds(if_range: str | None, entity_tag: str) -> bool:
    """Tell whether the Range beside an If-Range header is to be served (section 13.1.5)."""
    return if_range is None or if_range.strip(" \t") == entity_tag


def _tags(header: str) -> set[tuple[str, str]]:
    return set(_TAG.findall(header))
