"""Virtual devices of every kind are checked without harm, and what they teach changes how they are driven."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from firmcast.gateway import clients
from firmcast.gateway.checks import CUT_OFF
from firmcast.profiles import use_cases as profiles
from firmcast.profiles.driving import DriverChoices, choices_of
from firmcast.profiles.report import Mark, report
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK
from firmcast.upgrades.rules import wording

PACKAGE = bytes(range(256)) * 64


def fleet(world, profile: str, **changes: object) -> Fleet:
    kind = replace(profile_named(profile), reboot_delay=0.01, **changes)
    return Fleet(
        server=world.server, devices=[DeviceSpec(endpoint_name="device-1", profile=kind)], timing=QUICK, seed=1
    )


async def checked(world, known):
    """Order a check, and return it when the gateway has carried it out."""
    await world.database.write(profiles.order_check, known.device_id, world.clock.now())
    async with asyncio.timeout(20):
        while True:
            check = await world.database.read(profiles.latest_check, known.device_id)
            if check.ended_at is not None:
                return check.findings
            await asyncio.sleep(0.01)


async def client_of(world, known):
    return (await world.database.read(profiles.known, [known.device_id], world.clock.now()))[known.device_id]


async def until_learnt(world, known, fulfilled):
    """Wait until something is learnt, which nobody waits for."""
    async with asyncio.timeout(20):
        while not fulfilled((await client_of(world, known)).device.traits):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("profile", ["plain", "anjay", "zephyr", "wakaama"])
async def test_a_device_is_checked_and_left_as_it_was(world, profile) -> None:
    known = await world.add_device()
    async with fleet(world, profile) as devices:
        await devices.registered()
        findings = await checked(world, known)
        assert not findings.failure
        assert (findings.read_format, findings.observed) == (11542, True)
        assert findings.told["/3/0/1"] == profile_named(profile).model
        assert findings.discover == "2.05"
        if profile != "wakaama":
            assert (findings.reset[:2], findings.after_reset) == ("2.", "0 0")
        again = await checked(world, known)
        assert again == findings
    client = await client_of(world, known)
    assert client.device.shown.model_key.startswith("Firmcast|")
    lines = report(client, findings, choices_of(client, world.clock.now(), timedelta(days=30)))
    assert {line.about for line in lines if line.mark is Mark.OK} >= {"identity", "read of /5/0", "observe /5/0/3"}


async def test_a_client_that_a_check_brings_down_is_not_checked_without_end(world, make_raw) -> None:
    """As Wakaama's example client, which the read of its whole firmware object brings down; it starts again."""
    known = await world.add_device()
    device = await make_raw()
    starts = 0

    async def start() -> None:
        nonlocal starts
        starts += 1
        device.answers = True
        await device.register()

    def asked(request) -> None:
        if request.uri_path == ("5", "0"):
            device.answers = False
            starting.append(asyncio.ensure_future(start()))

    starting: list[asyncio.Future[None]] = []
    await start()
    device.on_asked = asked
    findings = await checked(world, known)
    await asyncio.gather(*starting)
    assert (findings.failure, starts) == (CUT_OFF, 4)


async def test_a_device_without_a_firmware_object_says_so_by_its_links_and_by_its_answers(world, make_device) -> None:
    known = await world.add_device()
    device = await make_device("device-1", world.server)
    device.values = {"/3/0/3": "1.0"}
    await device.register(links=b"</1/0>,</3/0>")
    findings = await checked(world, known)
    assert (findings.is_listed, findings.is_absent, findings.failure) == (False, True, "")
    client = await client_of(world, known)
    (line,) = [each for each in report(client, findings, DriverChoices()) if each.about == "firmware object"]
    assert (line.mark, line.will) == (Mark.DIFFERS, "its upgrades fail when they begin")
    device.seen.clear()
    task = await world.upgrade(await world.add_package(PACKAGE), known)
    await world.until_told(known, "failed")
    assert (await world.device_upgrade(task)).description == wording.NO_FIRMWARE_OBJECT
    assert {path for _, path in device.seen} <= {"/3/0/0", "/3/0/1", "/3/0/3", "/5/0/3"}


async def test_nothing_is_reset_while_an_upgrade_is_open(world, make_device) -> None:
    known = await world.add_device()
    device = await make_device("device-1", world.server)
    device.values["/5/0/9"] = 0
    waiting = asyncio.Event()

    async def hold(_number: int) -> None:
        device.values["/5/0/3"] = 0  # It does not show what it does.
        await waiting.wait()

    device.on_block = hold
    package = await world.add_package(PACKAGE)
    await device.register()
    await world.upgrade(package, known)
    await world.until_told(known, "1")
    findings = await checked(world, known)
    assert findings.not_reset == "an upgrade of it is open"
    assert "" not in device.addresses
    waiting.set()
    await world.until_told(known, "succeeded", "failed", any_of=True)


async def test_a_device_that_falls_silent_is_told_of_as_such(world, make_device) -> None:
    known = await world.add_device()
    await world.stop()
    world.settings = world.settings.model_copy(update={"acknowledgement_timeout": 0.02})
    await world.start()
    device = await make_device("device-1", world.server)
    await device.register()
    await device.power_off()
    findings = await checked(world, known)
    assert findings.failure.startswith("no answer from the device")


async def test_who_a_device_is_is_asked_once(world, make_device) -> None:
    known = await world.add_device()
    device = await make_device("device-1", world.server)
    device.values.update({"/3/0/0": "Acme", "/3/0/1": "M1"})
    package = await world.add_package(PACKAGE)
    await device.register()
    await world.upgrade(package, known)
    await world.until_told(known, "succeeded")
    await until_learnt(world, known, lambda traits: traits.notifies_end is False)
    assert (await client_of(world, known)).device.shown.model_key == "Acme|M1|2"
    assert device.seen.count(("GET", "/3/0/0")) == 1, "after it has installed it is who it was"
    await device.register()
    again = await world.add_package(PACKAGE + b"more", "3.0")
    device.installs = "3.0"
    await world.upgrade(again, known)
    await world.until(lambda: _ended_twice(world, known))
    assert device.seen.count(("GET", "/3/0/0")) == 1


async def _ended_twice(world, known):
    return (await world.told(known)).count("succeeded") == 2


async def test_what_brought_a_device_back_is_tried_first_the_next_time(world, make_device, monkeypatch) -> None:
    monkeypatch.setattr(clients, "_LEARNS_AFTER_SECONDS", 0.01)
    known = await world.add_device()
    device = await make_device("device-1", world.server)

    async def on_uri(uri: str):
        if not uri:
            return 68  # 2.04, and nothing else: as a client does that honours it in state 2 only
        return await type(device).on_uri(device, uri)

    monkeypatch.setattr(device, "on_uri", on_uri)
    package = await world.add_package(PACKAGE)
    for number in (1, 2):
        device.values.update({"/5/0/3": 2, "/5/0/5": 0})
        await device.register()
        task = await world.upgrade(package, known)
        await world.until(lambda number=number: _ended_times(world, known, number))
        assert (await world.device_upgrade(task)).outcome is not None
        await until_learnt(world, known, lambda traits: "2 cancel" in traits.resets_by)
        tries = [path for method, path in device.seen if (method, path) in (("PUT", "/5/0/1"), ("POST", "/5/0/10"))]
        assert tries[0] == ("/5/0/1" if number == 1 else "/5/0/10")
        device.seen.clear()
        device.values["/3/0/3"] = "1.0"
    assert "2 forget_address" in (await client_of(world, known)).device.traits.resets_not_by


async def _ended_times(world, known, number):
    return sum(one in ("succeeded", "failed") for one in await world.told(known)) == number
