"""Bytes over 0x7F of a request line are percent-encoded, and no others, in whatever pieces the line comes.

Clients write them unencoded into a query string (contract page, trap 7), and a parser takes that for a broken request.
"""

import re
from typing import Final

_OVER_ASCII: Final = re.compile(rb"[\x80-\xff]")


class RequestLine:
    """Mends the request line of one request after another."""

    __slots__ = ("_has_begun", "is_open")

    def __init__(self) -> None:
        self.is_open = True
        """Whether the next byte belongs to a request line, or comes before one."""
        self._has_begun = False

    def begin_anew(self) -> None:
        """Expect another request."""
        self.is_open = True
        self._has_begun = False

    def mended(self, data: bytes) -> bytes:
        """Return a piece of what was received, while the line is open, with what is of the line percent-encoded.

        Empty lines before a request line are no part of it (RFC 9112 section 2.2).
        """
        begins_at = 0 if self._has_begun else len(data) - len(data.lstrip(b"\r\n"))
        line, feed, rest = data[begins_at:].partition(b"\n")
        self._has_begun = self._has_begun or bool(line)
        self.is_open = not feed
        if line.isascii():
            return data
        return data[:begins_at] + _OVER_ASCII.sub(lambda found: b"%%%02X" % found[0][0], line) + feed + rest
