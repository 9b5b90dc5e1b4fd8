"""One HTTP/1.1 connection that posts, one attempt after the other; of its answers httptools makes sense (RFC 9112).

What httptools cannot take ends the connection, and the attempt is made again by libcurl, which takes more. What was
under way at the end of a connection ends by what has come of it: see `Posted`.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Final, cast

import httptools

from firmcast.push.answer import FailureKind
from firmcast.push.sending.posted import Posted

_LARGEST_ANSWER: Final = 128 * 1024
"""Head, body and all that goes with them; of the body alone far less is taken."""

_LARGEST_KNOWN: Final = 2048
"""An answer is remembered up to this."""


_MOST_FIELDS: Final = 1000
_LONGEST_VALUE: Final = 64 * 1024
_BEGINNING: Final = b"HTTP/1."
_VERSIONS: Final = frozenset({"1.0", "1.1"})


class KnownAnswer:
    """The answer that a receiver gave last: most give the same again, and it need not be read again then."""

    __slots__ = ("body", "data", "status")

    def __init__(self) -> None:
        """Know none."""
        self.data: bytes | None = None
        self.status = 0
        self.body = b""


class Http1Connection(asyncio.Protocol):
    """A protocol for the loop's `create_connection`."""

    def __init__(
        self,
        address: str,
        timeout: float,
        known: KnownAnswer,
        on_free: Callable[["Http1Connection"], None],
        on_over: Callable[["Http1Connection"], None],
    ) -> None:
        """Post to a receiver at `address`, for `timeout` seconds each.

        `on_free` is called after each attempt that leaves the connection usable, `on_over` at the connection's end.
        """
        self._loop = asyncio.get_running_loop()
        self._address = address
        self._timeout = timeout
        self._known = known
        self._on_free = on_free
        self._on_over = on_over
        self._transport: asyncio.Transport | None = None
        self._posted: Posted | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._taken = 0  # bytes of the present answer
        self._fields = 0
        self._body = b""
        self._is_whole = False
        self._is_odd = False  # httptools makes sense of it, and libcurl none or another
        self._stays = True  # open, for the next attempt
        self._alarm: asyncio.TimerHandle | None = None
        self._paused = False  # it does not read what we write
        self._unread = select.poll()
        self.is_open = True
        """False from when nothing more may be posted here."""
        self.is_understood = True
        """False when the receiver has said what is no HTTP to us."""
        self.is_silent = False
        """True when the first attempt has found no answer: it may be that the receiver serves one connection only."""
        self.answers = 0
        """How many attempts have been answered."""
        self.last_used = self._loop.time()

    @property
    def in_flight(self) -> int:
        """How many attempts are under way."""
        return int(self._posted is not None)

    def takes(self, _size: int) -> bool:
        """Say whether a body of so many bytes can be posted now.

        Not where something is unread: it would be taken for the attempt's answer, and is none. Over TLS it may be
        nothing, so the connection may be asked again when the loop has read it.
        """
        return self.is_open and self._posted is None and not self._paused and not self._unread.poll(0)

    @property
    def is_full(self) -> bool:
        """Whether no attempt more may be under way."""
        return not self.is_open or self._posted is not None

    async def settled(self) -> None:
        """Return at once: here a client speaks first.

        Raises:
            ConnectionError: the receiver has ended the connection already.
        """
        if not self.is_open:
            raise ConnectionResetError("it ends connections at once")

    def post(self, head: bytes, body: bytes, posted: Posted) -> None:
        """Make an attempt that `takes` has allowed; `head` is all that comes before the body."""
        assert self._transport is not None
        self._posted = posted
        self.last_used = posted.started
        self._transport.write(head + body)
        if self._alarm is None:
            self._alarm = self._loop.call_at(posted.started + self._timeout, self._on_alarm)

    def leave(self) -> None:
        """Post nothing more here, and end the connection when what is under way is answered."""
        self.is_open = False
        if self._posted is None and self._transport is not None:
            self._transport.close()

    def break_off(self) -> list[Posted]:
        """End the connection at once, and return what is under way; nobody else is told of its end."""
        self.is_open = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._transport is not None:
            self._transport.abort()
        posted, self._posted = self._posted, None
        return [] if posted is None else [posted]

    # ------------------------------------------------------------------ what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        socket = transport.get_extra_info("socket")
        if socket is not None:
            self._unread.register(socket.fileno(), select.POLLIN)

    def eof_received(self) -> None:
        self.is_open = False

    def connection_lost(self, _error: Exception | None) -> None:
        now = self._loop.time()
        lost = self.break_off()
        # The parser knows us and the transport may: nothing should wait for the cycle collector.
        del self._parser
        self._transport = None
        self._on_over(self)
        for posted in lost:
            if posted.status:
                self.answers += 1
                posted.answered(now, self._address)
            elif self._taken and self.is_understood:
                posted.failed(now, self._address, FailureKind.CONNECTION_LOST, "the answer ended within its head")
            else:
                posted.unanswered(now)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def data_received(self, data: bytes) -> None:
        posted = self._posted
        if posted is None:
            self._break_soon()  # nobody has asked
            return
        known = self._known
        if data == known.data and not self._taken:
            posted.status = known.status
            if known.body:
                posted.take_body(known.body)
            self._answered(posted)
            return
        begins = not self._taken
        self._taken += len(data)
        if begins and data[: len(_BEGINNING)] != _BEGINNING[: len(data)]:
            self._is_odd = True
        else:
            self._read(data)
        if self._is_odd or self._taken > _LARGEST_ANSWER:
            self.is_open = False
            self.is_understood = posted.status > 0
        if self._is_whole:
            self.is_open = self.is_open and self._stays
            if begins and self.is_open and len(data) <= _LARGEST_KNOWN and posted.status < 300:
                known.data, known.status, known.body = data, posted.status, self._body
            self._answered(posted)
        elif not self.is_open:
            self._break_soon()

    def _read(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._is_odd = True

    def _break_soon(self) -> None:
        """End the connection; what is under way ends with it."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def _answered(self, posted: Posted) -> None:
        self._posted = None
        self._taken = 0
        self._fields = 0
        self._body = b""
        self._is_whole = False
        self.answers += 1
        if self.is_open and not self._holds_back():
            self._on_free(self)
        else:
            self._break_soon()
        posted.answered(self._loop.time(), self._address)

    def _holds_back(self) -> bool:
        """Say whether the receiver has answered what it has not read, and may never read."""
        return self._paused or (self._transport is not None and self._transport.get_write_buffer_size() > 0)

    # ------------------------------------------------------------------ what httptools reads

    def on_message_begin(self) -> None:
        if self._is_whole:
            self._is_odd = True  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        if self._is_whole or self._is_odd:
            return
        name = name.lower()
        if name == b"retry-after" and self._posted is not None:
            self._posted.retry_after = value.decode("latin-1").strip(" \t")
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            self._is_odd = True
        if self._fields > _MOST_FIELDS or len(value) > _LONGEST_VALUE:
            self._is_odd = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 100 or self._parser.get_http_version() not in _VERSIONS:
            self._is_odd = True
        if status >= 200 and self._posted is not None and not self._is_odd:
            self._posted.status = status
            self._stays = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        if self._posted is None or self._is_odd:
            return
        self._body += body
        if not self._posted.take_body(body):
            self._stays = False  # it is as long as it likes: nobody waits for its end
            self._is_whole = True

    def on_message_complete(self) -> None:
        if self._posted is not None and self._posted.status:
            self._is_whole = True

    # ------------------------------------------------------------------ what takes too long

    def _on_alarm(self) -> None:
        """End the attempt at its deadline; one alarm serves those that have begun since it was set."""
        self._alarm = None
        posted = self._posted
        if posted is None:
            return
        now = self._loop.time()
        deadline = posted.started + self._timeout
        if deadline > now:
            self._alarm = self._loop.call_at(deadline, self._on_alarm)
            return
        self._posted = None
        self.is_silent = not self.answers and not posted.status
        self._break_soon()
        if posted.status:
            self.answers += 1
            posted.answered(now, self._address)
        else:
            posted.failed(now, self._address, FailureKind.TIMEOUT, "no answer in time")
