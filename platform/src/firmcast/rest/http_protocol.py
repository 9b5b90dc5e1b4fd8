"""What the HTTP server itself refuses leaves in the contract's form too; a request's head has limits of size and time.

Clients look for `error_code` in any answer, and one takes whatever is no JSON for a fault of its own input (contract
page, trap 4); uvicorn's own refusals are plain text. Clients also write bytes over 0x7F unencoded into a query string
(trap 7), which the parser takes for a broken request: they are percent-encoded before it sees them.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from firmcast.rest.request_line import RequestLine
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire.errors import ErrorCode, encode_error

HEAD_LIMIT: Final = 1 << 16
"""Bytes of a request line and its headers."""
HEAD_SECONDS: Final = 30.0
"""From the first byte of a request, or from a connection's start, until its head is complete."""
LINGER_SECONDS: Final = 1.0

_BAD_REQUEST: Final = wire.BAD_REQUEST_MESSAGE
_HEAD_TOO_LARGE: Final = ErrorCode(_BAD_REQUEST.code, 431, _BAD_REQUEST.description)
_HEAD_TOO_LATE: Final = ErrorCode(_BAD_REQUEST.code, 408, _BAD_REQUEST.description)


class _HeadTooLargeError(Exception):
    """Stops the parser."""


class ContractHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the contract's refusals."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._line = RequestLine()
        self._head_size = 0
        self._refusal = _BAD_REQUEST
        self._refused = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Give the first request its time."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time of the request."""
        self._head_came()
        if self._closing is not None:
            self._closing.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Mend the request line, bound the head, and let the parser have the bytes."""
        if self._refused:
            return
        if self._in_head:
            if self._head_timer is None:
                self._await_head()
            self._head_size += len(data)
            if self._line.is_open:
                data = self._line.mended(data)
        super().data_received(data)
        self._bound_head()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """End a head."""
        self._head_came()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > HEAD_LIMIT:
            self._refusal = _HEAD_TOO_LARGE
            raise _HeadTooLargeError
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect another request."""
        super().on_message_complete()
        self._in_head = True
        self._line.begin_anew()
        self._head_size = 0

    def send_400_response(self, msg: str) -> None:
        """Refuse in the contract's form what the parser could not read."""
        del msg
        self._refuse(self._refusal)

    def _bound_head(self) -> None:
        if self._in_head and not self._refused and self._head_size > HEAD_LIMIT:
            self._refuse(_HEAD_TOO_LARGE)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._head_size:
            self._refuse(_HEAD_TOO_LATE)
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, error: ErrorCode) -> None:
        """Answer, read no more and close; what was asked before is answered first, and then nothing else."""
        self._refused = True
        self._head_came()
        asked: Any = self.cycle  # None before the first request
        if asked is not None and not asked.response_complete:
            if not asked.more_body:
                asked.keep_alive = False
                return
            # It is the body of this one that cannot be read.
            asked.disconnected = True
            asked.message_event.set()
            if asked.response_started or self.pipeline:
                self.transport.close()
                return
        body = encode_error(error)
        self.transport.write(
            STATUS_LINE[error.status]
            + b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            + body
        )
        # Closing while bytes still come in would reset the connection, and take the answer with it.
        self._closing = self.loop.call_later(LINGER_SECONDS, self.transport.close)
