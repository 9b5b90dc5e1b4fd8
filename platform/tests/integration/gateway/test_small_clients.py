"""A client of hand-written datagrams, on a network that loses some of them, is upgraded, and each step is told once."""

import itertools
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from small_client import SmallClient

from firmcast.settings import GatewaySettings, UpgradeSettings
from firmcast.upgrades.limits import limits_of

PACKAGE = bytes(range(250)) * 4


@pytest.fixture
async def impatient(database, make_world) -> AsyncIterator:
    made = make_world(database)
    made.settings = GatewaySettings(port=0, acknowledgement_timeout=0.05, slow_block_timeout=0.0)
    made.limits = limits_of(UpgradeSettings(probe_limit=timedelta(seconds=2)))
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("every", [7, 11])
@pytest.mark.parametrize("fetches", [True, False], ids=["fetched", "written"])
async def test_an_upgrade_over_lost_datagrams(impatient, fetches, every) -> None:
    known = await impatient.add_device("small")
    passed = itertools.count(1)
    client = SmallClient("small", impatient.server, fetches=fetches, loses=lambda: next(passed) % every == 0)
    await client.boot()
    await impatient.upgrade(await impatient.add_package(PACKAGE), known)
    told = await impatient.until_told(known, "succeeded", "failed", any_of=True)
    await client.close()

    assert [word.lstrip("*") for word in told] == ["1", "2", "3", "0", "succeeded"]
    assert (client.package, client.executed, client.values["/3/0/3"]) == (PACKAGE, 1, "2.0")
    assert len(client.registrations) == len(set(client.registrations)) == 2


async def test_what_a_device_told_before_it_fell_silent_ends_its_upgrade(impatient) -> None:
    known = await impatient.add_device("small")
    client = SmallClient("small", impatient.server, fetches=True, loses=lambda: False)
    client.silent_at = "/3/0/3"
    await client.boot()
    task = await impatient.upgrade(await impatient.add_package(PACKAGE), known)
    told = await impatient.until_told(known, "succeeded", "failed", any_of=True)
    await client.close()
    assert told == ["1", "2", "3", "0", "succeeded"]
    assert (await impatient.device_upgrade(task)).current_version == "1.0"
