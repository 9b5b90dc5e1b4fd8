"""One HTTP/2 connection that posts: what is sent in one turn of the loop leaves in one write, and so in one TLS record.

It knows what answering a POST takes and no more; of anything else that a receiver may say it makes an end of the
connection. What was under way there ends by what has come of it: see `Posted`.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, cast

from firmcast.push.answer import FailureKind
from firmcast.push.sending.header_lines import WireError
from firmcast.push.sending.http2_wire import (
    ACKNOWLEDGEMENT,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD,
    GOAWAY,
    HEADERS,
    LARGEST_FRAME,
    LARGEST_WINDOW,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    USUAL_WINDOW,
    WINDOW_UPDATE,
    answer_head,
    content,
    frame,
    opening,
    read_settings,
    window_update,
)
from firmcast.push.sending.posted import Posted

_MOST_POSTED: Final = 1000
"""On one connection, however many the receiver allows."""

_LAST_STREAM: Final = (1 << 31) - 1
_WINDOW_STEP: Final = 1 << 24
_MOST_UNASKED: Final = 1000
"""Frames that want an answer of ours, between two answers to us: beyond it the receiver only keeps us busy."""


class Http2Connection(asyncio.Protocol):
    """A protocol for the loop's `create_connection`, over TLS that has agreed on h2."""

    def __init__(self, address: str, timeout: float, on_over: Callable[["Http2Connection"], None]) -> None:
        """Post to a receiver at `address`, for `timeout` seconds each; `on_over` is called at the connection's end."""
        self._loop = asyncio.get_running_loop()
        self._address = address
        self._timeout = timeout
        self._on_over = on_over
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._posted: dict[int, Posted] = {}  # by stream, the oldest first
        self._next = 1
        self._most_posted = _MOST_POSTED
        self._window = USUAL_WINDOW  # what may still be sent on the connection, and of one body
        self._stream_window = USUAL_WINDOW
        self._taken = 0  # of our own window
        self._unasked = 0
        self._out: list[bytes] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._heard = asyncio.Event()
        self._heard_at = self._loop.time()
        self._paused = False  # it does not read what we write
        self.is_open = True
        """False from when nothing more may be posted here."""
        self.is_understood = True
        """False when the receiver has said what is no HTTP/2 to us."""
        self.answers = 0
        """How many attempts have been answered."""
        self.last_used = self._loop.time()

    @property
    def in_flight(self) -> int:
        """How many attempts are under way."""
        return len(self._posted)

    def takes(self, size: int) -> bool:
        """Say whether a body of so many bytes can be posted now."""
        return (
            self.is_open
            and not self._paused
            and len(self._posted) < self._most_posted
            and size <= self._window
            and size <= self._stream_window
            and size <= LARGEST_FRAME
        )

    @property
    def is_full(self) -> bool:
        """Whether no attempt more may be under way."""
        return not self.is_open or len(self._posted) >= self._most_posted

    async def settled(self) -> None:
        """Wait until the receiver has said what it allows; nothing may be posted before.

        Raises:
            ConnectionError: it has ended the connection instead.
        """
        await self._heard.wait()
        if not self.is_open:
            raise ConnectionResetError("it ends connections at once" if self.is_understood else "it speaks no HTTP/2")

    def post(self, head: bytes, body: bytes, posted: Posted) -> None:
        """Make an attempt that `takes` has allowed on a settled connection; `head` is its header block."""
        stream = self._next
        self._next += 2
        if self._next >= _LAST_STREAM:
            self.is_open = False
        self.last_used = posted.started
        self._posted[stream] = posted
        self._window -= len(body)
        if not self._out:
            self._loop.call_soon(self._flush)
        pack = FRAME_HEAD.pack
        self._out += (
            pack(len(head) << 8 | HEADERS, END_HEADERS, stream),
            head,
            pack(len(body) << 8 | DATA, END_STREAM, stream),
            body,
        )
        if self._alarm is None:
            self._alarm = self._loop.call_at(posted.started + self._timeout, self._on_alarm)

    def leave(self) -> None:
        """Post nothing more here, and end the connection when all that is under way is answered."""
        self.is_open = False
        if not self._posted and self._transport is not None:
            self._transport.close()

    def break_off(self) -> list[Posted]:
        """End the connection at once, and return what is under way; nobody else is told of its end."""
        self.is_open = False
        if self._alarm is not None:
            self._alarm.cancel()
        if self._transport is not None:
            self._transport.abort()
        posted, self._posted = list(self._posted.values()), {}
        return posted

    # ------------------------------------------------------------------ what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        chosen = transport.get_extra_info("ssl_object")
        if chosen is not None and chosen.selected_alpn_protocol() != "h2":
            self.is_understood = False
            self.break_soon()
            return
        self._transport.write(opening())

    def connection_lost(self, _error: Exception | None) -> None:
        now = self._loop.time()
        lost = self.break_off()
        self._heard.set()
        self._on_over(self)
        with ExitStack() as endings:
            for posted in reversed(lost):
                if posted.status:
                    endings.callback(posted.answered, now, self._address)
                else:
                    endings.callback(posted.unanswered, now)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        if self._held:
            data = self._held + data
        at, size = 0, len(data)
        unpack = FRAME_HEAD.unpack_from
        try:
            while size - at >= FRAME_HEAD.size:
                length_and_kind, flags, stream = unpack(data, at)
                length = length_and_kind >> 8
                start = at + FRAME_HEAD.size
                if start + length > size:
                    break
                at = start + length
                self._on_frame(length_and_kind & 0xFF, flags, stream, data[start:at])
        except WireError:
            self.is_understood = False
            self.break_soon()
            return
        self._held = data[at:]
        if len(self._held) > FRAME_HEAD.size + LARGEST_FRAME:
            self.is_understood = False
            self.break_soon()

    def break_soon(self) -> None:
        """End the connection; what is under way ends with it."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------------ what the receiver says

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in {HEADERS, DATA}:
            if kind == DATA:
                self._take(len(payload))
            if flags & (PADDED | PRIORITY):
                payload = content(kind, flags, payload)
            self._on_answer(kind, flags, stream, payload)
        elif kind == WINDOW_UPDATE:
            if not stream:
                self._window = min(self._window + (int.from_bytes(payload, "big") & LARGEST_WINDOW), LARGEST_WINDOW)
        elif kind == RST_STREAM:
            self._on_reset(stream, int.from_bytes(payload, "big"))
        elif kind == GOAWAY:
            self._on_goaway(int.from_bytes(payload[:4], "big"))
        elif kind in {PUSH_PROMISE, CONTINUATION}:
            raise WireError("a frame that nothing asks for")
        elif kind in {SETTINGS, PING} and not flags & ACKNOWLEDGEMENT:
            self._unasked += 1
            if self._unasked > _MOST_UNASKED:
                raise WireError("more frames than there is reason for")
            if kind == SETTINGS:
                self._on_settings(payload)
            self._say(frame(kind, ACKNOWLEDGEMENT, 0, payload if kind == PING else b""))

    def _on_answer(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        posted = self._posted.get(stream)
        if kind == DATA:
            if posted is None or not posted.status:
                return
            if not posted.take_body(payload):
                self._cancel(stream)
                self._answered(stream, posted)
                return
        else:
            if not flags & END_HEADERS:
                raise WireError("a header block in parts")
            if posted is None:
                return
            if not posted.status:
                head = answer_head(payload)
                if head.status >= 200:
                    posted.status, posted.retry_after = head
        if flags & END_STREAM:
            if not posted.status:
                raise WireError("an answer without a status")
            self._answered(stream, posted)

    def _answered(self, stream: int, posted: Posted) -> None:
        del self._posted[stream]
        self._unasked = 0
        self.answers += 1
        posted.answered(self._loop.time(), self._address)
        if not self.is_open:
            self.leave()

    def _on_settings(self, payload: bytes) -> None:
        settings = read_settings(payload)
        if settings.most_streams is not None:
            self._most_posted = min(settings.most_streams, _MOST_POSTED)
        if settings.stream_window is not None:
            self._stream_window = settings.stream_window
        self._heard.set()

    def _on_reset(self, stream: int, code: int) -> None:
        posted = self._posted.get(stream)
        if posted is None:
            return
        now = self._loop.time()
        if posted.status:
            self._answered(stream, posted)
            return
        del self._posted[stream]
        if code == REFUSED_STREAM:
            posted.unanswered(now)
        else:
            posted.failed(now, self._address, FailureKind.CONNECTION_LOST, f"the stream was reset with code {code}")

    def _on_goaway(self, last_stream: int) -> None:
        """What is above the last stream has not been looked at; the rest may still be answered."""
        now = self._loop.time()
        for stream in [stream for stream in self._posted if stream > last_stream]:
            self._posted.pop(stream).unanswered(now)
        self.leave()

    # ------------------------------------------------------------------ what we say

    def _on_alarm(self) -> None:
        """End attempts at their deadlines: all have the same time, so the oldest is the first.

        Of a connection on which nothing was heard all that time nothing more is expected.
        """
        self._alarm = None
        now = self._loop.time()
        while self._posted:
            stream, posted = next(iter(self._posted.items()))
            deadline = posted.started + self._timeout
            if deadline > now:
                self._alarm = self._loop.call_at(deadline, self._on_alarm)
                return
            self._cancel(stream)
            if posted.status:
                self._answered(stream, posted)
                continue
            del self._posted[stream]
            if self._heard_at < posted.started:
                self.break_soon()
            posted.failed(now, self._address, FailureKind.TIMEOUT, "no answer in time")

    def _cancel(self, stream: int) -> None:
        self._say(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big")))

    def _take(self, size: int) -> None:
        """Take note of how much of our window is used, and give it back in large parts."""
        self._taken += size
        if self._taken >= _WINDOW_STEP:
            self._say(window_update(self._taken))
            self._taken = 0

    def _say(self, said: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(said)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(out))
