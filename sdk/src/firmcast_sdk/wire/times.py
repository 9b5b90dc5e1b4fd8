"""The contract writes every time as yyyyMMdd'T'HHmmss'Z', always UTC; no other module spells that format.

What we add to the contract writes RFC 3339 instead, UTC as well.
"""

import re
from datetime import UTC, datetime

_FORM = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)


def format_time(moment: datetime) -> str:
    """`moment` as the contract writes it, for example 20151212T121212Z; fractions of a second are cut off.

    Raises ValueError for a datetime without a time zone: its instant is unknown.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone has no instant")
    utc = moment.astimezone(UTC)
    return f"{utc.year:04}{utc.month:02}{utc.day:02}T{utc.hour:02}{utc.minute:02}{utc.second:02}Z"


def format_moment(moment: datetime) -> str:
    """`moment` as RFC 3339 to the millisecond, for example 2015-12-12T12:12:12.345Z; what is finer is cut off."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat("T", "milliseconds")[: -len("+00:00")] + "Z"


def parse_time(text: str) -> datetime:
    """The aware UTC datetime that `text` names; raises ValueError for any other form."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError("not a time of the form yyyyMMdd'T'HHmmss'Z'")
    year, month, day, hour, minute, second = (int(part) for part in match.groups())
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
