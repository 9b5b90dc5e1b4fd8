"""Whole upgrades of virtual devices that fetch by HTTP and HTTPS, over connections that break in the middle."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import httpx2
import pytest

from firmcast.lwm2m.firmware_update import DeliveryMethod, Protocol
from firmcast.rest.certificates import make_certificate
from firmcast.settings import UpgradeSettings
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK
from firmcast.upgrades.limits import limits_of

PACKAGE = bytes(range(256)) * 2000
SUCCESS = ["1", "2", "3", "0", "succeeded"]
KEY = bytes(range(16))


class Proxy:
    """Passes bytes on, and ends connection after connection until `breaks` are used up, after `allowance` bytes."""

    def __init__(self, allowance: int, breaks: int) -> None:
        self.target = ("127.0.0.1", 0)
        self.allowance, self.breaks = allowance, breaks
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        server_reader, server_writer = await asyncio.open_connection(*self.target)
        up = asyncio.create_task(self._pass(reader, server_writer))
        down = asyncio.create_task(self._pass(server_reader, writer, breakable=True))
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
        for one in (writer, server_writer):
            one.transport.abort()

    async def _pass(self, reader, writer, *, breakable: bool = False) -> None:
        left = self.allowance
        while data := await reader.read(1 << 14):
            writer.write(data)
            await writer.drain()
            left -= len(data)
            if breakable and left < 0 and self.breaks:
                self.breaks -= 1
                return
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
async def proxy() -> AsyncIterator[tuple[Proxy, int]]:
    """A proxy that breaks two connections."""
    made = Proxy(allowance=200_000, breaks=2)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    yield made, server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def start_serving(world, **settings) -> None:
    await world.stop()
    world.settings = world.settings.model_copy(update={"package_port": 0, "package_secure_port": 0, **settings})
    world.limits = limits_of(UpgradeSettings(), world.settings)
    await world.start()


@pytest.fixture
async def authority(world, tmp_path):
    """Let the world have a certificate, and return whom to trust for it."""
    made = make_certificate(tmp_path / "made", ["127.0.0.1"], datetime.now(UTC))
    world.package_certificate = made.certificate, made.key
    return made.authority


@pytest.mark.parametrize(("profile", "key"), [("http", b""), ("https", b""), ("https", KEY)])
async def test_a_device_that_speaks_http_is_upgraded_by_it(world, authority, profile, key) -> None:
    await start_serving(world)
    known = await world.add_device(key=key)
    spec = DeviceSpec(
        endpoint_name="device-1",
        profile=replace(profile_named(profile), reboot_delay=0.01, delivery=DeliveryMethod.PULL),
        key=key or None,
        authority=authority,
    )
    server = world.secure_server if key else world.server
    async with Fleet(server=server, devices=[spec], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        task = await world.upgrade(await world.add_package(PACKAGE, "2.0.0"), known)
        told = await world.until_told(known, "succeeded", "failed", any_of=True)
    assert [one.removeprefix("*") for one in told] == SUCCESS
    upgrade = await world.device_upgrade(task)
    assert upgrade.evidence.transfer_protocol is Protocol[profile.upper()]
    assert world.gateway.progress(upgrade.device_upgrade_id) == (len(PACKAGE), len(PACKAGE))
    # The token was for this upgrade.
    async with httpx2.AsyncClient() as client:
        url = world.gateway.package_url(Protocol.HTTP)
        assert (await client.get(f"{url}/fw/{upgrade.transfer_token}")).status_code == 404


async def test_a_download_that_breaks_off_goes_on_where_it_stopped(world, proxy) -> None:
    breaking, port = proxy
    await start_serving(world, package_secure_port=None, package_url=f"http://127.0.0.1:{port}")
    url = world.gateway.package_url(Protocol.HTTP)
    breaking.target = ("127.0.0.1", int(url.rpartition(":")[2]))
    known = await world.add_device()
    spec = DeviceSpec(endpoint_name="device-1", profile=replace(profile_named("http"), reboot_delay=0.01))
    async with Fleet(server=world.server, devices=[spec], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        await world.upgrade(await world.add_package(PACKAGE, "2.0.0"), known)
        told = await world.until_told(known, "succeeded", "failed", any_of=True)
        status = fleet.statistics().statuses[0]
    assert [one.removeprefix("*") for one in told] == SUCCESS
    # Two breaks, three connections, and no byte twice.
    assert (breaking.connections, status.bytes_received) == (3, len(PACKAGE))
    requests = dict(world.metrics.package_requests)
    assert (requests["whole",].value, requests["part",].value) == (1, 2)


async def test_a_device_that_takes_nothing_that_is_served_is_told_of_plainly(world) -> None:
    known = await world.add_device()
    profile = replace(profile_named("http"), protocols=(Protocol.HTTP,), delivery=DeliveryMethod.PULL)
    spec = DeviceSpec(endpoint_name="device-1", profile=profile)
    async with Fleet(server=world.server, devices=[spec], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        task = await world.upgrade(await world.add_package(PACKAGE, "2.0.0"), known)
        assert await world.until_told(known, "failed") == ["failed"]
    assert (await world.device_upgrade(task)).description == (
        "Unsupported protocol: the device fetches packages only, and by none that is offered to it:"
        " it takes HTTP, and is offered CoAP"
    )
