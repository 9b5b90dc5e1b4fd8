"""A package, or parts of it, goes out chunk by chunk, never more at once than a connection may hold.

How far the device is follows from what it has acknowledged, not from what was written.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from firmcast.coap.static_bodies import StaticBody
from firmcast.gateway.pacing import CHUNK as PACED_CHUNK
from firmcast.gateway.pacing import Pace
from firmcast.gateway.package_port.byte_ranges import Part
from firmcast.gateway.package_port.connections import CONNECTION, PackageHttpProtocol, StallWatch, unacknowledged
from firmcast.ids import new_hex

CHUNK: Final = 1 << 15
OCTETS: Final = "application/octet-stream"
_SHORTEST_LOOK: Final = 0.001
_LONGEST_LOOK: Final = 0.25
_log = structlog.get_logger()

Reached = Callable[[int, int], None]
"""Told where a part begins, and how many bytes of it the device has."""

Admit = Callable[[asyncio.Transport], AbstractContextManager[None]]
"""Returns what an answer on a connection stands in while it is under way."""


class PackageResponse(Response):
    """Sends `parts` of a body: all of it (200), one part of it (206), or several (206, multipart)."""

    def __init__(
        self,
        body: StaticBody,
        parts: Sequence[Part] | None,
        *,
        headers: dict[str, str],
        admit: Admit,
        reached: Reached,
        is_over: Callable[[], bool],
        pace: Pace | None,
        patience: float,
    ) -> None:
        """Tell `reached` how far it came, and send at the `pace` that is given.

        Break off when `is_over` says so, or when the device acknowledges nothing for `patience` seconds.
        """
        self._body = body
        self._admit = admit
        self._reached = reached
        self._is_over = is_over
        self._pace = pace
        self._had = 0
        """Bytes of the present part that the device is known to have."""
        self._patience = patience
        self._parts = [Part(0, body.size)] if parts is None else list(parts)
        self._preambles = [b""]
        self._trailer = b""
        headers = {"content-type": OCTETS, **headers}
        if parts is not None and len(parts) == 1:
            headers["content-range"] = content_range(parts[0], body.size)
        elif parts is not None:
            boundary = new_hex()
            headers["content-type"] = f"multipart/byteranges; boundary={boundary}"
            self._preambles = [_preamble(boundary, part, body.size) for part in parts]
            self._trailer = f"\r\n--{boundary}--\r\n".encode()
        length = sum(part.length for part in self._parts) + sum(map(len, self._preambles)) + len(self._trailer)
        super().__init__(status_code=200 if parts is None else 206, headers=headers)
        self.headers["content-length"] = str(length)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send(_body(b""))
            return
        connection: PackageHttpProtocol = scope["extensions"][CONNECTION][CONNECTION]
        transport = connection.transport
        watch = StallWatch(transport, self._patience)
        try:
            with self._admit(transport):
                await self._send_parts(connection, watch, send)
        except OSError as error:
            # The head has told a length, so that nothing but the end of the connection says that it is not reached.
            _log.error("download.unreadable", reason=str(error))
            transport.abort()
        finally:
            watch.close()
            connection.peer_ended = lambda: None

    async def _send_parts(self, connection: PackageHttpProtocol, watch: StallWatch, send: Send) -> None:
        transport = connection.transport
        for preamble, part in zip(self._preambles, self._parts, strict=True):
            await self._send_part(preamble, part, transport, watch, send)
            if transport.is_closing():
                return
        last = self._parts[-1]
        connection.peer_ended = partial(self._note, last, last.end, transport)
        await self._await_acknowledgement(last, transport)
        await send(_body(self._trailer))

    async def _send_part(
        self, preamble: bytes, part: Part, transport: asyncio.Transport, watch: StallWatch, send: Send
    ) -> None:
        self._had = 0
        if preamble:
            await send(_body(preamble, more=True))
        offset = part.start
        while offset < part.end and not transport.is_closing():
            if self._is_over():
                transport.abort()
                return
            chunk = await asyncio.to_thread(self._body.read, offset, min(CHUNK, part.end - offset))
            for piece in self._pieces(chunk):
                if self._pace is not None:
                    await asyncio.sleep(self._pace.reserve(len(piece)))
                watch.written += len(piece)
                await send(_body(piece, more=True))
                offset += len(piece)
                if transport.is_closing():
                    return
                self._note(part, offset, transport)

    def _pieces(self, chunk: bytes) -> Iterable[bytes]:
        """Return what is sent at once of a chunk."""
        if self._pace is None:
            return (chunk,)
        return (chunk[start : start + PACED_CHUNK] for start in range(0, len(chunk), PACED_CHUNK))

    async def _await_acknowledgement(self, part: Part, transport: asyncio.Transport) -> None:
        """Wait until the device has the last byte: then it is told in the same way as those before."""
        pause = _SHORTEST_LOOK
        while self._note(part, part.end, transport):
            await asyncio.sleep(pause)
            if transport.is_closing():
                return
            pause = min(_LONGEST_LOOK, pause * 2)

    def _note(self, part: Part, offset: int, transport: asyncio.Transport) -> int:
        """Tell how far the device is of a part written up to `offset`; return how many bytes are on their way."""
        waiting = unacknowledged(transport)
        had = offset - waiting - part.start
        # Within TLS what waits is a little more than what is waited for, by turns.
        if had > self._had:
            self._had = had
            self._reached(part.start, had)
        return waiting


def content_range(part: Part, size: int) -> str:
    """Return the value of Content-Range (RFC 9110 section 14.4)."""
    return f"bytes {part.start}-{part.end - 1}/{size}"


def _preamble(boundary: str, part: Part, size: int) -> bytes:
    lines = ("", f"--{boundary}", f"Content-Type: {OCTETS}", f"Content-Range: {content_range(part, size)}", "", "")
    return "\r\n".join(lines).encode()


def _body(content: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}
