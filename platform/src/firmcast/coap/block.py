"""A body travels as numbered blocks, each standing at the offset that its number and size say (RFC 7959).

Pure arithmetic and assembly: nothing here knows messages, peers or time.
"""

from collections.abc import Callable
from dataclasses import dataclass

LARGEST_SZX = 6
SMALLEST_BLOCK = 16
BlockSink = Callable[[int, bytes], None]


class BlockError(ValueError):
    """A Block option or a block does not fit the body it belongs to."""


@dataclass(frozen=True, slots=True)
class Block:
    """The value of a Block1 or Block2 option (RFC 7959 section 2.2).

    `number` is the block's index (0..2**20-1), `more` says that blocks follow, `szx` is the size exponent 0..6.
    """

    number: int
    more: bool
    szx: int

    @property
    def size(self) -> int:
        """The block size in bytes, 16..1024."""
        return 1 << (self.szx + 4)

    @property
    def offset(self) -> int:
        """Where in the body the block begins, in bytes."""
        return self.number << (self.szx + 4)

    def encode(self) -> bytes:
        """Return the option value, at most three bytes; raise BlockError outside the format's range."""
        if not 0 <= self.number < 1 << 20 or not 0 <= self.szx <= LARGEST_SZX:
            raise BlockError(f"block {self.number} with size exponent {self.szx} has no encoding")
        return encode_block(self.number, self.more, self.szx)


def encode_block(number: int, more: bool, szx: int) -> bytes:
    """Return the option value of a block known to be in range; zero is the empty value."""
    value = number << 4 | (8 if more else 0) | szx
    return value.to_bytes((value.bit_length() + 7) >> 3, "big")


def decode_block(value: bytes) -> Block:
    """Return the block of an option value; raise BlockError when it is too long or has the reserved exponent 7."""
    if len(value) > 3:
        raise BlockError("a block option has at most three bytes")
    bits = int.from_bytes(value, "big")
    szx = bits & 7
    if szx > LARGEST_SZX:
        raise BlockError("size exponent 7 is reserved")
    return Block(bits >> 4, bits & 8 != 0, szx)


def block_count(total: int, szx: int) -> int:
    """Return how many blocks of exponent `szx` hold `total` bytes; an empty body is one block."""
    size = 1 << (szx + 4)
    return max(1, (total + size - 1) // size)


class Assembler:
    """A body that grows block by block, in order, up to a limit.

    With a `sink`, each block is handed on as (offset, bytes) and not kept, so a receiver may take bodies larger than
    its memory.
    """

    __slots__ = ("_chunks", "_last", "limit", "received", "sink", "start")

    def __init__(self, *, limit: int, sink: BlockSink | None = None, start: int = 0) -> None:
        self.limit = limit
        self.sink = sink
        self.start = start
        self.received = start
        self._chunks = bytearray()
        self._last = b""

    def add(self, block: Block, payload: bytes) -> None:
        """Append `payload` as `block`; raise BlockError when it leaves a gap, is cut short, or passes the limit."""
        if block.offset != self.received:
            raise BlockError(f"block at {block.offset}, expected {self.received}")
        if block.more and len(payload) != block.size:
            raise BlockError(f"a block of {len(payload)} bytes before the last, {block.size} expected")
        if len(payload) > block.size:
            raise BlockError(f"{len(payload)} bytes in a block of {block.size}")
        if self.received + len(payload) > self.limit:
            raise BodyTooLargeError(f"the body passes {self.limit} bytes")
        if self.sink is None:
            self._chunks += payload
        else:
            self.sink(self.received, payload)
        self.received += len(payload)
        self._last = payload

    def is_repeat(self, block: Block, payload: bytes) -> bool:
        """Tell whether `payload` is the block that was added last, sent once more as a new message."""
        return block.offset + len(payload) == self.received > self.start and payload == self._last

    def body(self) -> bytes:
        """Return what was kept: the whole body, or nothing when a sink took it."""
        return bytes(self._chunks)

    @property
    def held(self) -> int:
        """How many bytes this assembler keeps in memory."""
        return len(self._chunks)


class BodyTooLargeError(BlockError):
    """A body passes the limit that its receiver set."""
