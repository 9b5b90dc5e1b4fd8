"""An answer that goes on: events as they come, for as long as who asked is there and may have them.

The form is `text/event-stream` (WHATWG HTML, section 9.2). An `id` without data moves the reader's cursor on and is no
event to him, so it is the sign of life too. A reader that takes nothing is not read for: one part is held for him, and
when he has not taken it after a while he is dropped; he comes back with his last cursor and has missed nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from firmcast.feed.places import Place

EVENT_STREAM: Final = "text/event-stream"
RETRY_MILLISECONDS: Final = 1000
STALL_SECONDS: Final = 60.0

_HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # asks a proxy in between to pass each event on as it comes
}


def told_event(cursor: str, data: bytes) -> bytes:
    """Return an event; `data` is one line."""
    return b"id: %b\ndata: %b\n\n" % (cursor.encode(), data)


def told_beginning(cursor: str) -> bytes:
    """Return what a stream begins with: when to come back, and after what."""
    return b"retry: %d\nid: %b\n\n" % (RETRY_MILLISECONDS, cursor.encode())


def told_life(cursor: str) -> bytes:
    """Return what says that nothing has happened since."""
    return b":\nid: %b\n\n" % cursor.encode()


def told_end(reason: str) -> bytes:
    """Return why a stream ends before its reader leaves, for a person who looks at it."""
    return b": %b\n\n" % reason.encode("ascii", "replace").replace(b"\n", b" ")


async def departure(receive: Receive) -> None:
    """Return when who asked is gone; whatever he still sends is passed over."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        if not message.get("more_body"):
            await receive()  # there is no more to come but his leaving
            return


class EventStreamResponse(Response):
    """The answer whose body is what `parts` yields, until that ends or its reader does."""

    media_type = EVENT_STREAM

    def __init__(
        self, parts: AsyncGenerator[bytes, None], place: Place, *, stall_seconds: float = STALL_SECONDS
    ) -> None:
        """Let `place` go at the end; drop a reader who takes no part for so many seconds."""
        super().__init__(headers=dict(_HEADERS))
        del self.headers["content-length"]
        self._parts = parts
        self._place = place
        self._stall_seconds = stall_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        with self._place:
            gone = asyncio.ensure_future(departure(receive))
            sending = asyncio.ensure_future(self._send(send))
            try:
                await asyncio.wait([gone, sending], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (gone, sending):
                    task.cancel()
                ended = await asyncio.gather(gone, sending, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception) and not isinstance(outcome, TimeoutError):
                raise outcome

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        # A part is asked for only when the one before it is on its way.
        async with aclosing(self._parts) as parts:
            async for part in parts:
                async with asyncio.timeout(self._stall_seconds):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
