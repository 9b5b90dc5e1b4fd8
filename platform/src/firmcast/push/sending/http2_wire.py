"""HTTP/2 as a client needs it that only posts: frames out, and of what comes back the frames and a status (RFC 9113).

Nothing is kept between header blocks (RFC 7541): ours never use the dynamic table, and the other side is forbidden to
by our settings. So a block means the same each time, and what a receiver answers again and again is decoded once.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import hpack

from firmcast.push.sending.header_lines import WireError, check_name, plain_fields

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, ACKNOWLEDGEMENT, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32
CANCEL, REFUSED_STREAM = 8, 7

LARGEST_FRAME: Final = 16_384
"""The payload of a frame on a connection whose ends have agreed on nothing else, as ours have not."""

LARGEST_WINDOW: Final = (1 << 31) - 1
USUAL_WINDOW: Final = 65_535
STREAM_WINDOW: Final = 16_384
"""How much of one answer is taken at the most: twice what is read of it."""

FRAME_HEAD: Final = struct.Struct(">IBI")
"""Length and kind in one number, flags, stream."""

_ENABLE_PUSH, _MAX_STREAMS, _INITIAL_WINDOW, _HEADER_TABLE_SIZE = 2, 3, 4, 1
_LARGEST_HEADERS: Final = 16_384


class AnswerHead(NamedTuple):
    """What an answer's header block tells us."""

    status: int
    retry_after: str | None


class PeerSettings(NamedTuple):
    """What the other side has set; None for what it has left as it was."""

    most_streams: int | None
    stream_window: int | None


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame."""
    return FRAME_HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


def opening() -> bytes:
    """Return what a client says first: no pushes, no dynamic table, small answers, and no end to all of them."""
    settings = struct.pack(">HIHIHI", _HEADER_TABLE_SIZE, 0, _ENABLE_PUSH, 0, _INITIAL_WINDOW, STREAM_WINDOW)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    return preface + frame(SETTINGS, 0, 0, settings) + window_update(LARGEST_WINDOW - USUAL_WINDOW)


def window_update(increment: int) -> bytes:
    """Return leave to send so many bytes more on the connection."""
    return frame(WINDOW_UPDATE, 0, 0, increment.to_bytes(4, "big"))


def read_settings(payload: bytes) -> PeerSettings:
    """Read a SETTINGS frame.

    Raises:
        WireError: it is none.
    """
    if len(payload) % 6:
        raise WireError("SETTINGS of a wrong length")
    found = dict(struct.iter_unpack(">HI", payload))
    window = found.get(_INITIAL_WINDOW)
    if window is not None and window > LARGEST_WINDOW:
        raise WireError("a window that is too large")
    return PeerSettings(found.get(_MAX_STREAMS), window)


def content(kind: int, flags: int, payload: bytes) -> bytes:
    """Return what a DATA or HEADERS frame carries, without padding and priority.

    Raises:
        WireError: there is more padding than frame.
    """
    start, end = 0, len(payload)
    if flags & PADDED:
        if not payload:
            raise WireError("no length of the padding")
        start, end = 1, end - payload[0]
    if kind == HEADERS and flags & PRIORITY:
        start += 5
    if start > end:
        raise WireError("more padding than frame")
    return payload[start:end]


# ---------------------------------------------------------------------- header blocks


def integer(value: int, prefix_bits: int, first: int = 0) -> bytes:
    """Return a number as RFC 7541, section 5.1, spells it, behind the bits `first` of its first byte."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes((first | value,))
    spelt = bytearray((first | most,))
    value -= most
    while value >= 128:
        spelt.append(value & 127 | 128)
        value >>= 7
    spelt.append(value)
    return bytes(spelt)


def _text(text: bytes) -> bytes:
    return integer(len(text), 7) + text


def post_block(authority: str, path: str) -> bytes:
    """Return the part of a request's header block that is the same for each to one URL over TLS."""
    return b"".join(
        (
            b"\x83\x87",  # :method: POST, :scheme: https
            b"\x04" + _text(path.encode()),
            b"\x01" + _text(authority.encode()),
            b"\x0f\x04" + _text(b"*/*"),  # accept, number 19 of the static table
        )
    )


def name_block(name: str) -> str:
    """Return the name of a field that is in no table, as it begins a literal that goes into none, read as Latin-1.

    Raises:
        WireError: it is none, or the connection's to say.
    """
    check_name(name)
    return (b"\0" + _text(name.lower().encode())).decode("latin-1")


_SIZES: Final = tuple(integer(size, 7).decode("latin-1") for size in range(1024))


def lines_block(lines: Sequence[str]) -> bytes:
    """Return the header block of lines of `name: value`; `expect:` takes out what we do not say anyway.

    Raises:
        WireError: a line is no such, or more than it seems, or says what is the connection's to say.
    """
    fields = list(plain_fields(lines))
    return fields_block([name_block(name) for name, _ in fields], [value for _, value in fields])


def fields_block(names: Sequence[str], values: Sequence[str]) -> bytes:
    """Return the header block of fields whose names are spelt as `name_block` does it."""
    parts: list[str] = []
    for name, value in zip(names, values, strict=True):
        size = len(value)
        parts += (name, _SIZES[size] if size < 1024 else integer(size, 7).decode("latin-1"), value)
    return "".join(parts).encode("latin-1")


CONTENT_LENGTH: Final = "\x0f\x0d"
"""The name of number 28 of the static table, as `name_block` would spell it."""


@lru_cache(maxsize=256)
def answer_head(block: bytes) -> AnswerHead:
    """Read the header block of an answer.

    Raises:
        WireError: it is none, or goes by a dynamic table.
    """
    decoder = hpack.Decoder(max_header_list_size=_LARGEST_HEADERS)
    decoder.header_table_size = decoder.max_allowed_table_size = 0
    try:
        fields = decoder.decode(block, raw=True)
    except (hpack.HPACKError, UnicodeError) as error:
        raise WireError(str(error)) from error
    status, retry_after = 0, None
    for name, value in fields:
        if name == b":status" and len(value) == 3 and value.isdigit():
            status = int(value)
        elif name == b"retry-after":
            retry_after = value.decode("latin-1")
    return AnswerHead(status, retry_after)
