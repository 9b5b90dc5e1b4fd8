"""The two promises, against the worst: kills of the platform, a broken handler, an application that is down."""

import asyncio
import hashlib
import random
import secrets
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import PROFILES
from firmcast.simulator.timing import QUICK

FIRMWARE = secrets.token_bytes(64 << 10)
DIGEST = hashlib.sha256(FIRMWARE).hexdigest()
LADDER = ["1", "2", "3", "0"]


def specs(names, **changed):
    return [
        DeviceSpec(
            endpoint_name=name,
            profile=replace(
                PROFILES["pull" if number % 2 else "push"],
                installs_version="1.1.0",
                expected_digest=DIGEST,
                lifetime=4,
                **changed,
            ),
        )
        for number, name in enumerate(names)
    ]


def fleet_of(world, names, **given):
    changed = given.pop("profile", {})
    server = ("127.0.0.1", world.served.coap_port)
    return Fleet(server=server, devices=specs(names, **changed), timing=QUICK, seed=1, **given)


def all_ended(world):
    return lambda: set(world.callback.results()) == set(world.device_ids.values())


def assert_nothing_lost_or_overtaken(world):
    """What arrived, in the order of its first arrival, is what the log holds of the types subscribed to."""
    store = f"file:{world.served.data / 'firmcast.db'}?mode=ro"
    written = {device_id: [] for device_id in world.device_ids.values()}
    with closing(sqlite3.connect(store, uri=True)) as connection:
        rows = connection.execute("SELECT device_id, sequence, event_type FROM event ORDER BY device_id, sequence")
        numbers = {device_id: [] for device_id in written}
        for device_id, sequence, event_type in rows:
            numbers[device_id].append(sequence)
            if event_type.startswith("firmware."):
                written[device_id].append(sequence)
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())
    assert world.callback.first_arrivals() == written


async def test_the_application_is_told_every_step_and_then_the_result(world):
    names = ["by-write", "by-uri"]
    await world.prepare(names, FIRMWARE)
    async with fleet_of(world, names) as fleet:
        await fleet.registered()
        await world.create_task()
        await world.callback.until(all_ended(world))
    assert_nothing_lost_or_overtaken(world)
    for name, device_id in world.device_ids.items():
        assert world.callback.steps(device_id) == LADDER
        pushes = [push for push in world.callback.accepted if push.device_id == device_id]
        assert pushes[-1].body["notifyType"] == "fwUpgradeResultNotify"
        marked = [push.body["step"] for push in pushes if push.headers.get("firmcast-synthesised") == "true"]
        assert marked == (["1"] if name == "by-write" else [])
    push = world.callback.accepted[0]
    assert push.path == "/v1.0.0/messageReceiver"
    assert push.headers["content-type"] == "application/json"
    assert list(push.body) == [
        "notifyType", "deviceId", "appId", "operationId", "subOperationId", "step", "stepDesc",
    ]  # fmt: skip
    assert all(isinstance(value, str) for value in push.body.values())
    assert b'": ' not in push.raw
    assert b", " not in push.raw


@pytest.mark.timeout(300)
async def test_kill_at_twenty_random_moments_loses_nothing(world):
    names = [f"device-{number}" for number in range(20)]
    await world.prepare(names, FIRMWARE)
    moment = asyncio.Event()
    draw = random.Random(20)
    countdown = 0

    def passed(_what: object = None) -> None:
        nonlocal countdown
        countdown -= 1
        if countdown <= 0:
            moment.set()

    # A moment is so many blocks, registrations or states from now: a signal, not a time, so it is never too late.
    given = {"on_progress": passed, "on_change": passed, "profile": {"reboot_delay": 1.0, "block_szx": 2}}
    kills = 0
    async with fleet_of(world, names, **given) as fleet:
        await fleet.registered()
        task_id = await world.create_task()
        while kills < 20 and not all_ended(world)():
            countdown = draw.randrange(1, 900)
            moment.clear()
            ended = asyncio.create_task(world.callback.until(all_ended(world)))
            due = asyncio.create_task(moment.wait())
            await asyncio.wait({ended, due}, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            due.cancel()
            await world.served.kill()
            await world.served.start()
            kills += 1
        await world.callback.until(all_ended(world))
    assert kills == 20, "the job ended before the last kill; make it slower"
    assert_nothing_lost_or_overtaken(world)
    for device_id in world.device_ids.values():
        assert world.callback.steps(device_id)[-3:] == ["2", "3", "0"]
    assert all(statuses == ["SUCCESS"] for statuses in world.callback.results().values())
    operation = await world.client.operation(task_id)
    assert operation.sta_result.success == operation.sta_result.total == 20


async def test_a_handler_that_fails_for_one_device_delays_that_device_only(world):
    names = [f"device-{number}" for number in range(4)]
    await world.prepare(names, FIRMWARE)
    broken = world.device_ids["device-0"]
    others = set(world.device_ids.values()) - {broken}
    world.callback.refuse = lambda push: push.device_id == broken
    async with fleet_of(world, names) as fleet:
        await fleet.registered()
        await world.create_task()
        await world.callback.until(lambda: set(world.callback.results()) == others)
        assert broken not in world.callback.first_arrivals()
        world.callback.refuse = lambda _push: False
        await world.callback.until(all_ended(world))
    assert_nothing_lost_or_overtaken(world)
    assert world.callback.steps(broken) == LADDER


async def test_an_application_that_was_down_receives_everything_in_order(world):
    names = [f"device-{number}" for number in range(6)]
    await world.prepare(names, FIRMWARE)
    port = world.callback.server.address[1]
    await world.callback.server.stop()
    async with fleet_of(world, names) as fleet:
        await fleet.registered()
        task_id = await world.create_task()
        await fleet.updated()
        async with asyncio.timeout(60):
            while (await world.client.operation(task_id)).sta_result.success < len(names):
                await asyncio.sleep(0.2)  # the platform tells an end by its callback only, and that is down
        assert world.callback.accepted == []
        await world.callback.listen(port)
        await world.callback.until(all_ended(world))
    assert_nothing_lost_or_overtaken(world)
    assert all(world.callback.steps(device_id) == LADDER for device_id in world.device_ids.values())


async def test_serve_ends_when_asked_and_refuses_a_second_process(world):
    process = await asyncio.create_subprocess_exec(
        *_command("serve", "--data", world.served.data, "--port", "0", "--coap-port", "0"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"in use by another process" in said
    assert b"Traceback" not in said
    assert await world.served.stop() == 0


def _command(*words):
    import sys
    from pathlib import Path

    return [str(Path(sys.executable).with_name("firmcast")), *map(str, words)]
