"""A server in a loop of its own thread, so that a test can be the blocking client that it plays."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from firmcast.rest import http_protocol
from firmcast.rest.answers import empty_answer, plain_answer
from firmcast.rest.application import http_application
from firmcast.rest.requests import read_body
from firmcast.rest.server import HttpsServer

BODY_LIMIT = 4 << 20
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class LoopThread:
    """An event loop that runs until it is stopped, in a thread."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.loop = new_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=30)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Peer:
    """One connection of a client, and the answers that it reads."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.file = connection.makefile("rb")

    def send(self, request: bytes) -> None:
        self.connection.sendall(request)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers by lower-case name, and body of the next answer."""
        line = self.file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        headers: dict[str, str] = {}
        while (header := self.file.readline().strip()) != b"":
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return int(line.split()[1]), headers, self.file.read(int(headers.get("content-length", "0")))

    def ask(self, request: bytes) -> Any:
        """Send a request and return the JSON of its answer, which must be a good one."""
        self.send(request)
        status, _, body = self.answer()
        assert status == 200, body
        return json.loads(body)

    def close(self) -> None:
        self.file.close()
        self.connection.close()


async def echo(request: Request) -> Response:
    body = await read_body(request, BODY_LIMIT)
    return plain_answer(
        {
            "method": request.method,
            "path": request.scope["path"],
            "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.raw},
            "query": request.scope["query_string"].decode("latin-1"),
            "body": body.decode("latin-1"),
        }
    )


async def nothing(_request: Request) -> Response:
    return empty_answer()


@pytest.fixture
def routes() -> list[Route]:
    return [Route("/echo", echo, methods=["GET", "POST", "PUT", "DELETE"]), Route("/nothing", nothing)]


@pytest.fixture(params=LOOPS)
def loop_thread(request: pytest.FixtureRequest) -> Iterator[LoopThread]:
    thread = LoopThread(LOOPS[request.param])
    yield thread
    thread.stop()


@pytest.fixture
def clear_server(loop_thread: LoopThread, routes: list[Route]) -> Iterator[HttpsServer]:
    server = loop_thread.run(HttpsServer.start(http_application(routes), host="127.0.0.1", port=0))
    yield server
    loop_thread.run(server.stop())


@pytest.fixture
def peer_of() -> Iterator[Callable[[socket.socket], Peer]]:
    """Return what makes a peer of a connection, which is closed in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda connection: stack.enter_context(contextlib.closing(Peer(connection)))


@pytest.fixture(autouse=True)
def _no_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """What refuses here waits for the client's end as short as it can."""
    monkeypatch.setattr(http_protocol, "LINGER_SECONDS", 0.05)


@pytest.fixture
def peer(clear_server: HttpsServer, peer_of: Callable[[socket.socket], Peer]) -> Peer:
    return peer_of(socket.create_connection(clear_server.address, timeout=20))
