"""Our endpoint on a real socket, and what the independent peers need."""

import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from firmcast.coap.codes import Code
from firmcast.coap.endpoint import Event, ObservationId, RequestReceived, StaticBody
from firmcast.coap.options import options
from firmcast.coap.udp import UdpEndpoint

BODY = random.Random(5).randbytes(1_000_000)
STATIC = StaticBody(BODY, etag=b"\x01\x02\x03\x04", content_format=42)


class Resources:
    """A small server: /small, /large (dynamic), /static (fast path), /slow, /store (PUT), /count (observable)."""

    def __init__(self) -> None:
        self.udp: UdpEndpoint
        self.stored = b""
        self.count = 0
        self.observers: list[ObservationId] = []
        self.events: list[Event] = []

    async def open(self) -> None:
        self.udp = await UdpEndpoint.open("127.0.0.1", 0, on_event=self.handle)
        self.udp.endpoint.fast_route(lambda request, peer: STATIC if request.uri_path == ("static",) else None)

    def handle(self, event: Event) -> None:
        self.events.append(event)
        if not isinstance(event, RequestReceived):
            return
        path = event.message.uri_path
        if event.method == Code.PUT and path == ("store",):
            self.stored = event.payload
            self.udp.respond(event, Code.CHANGED)
        elif event.method != Code.GET:
            self.udp.respond(event, Code.METHOD_NOT_ALLOWED)
        elif path == ("count",):
            if event.observe == 0:
                self.observers.append(self.udp.endpoint.accept_observation(event))
            self.udp.respond(event, Code.CONTENT, options=options(content_format=0), payload=b"%d" % self.count)
        elif path in {("small",), ("large",)}:
            payload = b"small" if path == ("small",) else BODY[:100_000]
            self.udp.respond(event, Code.CONTENT, payload=payload)
        elif path == ("slow",):
            self.udp.acknowledge(event)
            self.udp.respond(event, Code.CONTENT, payload=b"slow")
        else:
            self.udp.respond(event, Code.NOT_FOUND)

    def change(self, *, confirmable: bool) -> None:
        self.count += 1
        for observer in self.observers:
            self.udp.notify(
                observer, Code.CONTENT, options(content_format=0), b"%d" % self.count, confirmable=confirmable
            )


@pytest.fixture
async def resources() -> AsyncIterator[Resources]:
    served = Resources()
    await served.open()
    yield served
    served.udp.close()


@pytest.fixture
def body() -> bytes:
    return BODY


@pytest.fixture
async def open_udp() -> AsyncIterator[Callable[..., Awaitable[UdpEndpoint]]]:
    opened: list[UdpEndpoint] = []

    async def build(on_event: Callable[[Event], None] | None = None, **more: Any) -> UdpEndpoint:
        udp = await UdpEndpoint.open("127.0.0.1", 0, on_event=on_event, **more)
        opened.append(udp)
        return udp

    yield build
    for udp in opened:
        udp.close()


@pytest.fixture
def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port
