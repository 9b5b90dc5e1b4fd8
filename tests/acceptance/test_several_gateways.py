"""Two gateways share the ports of this machine, a third process has the API and pushes; one gateway is killed."""

import asyncio
import hashlib
import secrets
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from tests.acceptance.conftest import Callback, Served, World, free_port
from tests.postgres_server import new_postgres_store, postgres

from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import PROFILES
from firmcast.simulator.timing import QUICK
from firmcast_sdk.wire.notifications import NotifyType

__all__ = ["postgres"]

FIRMWARE = secrets.token_bytes(24 << 10)
DIGEST = hashlib.sha256(FIRMWARE).hexdigest()
KEY = "000102030405060708090a0b0c0d0e0f"
NAMES = [f"device-{number}" for number in range(24)]
HASTY = replace(QUICK, transmission=replace(QUICK.transmission, max_retransmit=2))
LADDER = ["1", "2", "3", "0"]


class Nodes:
    """Three processes on one database."""

    def __init__(self, folder: Path, shared: dict[str, str]) -> None:
        self.secure_port = free_port(socket.SOCK_DGRAM)
        gateway = {
            "FIRMCAST_ROLES": '["gateway"]',
            "FIRMCAST_GATEWAY__SHARE_PORTS": "true",
            "FIRMCAST_GATEWAY__SECURE_PORT": str(self.secure_port),
        }
        self.rest = Served(folder / "rest", environment={**shared, "FIRMCAST_ROLES": '["rest", "pusher"]'})
        self.gateways = [
            Served(folder / f"gateway-{number}", environment={**shared, **gateway}, coap_port=self.rest.coap_port)
            for number in (1, 2)
        ]
        self.all = [self.rest, *self.gateways]

    async def start(self) -> None:
        await asyncio.gather(*(node.start() for node in self.all))


@pytest.fixture
async def nodes(tmp_path: Path, postgres: str) -> AsyncIterator[Nodes]:
    shared = {
        **await new_postgres_store(postgres),
        "FIRMCAST_SEALING_KEY_FILE": str(tmp_path / "sealing-key"),
        "FIRMCAST_NODES__LEASE_LIFE": "2",
    }
    made = Nodes(tmp_path, shared)
    await made.start()
    yield made
    for node in made.all:
        if node.process is not None and node.process.returncode is None:
            await node.kill()


@pytest.fixture
async def world(nodes: Nodes, callback: Callback) -> AsyncIterator[World]:
    body = {"name": "acceptance", "callback_ca": callback.files.authority.read_text()}
    credentials = await nodes.rest.manage("POST", "/v1/applications", json=body)
    callback.verify_with(credentials["signing_secret"])
    async with nodes.rest.client(credentials) as client:
        await client.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, callback.url)
        await client.subscribe(NotifyType.FW_UPGRADE_RESULT, callback.url)
        yield World(nodes.rest, callback, credentials, client)


def fleet_of(nodes: Nodes, names: list[str], secure: bool, seed: int, on_progress) -> Fleet:
    specs = [
        DeviceSpec(
            endpoint_name=name,
            profile=replace(
                PROFILES["push" if number % 2 else "pull"],
                installs_version="1.1.0",
                expected_digest=DIGEST,
                lifetime=4,
                block_szx=3,
                reboot_delay=0.3,
            ),
            key=bytes.fromhex(KEY) if secure else None,
        )
        for number, name in enumerate(names)
    ]
    server = ("127.0.0.1", nodes.secure_port if secure else nodes.rest.coap_port)
    return Fleet(server=server, devices=specs, timing=HASTY, seed=seed, on_progress=on_progress)


async def written(url: str) -> dict[str, list[int]]:
    """Return the numbers of what each device's application is told, as the log has them."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT device_id, sequence, event_type FROM event ORDER BY device_id, sequence")
    await connection.close()
    found: dict[str, list[int]] = {}
    numbers: dict[str, list[int]] = {}
    for device_id, sequence, event_type in rows:
        numbers.setdefault(device_id, []).append(sequence)
        if event_type.startswith("firmware."):
            found.setdefault(device_id, []).append(sequence)
    assert all(listed == list(range(1, len(listed) + 1)) for listed in numbers.values())
    return found


async def held_by(url: str) -> dict[str, int]:
    """Return how many devices each gateway holds."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT gateway, count(*) FROM registration GROUP BY gateway")
    await connection.close()
    return {row[0]: row[1] for row in rows}


async def test_a_gateway_that_is_killed_in_the_midst_of_upgrades_costs_nothing(world: World, nodes: Nodes) -> None:
    url = nodes.rest.environment["FIRMCAST_DATABASE_URL"]
    secure, clear = NAMES[:8], NAMES[8:]
    for name in NAMES:
        made = await world.client.register_device(
            name, verify_code=name, timeout_seconds=0, psk=KEY if name in secure else None
        )
        world.device_ids[name] = made.device_id
    query = {"application_id": world.credentials["application_id"], "name": "image.bin", "version": "1.1.0"}
    uploaded = await world.served.manage("POST", "/v1/firmware", params=query, content=FIRMWARE)
    world.package_id = uploaded["package_id"]
    halfway, blocks = asyncio.Event(), 0

    def passed(_device) -> None:
        nonlocal blocks
        blocks += 1
        if blocks == len(NAMES) * len(FIRMWARE) // 128 // 3:
            halfway.set()

    async with (
        fleet_of(nodes, secure, True, 1, passed) as secure_fleet,
        fleet_of(nodes, clear, False, 2, passed) as clear_fleet,
    ):
        await secure_fleet.registered()
        await clear_fleet.registered()
        assert len(await held_by(url)) == 2, "the kernel gave all devices to one process"
        await world.create_task()
        await halfway.wait()
        await nodes.gateways[0].kill()
        device_ids = set(world.device_ids.values())
        await world.callback.until(lambda: set(world.callback.results()) == device_ids)
        assert world.callback.results() == {device_id: ["SUCCESS"] for device_id in device_ids}
    found = await written(url)
    await world.callback.until(lambda: world.callback.first_arrivals() == found)
    for device_id in device_ids:
        steps = world.callback.steps(device_id)
        assert steps[-4:] == LADDER, steps
        assert set(steps[:-4]) <= {"0", "1"}, steps
