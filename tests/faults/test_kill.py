"""Faults 1 to 3: the engine is killed, at random instants and at the two that are worst."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random

import pytest
from tests.faults.calls import client_of, manage, upload_package
from tests.faults.conftest import Scale
from tests.faults.oracle import judge, repeats
from tests.faults.processes import Application, Engine, GoneError, Receiver, in_parts

from firmcast_sdk import NorthboundError, TransportError

WANTED = {
    "/states": "firmware.state_changed",
    "/results": "firmware.upgrade_ended",
    "/changes": "device.info_changed",
}
"""Three subscribers, each of which gets its part of the one sequence of a device."""

SEED = 20261128
PART = 10
"""Events that are committed together."""


def drawn_events(events: int, devices: int, draw: Random) -> Iterator[tuple[str, str]]:
    kinds = list(WANTED.values())
    for _ in range(events):
        yield f"device-{draw.randrange(devices)}", draw.choice(kinds)


class Feeder:
    """Has events committed through deaths of the engine, as many as are released, until it was told of each."""

    def __init__(self, engine: Engine, application: Application, events: Iterator[tuple[str, str]]) -> None:
        self._engine = engine
        self._application = application
        self._parts = in_parts(events, PART)
        self._released = asyncio.Semaphore(0)
        self.up = asyncio.Event()
        self.up.set()

    def release(self, events: int) -> None:
        for _ in range(events // PART):
            self._released.release()

    async def run(self, writers: int = 4) -> None:
        """Write until there are no more."""
        await asyncio.gather(*(self._write() for _ in range(writers)))

    async def _write(self) -> None:
        for part in self._parts:
            await self._released.acquire()
            while True:
                await self.up.wait()
                try:
                    await self._engine.append(self._application, part)
                    break
                except GoneError:
                    # Whether it was committed nobody was told: the part comes once more, as new events.
                    self.up.clear()


@pytest.mark.timeout(7200)
async def test_killed_at_random_instants(
    engine: Engine, receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    kills, events, devices = scale(3, 25, 200), scale(1_500, 10_000, 20_100), scale(100, 500, 500)
    draw = Random(SEED)
    application = await engine.application(receiver, "application", WANTED)
    share = events // (kills + 1) // PART * PART
    feeder = Feeder(engine, application, drawn_events(share * (kills + 1), devices, draw))
    feeding = asyncio.create_task(feeder.run())
    for _ in range(kills):
        # Each life has its share of the events, and ends after some of the arrivals that it is sure to see.
        came = len(await receiver.all_arrivals())
        feeder.release(share)
        await receiver.wait(came + draw.randint(1, share))
        await engine.kill()
        await engine.start()
        feeder.up.set()
    feeder.release(share)
    await feeding
    await engine.settled()
    found = judge(await receiver.all_arrivals(), await engine.log(), WANTED, engine.acknowledged)
    found.assert_none()
    assert len(engine.acknowledged) == share * (kills + 1)
    assert found.duplicates <= engine.most_repeated
    tell(
        f"{kills} kills, {len(engine.acknowledged)} events acknowledged, {found.arrivals} arrivals,"
        f" {found.duplicates} duplicates of {engine.most_repeated} that the kills allow; seed {SEED}"
    )


async def test_killed_after_the_receivers_answer_and_before_it_is_written(engine: Engine, receiver: Receiver) -> None:
    application = await engine.application(receiver, "application", WANTED)
    devices = [f"device-{number}" for number in range(20)]
    await engine.ask("arm", use_case="push.use_cases.record_settlements", point="before commit")
    with suppress(GoneError):
        await engine.append(application, [(device, "firmware.state_changed") for device in devices])
    assert await engine.ended() == -signal.SIGKILL
    first = list(await receiver.all_arrivals())
    assert first, "it answered at least what was about to be written"
    await engine.start()
    await engine.settled()
    found = judge(await receiver.all_arrivals(), await engine.log(), WANTED)
    found.assert_none()
    # Exactly one more of each: the same id and bytes, under a signature of the second attempt's own time.
    assert repeats(receiver.arrivals) == Counter({(it.path, it.message_id): 1 for it in first})
    for before in first:
        again = [it for it in receiver.arrivals if it.message_id == before.message_id][1]
        assert again.digest == before.digest
        assert again.timestamp >= before.timestamp


async def test_killed_between_the_commit_and_the_word_of_it(engine: Engine, receiver: Receiver) -> None:
    application = await engine.application(receiver, "application", WANTED)
    await engine.ask("arm", use_case="events.log.append", point="after commit")
    with pytest.raises(GoneError):
        await engine.append(application, [("device", "firmware.state_changed")])
    await engine.ended()
    assert not engine.acknowledged
    assert not await receiver.all_arrivals()
    await engine.start()
    await engine.settled()
    log = await engine.log()
    assert [event.sequence for event in log] == [1]
    judge(await receiver.all_arrivals(), log, WANTED).assert_none()
    assert len(receiver.arrivals) == 1


async def test_killed_between_the_commit_and_the_answer_to_a_call(engine: Engine, receiver: Receiver) -> None:
    application = await engine.application(receiver, "application", WANTED)
    async with client_of(engine, application) as client:
        device = await client.register_device("device", verify_code="device", timeout_seconds=0)
        package_id = await upload_package(engine, application)
        await engine.ask("arm", use_case="upgrades.api.create", point="after commit")
        with suppress(NorthboundError, TransportError):
            await client.create_firmware_upgrade(package_id, devices=[device.device_id], idempotency_key="once")
            pytest.fail("it was answered")
    assert await engine.ended() == -signal.SIGKILL
    await engine.start()
    async with client_of(engine, application) as client:
        again = await client.create_firmware_upgrade(package_id, devices=[device.device_id], idempotency_key="once")
    tasks = await manage(engine, application, "GET", "/v1/upgrades")
    assert [task["task_id"] for task in tasks["tasks"]] == [again]
