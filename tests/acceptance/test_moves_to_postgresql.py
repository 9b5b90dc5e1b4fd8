"""The day one machine is outgrown: a platform in the midst of its work moves to PostgreSQL, and nothing is lost."""

import asyncio
import hashlib
import json
import os
import secrets
import sys
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from tests.acceptance.conftest import Served
from tests.postgres_server import new_postgres_store, postgres

from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import PROFILES
from firmcast.simulator.timing import QUICK
from firmcast_sdk.wire.notifications import NotifyType

__all__ = ["postgres"]

COMMAND = str(Path(sys.executable).with_name("firmcast"))
FIRMWARE = secrets.token_bytes(300 << 10)
DIGEST = hashlib.sha256(FIRMWARE).hexdigest()
UPLOAD = secrets.token_bytes(400 << 10)
PIECE = 270 << 10
LADDER = ["1", "2", "3", "0"]
NAMES = [f"device-{number}" for number in range(6)]


async def run(*words, **environment):
    """Run a command; return its status, what it printed, and what it said on standard error."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *map(str, words),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, told = await process.communicate()
    assert b"Traceback" not in told, told.decode()
    return process.returncode, said.decode(), told.decode()


def fleet_of(served, on_progress=None):
    profile = replace(
        PROFILES["pull"], installs_version="1.1.0", expected_digest=DIGEST, lifetime=4, block_szx=2, reboot_delay=0.5
    )
    return Fleet(
        server=("127.0.0.1", served.coap_port),
        devices=[DeviceSpec(endpoint_name=name, profile=profile) for name in NAMES],
        timing=QUICK,
        seed=1,
        on_progress=on_progress,
    )


async def begin_upload(served, credentials, content, piece):
    """Begin an upload and send the first bytes of it; return its path."""
    body = {
        "application_id": credentials["application_id"],
        "name": "next",
        "version": "1.1.0",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    upload = await served.manage("POST", "/v1/firmware/uploads", json=body)
    path = f"/v1/firmware/uploads/{upload['upload_id']}"
    await add_piece(served, path, 0, content[:piece])
    return path


async def add_piece(served, path, offset, piece):
    headers = {"upload-offset": str(offset), "content-type": "application/octet-stream"}
    return await served.manage("PATCH", path, content=piece, headers=headers)


async def written(url):
    """Return the numbers of what each device's application is told, as the log has them."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT device_id, sequence, event_type FROM event ORDER BY device_id, sequence")
    await connection.close()
    found, numbers = {}, {}
    for device_id, sequence, event_type in rows:
        numbers.setdefault(device_id, []).append(sequence)
        if event_type.startswith("firmware."):
            found.setdefault(device_id, []).append(sequence)
    assert all(listed == list(range(1, len(listed) + 1)) for listed in numbers.values())
    return found


@pytest.mark.timeout(240)
async def test_a_platform_moves_in_the_midst_of_its_work(world, postgres):
    environment = await new_postgres_store(postgres)
    url = environment["FIRMCAST_DATABASE_URL"]
    await world.prepare(NAMES, FIRMWARE)
    path = await begin_upload(world.served, world.credentials, UPLOAD, PIECE)
    world.callback.refuse = lambda _push: True  # the application is down, so all that is told waits
    halfway = asyncio.Event()
    blocks = 0

    def passed(_device):
        nonlocal blocks
        blocks += 1
        if blocks == 6 * len(FIRMWARE) // 64 // 2:
            halfway.set()

    async with fleet_of(world.served, passed) as fleet:
        await fleet.registered()
        await world.create_task()
        await halfway.wait()
        await world.callback.until(lambda: len(world.callback.pushes) > len(NAMES))
        assert (await run("db", "copy", "--from", world.served.data, "--to", url))[0] == 1, "it is being served"
        assert await world.served.stop() == 0
        await move(world, environment)
        world.callback.refuse = lambda _push: False
        await world.served.start()
        device_ids = set(world.device_ids.values())
        await world.callback.until(lambda: set(world.callback.results()) == device_ids)
    await world.callback.until(lambda: all(len(world.callback.steps(device_id)) == 4 for device_id in device_ids))
    found = await written(url)
    assert world.callback.first_arrivals() == found
    assert {device_id: world.callback.steps(device_id) for device_id in device_ids} == dict.fromkeys(device_ids, LADDER)
    assert world.callback.results() == {device_id: ["SUCCESS"] for device_id in device_ids}
    made = await add_piece(world.served, path, PIECE, UPLOAD[PIECE:])
    assert made["sha256"] == hashlib.sha256(UPLOAD).hexdigest()
    status, said, _ = await run("db", "check", **environment)
    assert (status, said.splitlines()[-1]) == (0, "the store is sound"), said
    assert await world.served.stop() == 0


async def move(world, environment):
    """Copy the store, and have the platform served from the copy from then on; look at both on the way."""
    folder = world.served.data
    original = (folder / "firmcast.db").read_bytes()
    status, said, told = await run("db", "copy", "--from", folder, "--json", **environment)
    assert status == 0, told
    copied = json.loads(said)
    assert (copied["packages"], copied["uploads"]) == (1, 1)
    assert copied["tables"]["device"] == copied["tables"]["device_upgrade"] == len(NAMES)
    assert copied["tables"]["delivery"] >= len(NAMES)
    assert (folder / "firmcast.db").read_bytes() == original
    for given in ({"FIRMCAST_DATA": str(folder)}, environment):
        status, said, told = await run("db", "check", "--json", **given)
        assert status == 0, (said, told)
        assert json.loads(said)["sound"]
    world.served.environment.update(environment)


@pytest.fixture
async def nodes(tmp_path, postgres):
    """Two nodes that share a database, the sealing key and the operator's token, and nothing else."""
    environment = await new_postgres_store(postgres)
    secret_files = {"sealing-key": secrets.token_bytes(32), "admin-token": secrets.token_hex(16).encode()}
    made = [Served(tmp_path / name, environment=dict(environment)) for name in ("one", "other")]
    for node in made:
        node.data.mkdir()
        for name, content in secret_files.items():
            (node.data / name).write_bytes(content)
        await node.start()
    yield made
    for node in made:
        if node.process.returncode is None:
            await node.kill()


@pytest.mark.timeout(240)
async def test_a_package_that_came_to_one_node_goes_on_and_is_served_at_another(nodes, callback):
    one, other = nodes
    body = {"name": "acceptance", "callback_ca": callback.files.authority.read_text()}
    credentials = await one.manage("POST", "/v1/applications", json=body)
    callback.verify_with(credentials["signing_secret"])
    path = await begin_upload(one, credentials, FIRMWARE, PIECE)
    await one.kill()
    package = await add_piece(other, path, PIECE, FIRMWARE[PIECE:])
    assert package["sha256"] == DIGEST
    async with other.client(credentials) as client, fleet_of(other) as fleet:
        await client.subscribe(NotifyType.FW_UPGRADE_RESULT, callback.url)
        ids = [(await client.register_device(name, verify_code=name, timeout_seconds=0)).device_id for name in NAMES]
        await fleet.registered()
        await client.create_firmware_upgrade(package["package_id"], devices=ids)
        await callback.until(lambda: set(callback.results()) == set(ids))
    assert callback.results() == {device_id: ["SUCCESS"] for device_id in ids}
    assert (other.data / "package-cache" / DIGEST[:2] / DIGEST).read_bytes() == FIRMWARE
    assert await other.stop() == 0
