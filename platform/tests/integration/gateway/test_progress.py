"""How far packages are is in the store while they go, in few writes, and is told by whoever reads it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from firmcast.db.postgres import PostgresDatabase
from firmcast.errors import StoreFullError
from firmcast.settings import UpgradeSettings
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.limits import limits_of
from firmcast.upgrades.progress import view

PACKAGE = bytes(range(256)) * 400
RATE = 100_000
KINDS = ("pull", "push", "http")


@pytest.fixture
async def noted_world(request, database, empty_postgres_store, make_world, make_device):
    """A world on either store that notes progress often, and lets packages leave slowly."""
    if request.param == "postgres":
        database = await PostgresDatabase.open(await empty_postgres_store(), datetime.now(UTC))
    world = make_world(database)
    world.settings = world.settings.model_copy(
        update={"package_port": 0, "device_byte_rate": RATE, "progress_interval": timedelta(seconds=0.1)}
    )
    world.limits = limits_of(UpgradeSettings(), world.settings)
    await world.start()
    yield world
    await world.stop()
    await database.close()


@pytest.mark.parametrize("noted_world", ["sqlite", "postgres"], indirect=True)
async def test_progress_is_noted_whichever_way_a_package_goes(noted_world) -> None:
    world = noted_world
    known = [await world.add_device(kind) for kind in KINDS]
    package = await world.add_package(PACKAGE, "2.0.0")
    writes = 0
    seen: dict[str, list] = {}
    write = world.database.write

    async def counted(use_case, *arguments, **named):
        nonlocal writes
        writes += use_case is upgrades.note_progress
        return await write(use_case, *arguments, **named)

    world.database.write = counted
    specs = [DeviceSpec(endpoint_name=kind, profile=replace(profile_named(kind), reboot_delay=0.01)) for kind in KINDS]

    async def views():
        found, _ = await world.database.read(upgrades.device_upgrades, world.application_id, task.task_id)
        noted = await world.database.read(upgrades.progress_of, [one.device_upgrade_id for one in found])
        now = world.clock.now()
        return [(one, view(one, noted.get(one.device_upgrade_id), now)) for one in found]

    async with Fleet(server=world.server, devices=specs, timing=QUICK, seed=1) as fleet, asyncio.timeout(30):
        await fleet.registered()
        task = await world.upgrade(package, *known)
        shown = await views()
        # The last bytes are noted a moment after they are there, and an upgrade may end before.
        while any(
            upgrade.ended_at is None or told is None or told.bytes_done < len(PACKAGE) for upgrade, told in shown
        ):
            shown = await views()
            for upgrade, told in shown:
                if told is not None and told.expected_end is not None:
                    seen.setdefault(upgrade.device_id, []).append(told)
            await asyncio.sleep(0.02)
    assert [upgrade.outcome.value for upgrade, _ in shown] == ["succeeded"] * 3
    assert {(told.bytes_done, told.bytes_total, told.bytes_per_second) for _, told in shown} == {
        (len(PACKAGE), len(PACKAGE), None)
    }
    for device in known:
        # The first bytes come in a burst; after them it is the rate, though not to the byte.
        last = seen[device.device_id][-1]
        assert RATE / 4 < last.bytes_per_second < RATE * 2
        ends = [told.expected_end - told.noted_at for told in seen[device.device_id]]
        assert all(timedelta(0) <= end for end in ends)
    blocks = 3 * len(PACKAGE) // 1024
    assert 0 < writes < blocks / 4


@pytest.mark.parametrize("noted_world", ["sqlite"], indirect=True)
async def test_a_store_without_room_costs_notes_and_nothing_else(noted_world, monkeypatch) -> None:
    world = noted_world
    refused = 0

    async def full(*_arguments):
        nonlocal refused
        refused += 1
        raise StoreFullError("no space is left")

    monkeypatch.setattr(upgrades, "note_progress", full)
    known = await world.add_device("pull")
    package = await world.add_package(PACKAGE, "2.0.0")
    spec = DeviceSpec(endpoint_name="pull", profile=replace(profile_named("pull"), reboot_delay=0.01))
    async with Fleet(server=world.server, devices=[spec], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        task = await world.upgrade(package, known)
        assert "succeeded" in await world.until_told(known, "succeeded", "failed", any_of=True)
    assert refused > 1
    monkeypatch.undo()
    upgrade = await world.device_upgrade(task)
    assert await world.database.read(upgrades.progress_of, [upgrade.device_upgrade_id]) == {}
