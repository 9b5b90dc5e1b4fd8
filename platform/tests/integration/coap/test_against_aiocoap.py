"""aiocoap, an engine by other hands, as our client and as our server. It runs on plain asyncio only."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiocoap
import aiocoap.resource
import pytest

from firmcast.coap.codes import Code
from firmcast.coap.endpoint import Event, NotificationReceived
from firmcast.coap.options import options
from firmcast.coap.udp import UdpEndpoint

OpenUdp = Callable[..., Awaitable[UdpEndpoint]]


@pytest.fixture
async def client() -> AsyncIterator[aiocoap.Context]:
    context = await aiocoap.Context.create_client_context()
    yield context
    await context.shutdown()


def at(resources: Any, path: str) -> str:
    host, port = resources.udp.address
    return f"coap://{host}:{port}/{path}"


@pytest.mark.parametrize(("path", "size"), [("small", 5), ("large", 100_000), ("static", 1_000_000), ("slow", 4)])
async def test_aiocoap_gets(resources: Any, client: aiocoap.Context, body: bytes, path: str, size: int) -> None:
    response = await client.request(aiocoap.Message(code=aiocoap.GET, uri=at(resources, path))).response
    assert response.code == aiocoap.CONTENT
    assert len(response.payload) == size
    if size > 10:
        assert response.payload == body[:size]


async def test_aiocoap_puts_block_by_block(resources: Any, client: aiocoap.Context, body: bytes) -> None:
    message = aiocoap.Message(code=aiocoap.PUT, uri=at(resources, "store"), payload=body[:900_000])
    response = await client.request(message).response
    assert response.code == aiocoap.CHANGED
    assert resources.stored == body[:900_000]


async def test_aiocoap_is_told_what_is_not_there(resources: Any, client: aiocoap.Context) -> None:
    response = await client.request(aiocoap.Message(code=aiocoap.GET, uri=at(resources, "nothing"))).response
    assert response.code == aiocoap.NOT_FOUND


async def test_aiocoap_observes(resources: Any, client: aiocoap.Context) -> None:
    request = client.request(aiocoap.Message(code=aiocoap.GET, uri=at(resources, "count"), observe=0))
    assert (await request.response).payload == b"0"
    notifications = aiter(request.observation)
    for value in (1, 2, 3):
        resources.change(confirmable=value == 2)
        assert (await anext(notifications)).payload == b"%d" % value
    request.observation.cancel()


class Store(aiocoap.resource.Resource):
    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body

    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(payload=self.body)

    async def render_put(self, request: aiocoap.Message) -> aiocoap.Message:
        self.body = request.payload
        return aiocoap.Message(code=aiocoap.CHANGED)


class Slow(aiocoap.resource.Resource):
    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        # Longer than aiocoap waits before its empty acknowledgement: the response comes as a message of its own.
        await asyncio.sleep(0.3)
        return aiocoap.Message(payload=b"slow")


class Count(aiocoap.resource.ObservableResource):
    def __init__(self) -> None:
        super().__init__()
        self.value = 0

    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(payload=b"%d" % self.value)


async def _listening(site: Any) -> tuple[tuple[str, int], Any]:
    """Serve `site`; aiocoap must be told a port, for UDP and TCP alike, and another process may take it first."""
    for _ in range(20):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            address = ("127.0.0.1", probe.getsockname()[1])
        try:
            return address, await aiocoap.Context.create_server_context(site, bind=address)
        except OSError:
            continue
    pytest.fail("no port is free")


@pytest.fixture
async def served(body: bytes) -> AsyncIterator[tuple[tuple[str, int], Store, Count]]:
    store, count = Store(body), Count()
    site = aiocoap.resource.Site()
    site.add_resource(["store"], store)
    site.add_resource(["slow"], Slow())
    site.add_resource(["count"], count)
    address, context = await _listening(site)
    yield address, store, count
    await context.shutdown()


@pytest.mark.parametrize("szx", [6, 4])
async def test_we_get_from_aiocoap_block_by_block(served: Any, open_udp: OpenUdp, body: bytes, szx: int) -> None:
    udp = await open_udp()
    response = await udp.request(served[0], Code.GET, options=options(uri_path=("store",)), szx=szx)
    assert response.code == Code.CONTENT
    assert response.payload == body


@pytest.mark.parametrize("szx", [6, 4])
async def test_we_put_to_aiocoap_block_by_block(served: Any, open_udp: OpenUdp, body: bytes, szx: int) -> None:
    peer, store, _ = served
    udp = await open_udp()
    response = await udp.request(peer, Code.PUT, options=options(uri_path=("store",)), payload=body[::-1], szx=szx)
    assert response.code == Code.CHANGED
    assert store.body == body[::-1]


async def test_aiocoap_answers_us_separately(served: Any, open_udp: OpenUdp) -> None:
    udp = await open_udp()
    response = await udp.request(served[0], Code.GET, options=options(uri_path=("slow",)))
    assert response.payload == b"slow"
    assert response.message.type.name == "CON"


async def test_we_observe_aiocoap_and_stop(served: Any, open_udp: OpenUdp) -> None:
    peer, _, count = served
    notified: asyncio.Queue[NotificationReceived] = asyncio.Queue()

    def take(event: Event) -> None:
        if isinstance(event, NotificationReceived):
            notified.put_nowait(event)

    udp = await open_udp(take)
    first = await udp.observe(peer, options(uri_path=("count",)))
    assert (first.payload, first.observing) == (b"0", True)
    for value in (1, 2, 3):
        count.value = value
        count.updated_state()
        assert (await notified.get()).payload == b"%d" % value
    last = await udp.cancel_observation(peer, first.token)
    assert last is not None
    assert last.code == Code.CONTENT
