"""How values that SQL does not know are stored: a time is a whole number of microseconds since 1970, UTC."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_column(moment: datetime) -> int:
    """Return the stored form of an aware time.

    Raises:
        TypeError: the time is naive.
    """
    return (moment - _EPOCH) // _MICROSECOND


def from_column(stored: int) -> datetime:
    """Return the aware UTC time of a stored one."""
    return _EPOCH + timedelta(microseconds=stored)


def to_optional_column(moment: datetime | None) -> int | None:
    """Return the stored form, None for none."""
    return None if moment is None else to_column(moment)


def from_optional_column(stored: int | None) -> datetime | None:
    """Return the aware UTC time of a stored one, None for none."""
    return None if stored is None else from_column(stored)


def rows_as_json(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as one text, `[[column, …], …]`: a statement takes a whole batch as one value."""
    return msgspec.json.encode(list(rows)).decode()
