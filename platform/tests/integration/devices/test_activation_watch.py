"""The watch over devices that do not come, with a real clock and a real store."""

import asyncio
from datetime import timedelta

import pytest

from firmcast.clock import SystemClock
from firmcast.devices import use_cases
from firmcast.devices.activation_watch import ActivationWatch
from firmcast.events.log import EventLog
from firmcast.events.model import Binding, DeviceBound


@pytest.fixture
def told():
    """Names of devices that were told not to have come, as they are told."""
    return asyncio.Queue()


@pytest.fixture
def log(database, told):
    async def note(tx, written):
        names = [event.fact.device.endpoint_name for event, _ in written if isinstance(event.fact, DeviceBound)]
        assert all(event.fact.binding is Binding.EXPIRED for event, _ in written if isinstance(event.fact, DeviceBound))
        tx.announce("test", names)

    database.listen("test", lambda names: [told.put_nowait(name) for name in names])
    return EventLog(encode=lambda _event: b"{}", projections=[note])


@pytest.fixture
async def watch(database, log):
    watch = ActivationWatch(database=database, log=log, clock=SystemClock())
    yield watch
    await watch.stop()


async def make(database, log, application_id, name, seconds, *, ago=0.0):
    moment = SystemClock().now() - timedelta(seconds=ago)
    await database.write(use_cases.create, application_id, name, name, moment, activation_seconds=seconds, log=log)


async def test_what_was_over_before_the_start_is_told_at_once(database, log, application_id, watch, told):
    for number in range(3):
        await make(database, log, application_id, f"n{number}", 10, ago=60 - number)
    await watch.start()
    async with asyncio.timeout(10):
        assert [await told.get() for _ in range(3)] == ["n0", "n1", "n2"]


async def test_a_shorter_time_that_is_made_known_later_wakes_the_watch(database, log, application_id, watch, told):
    await make(database, log, application_id, "long", 3600)
    await watch.start()
    async with asyncio.timeout(10):
        while watch._planned is None:  # until it sleeps; it gives no signal then
            await asyncio.sleep(0.001)
    await make(database, log, application_id, "over", 1, ago=5)
    await make(database, log, application_id, "soon", 1, ago=0.8)
    async with asyncio.timeout(10):
        assert [await told.get(), await told.get()] == ["over", "soon"]
    assert told.empty()
