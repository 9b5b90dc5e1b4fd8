"""An exchange is one request of ours and all the blocks it takes; it decides what each response means for the transfer.

Block1 goes by a cursor over the caller's bytes, never a copy of them; Block2 fills one assembler. Sources: RFC 7959
sections 2.3 to 2.6 and 3; the order of the phases (upload, then download) is that of section 3.3.
"""

from collections.abc import Callable
from enum import Enum
from typing import Protocol, TypeAlias

from firmcast.coap.block import (
    LARGEST_SZX,
    Assembler,
    Block,
    BlockError,
    BlockSink,
    BodyTooLargeError,
    decode_block,
    encode_block,
)
from firmcast.coap.codes import ACK, BLOCK1, Code, OptionNumber, is_success
from firmcast.coap.events import FailureReason, Peer
from firmcast.coap.message import LONGEST_TOKEN, Message
from firmcast.coap.options import (
    Options,
    encode_options,
    encode_uint,
    first_value,
    sort_options,
    without,
)
from firmcast.coap.static_bodies import StaticBody
from firmcast.coap.transmission import Outcome, Transmission

BlockPace: TypeAlias = Callable[[int], float]
"""Returns the seconds to wait before so many bytes of a payload are sent; they are sent then."""
_MOST_BLOCKS = 1 << 20
_CONTINUE_HEADS = [bytes((0x60 | length, Code.CONTINUE)) for length in range(LONGEST_TOKEN + 1)]
_BLOCK1_HEADS = [encode_options(((OptionNumber.BLOCK1, bytes(size)),))[: -size or None] for size in range(4)]
_FETCHING = (Code.GET, Code.FETCH)


class Purpose(Enum):
    """What an exchange is for."""

    REQUEST = "request"
    OBSERVE = "observe"
    CANCEL = "cancel"
    """To end an observation."""
    FETCH = "fetch"
    """To fetch the rest of a notification."""


class Step(Enum):
    """What a response means for its exchange."""

    IGNORE = "ignore"
    CONTINUE = "continue"
    COMPLETE = "complete"


class ExchangeOwner(Protocol):
    """Who acts for an exchange when time or the message layer speaks."""

    def exchange_due(self, exchange: "Exchange", now: float) -> None:
        """Go on after a deadline."""

    def exchange_ended(self, exchange: "Exchange", outcome: Outcome, now: float) -> None:
        """Go on after the end of a transmission."""


class _Wording:
    """Options in wire form with one block option left open, so that a block costs one concatenation."""

    __slots__ = ("_headers", "_high", "_low", "_number")

    def __init__(self, options: Options, number: int) -> None:
        low = [pair for pair in options if pair[0] < number]
        last = low[-1][0] if low else 0
        self._low = encode_options(low)
        self._headers = [encode_options(((number, bytes(size)),), last)[: -size or None] for size in range(4)]
        self._high = [pair for pair in options if pair[0] > number]
        self._number = int(number)

    def with_block(self, value: bytes, *more: tuple[int, bytes]) -> bytes:
        """Return all options with the block option at `value`, and `more` options of higher number."""
        wire = self._low + self._headers[len(value)] + value
        if more or self._high:
            wire += encode_options(sort_options([*self._high, *more]), self._number)
        return wire


class Exchange(Transmission):
    """One request to `peer`. `token` names it to the application, `wire_token` is what its messages carry now."""

    __slots__ = (
        "_base",
        "_download_szx",
        "_download_wording",
        "_in_flight",
        "_is_first_cut_short",
        "_owner",
        "_past",
        "_payload",
        "_refused",
        "_restarts_left",
        "_start",
        "_upload_wording",
        "_whole",
        "body_size",
        "download",
        "expected",
        "fetching",
        "first",
        "max_body",
        "method",
        "observing",
        "options",
        "pace",
        "paused",
        "payload",
        "purpose",
        "response_due",
        "sent",
        "sequence",
        "sink",
        "slow",
        "szx",
        "token",
        "total",
        "waiting",
        "wire_token",
    )

    def __init__(
        self,
        peer: Peer,
        owner: ExchangeOwner,
        *,
        token: bytes,
        method: int,
        options: Options,
        payload: bytes | StaticBody = b"",
        confirmable: bool = True,
        szx: int,
        max_body: int,
        restarts: int,
        asks_size: bool = True,
        whole: bool = True,
        sink: BlockSink | None = None,
        pace: BlockPace | None = None,
        slow: bool = False,
        purpose: Purpose = Purpose.REQUEST,
    ) -> None:
        super().__init__(peer, confirmable=confirmable)
        self._owner = owner
        self.token = self.wire_token = token
        self.method = method
        self.options = options
        self.purpose = purpose
        self.szx = szx
        self.max_body = max_body
        self.sink = sink
        self.pace = pace
        self.slow = slow
        """True where the peer may take its time with the first block of the payload, and with the last."""
        self.paused = False
        """True while the next block of the payload waits for its time."""
        self.waiting = False
        """True while a response is to follow its acknowledgement."""
        self.response_due = 0.0
        """When that is given up; 0 before the acknowledgement."""
        self._payload = payload
        self.total = payload.size if isinstance(payload, StaticBody) else len(payload)
        self._whole = whole
        self._restarts_left = restarts
        self._is_first_cut_short = False
        self._refused = self._past = -1
        self.sent = 0
        self._in_flight = 0
        self.expected = b""
        self._upload_wording: _Wording | None = None
        self._download_wording: _Wording | None = None
        wanted = first_value(options, OptionNumber.BLOCK2)
        self._start = 0 if wanted is None else decode_block(wanted).offset
        self._base = _base_options(options, method, szx if asks_size else LARGEST_SZX)
        self._download_szx = szx
        self.download: Assembler | None = None
        self.fetching = False
        self.first: Message | None = None
        self.observing = False
        self.sequence = 0
        self.payload = b""
        self.body_size = 0

    def fire(self, now: float) -> None:
        self._owner.exchange_due(self, now)

    def ended(self, outcome: Outcome, now: float) -> None:
        self._owner.exchange_ended(self, outcome, now)

    # What to send next.

    @property
    def may_be_sent_anew(self) -> bool:
        """Whether the message that is sent now does no harm twice: it only reads, or other blocks follow it."""
        if self.method in _FETCHING:
            return self.fetching or not self.total
        return not self.fetching and self.sent + self._in_flight < self.total

    @property
    def is_slow(self) -> bool:
        """Whether the answer to the message that is sent now may take its time."""
        is_upload = self.slow and not self.fetching
        return is_upload and (not self.sent or self.sent + self._in_flight >= self.total)

    def pause(self) -> float:
        """Return the seconds to wait before the next message is sent; asked once for each."""
        if self.pace is None or self.fetching or not self.total:
            return 0.0
        return self.pace(min(1 << (self.szx + 4), self.total - self.sent))

    def next_datagram(self) -> bytes:
        """Return the message that the transfer needs now, under `message_id` and `wire_token`."""
        token = self.wire_token
        first_byte = (0x40 if self.confirmable else 0x50) | len(token)
        message_id = self.message_id
        head = bytes((first_byte, self.method, message_id >> 8, message_id & 0xFF)) + token
        if self.fetching:
            return head + self._next_download()
        if self.total <= 1 << (self.szx + 4) and not self.sent:
            self._in_flight = self.total
            wire = head + encode_options(self._base)
            return wire + b"\xff" + self._slice(0, self.total) if self.total else wire
        return head + self._next_upload()

    def _next_upload(self) -> bytes:
        wording = self._upload_wording
        if wording is None:
            wording = self._upload_wording = _Wording(self._base, BLOCK1)
        szx = self.szx
        sent = self.sent
        payload = self._slice(sent, 1 << (szx + 4))
        self._in_flight = len(payload)
        value = encode_block(sent >> (szx + 4), sent + len(payload) < self.total, szx)
        # What nearly every server answers to nearly every block, byte for byte: then there is nothing to decode.
        self.expected = (
            _CONTINUE_HEADS[len(self.wire_token)]
            + self.message_id.to_bytes(2, "big")
            + self.wire_token
            + _BLOCK1_HEADS[len(value)]
            + value
        )
        if sent:
            return wording.with_block(value) + b"\xff" + payload
        size1 = (int(OptionNumber.SIZE1), encode_uint(self.total))
        return wording.with_block(value, size1) + b"\xff" + payload

    def _next_download(self) -> bytes:
        wording = self._download_wording
        if wording is None:
            asked = without(self._base, OptionNumber.OBSERVE, OptionNumber.BLOCK2)
            wording = self._download_wording = _Wording(asked, OptionNumber.BLOCK2)
        szx = self._download_szx
        offset = self._start if self.download is None else self.download.received
        return wording.with_block(encode_block(offset >> (szx + 4), False, szx))

    def _slice(self, offset: int, length: int) -> bytes:
        payload = self._payload
        if isinstance(payload, StaticBody):
            return payload.read(offset, length)
        return payload[offset : offset + length]

    # What a response means.

    def accept(self, message: Message) -> Step | FailureReason:
        """Take in a response that belongs to this exchange."""
        try:
            if self.fetching:
                return self._accept_download(message)
            verdict = self._accept_upload(message) if self.total else None
            return self._accept_first(message) if verdict is None else verdict
        except BodyTooLargeError:
            return FailureReason.TOO_LARGE
        except BlockError:
            return FailureReason.BLOCK_FAILED

    def accept_expected(self) -> bool:
        """Take in an answer equal to `expected`; return whether the transfer goes on by it, else it must be decoded."""
        end = self.sent + self._in_flight
        if end >= self.total:
            return False
        self.sent = end
        return True

    def resume(self, notification: Message) -> Step | FailureReason:
        """Take a notification as the first block of the body to fetch."""
        self.sent = self.total
        self.sequence = notification.observe or 0
        try:
            return self._accept_first(notification)
        except BodyTooLargeError:
            return FailureReason.TOO_LARGE
        except BlockError:
            return FailureReason.BLOCK_FAILED

    def _accept_upload(self, message: Message) -> Step | FailureReason | None:
        code = message.code
        block1 = message.block1
        end = self.sent + self._in_flight
        if code == Code.REQUEST_ENTITY_TOO_LARGE:
            if message.type is not ACK and block1 is not None and self._is_heeded(block1):
                return Step.IGNORE
            smaller = self._smaller_blocks(message)
            if smaller is not None:
                return self._restart_upload(smaller)
        if not self.sent and end == self.total and self._upload_wording is None:
            return FailureReason.BLOCK_FAILED if code == Code.CONTINUE else None
        if code == Code.REQUEST_ENTITY_INCOMPLETE and self._restarts_left > 0 and not self._may_be_whole:
            self._restarts_left -= 1
            return self._restart_upload(self._blocks_for_whom_they_are_missing())
        if code == Code.SERVICE_UNAVAILABLE and end < self.total:
            return self._go_past_refusal(end)
        goes_on = code == Code.CONTINUE or (is_success(code) and end < self.total)
        if not goes_on:
            return None
        if block1 is None and code != Code.CONTINUE:
            return FailureReason.BLOCK_FAILED if self.sent else FailureReason.NOT_IN_BLOCKS
        if end >= self.total:
            return FailureReason.BLOCK_FAILED
        if block1 is not None:
            if not self._is_in_flight(block1):
                return _stale(message)
            self.szx = min(self.szx, block1.szx)
        self.sent = end
        return self._checked_size()

    def _is_in_flight(self, block1: Block) -> bool:
        """Tell whether an answer names the block that was sent last, by its offset or, in another size, its number."""
        return block1.offset == self.sent or block1.number == self.sent >> (self.szx + 4)

    def _is_heeded(self, asked: Block) -> bool:
        """Tell whether the blocks are as small as is asked for already: a block from before has reached it late."""
        return asked.szx >= self.szx and not self._is_in_flight(asked)

    def _smaller_blocks(self, refusal: Message) -> int | None:
        """Return the size exponent to try instead of the blocks that were too large; None where it is not for them."""
        block1 = refusal.block1
        if block1 is not None and block1.szx != self.szx:
            szx = block1.szx
        elif self.sent or (refusal.size1 or self.total) < self.total:
            return None
        else:
            # Some clients refuse a datagram that is too large for them and do not say which size they take.
            szx = min(self.szx - 1, (self.total - 1).bit_length() - 5)
        return szx if 0 <= szx < self.szx and self.total > 1 << (szx + 4) else None

    def _blocks_for_whom_they_are_missing(self) -> int:
        """Return the size exponent to begin again with where the server says that it lacks blocks.

        A server whose buffer is too small for a datagram takes what fits of the first block, and lacks the rest when
        the second one comes, every time.
        """
        is_first_cut_short = self.sent == 1 << (self.szx + 4)
        was_before, self._is_first_cut_short = self._is_first_cut_short, is_first_cut_short
        return self.szx - 1 if is_first_cut_short and was_before and self.szx else self.szx

    @property
    def _may_be_whole(self) -> bool:
        """Whether the peer may have all of a payload that it says it lacks a part of: that is for the caller to ask.

        Some answer so to a last block that comes again, and Zephyr where it has found the whole to be wrong. Not so the
        second of two blocks, which is missing where the first one was cut short.
        """
        return self.is_slow and self.sent > 1 << (self.szx + 4)

    def _go_past_refusal(self, end: int) -> Step | None:
        """Go on from a block that the server refuses as if it were busy; None where it is busy indeed.

        Anjay has no other answer to a block, or any request, out of turn while it waits for a certain block: it took
        this one, and its answer was lost. Whether it is so, the next block tells, which no other server takes.
        """
        if not self.attempts and self._refused != self.sent:
            # It was sent once only: the server may be busy, or the network have doubled the block.
            self._refused = self.sent
        elif not self.attempts and self._past == self.sent:
            return None
        else:
            self.sent = self._past = end
        return Step.CONTINUE

    def _restart_upload(self, szx: int) -> Step | FailureReason:
        self.szx = szx
        self.sent = 0
        self._refused = self._past = -1
        return self._checked_size()

    def _checked_size(self) -> Step | FailureReason:
        return Step.CONTINUE if self.total <= _MOST_BLOCKS << (self.szx + 4) else FailureReason.TOO_LARGE

    def _accept_first(self, message: Message) -> Step | FailureReason:
        self.sent = self.total
        self.first = message
        self.observing = message.observe is not None and is_success(message.code)
        if message.block2 is None or not is_success(message.code):
            return self._accept_unblocked(message)
        return self._accept_block(message, message.block2)

    def _accept_unblocked(self, message: Message) -> Step | FailureReason:
        payload = message.payload
        self.body_size = len(payload)
        if len(payload) > self.max_body:
            return FailureReason.TOO_LARGE
        if self.sink is not None and is_success(message.code):
            self.sink(0, payload)
        else:
            self.payload = payload
        return Step.COMPLETE

    def _accept_block(self, message: Message, block: Block) -> Step | FailureReason:
        if self.download is None:
            if self._whole and (message.size2 or 0) > self.max_body:
                return FailureReason.TOO_LARGE
            self.download = Assembler(limit=self._start + self.max_body, sink=self.sink, start=self._start)
        self.download.add(block, message.payload)
        self._download_szx = min(block.szx, self._download_szx)
        self.fetching = True
        if block.more and self._whole:
            return Step.CONTINUE
        self.payload = self.download.body()
        self.body_size = self.download.received
        return Step.COMPLETE

    def _accept_download(self, message: Message) -> Step | FailureReason:
        if not is_success(message.code):
            self.first = message
            self.payload = message.payload
            self.body_size = len(message.payload)
            return Step.COMPLETE
        block = message.block2
        if block is None:
            return _stale(message)
        if self.first is None or self.download is None:
            self.first = message
            return self._accept_block(message, block)
        if message.etag != self.first.etag:
            return self._restart_download()
        if block.offset != self.download.received:
            return _stale(message)
        return self._accept_block(message, block)

    def _restart_download(self) -> Step | FailureReason:
        # The body changed between two blocks. A request with a body of its own is not repeated for that: it may not be
        # idempotent, and the server keeps what it answered if it means to serve it.
        if self.total or self._restarts_left <= 0:
            return FailureReason.BLOCK_FAILED
        self._restarts_left -= 1
        self.first = None
        self.download = None
        return Step.CONTINUE


def _stale(message: Message) -> Step | FailureReason:
    # A piggybacked response is tied to our last message by its message id, so it cannot be an old one.
    return FailureReason.BLOCK_FAILED if message.type is ACK else Step.IGNORE


def _base_options(options: Options, method: int, szx: int) -> Options:
    base = sort_options(without(options, OptionNumber.BLOCK1, OptionNumber.SIZE1))
    if szx < LARGEST_SZX and method in _FETCHING and first_value(base, OptionNumber.BLOCK2) is None:
        return sort_options([*base, (int(OptionNumber.BLOCK2), encode_block(0, False, szx))])
    return base
