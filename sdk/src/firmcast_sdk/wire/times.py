"""The contract writes every time as yyyyMMdd'T'HHmmss'Z', always UTC; no other module spells that format.

What we add to the contract writes RFC 3339 instead, UTC as well.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    since = moment - _EPOCH
    return f"{_second(since.days, since.seconds)}.{since.microseconds // 1000:03}Z"


@lru_cache(maxsize=1024)
def _second(days: int, seconds: int) -> str:
    """The second that begins so long after the epoch, without its zone; what is told at a time is of few of them."""
    return (_EPOCH + timedelta(days=days, seconds=seconds)).isoformat("T", "seconds")[: -len("+00:00")]


def parse_time(text: str) -> datetime:
    """The aware UTC datetime that `text` names; raises ValueError for any other form."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError("not a time of the form yyyyMMdd'T'HHmmss'Z'")
    year, month, day, hour, minute, second = (int(part) for part in match.groups())
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
