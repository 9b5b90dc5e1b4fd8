"""A device that is deaf when it is to be brought back to Idle is reset at its next sign of life, over real sockets."""

from dataclasses import replace

import pytest

from firmcast.coap.codes import Code
from firmcast.devices import commands
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK

PACKAGE = bytes(range(256)) * 40
IDLE = FirmwareUpdateState.IDLE


@pytest.fixture
async def hasty(world):
    """A gateway that takes a device for silent after a second."""
    await world.stop()
    world.settings = world.settings.model_copy(update={"acknowledgement_timeout": 0.02})
    await world.start()
    return world


async def owed(world, known):
    return await world.database.read(commands.waiting, [known.device_id])


async def test_a_virtual_device_that_is_deaf_to_the_reset_is_reset_when_it_updates_its_registration(hasty) -> None:
    known = await hasty.add_device()
    profile = replace(profile_named("deaf-to-reset"), lifetime=3, defers=9)
    spec = DeviceSpec(endpoint_name="device-1", profile=profile)
    async with Fleet(server=hasty.server, devices=[spec], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        task = await hasty.upgrade(await hasty.add_package(PACKAGE, "2.0.0"), known)
        await hasty.until_counted(lambda counts: counts["2"] == 2)
        await hasty.stop_task(task)
        (device,) = fleet.devices.values()
        await device.until(lambda status: status.state is IDLE)
    assert (await hasty.told(known))[-1] == "cancelled"


@pytest.mark.parametrize("sign", ["update", "notification", "registration"])
async def test_any_sign_of_life_is_one(hasty, make_raw, sign) -> None:
    known = await hasty.add_device()
    device = await make_raw()
    await device.register()
    task = await hasty.upgrade(await hasty.add_package(PACKAGE), known)
    await device.until_asked(Code.PUT, "/5/0/1")
    device.send(device.notification("/5/0/3", "1"))
    await hasty.until_told(known, "1")
    await hasty.eventually(lambda: not len(hasty.gateway._sessions))
    device.answers = False
    before = len(device.requests(Code.GET, "/5/0/3"))
    await hasty.stop_task(task)
    await device.until_asked(Code.GET, "/5/0/3", before + 1)
    await hasty.eventually(lambda: not len(hasty.gateway._sessions))
    assert [order.kind.value for order in await owed(hasty, known)] == ["reset"]
    device.answers = True
    if sign == "update":
        await device.update()
    elif sign == "registration":
        await device.register()
    else:
        device.send(device.notification("/5/0/5", "4"))
    await device.until(lambda: device.values["/5/0/1"] == "")
    device.values["/5/0/3"] = "0"
    while await owed(hasty, known):
        await hasty.eventually(lambda: not len(hasty.gateway._sessions))
