"""What Anjay does while a package is written to it, and the platform with an Anjay that does; each by single datagrams.

It waits for the next block of a package, and for nothing else, until five minutes are over. What it does was read in
its sources; `docs/explanation/real-clients.md` says it in words.
"""

from datetime import timedelta

import pytest
from acting_client import BYTES, PACKAGE, PUSH, SUCCESS, Anjay

from firmcast.settings import GatewaySettings, UpgradeSettings
from firmcast.upgrades.limits import limits_of


@pytest.fixture
async def known(world):
    return await world.add_device()


async def test_a_block_whose_answer_is_lost_is_one_that_anjay_is_too_busy_for(world, known, make_raw) -> None:
    client = Anjay(await make_raw(), lost_blocks=(0, 1))
    client.device.values["/5/0/9"] = PUSH
    await client.device.register()
    await world.upgrade(await world.add_package(PACKAGE), known)
    told = await world.until_told(known, "succeeded", "failed", any_of=True)
    assert [word.removeprefix("*") for word in told] == SUCCESS
    assert (client.package, client.refused, client.lost_blocks) == (PACKAGE, 2, [])


@pytest.fixture
async def hasty(database, make_world, raw_device):
    """A platform that looks again soon, and an Anjay that is written to."""
    world = make_world(database)
    world.limits = limits_of(UpgradeSettings(probe_limit=timedelta(seconds=0.2)))
    await world.start()
    known = await world.add_device()
    device = raw_device("device-1", world.server)
    await device.open()
    client = Anjay(device)
    device.values["/5/0/9"] = PUSH
    await device.register()
    yield world, known, client
    device.close()
    await world.stop()


async def test_anjay_waits_in_vain_for_the_rest_of_a_package_when_the_platform_is_killed(hasty) -> None:
    world, known, client = hasty
    client.patience = 1.0
    client.lost_blocks = [1]
    await world.upgrade(await world.add_package(PACKAGE), known)
    await client.device.until(lambda: len(client.blocks) == 2)
    await world.kill()
    await world.start()
    told = await world.until_told(known, "succeeded", "failed", any_of=True)
    assert [word.removeprefix("*") for word in told][-4:] == SUCCESS[1:]
    assert client.gave_up.is_set()
    assert client.refused, "it was asked meanwhile"
    assert client.package == PACKAGE


async def test_anjay_is_asked_again_that_waits_for_the_rest_of_what_another_platform_writes(hasty) -> None:
    world, known, client = hasty
    client.patience = 0.5
    client.await_block(1024)
    await world.upgrade(await world.add_package(PACKAGE), known)
    told = await world.until_told(known, "succeeded", "failed", any_of=True)
    assert [word.removeprefix("*") for word in told] == SUCCESS
    assert client.refused, "it was asked meanwhile"


async def test_anjay_does_not_update_its_registration_while_it_is_written_to(database, make_member, raw_device) -> None:
    settings = GatewaySettings(port=0, acknowledgement_timeout=0.3, device_byte_rate=1400, block_exponent=4)
    world = make_member(database, settings)
    await world.start()
    known = await world.add_device()
    device = raw_device("device-1", world.server)
    await device.open()
    Anjay(device)
    device.values["/5/0/9"] = PUSH
    try:
        await device.register(lifetime=2)
        await world.upgrade(await world.add_package(3 * PACKAGE), known)
        told = await world.until_told(known, "succeeded", "failed", any_of=True)
        assert world.metrics.expired.value == 0
    finally:
        device.close()
        await world.stop()
    assert [word.removeprefix("*") for word in told] == SUCCESS
    assert len(device.requests(*BYTES)) == 30, "it was written once"
