"""Deleting an application takes all that is its own, in batches, and goes on after a crash."""

import pytest

from firmcast import application_deletion
from firmcast.application_deletion import ApplicationDeletion
from firmcast.applications import use_cases as applications
from firmcast.audit.model import administrator
from firmcast.db.statement import portable
from firmcast.errors import ConflictError
from firmcast.events.model import EventType
from firmcast.ids import DeviceId
from firmcast.profiles import use_cases as profiles
from firmcast.subscriptions import use_cases as subscriptions

UPGRADE = "/iodm/northbound/v1.5.0/operations/firmwareUpgrade"
LOGIN = "/iocm/app/sec/v1.1.0/login"
OPERATOR = administrator("operator")
OWNED = (
    "application",
    "token",
    "subscription",
    "device",
    "device_group",
    "firmware_package",
    "upgrade_task",
    "device_upgrade",
    "device_client",
    "journal_page",
)


async def fill(world, caller, number):
    """Give an application something of everything, and a task that has ended."""
    await world.database.write(
        subscriptions.subscribe,
        caller.application_id,
        EventType.FIRMWARE_STATE_CHANGED,
        "https://app.example:1/x",
        world.clock.now(),
    )
    package = await world.upload(caller, f"firmware of {number}".encode())
    devices = [await world.register(caller, f"device {number} {each}") for each in range(3)]
    made = await caller.call("POST", "/iocm/app/devgroup/v1.3.0/devGroups", {"name": "meters", "deviceIds": devices})
    assert made.status_code == 200, made.text
    assert "error_code" not in made.json()
    answer = await caller.call("POST", UPGRADE, {"fileId": package["package_id"], "targets": {"devices": devices}})
    assert answer.status_code == 200, answer.text
    for device_id in devices:
        await world.database.write(profiles.learn, DeviceId(device_id), world.clock.now())
    return answer.json()["operationId"]


async def stop(world, task_id):
    assert (await world.manage("POST", f"/v1/upgrades/{task_id}/stop")).status_code == 200


async def rows(world):
    async def counted(tx):
        return {table: (await tx.fetch_row(portable(f"SELECT count(*) FROM {table}")))[0] for table in OWNED}

    return await world.database.read(counted)


async def test_everything_of_it_goes_and_nothing_of_others(world, monkeypatch, tmp_path):
    def files():
        return {file for file in (tmp_path / "firmware").rglob("*") if file.is_file()}

    monkeypatch.setattr(application_deletion, "_ROWS_AT_ONCE", 2)
    await stop(world, await fill(world, await world.login("stays"), 0))
    before, kept = await rows(world), files()
    caller = await world.login("goes")
    await stop(world, await fill(world, caller, 1))
    assert len(files()) == len(kept) + 1
    assert await rows(world) == {table: 2 * count for table, count in before.items()}
    assert min(before.values()) > 0
    answer = await world.manage("DELETE", f"/v1/applications/{caller.application_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert await rows(world) == before
    assert files() == kept
    assert (await world.manage("GET", f"/v1/applications/{caller.application_id}")).status_code == 404
    assert (await caller.call("GET", "/iocm/app/dm/v1.4.0/devices?pageNo=0")).json()["error_code"] == "1010005"


async def test_an_open_task_stands_in_its_way(world, caller):
    task_id = await fill(world, caller, 1)
    one = f"/v1/applications/{caller.application_id}"
    before = await rows(world)
    answer = await world.manage("DELETE", one)
    assert (answer.status_code, answer.json()["error_code"]) == (409, "conflict")
    assert await rows(world) == before
    shown = (await world.manage("GET", one)).json()
    assert (shown["frozen"], shown["deleting"]) == (False, False)
    await stop(world, task_id)
    assert (await world.manage("DELETE", one)).status_code == 204


async def test_what_a_crash_leaves_goes_at_the_next_start(world, caller, monkeypatch):
    monkeypatch.setattr(application_deletion, "_ROWS_AT_ONCE", 1)
    await stop(world, await fill(world, caller, 1))
    forget_some, left = application_deletion._forget_some, [2]

    class CrashError(Exception):
        pass

    async def until_the_crash(tx, application_id, limit):
        if not left[0]:
            raise CrashError
        left[0] -= 1
        return await forget_some(tx, application_id, limit)

    deletion = ApplicationDeletion(world.database, world.files)
    with monkeypatch.context() as crashing:
        crashing.setattr(application_deletion, "_forget_some", until_the_crash)
        with pytest.raises(CrashError):
            await deletion.delete(caller.application_id, OPERATOR, world.clock.now())
    found = await world.database.read(applications.find, caller.application_id)
    assert (found.frozen, found.deleting) == (True, True)
    one = f"/v1/applications/{caller.application_id}"
    assert (await world.manage("POST", f"{one}/unfreeze")).status_code == 409
    form = f"appId={caller.application_id}&secret={caller.credentials.secret}".encode()
    assert (await world.call("POST", LOGIN, form)).json()["error_code"] == "100247"
    await deletion.resume()
    assert set((await rows(world)).values()) == {0}
    entries = (await world.manage("GET", "/v1/audit?action=application.delete")).json()["entries"]
    assert [entry["subject"] for entry in entries] == [caller.application_id]


async def test_a_task_that_slipped_in_is_not_lost(world, caller):
    """A call that had proven itself just before the deletion began may still make a task."""
    task_id = await fill(world, caller, 1)
    await world.database.write(applications.begin_deletion, caller.application_id)
    before = await rows(world)
    deletion = ApplicationDeletion(world.database, world.files)
    with pytest.raises(ConflictError):
        await deletion.delete(caller.application_id, OPERATOR, world.clock.now())
    await deletion.resume()
    assert await rows(world) == before
    await stop(world, task_id)
    await deletion.resume()
    assert set((await rows(world)).values()) == {0}
