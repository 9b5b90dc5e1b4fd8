"""A device in queue mode says so, and wakes for the updates of its registration."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

from firmcast.lwm2m.registration import parse_register
from firmcast.simulator.device import DeviceSpec, VirtualDevice
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.sleep import SleepHabit
from firmcast.simulator.timing import QUICK

PROFILE = DeviceProfile(sleep=SleepHabit(awake_for=0.05, update_every=0.2))


@pytest.mark.parametrize(("version", "query"), [("1.0", ("b=UQ",)), ("1.1", ("b=U", "Q"))])
async def test_it_says_so_and_is_deaf_in_between(server, version, query) -> None:
    spec = DeviceSpec(endpoint_name="node-1", profile=replace(PROFILE, lwm2m_version=version))
    device = VirtualDevice(spec, server=server.address, timing=QUICK, random=Random(1))
    device.start()
    registered = await server.registration()
    assert registered.query[3:] == query
    assert parse_register(registered.query, registered.payload).queue_mode
    assert await server.read(registered, "/5/0/3") == "0"
    async with asyncio.timeout(20):
        while not device.status.missed:
            # An answer keeps it awake, and so does an update in between: then it is tried again.
            await asyncio.sleep(PROFILE.sleep.awake_for * 1.5)
            asked = asyncio.ensure_future(server.read(registered, "/5/0/3"))
            missed = asyncio.ensure_future(device.until(lambda status: status.missed > 0))
            await asyncio.wait({asked, missed}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            missed.cancel()
    await server.until(lambda server: server.updates >= 2)
    await device.close(deregister=False)
