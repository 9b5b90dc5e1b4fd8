"""A part of the matrix (tests/matrix/cells.md) with the real gateway and engine, a real store, and real sockets."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.matrix.cells import Cell
from tests.matrix.table import is_as_written, pattern_of

from firmcast.rest.certificates import make_certificate
from firmcast.settings import UpgradeSettings
from firmcast.simulator.device import DeviceSpec, VirtualDevice
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.network import PERFECT, NetworkConditions
from firmcast.simulator.sleep import SleepHabit
from firmcast.simulator.timing import QUICK
from firmcast.upgrades.limits import limits_of

PACKAGE = bytes(range(256)) * 96
"""24 blocks of 1024 bytes."""
KEY = bytes(range(16))
HASTY = replace(QUICK, transmission=replace(QUICK.transmission, ack_timeout=0.1, max_retransmit=3), upload_patience=2.0)
WAITING_FOR_SESSIONS = replace(HASTY, transmission=replace(HASTY.transmission, max_retransmit=7))
"""A handshake in which a flight is lost takes whole seconds; who gives up what waits for it begins it anew."""
LIMITS = UpgradeSettings(
    probe_limit=timedelta(seconds=1),
    inspecting_limit=timedelta(seconds=60),
    transferring_limit=timedelta(seconds=60),
    executing_limit=timedelta(seconds=60),
    verifying_limit=timedelta(seconds=60),
    deferral_pause=timedelta(seconds=0.2),
    deferral_limit=timedelta(seconds=60),
    awake_window=timedelta(seconds=0.3),
)
HABIT = SleepHabit(awake_for=0.6, update_every=0.8)
"""It listens for longer than is believed of it, and so on a slow machine too."""
CELLS = [
    ("anjay", "written", "secure"),
    ("anjay", "coap", "clear"),
    ("anjay", "http", "secure"),
    ("zephyr", "coap", "secure"),
    ("zephyr-push", "written", "clear"),
    ("plain", "http", "clear"),
    ("state-then-result", "coap", "clear"),
    ("anjay-failing", "written", "clear"),
    ("deferring", "coap", "secure"),
    ("corrupting", "coap", "clear"),
]
CLEAR_CELLS = [each for each in CELLS if each[2] == "clear"]
SECURE_CELLS = [("anjay", "written", "secure"), ("no-reboot", "coap", "secure"), ("no-reboot", "http", "secure")]
"""One of each way, and one with a second handshake: OpenSSL waits whole seconds for a flight that was lost."""
SLEEPY_CELLS = [("sleepy", way, "clear") for way in ("coap", "http", "written")]
PATIENCE = 60.0
LOSSES = NetworkConditions(loss=0.2, delay=0.001, jitter=0.002)


class Cells:
    """Devices of several cells under one fault, in two fleets: those in clear and those with keys."""

    def __init__(self, world, fault: str, authority: Path, chosen: list[tuple[str, str, str]]) -> None:
        self.cells = {f"device-{number}": Cell(*each, fault) for number, each in enumerate(chosen)}
        self.known: dict[str, object] = {}
        self.fleets: list[Fleet] = []
        self._world = world
        self._authority = authority

    def spec(self, name: str) -> DeviceSpec:
        cell = self.cells[name]
        # A notification that is lost costs seconds; a registration is updated soon, so that an address is found again.
        lifetime = 10 if cell.fault == "loss" else 2
        profile = replace(cell.profile, reboot_delay=0.02, lifetime=lifetime, notifies_confirmable=True)
        if profile.sleep is not None:
            # Up to LwM2M 1.0 queue mode is told by UQ, from 1.1 on by a flag of its own.
            profile = replace(profile, sleep=HABIT, lwm2m_version="1.0" if cell.way == "written" else "1.1")
        key = KEY if cell.session == "secure" else None
        return DeviceSpec(endpoint_name=name, profile=profile, key=key, authority=self._authority)

    async def run(self, *, size: int = len(PACKAGE), network=PERFECT, timing=HASTY, on_progress=None) -> None:
        """Bring every device to its end, and leave behind what became of the fleets."""
        world = self._world
        for name, cell in self.cells.items():
            self.known[name] = await world.add_device(name, KEY if cell.session == "secure" else b"")
        package = await world.add_package(PACKAGE[:size], "2.0.0")
        async with AsyncExitStack() as stack:
            for session, server in (("clear", world.server), ("secure", world.secure_server)):
                specs = [self.spec(name) for name, cell in self.cells.items() if cell.session == session]
                if specs:
                    fleet = Fleet(
                        server=server, devices=specs, timing=timing, seed=5, network=network, on_progress=on_progress
                    )
                    self.fleets.append(await stack.enter_async_context(fleet))
                    await fleet.registered()
            await world.upgrade(package, *self.known.values())
            await asyncio.gather(*(self.end(name) for name in self.cells))

    async def end(self, name: str) -> None:
        told = await self._world.until_told(self.known[name], "succeeded", "failed", any_of=True, patience=PATIENCE)
        told = [one.removeprefix("*") for one in told]
        cell = self.cells[name]
        assert is_as_written(cell, told), f"{pattern_of(cell).pattern} is expected of {cell}, which tells {told}"


@pytest.fixture
async def cells(world, tmp_path):
    made = make_certificate(tmp_path / "made", ["127.0.0.1"], datetime.now(UTC))
    await world.stop()
    world.package_certificate = made.certificate, made.key
    world.settings = world.settings.model_copy(
        update={"package_port": 0, "package_secure_port": 0, "acknowledgement_timeout": 0.06}
    )
    world.limits = limits_of(LIMITS, world.settings)
    await world.start()
    return lambda fault, chosen=CELLS: Cells(world, fault, made.authority, chosen)


async def test_nothing_happens(cells) -> None:
    await cells("nothing").run()


@pytest.mark.parametrize(
    ("chosen", "timing"),
    [(CLEAR_CELLS, HASTY), (SECURE_CELLS + SLEEPY_CELLS, WAITING_FOR_SESSIONS)],
    ids=["in clear", "with keys or asleep"],
)
async def test_every_fifth_datagram_is_lost(cells, chosen, timing) -> None:
    under_way = cells("loss", chosen)
    await under_way.run(size=4096, network=LOSSES, timing=timing)
    for statistics in (fleet.statistics() for fleet in under_way.fleets):
        assert statistics.datagrams.lost > 0
        assert sum(status.missed for status in statistics.statuses) == 0


async def test_each_device_loses_its_power_in_the_middle_of_its_package(cells) -> None:
    under_way = cells("device killed")
    cut: set[str] = set()

    def cut_once(device: VirtualDevice) -> None:
        name, received = device.status.endpoint_name, device.status.received
        if name not in cut and received > len(PACKAGE) // 2:
            cut.add(name)
            device.reboot()

    await under_way.run(on_progress=cut_once)
    assert cut == set(under_way.cells)


async def test_the_gateway_is_killed_while_packages_are_on_their_way(world, cells) -> None:
    under_way = cells("gateway killed")
    kill = asyncio.Event()

    def kill_once(device: VirtualDevice) -> None:
        if device.status.received > len(PACKAGE) // 2:
            kill.set()

    async def killer() -> None:
        for step in range(2):
            await kill.wait()
            await world.kill()
            await asyncio.sleep(0.2 * step)
            await world.start()
            kill.clear()

    killing = asyncio.create_task(killer())
    await under_way.run(on_progress=kill_once)
    killing.cancel()


async def test_each_device_is_moved_in_the_middle_of_its_package(cells) -> None:
    under_way = cells("rebound")
    moved: set[str] = set()

    def move_once(device: VirtualDevice) -> None:
        name, received = device.status.endpoint_name, device.status.received
        if name not in moved and received > len(PACKAGE) // 2:
            moved.add(name)
            asyncio.get_running_loop().call_soon(device._session.transport.rebind)

    await under_way.run(on_progress=move_once)
    assert moved == set(under_way.cells)
