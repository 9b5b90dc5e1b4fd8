"""A connection at a package port has one of a bounded number of places; who finds none is told to come again.

A connection is given up when its device has acknowledged nothing for too long, and what the machine buffers for one is
little: so slow devices cost places and nothing else.
"""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Any, ClassVar, Final

from firmcast.metrics import Count
from firmcast.rest.http_protocol import LINGER_SECONDS, ContractHttpProtocol

WRITE_BUFFER: Final = 1 << 15
"""Bytes of a response that wait in this process for the socket."""
SEND_BUFFER: Final = 1 << 17
"""Bytes that the kernel is asked to hold for a connection at the most; Linux takes twice as many."""
CONNECTION: Final = "firmcast.connection"
"""The extension of an ASGI scope that holds the connection."""
RETRY_SECONDS: Final = 10

_CROWDED: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: %d\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    % RETRY_SECONDS
)
_QUEUE: Final = struct.Struct("i")


class Places:
    """How many connections there may be, and which there are."""

    def __init__(self, limit: int, refused: Count) -> None:
        """Let there be `limit` connections; `refused` counts those beyond."""
        self.limit = limit
        self.taken: set[PackageHttpProtocol] = set()
        self.refused = refused

    def protocol(self) -> type["PackageHttpProtocol"]:
        """Return the protocol of connections that take these places."""
        return type("PackageHttpProtocol", (PackageHttpProtocol,), {"places": self})

    def close(self) -> None:
        """Take no more connections and end all at once: what was being sent breaks off, and its devices go on later."""
        self.limit = 0
        for connection in list(self.taken):
            connection.transport.abort()


class PackageHttpProtocol(ContractHttpProtocol):
    """uvicorn's protocol with a place for each connection."""

    places: ClassVar[Places]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.peer_ended: Callable[[], object] = lambda: None
        """Called when the peer sends nothing more, while what it has acknowledged can still be told."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a place, or refuse the connection."""
        super().connection_made(transport)
        if len(self.places.taken) >= self.places.limit:
            self.places.refused.value += 1
            self._refused = True
            self._head_came()
            transport.write(_CROWDED)
            # Closing while bytes still come in would reset the connection, and take the answer with it.
            self._closing = self.loop.call_later(LINGER_SECONDS, transport.close)
            return
        self.places.taken.add(self)
        transport.set_write_buffer_limits(high=WRITE_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self.places.taken.discard(self)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Let the application see the connection."""
        super().on_message_begin()
        self.scope["extensions"] = {CONNECTION: {CONNECTION: self}}

    def eof_received(self) -> None:
        """Let whoever is sending look a last time."""
        self.peer_ended()
        super().eof_received()


def unacknowledged(transport: asyncio.Transport) -> int:
    """Return how many bytes were written to a connection that its peer has not acknowledged, as far as can be told.

    They are in this process and, on Linux, in the socket; TLS makes them a little more.
    """
    waiting = transport.get_write_buffer_size()
    sock: Any = transport.get_extra_info("socket")
    try:
        told = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_QUEUE.size))
    except (OSError, AttributeError, ValueError):
        return waiting
    return waiting + int(_QUEUE.unpack(told)[0])


class StallWatch:
    """Gives up a connection whose peer has acknowledged nothing for `patience` seconds while there was something to."""

    def __init__(self, transport: asyncio.Transport, patience: float) -> None:
        self.written = 0
        """Bytes handed to the transport so far; whoever writes counts here."""
        self._transport = transport
        self._patience = patience
        self._reached = 0
        self._timer = asyncio.get_running_loop().call_later(patience, self._look)

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        waiting = unacknowledged(self._transport)
        reached = self.written - waiting
        if waiting and reached <= self._reached:
            self._transport.abort()
            return
        self._reached = reached
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._look)
