"""Packages leave no faster than they may, whichever way they go, and a slow device holds nobody back."""

import asyncio
import socket
from dataclasses import replace

import pytest

from firmcast.clock import SystemClock
from firmcast.gateway.pacing import CHUNK
from firmcast.lwm2m.firmware_update import Protocol
from firmcast.settings import UpgradeSettings
from firmcast.simulator.device import DeviceSpec, VirtualDevice
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK
from firmcast.upgrades.limits import limits_of

PACKAGE = bytes(range(256)) * 160
"""40 blocks of 1024 bytes."""
KINDS = ("pull", "push", "http")
CONNECTION_HOLDS = CHUNK
"""Bytes by HTTP may arrive a chunk late, and then two at once."""


class Arrivals:
    """When the bytes of each device came."""

    def __init__(self) -> None:
        self.clock = SystemClock().monotonic
        self.came: dict[str, list[tuple[float, int]]] = {}

    def note(self, device: VirtualDevice) -> None:
        status = device.status
        came = self.came.setdefault(status.endpoint_name, [])
        before = sum(size for _, size in came)
        came.append((self.clock(), status.bytes_received - before))

    def assert_rate(self, *names: str, per_second: int) -> None:
        """Check every span of time that begins at an arrival at one of these devices."""
        all_of_them = sorted(arrival for name in names for arrival in self.came[name])
        burst = max(per_second * 0.25, CHUNK) + 1024 + CONNECTION_HOLDS
        for start, (began, _) in enumerate(all_of_them):
            total = 0
            for at, size in all_of_them[start:]:
                total += size
                # Timers may be late, and what they were set for then comes closer together.
                assert total <= per_second * (at - began + 0.15) + burst


async def upgrade_all(world, kinds, on_progress) -> None:
    known = [await world.add_device(kind) for kind in kinds]
    package = await world.add_package(PACKAGE, "2.0.0")
    specs = [DeviceSpec(endpoint_name=kind, profile=replace(profile_named(kind), reboot_delay=0.01)) for kind in kinds]
    async with Fleet(server=world.server, devices=specs, timing=QUICK, seed=1, on_progress=on_progress) as fleet:
        await fleet.registered()
        await world.upgrade(package, *known)
        for device in known:
            assert "succeeded" in await world.until_told(device, "succeeded", "failed", any_of=True)


@pytest.fixture
def serve_at(world):
    async def serve(**settings) -> None:
        await world.stop()
        world.settings = world.settings.model_copy(update={"package_port": 0, **settings})
        world.limits = limits_of(UpgradeSettings(), world.settings)
        await world.start()

    return serve


async def test_each_device_has_its_rate_and_no_more_whichever_way_its_package_goes(world, serve_at) -> None:
    await serve_at(device_byte_rate=50_000)
    arrivals = Arrivals()
    await upgrade_all(world, KINDS, arrivals.note)
    for kind in KINDS:
        assert sum(size for _, size in arrivals.came[kind]) == len(PACKAGE)
        arrivals.assert_rate(kind, per_second=50_000)
        # It is used, too: what is beyond the burst takes as long as it must, and not many times that.
        took = arrivals.came[kind][-1][0] - arrivals.came[kind][0][0]
        assert (len(PACKAGE) - 50_000 * 0.25) / 50_000 - 0.2 < took < 5


async def test_all_devices_share_a_rate_and_one_that_takes_nothing_holds_nobody(world, serve_at) -> None:
    await serve_at(byte_rate=300_000)
    arrivals = Arrivals()
    stalled_device = await world.add_device("stalled")
    task = await world.upgrade(await world.add_package(PACKAGE * 200, "3.0.0"), stalled_device)
    token = (await world.device_upgrade(task)).transfer_token
    address = ("127.0.0.1", int(world.gateway.package_url(Protocol.HTTP).rpartition(":")[2]))
    loop = asyncio.get_running_loop()
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.setblocking(False)
        await loop.sock_connect(stalled, address)
        await loop.sock_sendall(stalled, f"GET /fw/{token} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async with asyncio.timeout(20):
            await upgrade_all(world, KINDS, arrivals.note)
    arrivals.assert_rate(*KINDS, per_second=300_000)
    first_end = min(came[-1][0] for came in arrivals.came.values())
    for came in arrivals.came.values():
        assert sum(size for at, size in came if at <= first_end) > len(PACKAGE) // 8
