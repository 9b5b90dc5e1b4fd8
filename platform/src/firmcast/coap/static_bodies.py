"""A body that never changes is answered from packets built once and shared by every peer that asks for the same block.

A reply to a GET of a block is the request's message id and token between a fixed head and a tail (options, marker,
payload) that depends on the body and the block alone. Tails are kept up to a bound, so a body may be larger than
memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from firmcast.coap.block import Block, encode_block
from firmcast.coap.codes import Code, OptionNumber
from firmcast.coap.events import Peer
from firmcast.coap.message import LONGEST_TOKEN
from firmcast.coap.options import Options, encode_options, encode_uint

Tail: TypeAlias = tuple[bytes, int, int]
"""The end of a reply, and the offset and length of the bytes of the body in it."""
_CACHED_TAILS = 16_384

STATIC_HEADS: dict[bytes, tuple[bytes, int]] = {
    bytes((0x40 | token_length, Code.GET)): (bytes((0x60 | token_length, Code.CONTENT)), 4 + token_length)
    for token_length in range(LONGEST_TOKEN + 1)
}
"""First two bytes of a confirmable GET -> first two bytes of its piggybacked 2.05, and where the request's options
begin."""


class StaticBody:
    """Unchanging bytes of `size`, read as `source(offset, length)`, which must return exactly what was asked for.

    `etag` (1..8 bytes) stands in every block, `content_format` too when given; at most `cached_tails` packets are
    kept, of about 1 KiB each for the largest blocks.
    """

    __slots__ = ("_cached", "_cached_tails", "_source", "content_format", "etag", "size", "tails_after")

    def __init__(
        self,
        source: bytes | Callable[[int, int], bytes],
        *,
        etag: bytes,
        size: int | None = None,
        content_format: int | None = None,
        cached_tails: int = _CACHED_TAILS,
    ) -> None:
        if isinstance(source, bytes):
            size = len(source)
        if size is None:
            raise ValueError("a body that is read through a callable needs its size")
        if not 1 <= len(etag) <= 8:
            raise ValueError("an entity tag has 1 to 8 bytes")
        self.size = size
        self.etag = etag
        self.content_format = content_format
        self.tails_after: dict[int, dict[bytes, Tail]] = {}
        self._source = source
        self._cached = 0
        self._cached_tails = cached_tails

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the body's end; raise OSError when the source is short."""
        wanted = max(0, min(length, self.size - offset))
        if isinstance(self._source, bytes):
            return self._source[offset : offset + wanted]
        if not wanted:
            return b""
        found = self._source(offset, wanted)
        if len(found) != wanted:
            raise OSError(f"{len(found)} bytes at {offset} of a static body, {wanted} expected")
        return found

    def build_tail(self, block: Block, *, blockwise: bool) -> Tail:
        """Return the tail that serves `block`, without a Block2 option where one block is all and none was asked."""
        payload = self.read(block.offset, block.size)
        more = block.offset + len(payload) < self.size
        pairs: list[tuple[int, bytes]] = [(int(OptionNumber.ETAG), self.etag)]
        if self.content_format is not None:
            pairs.append((int(OptionNumber.CONTENT_FORMAT), encode_uint(self.content_format)))
        if blockwise or more:
            pairs.append((int(OptionNumber.BLOCK2), encode_block(block.number, more, block.szx)))
            if block.number == 0:
                pairs.append((int(OptionNumber.SIZE2), encode_uint(self.size)))
        tail = encode_options(pairs)
        if payload:
            tail += b"\xff" + payload
        return tail, block.offset, len(payload)

    def keep(self, after: int, rest: bytes, tail: Tail) -> None:
        """Keep a tail for requests that end in the option bytes `rest`, counted from option number `after`.

        The tail kept longest leaves when the bound is reached: devices walk through a body from its start, so the
        oldest is the one wanted least.
        """
        if self._cached_tails < 1:
            return
        tails = self.tails_after.setdefault(after, {})
        if rest not in tails:
            if self._cached >= self._cached_tails:
                self._drop_oldest()
            self._cached += 1
        tails[rest] = tail

    def _drop_oldest(self) -> None:
        largest = max(self.tails_after.values(), key=len)
        del largest[next(iter(largest))]
        self._cached -= 1


class StaticRequest(Protocol):
    """What a static route may look at: the same for all the blocks that a peer asks for in the same words."""

    @property
    def uri_path(self) -> tuple[str, ...]:
        """The path's segments."""

    @property
    def uri_query(self) -> tuple[str, ...]:
        """The query's arguments."""

    @property
    def accept(self) -> int | None:
        """The format that the client asks for."""

    @property
    def options(self) -> Options:
        """All options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberedRequest:
    """A StaticRequest whose fields have been read from the message once."""

    uri_path: tuple[str, ...]
    uri_query: tuple[str, ...]
    accept: int | None
    options: Options


StaticHandler: TypeAlias = Callable[[StaticRequest, Peer], StaticBody | None]
BlockServed: TypeAlias = Callable[[Peer, tuple[str, ...], int, int, int], None]


class Memo:
    """How a peer words its static requests: the option bytes that stay the same, and the tails that answer the rest."""

    __slots__ = ("body", "last_number", "length", "prefix", "request", "tails")

    def __init__(self, request: StaticRequest, prefix: bytes, last_number: int) -> None:
        self.request = request
        self.prefix = prefix
        self.length = len(prefix)
        self.last_number = last_number
        self.body: StaticBody | None = None
        self.tails: dict[bytes, Tail] = {}

    def bind(self, body: StaticBody) -> None:
        """Look at the tails of another body from now on; none match when the peer does not accept its format."""
        self.body = body
        acceptable = self.request.accept is None or self.request.accept == body.content_format
        self.tails = body.tails_after.setdefault(self.last_number, {}) if acceptable else {}


_MEMORABLE = frozenset(
    {OptionNumber.URI_HOST, OptionNumber.URI_PORT, OptionNumber.URI_PATH, OptionNumber.URI_QUERY, OptionNumber.ACCEPT}
)


def memo_of(request: StaticRequest) -> Memo | None:
    """Return how `request` is worded, or None when its answer depends on more than path, query and block."""
    before = tuple(pair for pair in request.options if pair[0] < OptionNumber.BLOCK2)
    if not before or any(number not in _MEMORABLE for number, _ in before):
        return None
    remembered = RememberedRequest(
        uri_path=request.uri_path, uri_query=request.uri_query, accept=request.accept, options=request.options
    )
    return Memo(remembered, encode_options(before), before[-1][0])
