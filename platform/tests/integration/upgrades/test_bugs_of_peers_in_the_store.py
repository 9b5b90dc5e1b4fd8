"""What other servers get wrong when they count and keep what devices tell; the rest is in `unit/upgrades`."""

import asyncio

import pytest

from firmcast.events.model import FirmwareStateChanged
from firmcast.settings import UpgradeSettings
from firmcast.upgrades import use_cases
from firmcast.upgrades.limits import limits_of
from firmcast.upgrades.model import DeviceReport, ResourcesReported, Tally

LIMITS = limits_of(UpgradeSettings())


async def test_bug_6_what_an_application_is_told_is_kept_with_what_it_tells_of(bench):
    """A server tells applications from a task beside, once, with ten seconds for all of them: what is lost is lost.

    Here the fact is in the transaction of the state that it tells of: both are there, or neither.
    """
    device_id = bench.device_ids[0]
    task = await bench.create(device_id)
    await bench.settle()
    await bench.come(device_id)

    async def fails_after(tx, reports):
        await use_cases.record_reports(tx, reports, log=bench.log, limits=LIMITS, now=bench.now)
        raise RuntimeError("the power is cut")

    told = DeviceReport(device_id=device_id, input=ResourcesReported(state=1, result=0), occurred_at=bench.now)
    with pytest.raises(RuntimeError):
        await bench.database.write(fails_after, [told])
    assert await states_told(bench, device_id) == []
    await bench.report(told)
    assert await states_told(bench, device_id) == [1]
    assert (await bench.task(task)).tallies == {Tally.PROCESSING: 1}


async def test_bug_8_counters_are_read_changed_and_written_and_feedback_counts_twice(bench):
    """A server reads a counter, adds one in its program and writes it back, at every report, also a repeated one.

    Here an end counts once however often and however many at a time it is told.
    """
    task = await bench.create()
    await bench.settle()
    for device_id in bench.device_ids:
        await bench.upgrade(device_id)
    repeated = [
        DeviceReport(device_id=device_id, input=told, occurred_at=bench.now)
        for device_id in bench.device_ids
        for told in (ResourcesReported(state=0, result=1, firmware_version="2.0"), ResourcesReported(state=1)) * 3
    ]
    await asyncio.gather(*(bench.report(*repeated) for _ in range(4)))
    assert (await bench.task(task)).tallies == {Tally.SUCCEEDED: len(bench.device_ids)}
    assert [await bench.ends(device_id) for device_id in bench.device_ids] == [["succeeded"]] * len(bench.device_ids)


async def test_bug_8_an_end_is_charged_to_the_campaign_that_runs_now(bench):
    """The same server counts an end for the campaign that is current when it is reported."""
    device_id = bench.device_ids[0]
    first = await bench.create(device_id)
    await bench.settle()
    later = await bench.create(device_id)
    await bench.settle()
    await bench.upgrade(device_id)
    assert (await bench.task(first)).tallies == {Tally.SUCCEEDED: 1}
    assert (await bench.task(later)).tallies == {Tally.FAILED: 1}


async def states_told(bench, device_id):
    history = await bench.history(device_id)
    return [int(event.fact.state) for event in history if isinstance(event.fact, FirmwareStateChanged)]
