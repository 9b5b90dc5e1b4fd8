"""A callback that speaks HTTP/2 with the `h2` package, an implementation that has nothing in common with ours.

It does to a connection of many streams what its script says.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes

from firmcast.push.http_sender import OutgoingRequest
from firmcast.push.trust import Trust


@dataclass(slots=True)
class H2Request:
    """A request as it came in on a stream."""

    connection: int
    stream: int
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


Script = Callable[["H2Session", H2Request], Awaitable[None]]


class H2Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: "H2Callback") -> None:
        server.sessions.append(self)
        self.number = len(server.sessions)
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.most_open = 0
        self._server = server
        self._open: dict[int, H2Request] = {}
        self._transport: asyncio.Transport | None = None  # until the handshake is over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self.number == self._server.ends_at_once:
            self.drop()
            return
        self.h2.initiate_connection()
        if self._server.most_streams is not None:
            self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: self._server.most_streams})
        self.flush()

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            self._on_event(event)
        self.flush()

    def flush(self) -> None:
        if self._transport is not None and (waiting := self.h2.data_to_send()):
            self._transport.write(waiting)

    def drop(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def answer(self, request: H2Request, status: int, body: bytes = b"") -> None:
        self._open.pop(request.stream, None)
        self.h2.send_headers(request.stream, [(":status", str(status)), ("content-length", str(len(body)))])
        self.h2.send_data(request.stream, body, end_stream=True)
        self.flush()

    def _on_event(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=stream, headers=headers):
                self._open[stream] = H2Request(connection=self.number, stream=stream, headers=dict(headers))
                self.most_open = max(self.most_open, len(self._open))
            case DataReceived(stream_id=stream, data=data, flow_controlled_length=length):
                self._open[stream].body += data
                self.h2.acknowledge_received_data(length, stream)
            case StreamEnded(stream_id=stream):
                self._server.requests.append(self._open[stream])
                self._server.run(self, self._open[stream])
            case StreamReset(stream_id=stream):
                self._open.pop(stream, None)


async def answer_200(session: H2Session, request: H2Request) -> None:
    session.answer(request, 200, b"ok")


@dataclass(slots=True)
class H2Callback:
    """Listens on loopback; offers `h2` alone unless told otherwise."""

    script: Script = answer_200
    most_streams: int | None = None
    ends_at_once: int | None = None
    """The number of a connection that is ended where it begins."""

    requests: list[H2Request] = field(default_factory=list)
    sessions: list[H2Session] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def listen(self, context: ssl.SSLContext) -> None:
        context.set_alpn_protocols(["h2"])
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: H2Session(self), "127.0.0.1", 0, ssl=context)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1.0.0/messageReceiver"

    def run(self, session: H2Session, request: H2Request) -> None:
        task = asyncio.ensure_future(self.script(session, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for session in self.sessions:
            session.drop()
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()


@pytest.fixture
async def h2_callback(tls_context: ssl.SSLContext) -> AsyncIterator[H2Callback]:
    callback = H2Callback()
    await callback.listen(tls_context)
    yield callback
    await callback.stop()


@pytest.fixture
def post(h2_callback: H2Callback, authority):
    def made(body: bytes = b"{}", *headers: str) -> OutgoingRequest:
        trust = Trust(authorities=authority.certificate)
        return OutgoingRequest(url=h2_callback.url, headers=["expect:", *headers], body=body, trust=trust)

    return made
