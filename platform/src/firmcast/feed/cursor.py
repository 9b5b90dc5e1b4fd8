"""A cursor is a position of the log as an application is told it: opaque, and good for as long as the log is kept.

It is of the characters A-Z a-z 0-9 - _ only, so it stands in a query, in a header and in a file as it is.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from firmcast.errors import InvalidValueError
from firmcast.ids import EventId

_VERSION: Final = b"\x01"
_POSITION_BYTES: Final = 8
_LENGTH: Final = 12  # of nine bytes in base64, without padding
_LARGEST: Final = (1 << 63) - 1


def spell_cursor(position: EventId) -> str:
    """Return the cursor of a position."""
    return urlsafe_b64encode(_VERSION + position.to_bytes(_POSITION_BYTES)).decode()


def parse_cursor(cursor: str) -> EventId:
    """Return the position of a cursor.

    Raises:
        InvalidValueError: it is none.
    """
    try:
        decoded = urlsafe_b64decode(cursor) if len(cursor) == _LENGTH else b""
    except (binascii.Error, ValueError):
        decoded = b""
    position = int.from_bytes(decoded[1:])
    # The same position is always spelt the same, whatever else base64 would let pass.
    if decoded[:1] != _VERSION or position > _LARGEST or spell_cursor(EventId(position)) != cursor:
        raise InvalidValueError("after", "is no cursor")
    return EventId(position)
