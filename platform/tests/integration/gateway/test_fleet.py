"""Whole upgrades of virtual devices of every kind, and what a killed gateway costs them."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from firmcast.gateway import fetch_places
from firmcast.lwm2m.firmware_update import DeliveryMethod
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.network import NetworkConditions
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK

PACKAGE = bytes(range(256)) * 64
"""Sixteen blocks of 1024 bytes."""
SUCCESS = ["1", "2", "3", "0", "succeeded"]


def spec(name: str, profile: str, **changes: object) -> DeviceSpec:
    return DeviceSpec(endpoint_name=name, profile=replace(profile_named(profile), reboot_delay=0.01, **changes))


def without_marks(told: list[str]) -> list[str]:
    return [one.removeprefix("*") for one in told]


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("plain", SUCCESS),
        ("pull", SUCCESS),
        ("push", SUCCESS),
        ("push-shown", SUCCESS),
        ("anjay", SUCCESS),
        ("anjay-push", SUCCESS),
        ("zephyr", SUCCESS),
        ("no-reboot", SUCCESS),
        ("small-blocks", SUCCESS),
        ("anjay-deaf", SUCCESS),
        ("anjay-busy", SUCCESS),
        ("zephyr-push", SUCCESS),
        ("separate", SUCCESS),
        ("sudden", SUCCESS),
        ("unanswering", SUCCESS),
        ("power-cut-resuming", SUCCESS),
        ("re-registering", SUCCESS),
        ("stale", SUCCESS),
        ("state-then-result", SUCCESS),
        ("bad-package-untold", ["failed"]),
        ("corrupting", ["1", "0", "1", "0", "failed"]),
        ("anjay-failing", ["1", "2", "3", "2", "failed"]),
        ("zephyr-failing", ["1", "2", "3", "0", "failed"]),
    ],
)
async def test_every_kind_of_device_is_upgraded_to_its_end(world, profile, expected) -> None:
    assert await told_of(world, spec("device-1", profile)) == expected


@pytest.mark.parametrize("delivery", [DeliveryMethod.PULL, DeliveryMethod.PUSH])
async def test_a_package_that_goes_with_the_power_is_sent_again(world, delivery) -> None:
    device = spec("device-1", "package-in-ram", delivery=delivery)
    assert await told_of(world, device) == ["1", "2", "0", *SUCCESS]


async def told_of(world, device: DeviceSpec) -> list[str]:
    """Upgrade a device, and return what applications are told of it."""
    known = await world.add_device()
    package = await world.add_package(PACKAGE, "2.0.0")
    async with Fleet(server=world.server, devices=[device], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        await world.upgrade(package, known)
        return without_marks(await world.until_told(known, "succeeded", "failed", any_of=True))


@pytest.mark.parametrize("key", [b"", bytes(range(16))], ids=["clear", "secure"])
async def test_a_bad_network_costs_time_and_nothing_else(world, key) -> None:
    kinds = ("pull", "push")
    known = [await world.add_device(f"device-{number}", key) for number in range(len(kinds))]
    package = await world.add_package(PACKAGE, "2.0.0")
    # A notification that is not confirmable and is lost costs half a minute, until the device is asked.
    specs = [
        replace(spec(f"device-{number}", kind, notifies_confirmable=True), key=key or None)
        for number, kind in enumerate(kinds)
    ]
    network = NetworkConditions(loss=0.05, delay=0.002, jitter=0.004, duplicate=0.1)
    server = world.secure_server if key else world.server
    async with Fleet(server=server, devices=specs, timing=QUICK, seed=11, network=network) as fleet:
        await fleet.registered()
        await world.upgrade(package, *known)
        for device in known:
            assert without_marks(await world.until_told(device, "succeeded", "failed", any_of=True)) == SUCCESS
        statistics = fleet.statistics()
    assert statistics.datagrams.lost > 0
    assert statistics.datagrams.duplicated > 0


async def test_a_device_whose_address_changes_is_found_again_by_its_next_update(world) -> None:
    known = await world.add_device()
    package = await world.add_package(PACKAGE, "2.0.0")
    device = spec("device-1", "port-changing", lifetime=1)
    async with Fleet(server=world.server, devices=[device], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        await world.upgrade(package, known)
        assert await world.until_told(known, "succeeded", "failed", any_of=True) == SUCCESS


@pytest.fixture(params=[("push", "transfer_limit"), ("pull", "fetch_limit")], ids=["written", "fetched"])
async def one_at_a_time(world, request, monkeypatch):
    """A world in which one package is on its way at a time, and the profile of devices that take it so."""
    monkeypatch.setattr(fetch_places, "_LOOK_SECONDS", 0.02)
    profile, limit = request.param
    await world.stop()
    world.settings = world.settings.model_copy(update={limit: 1})
    world.limits = replace(world.limits, fetches_in_turn=profile == "pull")
    return world, profile


class UnderWay:
    """Which devices have some of their package and not all of it, and how many that were at the most."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.most = 0

    def watch(self, device) -> None:
        status = device.status
        if status.received < len(PACKAGE):
            self.names.add(status.endpoint_name)
        else:
            self.names.discard(status.endpoint_name)
        self.most = max(self.most, len(self.names))


async def test_transfers_beyond_the_limit_wait_for_their_turn(one_at_a_time) -> None:
    world, profile = one_at_a_time
    await world.start()
    known = [await world.add_device(f"device-{number}") for number in range(4)]
    package = await world.add_package(PACKAGE, "2.0.0")
    under_way = UnderWay()
    specs = [spec(f"device-{number}", profile) for number in range(4)]
    async with Fleet(server=world.server, devices=specs, timing=QUICK, seed=2, on_progress=under_way.watch) as fleet:
        await fleet.registered()
        await world.upgrade(package, *known)
        for device in known:
            assert without_marks(await world.until_told(device, "succeeded")) == SUCCESS
    assert under_way.most == 1


@pytest.mark.parametrize("one_at_a_time", [("pull", "fetch_limit")], indirect=True, ids=["fetched"])
async def test_who_goes_on_fetching_over_a_start_of_the_gateway_has_its_place(one_at_a_time) -> None:
    world, profile = one_at_a_time
    world.settings = world.settings.model_copy(update={"byte_rate": 20_000})
    await world.start()
    known = [await world.add_device(f"device-{number}") for number in range(3)]
    package = await world.add_package(PACKAGE, "2.0.0")
    under_way = UnderWay()
    specs = [spec(f"device-{number}", profile) for number in range(3)]
    async with Fleet(server=world.server, devices=specs, timing=QUICK, seed=2, on_progress=under_way.watch) as fleet:
        await fleet.registered()
        await world.upgrade(package, *known)
        await world.until_anybody_told(known, "1", times=1)
        assert under_way.names
        await world.kill()
        await world.start()
        for device in known:
            assert without_marks(await world.until_told(device, "succeeded")) == SUCCESS
    assert under_way.most == 1


async def test_who_waits_for_a_turn_is_not_timed_out(one_at_a_time) -> None:
    world, profile = one_at_a_time
    world.settings = world.settings.model_copy(update={"byte_rate": 20_000})
    # Each package has the line for half a second: the third device waits for longer than its package may take.
    world.limits = replace(world.limits, transferring=timedelta(seconds=0.9), probe=timedelta(seconds=20))
    await world.start()
    known = [await world.add_device(f"device-{number}") for number in range(3)]
    package = await world.add_package(PACKAGE, "2.0.0")
    specs = [spec(f"device-{number}", profile) for number in range(3)]
    async with Fleet(server=world.server, devices=specs, timing=QUICK, seed=2) as fleet:
        await fleet.registered()
        await world.upgrade(package, *known)
        for device in known:
            assert without_marks(await world.until_told(device, "succeeded", "failed", any_of=True)) == SUCCESS


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_gateway_killed_again_and_again_loses_no_upgrade(world, seed) -> None:
    kinds = ("pull", "push", "anjay", "zephyr", "small-blocks", "anjay-push")
    known = [await world.add_device(f"device-{number}") for number in range(len(kinds))]
    package = await world.add_package(PACKAGE * 4, "2.0.0")
    specs = [spec(f"device-{number}", kind) for number, kind in enumerate(kinds)]
    async with Fleet(server=world.server, devices=specs, timing=QUICK, seed=seed) as fleet:
        await fleet.registered()
        await world.upgrade(package, *known)
        for step in ("1", "2", "3"):
            await world.until_anybody_told(known, step, f"*{step}", times=seed)
            await world.kill()
            await world.start()
        for device in known:
            told = without_marks(await world.until_told(device, "succeeded", "failed", any_of=True))
            assert told[-1] == "succeeded"
            assert told[-5:-1] == ["1", "2", "3", "0"]
            assert set(told[:-5]) <= {"0", "1"}
        for device in known:
            assert [event.sequence for event in await world.stored_events(device)] == list(
                range(1, len(await world.stored_events(device)) + 1)
            )
    async with asyncio.timeout(5):
        await world.stop()
