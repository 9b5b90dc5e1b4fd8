"""Fault 21: the platform is told to end at full load, once and twice."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from tests.faults.oracle import judge
from tests.faults.processes import Application, Engine, GoneError, Receiver, RefusedError

WANTED = {"/states": "firmware.state_changed", "/results": "firmware.upgrade_ended"}
ENDED_AT_ONCE = 130
DRAIN_SECONDS = 10


async def write_on(engine: Engine, application: Application) -> None:
    """Have events committed until the platform takes no more."""
    kinds = list(WANTED.values())
    with suppress(GoneError, RefusedError):
        while True:
            await engine.append(application, [(f"device-{number}", kinds[number % 2]) for number in range(50)])


async def test_it_finishes_what_is_under_way_and_repeats_nothing(
    engine: Engine, receiver: Receiver, tell: Callable[[str], None]
) -> None:
    application = await engine.application(receiver, "application", WANTED)
    await receiver.behave("/states", delay=0.05)
    writing = [asyncio.create_task(write_on(engine, application)) for _ in range(4)]
    await receiver.wait(200)
    async with asyncio.timeout(DRAIN_SECONDS):
        engine.terminate()
        assert await engine.ended() == 0
    await asyncio.gather(*writing)
    assert engine.unsettled == 0
    await receiver.behave("/states")
    await engine.start()
    await engine.settled()
    found = judge(await receiver.all_arrivals(), await engine.log(), WANTED, engine.acknowledged)
    found.assert_none()
    assert found.duplicates == 0
    tell(f"stopped at load with status 0; {len(engine.acknowledged)} events, {found.duplicates} duplicates")


async def test_told_twice_it_ends_at_once(engine: Engine, receiver: Receiver) -> None:
    application = await engine.application(receiver, "application", WANTED)
    await receiver.behave("/states", how="silence")  # what is under way there would keep it for its whole deadline
    writing = [asyncio.create_task(write_on(engine, application)) for _ in range(4)]
    await receiver.wait(200, "/results")
    await receiver.wait(1, "/states")
    engine.terminate()
    await engine.stopping()
    async with asyncio.timeout(DRAIN_SECONDS / 2):
        engine.terminate()
        assert await engine.ended() == ENDED_AT_ONCE
    engine.note_kill()
    await asyncio.gather(*writing)
    await receiver.behave("/states")
    await engine.start()
    await engine.settled()
    found = judge(await receiver.all_arrivals(), await engine.log(), WANTED, engine.acknowledged)
    found.assert_none()
    assert found.duplicates <= engine.most_repeated
