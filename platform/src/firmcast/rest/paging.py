"""Pages are numbered from 0; a number or size out of its range is refused, never trimmed. Contract page, section 1."""

from dataclasses import dataclass

from firmcast.rest.errors import ApiError
from firmcast_sdk.wire.errors import ErrorCode

_LARGEST_NUMBER = (1 << 31) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedPage:
    """The page that a caller wants."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        """Rows before the page."""
        return self.number * self.size


def requested_page(
    number: int | None, size: int | None, *, default_size: int, largest_size: int, beyond: ErrorCode
) -> RequestedPage:
    """Return the page that a caller asked for; number 0 and `default_size` where it is silent.

    Raises:
        ApiError: `beyond` when the number is negative, or the size not from 1 to `largest_size`.
    """
    page = RequestedPage(number=number or 0, size=default_size if size is None else size)
    if not 0 <= page.number <= _LARGEST_NUMBER:
        raise ApiError(beyond, f"pageNo must be from 0 to {_LARGEST_NUMBER}")
    if not 1 <= page.size <= largest_size:
        raise ApiError(beyond, f"pageSize must be from 1 to {largest_size}")
    return page
