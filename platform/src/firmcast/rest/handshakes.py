"""TLS handshakes at a port have a deadline and so many places; for one more the oldest of the busiest host gives way.

A connection that says nothing costs as much as one that shakes hands, most of it the buffers of TLS. Left to the event
loop it would have a minute, and there might be as many as there are files. Behind the address of a NAT there may be
thousands of devices, so a host has all the places that nobody else wants; when there are none the host that has most
gives way, so that one alone crowds out none but its own. The protocol of HTTP begins after the handshake.
"""

import asyncio
import resource
import ssl
from collections.abc import Callable
from enum import Enum
from typing import Any


def open_files() -> int | None:
    """Return how many files and sockets this process may have open; None for no limit."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if files == resource.RLIM_INFINITY else files


def places(wanted: int, *, share: int) -> int:
    """Return how many handshakes there may be at a port: so many that they have one of `share` parts of the files."""
    files = open_files()
    return wanted if files is None else min(wanted, max(4, files // share))


class HandshakeEnd(Enum):
    """What became of a handshake that led to no session."""

    FAILED = "failed"
    """It was none, or no version and suite that both know."""
    STALLED = "stalled"
    """It did not end before the deadline."""
    CROWDED_OUT = "crowded_out"
    """Given up for a newer one."""


class Handshakes:
    """The handshakes under way at one port."""

    def __init__(
        self,
        *,
        limit: int,
        deadline: float,
        count: Callable[[HandshakeEnd], None],
    ) -> None:
        """Let there be `limit` at one time, for `deadline` seconds each; `count` hears of what came to nothing."""
        self.limit = limit
        self.deadline = deadline
        self._count = count
        self._of_host: dict[str, dict[Gate, None]] = {}
        self._under_way: dict[Gate, None] = {}
        self._closed = False

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    def gate(self, context: ssl.SSLContext, inner: Callable[..., Any]) -> Callable[..., "Gate"]:
        """Return what makes a protocol of connections for uvicorn: each becomes `inner` after its handshake."""
        return lambda **named: Gate(self, context, lambda: inner(**named))

    def begin(self, gate: "Gate") -> None:
        """Give a connection a place, where there is none that of the oldest of the host that has most."""
        if self._closed:
            gate.give_up()
            return
        if len(self._under_way) >= self.limit:
            own = self._of_host.get(gate.host, {})
            most = max(self._of_host.values(), key=len)
            self.end(next(iter(own if len(own) == len(most) else most)), HandshakeEnd.CROWDED_OUT)
        self._of_host.setdefault(gate.host, {})[gate] = None
        self._under_way[gate] = None

    def end(self, gate: "Gate", end: HandshakeEnd | None) -> None:
        """Take the place back, once; None is the end that leads to a session."""
        if gate not in self._under_way:
            return
        del self._under_way[gate]
        of_host = self._of_host[gate.host]
        del of_host[gate]
        if not of_host:
            del self._of_host[gate.host]
        if end is not None:
            self._count(end)
            gate.give_up()

    def close(self) -> None:
        """Give up all that are under way, and whatever comes from now on; count none of them."""
        self._closed = True
        for gate in list(self._under_way):
            self.end(gate, None)
            gate.give_up()


class Gate(asyncio.Protocol):
    """A connection until it has shaken hands."""

    def __init__(self, handshakes: Handshakes, context: ssl.SSLContext, make_inner: Callable[[], Any]) -> None:
        self.host = ""
        self._handshakes = handshakes
        self._context = context
        self._make_inner = make_inner
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._hello = b""
        """What came before TLS listened: uvloop reads a connection at once, whatever its protocol does."""
        self._shakes = False
        self._early: list[bytes] = []
        """What came with the last message of the handshake."""
        self._has_ended = False
        self._is_lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin the handshake."""
        peer = transport.get_extra_info("peername")
        self.host = peer[0] if peer else ""
        self._transport = transport
        self._task = asyncio.get_running_loop().create_task(self._shake(transport), name="tls-handshake")
        self._handshakes.begin(self)

    def data_received(self, data: bytes) -> None:
        """Keep what comes too soon."""
        if self._shakes:
            self._early.append(data)
        else:
            self._hello += data
            if self._transport is not None:
                self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Keep the end, too."""
        self._has_ended = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take back the place of a connection that is gone."""
        del exc
        self._is_lost = True
        self._handshakes.end(self, HandshakeEnd.FAILED)

    def give_up(self) -> None:
        """End the connection without a word."""
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _shake(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        deadline = self._handshakes.deadline
        self._shakes = True
        if self._hello:
            loop.call_soon(self._pass_on_hello, transport)  # once the protocol of TLS is there, which awaits nothing
        try:
            async with asyncio.timeout(deadline):
                secure = await loop.start_tls(
                    transport, self, self._context, server_side=True, ssl_handshake_timeout=2 * deadline
                )
        except TimeoutError:
            self._handshakes.end(self, HandshakeEnd.STALLED)
            return
        except (OSError, ssl.SSLError):
            self._handshakes.end(self, HandshakeEnd.FAILED)
            return
        self._task = None
        if secure is None or self._is_lost or secure.is_closing():
            self._handshakes.end(self, HandshakeEnd.FAILED)
            return
        self._handshakes.end(self, None)
        inner = self._make_inner()
        secure.set_protocol(inner)
        inner.connection_made(secure)
        for data in self._early:
            inner.data_received(data)
        if self._has_ended:
            inner.eof_received()

    def _pass_on_hello(self, transport: asyncio.Transport) -> None:
        if transport.is_closing():
            return
        tls: Any = transport.get_protocol()  # an asyncio.BufferedProtocol, or one of uvloop's that is alike
        buffer = memoryview(tls.get_buffer(len(self._hello)))
        taken = min(len(buffer), len(self._hello))
        buffer[:taken] = self._hello[:taken]
        tls.buffer_updated(taken)
