"""A task keeps its counts and its promises when the platform is killed while it works on its devices."""

import asyncio
import random
import secrets
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from firmcast.db.sqlite import SqliteDatabase
from firmcast.devices import use_cases as devices
from firmcast.devices.model import DeviceDetails
from firmcast.events.log import EventLog
from firmcast.groups import use_cases as groups
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import PROFILES
from firmcast.simulator.timing import QUICK
from firmcast_sdk.wire.operations import OperationStatus, Policy

METERS = {"device_type": "Meter", "model": "M1", "manufacturer_name": "Acme"}
CROWD = 2000
OVERLAP = 600
PATIENCE = 5
"""Seconds for which a device of the crowd is waited for."""
KILLS = 6
ROUNDS = 3


async def fill(world):
    """Put devices that never come into two groups that overlap; over the API that alone would take a minute."""
    application_id, now = world.credentials["application_id"], datetime.now(UTC)
    log, details = EventLog(encode=lambda _event: b""), DeviceDetails(**METERS)

    async def add(tx):
        ids = []
        for number in range(CROWD):
            name = f"meter-{number}"
            made = await devices.create(tx, application_id, name, name, now, log=log, details=details)
            ids.append(made.device_id)
        for name, members in (("north", ids[: (CROWD + OVERLAP) // 2]), ("south", ids[(CROWD - OVERLAP) // 2 :])):
            group = await groups.create(tx, application_id, name, now)
            for first in range(0, len(members), 1000):
                await groups.add_members(tx, application_id, group.group_id, members[first : first + 1000])
        return ids

    await world.served.stop()
    database = await SqliteDatabase.open(world.served.data / "firmcast.db", now)
    ids = await database.write(add)
    await database.close()
    world.served.environment["FIRMCAST_UPGRADES__WAITING_LIMIT"] = str(PATIENCE)
    await world.served.start()
    return ids


async def counts(world, task_id):
    """Return a task and what its devices count as, which always sums to all of them."""
    operation = await world.client.operation(task_id)
    counted = {name: getattr(operation.sta_result, name) for name in operation.sta_result.__struct_fields__}
    assert counted["total"] * 2 == sum(counted.values())
    return operation, counted


def told(world):
    """Return how many different pushes have come."""
    return len({push.headers["webhook-id"] for push in world.callback.accepted})


def ends(world):
    return sum(map(len, world.callback.results().values()))


def rows(world, statement):
    with closing(sqlite3.connect(f"file:{world.served.data / 'firmcast.db'}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()


def assert_each_attempt_told_its_end(world):
    """What came of each device, repeats aside, is in order what the log holds of it, and one end for each attempt."""
    written = {}
    log = "SELECT device_id, sequence FROM event WHERE event_type LIKE 'firmware.%' ORDER BY device_id, sequence"
    for device_id, sequence in rows(world, log):
        written.setdefault(device_id, []).append(sequence)
    assert world.callback.first_arrivals() == written
    attempts = dict(rows(world, "SELECT device_id, attempt FROM device_upgrade"))
    assert {device_id: len(results) for device_id, results in world.callback.results().items()} == attempts


@pytest.mark.timeout(120)
async def test_a_group_is_resolved_and_tried_again_exactly_once_through_kills(world):
    await world.prepare([], secrets.token_bytes(1000))
    ids = await fill(world)
    task_id = await world.client.create_firmware_upgrade(
        world.package_id, device_groups=["north", "south"], policy=Policy(retry_type=True, retry_times=1), **METERS
    )
    moments = [
        lambda counted: counted["total"] >= 1,
        lambda counted: counted["total"] >= CROWD // 3,
        lambda counted: counted["total"] >= CROWD // 2,
        lambda counted: counted["timeout"] >= 1,  # the first ones are given up
        lambda _counted: rows(world, "SELECT 1 FROM upgrade_task WHERE work = 'retrying' OR round = 2"),
        lambda _counted: told(world) > CROWD,  # the first ones are given up again
    ]
    caught = []
    for has_come in moments:
        while True:
            operation, counted = await counts(world, task_id)
            if has_come(counted):
                break
            assert operation.stop_time is None
            await asyncio.sleep(0.01)
        caught.append(counted["total"])
        await world.served.kill()
        await world.served.start()
    assert 0 < caught[0] <= caught[1] <= caught[2] < CROWD, "killed too late"
    await world.callback.until(lambda: told(world) >= 2 * CROWD)
    operation, counted = await counts(world, task_id)
    assert operation.status is OperationStatus.FAILED
    assert counted == {**dict.fromkeys(counted, 0), "total": CROWD, "timeout": CROWD}
    taken = dict(rows(world, "SELECT position, device_id FROM device_upgrade"))
    assert sorted(taken) == list(range(CROWD))
    assert set(taken.values()) == set(ids)
    assert_each_attempt_told_its_end(world)
    assert Counter(map(tuple, world.callback.results().values())) == {("FAIL", "FAIL"): CROWD}


def failing_first(number):
    """Return how a device is to end in each round: the fourth kind never succeeds."""
    failures = number % (ROUNDS + 1)
    return ["FAIL"] * failures + ["SUCCESS"] * (failures < ROUNDS)


@pytest.mark.timeout(120)
async def test_rounds_end_as_they_must_when_the_platform_is_killed_within_and_between_them(world):
    names = [f"device-{number}" for number in range(12)]
    expected = {name: failing_first(number) for number, name in enumerate(names)}
    await world.prepare(names, secrets.token_bytes(16 << 10))
    sound = replace(PROFILES["pull"], installs_version="1.1.0", lifetime=4, block_szx=2)
    failing = replace(sound, failed_install_returns_to=FirmwareUpdateState.IDLE)
    keeping = replace(sound, failed_install_returns_to=FirmwareUpdateState.DOWNLOADED)
    specs = [
        DeviceSpec(endpoint_name=name, profile=(failing, keeping)[number // 2 % 2]) for number, name in enumerate(names)
    ]
    draw = random.Random(14)
    moment = asyncio.Event()
    countdown = 0

    def passed(device):
        nonlocal countdown
        if device.status.updates_failed >= expected[device.spec.endpoint_name].count("FAIL") < ROUNDS:
            device.spec = replace(device.spec, profile=sound)
        countdown -= 1
        if countdown <= 0:
            moment.set()

    server = ("127.0.0.1", world.served.coap_port)
    total = sum(map(len, expected.values()))
    async with Fleet(server=server, devices=specs, timing=QUICK, seed=1, on_change=passed, on_progress=passed) as fleet:
        for device in fleet.devices.values():
            passed(device)
        await fleet.registered()
        policy = Policy(retry_type=True, retry_times=ROUNDS - 1)
        task_id = await world.client.create_firmware_upgrade(
            world.package_id, devices=list(world.device_ids.values()), policy=policy
        )
        for _ in range(KILLS):
            # So many blocks, registrations or states from now.
            countdown = draw.randrange(1, 900)
            moment.clear()
            await moment.wait()
            await world.served.kill()
            await world.served.start()
        assert ends(world) < total, "the task ended before the last kill; make it slower"
        await world.callback.until(lambda: ends(world) >= total)
    operation, counted = await counts(world, task_id)
    succeeded = sum("SUCCESS" in each for each in expected.values())
    assert operation.status is OperationStatus.FAILED
    assert counted == {**dict.fromkeys(counted, 0), "total": 12, "success": succeeded, "fail": 12 - succeeded}
    assert_each_attempt_told_its_end(world)
    results = world.callback.results()
    assert {name: results[device_id] for name, device_id in world.device_ids.items()} == expected
    for device_id in world.device_ids.values():
        *attempts, afterwards = ladders(world, device_id)
        assert afterwards == []
        assert all(ladder[:3] == ["1", "2", "3"] for ladder in attempts)


def ladders(world, device_id):
    """Return the steps of each attempt with a device, and those behind its last result."""
    told_so_far = set()
    found = [[]]
    for push in world.callback.accepted:
        if push.device_id != device_id or push.sequence in told_so_far:
            continue
        told_so_far.add(push.sequence)
        if "step" in push.body:
            found[-1].append(push.body["step"])
        else:
            found.append([])
    return found
