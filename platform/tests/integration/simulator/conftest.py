"""An LwM2M server of few words, on aiocoap: an independent peer that does as a test says and notes what it saw."""

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import aiocoap
import aiocoap.error
import aiocoap.resource
import pytest
from aiocoap.numbers.codes import Code

from firmcast.simulator.device import DeviceSpec, VirtualDevice
from firmcast.simulator.network import NetworkConditions
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK, DeviceTiming

OBSERVED = ("/5/0/3", "/5/0/5", "/3/0/3")
PACKAGE_PATH = ("fw", "token-1")
PACKAGE = Random(5).randbytes(5_000)
DIGEST = hashlib.sha256(PACKAGE).hexdigest()
"""Of the package that devices take for intact."""


@dataclass(frozen=True)
class Registered:
    """A Register: where the device was then, and what it said."""

    location: str
    port: int
    query: tuple[str, ...]
    payload: bytes

    @property
    def endpoint_name(self) -> str:
        return dict(part.partition("=")[::2] for part in self.query)["ep"]


@dataclass
class Served:
    """A package, and the blocks of it that were asked for; `on_block` may refuse one."""

    content: bytes = b""
    etag: bytes = b"\x01"
    blocks: list[int] = field(default_factory=list)
    sizes: set[int] = field(default_factory=set)
    on_block: Callable[[int], Code | None] = field(default=lambda _number: None)


class RegistrationResource(aiocoap.resource.Resource):
    def __init__(self, server: "ScriptedServer") -> None:
        super().__init__()
        self._server = server

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        return self._server.on_register(request)


class LocationResource(aiocoap.resource.Resource, aiocoap.resource.PathCapable):
    def __init__(self, server: "ScriptedServer") -> None:
        super().__init__()
        self._server = server

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        return self._server.on_update(request.opt.uri_path[-1])

    async def render_delete(self, request: aiocoap.Message) -> aiocoap.Message:
        return self._server.on_deregister(request.opt.uri_path[-1])


class SendResource(aiocoap.resource.Resource):
    def __init__(self, server: "ScriptedServer") -> None:
        super().__init__()
        self._server = server

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        return self._server.on_send(request)


class PackageResource(aiocoap.resource.Resource):
    def __init__(self, served: Served) -> None:
        super().__init__()
        self._served = served

    async def needs_blockwise_assembly(self, request: aiocoap.Message) -> bool:
        return False

    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        block = request.opt.block2
        number, exponent = (block.block_number, block.size_exponent) if block else (0, 6)
        refusal = self._served.on_block(number)
        if refusal is not None:
            return aiocoap.Message(code=refusal)
        self._served.blocks.append(number)
        size = 16 << exponent
        self._served.sizes.add(size)
        payload = self._served.content[number * size : (number + 1) * size]
        more = (number + 1) * size < len(self._served.content)
        response = aiocoap.Message(code=Code.CONTENT, payload=payload)
        response.opt.block2 = (number, more, exponent)
        response.opt.etag = self._served.etag
        response.opt.size2 = len(self._served.content)
        return response


class ScriptedServer:
    """The server: `reports` holds path and text of every notification in the order of arrival."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.served = Served()
        self.registrations: list[Registered] = []
        self.locations: dict[str, Registered] = {}
        self.updates = 0
        self.deregistered: list[str] = []
        self.reports: list[tuple[str, str]] = []
        self.sent: list[tuple[int | None, bytes]] = []
        """Format and payload of each Send."""
        self._changed = asyncio.Condition()
        self._context: aiocoap.Context | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._observations: list[aiocoap.protocol.ClientObservation] = []

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    @property
    def package_uri(self) -> str:
        return f"coap://127.0.0.1:{self.port}/" + "/".join(PACKAGE_PATH)

    async def start(self) -> None:
        site = aiocoap.resource.Site()
        site.add_resource(("rd",), RegistrationResource(self))
        site.add_resource(PACKAGE_PATH, PackageResource(self.served))
        site.add_resource(("rd", "at"), LocationResource(self))
        site.add_resource(("dp",), SendResource(self))
        self._context = await aiocoap.Context.create_server_context(
            site, bind=("127.0.0.1", self.port), transports=["udp6"]
        )

    async def stop(self) -> None:
        """Vanish, and forget every registration."""
        context, self._context = self._context, None
        for observation in self._observations:
            if not observation.cancelled:
                observation.cancel()
        self._observations.clear()
        self.locations.clear()
        if context is not None:
            await context.shutdown()

    # What devices do.

    def on_register(self, request: aiocoap.Message) -> aiocoap.Message:
        location = f"r{len(self.registrations) + 1}"
        port = int(request.remote.hostinfo.rpartition(":")[2])
        registered = Registered(location, port, tuple(request.opt.uri_query), request.payload)
        self.registrations.append(registered)
        self.locations[location] = registered
        self._tell()
        response = aiocoap.Message(code=Code.CREATED)
        response.opt.location_path = ("rd", "at", location)
        return response

    def on_update(self, location: str) -> aiocoap.Message:
        self.updates += 1
        self._tell()
        return aiocoap.Message(code=Code.CHANGED if location in self.locations else Code.NOT_FOUND)

    def on_deregister(self, location: str) -> aiocoap.Message:
        registered = self.locations.pop(location, None)
        if registered is None:
            return aiocoap.Message(code=Code.NOT_FOUND)
        self.deregistered.append(registered.endpoint_name)
        self._tell()
        return aiocoap.Message(code=Code.DELETED)

    def on_send(self, request: aiocoap.Message) -> aiocoap.Message:
        self.sent.append((request.opt.content_format, request.payload))
        self._tell()
        return aiocoap.Message(code=Code.CHANGED)

    # What a test tells it to do.

    async def until(self, fulfilled: Callable[["ScriptedServer"], bool]) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: fulfilled(self))

    async def registration(self, number: int = 1) -> Registered:
        """Wait for the registration of that number, counted from 1."""
        await self.until(lambda server: len(server.registrations) >= number)
        return self.registrations[number - 1]

    async def reported(self, count: int) -> list[tuple[str, str]]:
        """Wait for that many notifications, and return all."""
        await self.until(lambda server: len(server.reports) >= count)
        return self.reports

    async def request(
        self,
        device: Registered,
        code: Code,
        path: str,
        payload: bytes = b"",
        *,
        accept: int | None = None,
        content_format: int | None = None,
        mtype: aiocoap.Type | None = None,
    ) -> aiocoap.Message:
        assert self._context is not None
        uri = f"coap://127.0.0.1:{device.port}{path}"
        message = aiocoap.Message(code=code, payload=payload, uri=uri, _mtype=mtype)
        if accept is not None:
            message.opt.accept = accept
        if content_format is not None:
            message.opt.content_format = content_format
        async with asyncio.timeout(20):
            return await self._context.request(message).response

    async def read(self, device: Registered, path: str) -> str:
        response = await self.request(device, Code.GET, path, accept=0)
        assert response.code is Code.CONTENT
        return response.payload.decode()

    async def outcome(self, device: Registered) -> tuple[str, str, str]:
        """Read state, result and version."""
        return (
            await self.read(device, "/5/0/3"),
            await self.read(device, "/5/0/5"),
            await self.read(device, "/3/0/3"),
        )

    async def observe(self, device: Registered, *paths: str) -> None:
        for path in paths or OBSERVED:
            await self._observe(device, path)

    async def write_uri(self, device: Registered, uri: str | None = None) -> Code:
        text = self.package_uri if uri is None else uri
        return (await self.request(device, Code.PUT, "/5/0/1", text.encode(), content_format=0)).code

    async def write_package(self, device: Registered, package: bytes) -> Code:
        return (await self.request(device, Code.PUT, "/5/0/0", package, content_format=42)).code

    async def write_first_block(self, device: Registered, block: bytes) -> Code:
        """Write a block of a package and leave it at that."""
        return await self.write_block(device, 0, block, more=True)

    async def write_block(self, device: Registered, number: int, block: bytes, *, more: bool) -> Code:
        """Write one block of 1024 bytes of a package."""
        assert self._context is not None
        message = aiocoap.Message(code=Code.PUT, payload=block, uri=f"coap://127.0.0.1:{device.port}/5/0/0")
        message.opt.content_format = 42
        message.opt.block1 = (number, more, 6)
        async with asyncio.timeout(20):
            return (await self._context.request(message, handle_blockwise=False).response).code

    async def execute(self, device: Registered, path: str = "/5/0/2") -> Code:
        return (await self.request(device, Code.POST, path)).code

    async def _observe(self, device: Registered, path: str) -> None:
        assert self._context is not None
        message = aiocoap.Message(code=Code.GET, observe=0, uri=f"coap://127.0.0.1:{device.port}{path}")
        message.opt.accept = 0
        request = self._context.request(message)
        self._observations.append(request.observation)

        def note(notification: aiocoap.Message) -> None:
            self.reports.append((path, notification.payload.decode()))
            self._tell()

        # Iteration, which the deprecation recommends, keeps only the newest of several notifications.
        request.observation.register_callback(note, _suppress_deprecation=True)
        request.observation.register_errback(lambda _error: None, _suppress_deprecation=True)
        response = await request.response
        assert response.code is Code.CONTENT
        assert response.opt.observe is not None

    def _tell(self) -> None:
        async def tell() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.get_running_loop().create_task(tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


MakeServer = Callable[[], Awaitable[ScriptedServer]]


@pytest.fixture
async def make_server() -> AsyncIterator[MakeServer]:
    """Start servers, which the test may stop and start again."""
    servers: list[ScriptedServer] = []

    async def make() -> ScriptedServer:
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
            probe.bind(("127.0.0.1", 0))
            servers.append(ScriptedServer(probe.getsockname()[1]))
        await servers[-1].start()
        return servers[-1]

    yield make
    for server in servers:
        await server.stop()


@pytest.fixture
async def server(make_server: MakeServer) -> ScriptedServer:
    """A server that runs."""
    return await make_server()


StartDevice = Callable[..., Awaitable[VirtualDevice]]


@pytest.fixture
async def start_device(server: ScriptedServer) -> AsyncIterator[StartDevice]:
    devices: list[VirtualDevice] = []

    async def start(
        profile: str | DeviceProfile = "plain",
        timing: DeviceTiming = QUICK,
        network: NetworkConditions | None = None,
        **changes: Any,
    ) -> VirtualDevice:
        base = profile_named(profile) if isinstance(profile, str) else profile
        changed = replace(base, **{"reboot_delay": 0.01, "expected_digest": DIGEST, **changes})
        spec = DeviceSpec(endpoint_name=f"node-{len(devices) + 1}", profile=changed, network=network)
        devices.append(VirtualDevice(spec, server=server.address, timing=timing, random=Random(len(devices))))
        devices[-1].start()
        return devices[-1]

    yield start
    for device in devices:
        await device.close(deregister=False)
