"""Whole upgrades of virtual devices that list ways in which they take nothing, over real sockets."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from firmcast.gateway import clients
from firmcast.lwm2m.firmware_update import DeliveryMethod, Protocol, TransferWay
from firmcast.profiles import store
from firmcast.profiles import use_cases as profiles
from firmcast.profiles.model import ClientProfile, SeenWay, Traits, WayVerdict
from firmcast.settings import UpgradeSettings
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK
from firmcast.upgrades.limits import limits_of

PACKAGE = bytes(range(256)) * 40
KEY = bytes(range(16))
SOON = timedelta(milliseconds=200)
SUCCESS = ["1", "2", "3", "0", "succeeded"]


async def start_serving(world, **settings) -> None:
    """Serve packages by HTTP too."""
    await world.stop()
    world.settings = world.settings.model_copy(update={"package_port": 0})
    world.limits = limits_of(UpgradeSettings(**settings), world.settings)
    await world.start()


def fleet_of(world, profile, **quirks) -> Fleet:
    spec = DeviceSpec(endpoint_name="device-1", profile=replace(profile_named(profile), reboot_delay=0.01, **quirks))
    return Fleet(server=world.server, devices=[spec], timing=QUICK, seed=1)


def ways(upgrade) -> list[TransferWay]:
    return [refused.way for refused in upgrade.evidence.refused_ways]


@pytest.mark.parametrize(
    ("profile", "prefer_write", "refused", "steps"),
    [
        ("lists-http", False, TransferWay.HTTP, SUCCESS),
        ("lists-http-late", False, TransferWay.HTTP, ["1", "0", *SUCCESS]),
        ("leaves-http", False, TransferWay.HTTP, ["1", "0", *SUCCESS]),
        ("leaves-http-in-0", False, TransferWay.HTTP, SUCCESS),
        ("refuses-addresses", False, TransferWay.COAP, SUCCESS),
        ("refuses-packages", True, TransferWay.WRITTEN, SUCCESS),
        ("loses-packages", True, TransferWay.WRITTEN, SUCCESS),
    ],
)
async def test_a_way_that_is_refused_is_not_the_end(world, profile, prefer_write, refused, steps) -> None:
    await start_serving(world, prefer_write=prefer_write, fetching_limit=SOON)
    known = await world.add_device()
    async with fleet_of(world, profile) as fleet:
        await fleet.registered()
        task = await world.upgrade(await world.add_package(PACKAGE, "2.0.0"), known)
        told = await world.until_told(known, "succeeded", "failed", any_of=True)
    assert [one.removeprefix("*") for one in told][-5:] == SUCCESS
    assert [one.removeprefix("*") for one in told] in (steps, SUCCESS), "a state that nobody saw is not told"
    assert ways(await world.device_upgrade(task)) == [refused]


async def test_a_device_that_names_no_size_is_written_smaller_blocks(world) -> None:
    known = await world.add_device()
    async with fleet_of(world, "size-untold", delivery=DeliveryMethod.PUSH) as fleet:
        await fleet.registered()
        task = await world.upgrade(await world.add_package(PACKAGE, "2.0.0"), known)
        told = await world.until_told(known, "succeeded", "failed", any_of=True)
    assert [one.removeprefix("*") for one in told] == SUCCESS
    assert ways(await world.device_upgrade(task)) == []


async def test_the_end_names_every_way_and_what_was_answered_to_it(world) -> None:
    await start_serving(world)
    known = await world.add_device()
    listed = (Protocol.COAP, Protocol.HTTP)
    async with fleet_of(world, "refuses-addresses", protocols=listed, refuses_packages=True) as fleet:
        await fleet.registered()
        task = await world.upgrade(await world.add_package(PACKAGE, "2.0.0"), known)
        assert await world.until_told(known, "failed") == ["failed"]
    assert (await world.device_upgrade(task)).description == (
        "Unsupported protocol: the device took the package in none of the ways that it has:"
        " fetched by HTTP: 4.05 method not allowed to the write of /5/0/1;"
        " fetched by CoAP: 4.05 method not allowed to the write of /5/0/1;"
        " written: 4.05 method not allowed to the write of /5/0/0"
    )


async def test_a_gateway_that_is_killed_does_not_try_the_refused_way_again(world, make_device) -> None:
    await start_serving(world)
    known = await world.add_device()
    device = await make_device("device-1", world.server)
    written: list[str] = []
    refused = asyncio.Event()

    async def on_uri(uri: str):
        written.append(uri.partition(":")[0])
        refused.set()
        return 128  # 4.00

    device.on_uri = on_uri
    await device.register()
    task = await world.upgrade(await world.add_package(PACKAGE), known)

    await refused.wait()
    while not ways(await world.device_upgrade(task)):
        await asyncio.sleep(0.005)
    await world.kill()
    await world.start()
    device.server = world.server
    assert (await world.until_told(known, "succeeded", "failed", any_of=True))[-1] == "succeeded"
    assert written == ["coap"]
    assert len(device.packages) == 1


async def test_what_a_device_refused_is_tried_last_the_next_time(world, monkeypatch) -> None:
    monkeypatch.setattr(clients, "_LEARNS_AFTER_SECONDS", 0.01)
    await start_serving(world)
    known = await world.add_device()
    async with fleet_of(world, "lists-http", delivery=DeliveryMethod.PULL, version="2.0") as fleet:
        await fleet.registered()
        task = await world.upgrade(await world.add_package(PACKAGE, "2.0.0"), known)
        await world.until_told(known, "succeeded")
        assert ways(await world.device_upgrade(task)) == [TransferWay.HTTP]
        while True:
            found = (await world.database.read(profiles.known, [known.device_id], world.clock.now()))[known.device_id]
            did = {way: seen.did for way, seen in found.device.traits.ways.items()}
            if did == {"http": WayVerdict.REFUSES, "coap": WayVerdict.TAKES}:
                break
        again = await world.upgrade(await world.add_package(PACKAGE[1:], "2.1.0"), known)
        await world.until_counted(lambda counts: counts["2"] == 2)
        assert ways(await world.device_upgrade(again)) == []


async def test_a_gateway_hears_that_a_client_was_forgotten(world, monkeypatch) -> None:
    monkeypatch.setattr(clients, "_LEARNS_AFTER_SECONDS", 1000)
    await start_serving(world)
    known = await world.add_device()
    refused = Traits(ways={"http": SeenWay(WayVerdict.REFUSES, world.clock.now())})
    await world.database.write(store.keep_client, known.device_id, ClientProfile(traits=refused), world.clock.now())
    async with fleet_of(world, "lists-http", delivery=DeliveryMethod.PULL, version="2.0") as fleet:
        await fleet.registered()
        for number, expected in enumerate(([], [TransferWay.HTTP]), start=1):
            task = await world.upgrade(await world.add_package(PACKAGE[number:], f"2.{number}"), known)
            await world.until_counted(lambda counts, number=number: counts["succeeded"] == number)
            assert ways(await world.device_upgrade(task)) == expected
            # Since it registered after its upgrade it has been looked up again.
            await world.database.write(profiles.forget_client, known.device_id, world.clock.now())


async def test_an_address_that_was_let_lie_is_remembered_of_that_device_alone(world, monkeypatch) -> None:
    monkeypatch.setattr(clients, "_LEARNS_AFTER_SECONDS", 0.01)
    await start_serving(world, fetching_limit=SOON)
    known = await world.add_device()
    async with fleet_of(world, "leaves-http", delivery=DeliveryMethod.PULL, version="2.0") as fleet:
        await fleet.registered()
        await world.upgrade(await world.add_package(PACKAGE, "2.0.0"), known)
        await world.until_told(known, "succeeded")
        while True:
            found = (await world.database.read(profiles.known, [known.device_id], world.clock.now()))[known.device_id]
            did = {way: seen.did for way, seen in found.device.traits.ways.items()}
            if did == {"http": WayVerdict.LEAVES, "coap": WayVerdict.TAKES}:
                break
            await asyncio.sleep(0.01)
        assert set(found.model.ways) == {"coap"}
        again = await world.upgrade(await world.add_package(PACKAGE[1:], "2.1.0"), known)
        await world.until_counted(lambda counts: counts["2"] == 2)
        assert ways(await world.device_upgrade(again)) == []


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_device_with_a_session_that_knows_http_alone_is_upgraded_where_that_is_allowed(world, allowed) -> None:
    await start_serving(world, http_in_clear=allowed)
    known = await world.add_device(key=KEY)
    profile = replace(profile_named("http-only"), reboot_delay=0.01)
    spec = DeviceSpec(endpoint_name="device-1", profile=profile, key=KEY)
    async with Fleet(server=world.secure_server, devices=[spec], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        task = await world.upgrade(await world.add_package(PACKAGE, "2.0.0"), known)
        told = await world.until_told(known, "succeeded", "failed", any_of=True)
    upgrade = await world.device_upgrade(task)
    if allowed:
        assert [one.removeprefix("*") for one in told] == SUCCESS
        assert upgrade.evidence.transfer_protocol is Protocol.HTTP
    else:
        assert told == ["failed"]
        assert upgrade.description.endswith("only if upgrades.http_in_clear allows it")
