"""The engine goes on, whatever it stumbles over, and sleeps through nothing."""

import asyncio
from datetime import UTC, datetime

from structlog.testing import capture_logs

from firmcast.clock import SystemClock
from firmcast.db.statement import portable
from firmcast.settings import UpgradeSettings
from firmcast.upgrades import use_cases
from firmcast.upgrades.engine import UpgradeEngine
from firmcast.upgrades.limits import limits_of
from firmcast.upgrades.model import Tally, TaskStatus, TaskWork

LIMITS = limits_of(UpgradeSettings())
SET_PHASES = portable("UPDATE device_upgrade SET phase = ?1 WHERE task_id = ?2")


async def test_the_engine_outlives_what_nobody_foresaw_and_says_so(bench):
    bench.now = datetime.now(UTC)
    task = await bench.create()

    async def set_phases(tx, phase):
        await tx.execute(SET_PHASES, phase, task.task_id)

    await bench.database.write(set_phases, "of a later release")
    engine = UpgradeEngine(database=bench.database, log=bench.log, clock=SystemClock(), limits=LIMITS)
    async with asyncio.timeout(20):
        with capture_logs() as said:
            await engine.start()
            while not said:
                await asyncio.sleep(0)
        assert (said[0]["event"], said[0]["log_level"]) == ("upgrades.failed", "error")
        assert "of a later release" in str(said[0]["exc_info"])
        await bench.database.write(set_phases, "scheduled")
        while (await bench.task(task)).started_at is None:
            await asyncio.sleep(0)
    await engine.stop()
    begun = await bench.task(task)
    assert (begun.status, begun.tallies) == (TaskStatus.WAITING, {Tally.WAITING: 3})


async def test_the_engine_stops_at_once_what_the_call_has_left(empty_bench):
    """It sleeps at that time, since everybody waits for a day."""
    bench = empty_bench
    bench.now = datetime.now(UTC)
    await bench.add_group("all", [await bench.add_device(f"ep-{number}") for number in range(600)])
    task = await bench.create_for_groups("all")
    await bench.settle()
    engine = UpgradeEngine(database=bench.database, log=bench.log, clock=SystemClock(), limits=LIMITS)
    await engine.start()
    await bench.database.read(use_cases.next_deadline)
    assert (await bench.stop(task)).course.work is TaskWork.STOPPING
    async with asyncio.timeout(20):
        while (await bench.task(task)).ended_at is None:
            await asyncio.sleep(0)
    await engine.stop()
    assert (await bench.task(task)).tallies == {Tally.STOPPED: 600}


async def test_as_many_as_a_task_can_name_are_stopped_when_the_call_returns(empty_bench):
    bench = empty_bench
    for number in range(256):
        await bench.add_device(f"ep-{number}")
    task = await bench.create()
    await bench.settle()
    stopped = await bench.stop(task)
    assert (stopped.status, stopped.course.work) == (TaskStatus.STOPPED, None)
