"""Three processes on one PostgreSQL, one for each role: what each did to a device stands on one line of time."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.conftest import COMMAND, Callback, Served, World
from tests.postgres_server import new_postgres_store, postgres

from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import PROFILES
from firmcast.simulator.timing import QUICK
from firmcast_sdk.wire.notifications import NotifyType

__all__ = ["postgres"]

ROLES = ("rest", "pusher", "gateway")
FIRMWARE = bytes(8192)


@pytest.fixture
async def nodes(tmp_path: Path, postgres: str) -> AsyncIterator[dict[str, Served]]:
    shared = {**await new_postgres_store(postgres), "FIRMCAST_SEALING_KEY_FILE": str(tmp_path / "sealing-key")}
    made = {
        role: Served(tmp_path / role, environment={**shared, "FIRMCAST_ROLES": json.dumps([role])}) for role in ROLES
    }
    await asyncio.gather(*(node.start() for node in made.values()))
    yield made
    for node in made.values():
        await node.kill()


async def timeline(node: Served, device: str) -> dict[str, Any]:
    """Return what `firmcast device timeline` prints where the REST node runs."""
    command = ("device", "timeline", device, "--oldest-first", "--limit", "1000", "--json", "--data", str(node.data))
    process = await asyncio.create_subprocess_exec(COMMAND, *command, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(told)


def those(found: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the entries of a kind, each with its details and the time at which it stands."""
    return [{**entry["details"], "at": entry["at"]} for entry in found["entries"] if entry["kind"] == kind]


async def test_what_each_node_did_stands_on_one_line(nodes: dict[str, Served], callback: Callback) -> None:
    rest = nodes["rest"]
    body = {"name": "acceptance", "callback_ca": callback.files.authority.read_text()}
    credentials = await rest.manage("POST", "/v1/applications", json=body)
    callback.verify_with(credentials["signing_secret"])
    callback.refuse = lambda _push: len(callback.pushes) == 1
    profile = replace(PROFILES["pull"], installs_version="1.1.0", reboot_delay=0.1)
    device = DeviceSpec(endpoint_name="meter-7", profile=profile)
    server = ("127.0.0.1", nodes["gateway"].coap_port)
    async with rest.client(credentials) as client, Fleet(server=server, devices=[device], timing=QUICK) as fleet:
        world = World(rest, callback, credentials, client)
        await client.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, callback.url)
        await client.subscribe(NotifyType.FW_UPGRADE_RESULT, callback.url)
        await world.prepare(["meter-7"], FIRMWARE)
        await fleet.registered()
        await world.create_task()
        device_id = world.device_ids["meter-7"]
        await callback.until(lambda: callback.results() == {device_id: ["SUCCESS"]})
        # A node writes what it notes with what follows from it, or a moment later.
        found = await timeline(rest, "meter-7")
        async with asyncio.timeout(20):
            while len(those(found, "push")) < len(callback.pushes):
                found = await timeline(rest, "meter-7")
    assert [entry["at"] for entry in found["entries"]] == sorted(entry["at"] for entry in found["entries"])
    # The gateway's node.
    exchanges = [(each["kind"], each.get("path", "")) for each in those(found, "exchange")]
    told = [each for each in exchanges if each[0] in ("register", "write", "execute")]
    assert told == [("register", ""), ("write", "/5/0/1"), ("execute", "/5/0/2"), ("register", "")]
    assert exchanges.count(("observe", "/5/0/3")) == 2
    assert [each["reached"] for each in those(found, "transfer")] == [len(FIRMWARE)]
    phases = [each["after"] for each in those(found, "decision") if each["after"] != each["before"]]
    assert phases == ["inspecting", "transferring", "executing", "verifying", "closed"]
    # The node that pushes: each attempt stands behind what it tells of.
    events = {each["event_id"]: each for each in those(found, "event")}
    pushes = those(found, "push")
    assert all(events[each["event_id"]]["at"] <= each["at"] for each in pushes)
    assert [each["status"] for each in pushes] == [500, *[200] * 5]
    states = [events[each["event_id"]]["fact"].get("state") for each in pushes]
    assert states == [1, 1, 2, 3, 0, None]
    assert [push.sequence for push in callback.pushes] == [events[each["event_id"]]["sequence"] for each in pushes]
    assert found["left_out"] == []
