"""The members of groups are taken into a task when it starts, in batches, each once, whatever is killed in between."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.clock import SystemClock
from firmcast.errors import InvalidValueError
from firmcast.groups import use_cases as groups
from firmcast.ids import ApplicationId
from firmcast.settings import UpgradeSettings
from firmcast.upgrades.engine import BATCH, UpgradeEngine
from firmcast.upgrades.limits import limits_of
from firmcast.upgrades.model import (
    MismatchError,
    StartMode,
    Tally,
    TaskStatus,
    TaskWork,
    UnknownGroupError,
    UpgradePhase,
)

APPLICATION = ApplicationId("application")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMITS = limits_of(UpgradeSettings())
METERS = {"device_type": "Meter", "model": "M1", "manufacturer_name": "Acme"}


async def test_each_device_of_overlapping_groups_is_taken_once(empty_bench):
    bench = empty_bench
    ids = [await bench.add_device(f"ep-{number}") for number in range(7)]
    await bench.add_device("in no group")
    await bench.add_group("north", ids[:5])
    await bench.add_group("south", ids[3:])
    task = await bench.create_for_groups("north", "south")
    assert (task.tallies, task.status, task.course.work) == ({}, TaskStatus.WAITING, TaskWork.RESOLVING)
    await bench.settle()
    shares = await bench.shares(task)
    assert {share.device_id for share in shares} == set(ids)
    assert {share.phase for share in shares} == {UpgradePhase.WAITING}
    for device_id in ids:
        await bench.upgrade(device_id)
    ended = await bench.task(task)
    assert (ended.status, ended.tallies, ended.course.work) == (TaskStatus.SUCCEEDED, {Tally.SUCCEEDED: 7}, None)


@pytest.mark.parametrize(
    "details",
    [
        {**METERS, "device_type": "Kettle"},
        {**METERS, "model": "M2"},
        {**METERS, "manufacturer_name": "Else"},
        {"device_type": "Meter"},
    ],
)
async def test_members_that_are_something_else_are_left_out(empty_bench, details):
    other = await empty_bench.add_device("other", **details)
    meter = await empty_bench.add_device("meter")
    await empty_bench.add_group("all", [other, meter])
    task = await empty_bench.create_for_groups("all")
    await empty_bench.settle()
    assert [share.device_id for share in await empty_bench.shares(task)] == [meter]


@pytest.mark.parametrize("members", [0, 3])
async def test_a_task_for_nobody_fails_and_says_why(empty_bench, members):
    ids = [await empty_bench.add_device(f"ep-{number}", device_type="Kettle") for number in range(members)]
    await empty_bench.add_group("all", ids)
    task = await empty_bench.create_for_groups("all", retry_limit=5)
    await empty_bench.settle(limit=2)
    ended = await empty_bench.task(task)
    assert (ended.status, ended.tallies, ended.ended_at) == (TaskStatus.FAILED, {}, empty_bench.now)
    assert ended.course.description == (
        "No device of the groups has the device type, the model and the manufacturer of the task"
    )


async def test_a_task_for_nobody_that_is_stopped_before_it_starts_is_stopped(empty_bench):
    await empty_bench.add_group("all")
    window = {"window_start": NOW + timedelta(hours=1), "window_end": NOW + timedelta(hours=2)}
    task = await empty_bench.create_for_groups("all", start_mode=StartMode.WINDOW, **window)
    assert (await empty_bench.stop(task)).status is TaskStatus.STOPPED
    await empty_bench.pass_time(hours=2)
    assert (await empty_bench.task(task)).tallies == {}


async def test_who_is_in_a_group_is_found_out_when_the_window_opens(empty_bench):
    bench = empty_bench
    early, late = await bench.add_device("early"), await bench.add_device("late")
    group = await bench.add_group("all", [early])
    window = {"window_start": NOW + timedelta(hours=1), "window_end": NOW + timedelta(hours=2)}
    task = await bench.create_for_groups("all", start_mode=StartMode.WINDOW, **window)
    assert await bench.pass_time(minutes=59) == window["window_start"]
    assert (await bench.task(task)).started_at is None
    await bench.database.write(groups.remove_members, APPLICATION, group.group_id, [early])
    await bench.database.write(groups.add_members, APPLICATION, group.group_id, [late])
    await bench.pass_time(minutes=1)
    await bench.settle()
    assert [share.device_id for share in await bench.shares(task)] == [late]
    assert (await bench.task(task)).started_at == window["window_start"]
    await bench.pass_time(hours=1)
    assert (await bench.task(task)).tallies == {Tally.STOPPED: 1}


async def test_a_name_means_the_group_that_had_it_at_the_creation(empty_bench):
    bench = empty_bench
    mine, theirs, gone = [await bench.add_device(name) for name in ("mine", "theirs", "gone")]
    renamed = await bench.add_group("a", [mine])
    deleted = await bench.add_group("b", [gone])
    task = await bench.create_for_groups("a", "b")
    await bench.database.write(groups.modify, APPLICATION, renamed.group_id, name="c")
    await bench.database.write(groups.delete, APPLICATION, deleted.group_id)
    await bench.add_group("a", [theirs])
    await bench.add_group("b", [theirs])
    await bench.settle()
    assert [share.device_id for share in await bench.shares(task)] == [mine]
    assert (await bench.task(task)).targets.device_groups == ("a", "b")


async def test_a_member_that_another_task_has_ends_in_a_conflict(empty_bench):
    taken, free = await empty_bench.add_device("taken"), await empty_bench.add_device("free")
    await empty_bench.create(taken)
    await empty_bench.settle()
    await empty_bench.add_group("all", [taken, free])
    task = await empty_bench.create_for_groups("all")
    await empty_bench.settle()
    assert (await empty_bench.task(task)).tallies == {Tally.FAILED: 1, Tally.WAITING: 1}
    ends = {share.device_id: share.description for share in await empty_bench.shares(task)}
    assert ends == {taken: "Task Conflict", free: ""}


async def test_groups_that_are_not_there_or_not_for_the_package_are_refused(empty_bench):
    await empty_bench.add_group("all")
    with pytest.raises(UnknownGroupError):
        await empty_bench.create_for_groups("all", "nobody")
    with pytest.raises(InvalidValueError):
        await empty_bench.create_for_groups()
    await empty_bench.use_package(device_type="Kettle")
    with pytest.raises(MismatchError):
        await empty_bench.create_for_groups("all")


async def test_a_stop_ends_the_taking_of_members(empty_bench):
    ids = [await empty_bench.add_device(f"ep-{number}") for number in range(9)]
    await empty_bench.add_group("all", ids)
    task = await empty_bench.create_for_groups("all")
    await empty_bench.pass_time(limit=4)
    assert (await empty_bench.task(task)).tallies == {Tally.WAITING: 4}
    stopped = await empty_bench.stop(task)
    await empty_bench.settle()
    assert (stopped.status, stopped.tallies) == (TaskStatus.STOPPED, {Tally.STOPPED: 4})
    assert (await empty_bench.task(task)) == stopped


async def test_a_stop_of_many_goes_on_in_batches_past_those_that_install(empty_bench):
    bench = empty_bench
    ids = [await bench.add_device(f"ep-{number}") for number in range(300)]
    await bench.add_group("all", ids)
    task = await bench.create_for_groups("all")
    await bench.settle()
    installing = ids[:5]
    for device_id in installing:
        await bench.come(device_id)
        await bench.answer(device_id)
        await bench.tell(device_id, bench.downloaded)
    stopped = await bench.stop(task)
    assert (stopped.status, stopped.course.work) == (TaskStatus.PROCESSING, TaskWork.STOPPING)
    assert stopped.tallies[Tally.STOPPED] == 257
    await bench.settle(limit=7)
    assert (await bench.task(task)).tallies == {Tally.STOPPED: 295, Tally.PROCESSING: 5}
    await bench.pass_time(hours=1)
    await bench.pass_time(hours=1)
    ended = await bench.task(task)
    assert (ended.tallies, ended.status) == ({Tally.STOPPED: 295, Tally.TIMED_OUT: 5}, TaskStatus.FAILED)
    assert await bench.stop(task) == ended


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=3),
    limits=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    busy=st.sets(st.integers(0, 11), max_size=3),
)
def test_a_kill_between_two_batches_loses_nobody_and_takes_nobody_twice(
    tmp_path_factory, open_bench, sizes, limits, busy
):
    async def check() -> None:
        path = tmp_path_factory.mktemp("groups") / "store.db"
        bench = await (await open_bench(path)).prepare(12)
        for number, members in enumerate(sizes):
            await bench.add_group(f"group-{number}", [bench.device_ids[member] for member in members])
        for number in busy:
            await bench.create(bench.device_ids[number])
        task = await bench.create_for_groups(*(f"group-{number}" for number in range(len(sizes))))
        seen = 0
        for step in range(40):
            await bench.pass_time(limit=limits[step % len(limits)])
            taken = len(await bench.shares(task))
            assert seen <= taken <= seen + limits[step % len(limits)]
            seen = taken
            if (await bench.task(task)).course.work is None:
                break
            # A kill: what was not committed is gone, and the process with all that it knew.
            device_ids, package_id = bench.device_ids, bench.package_id
            await bench.database.close()
            bench = await open_bench(path)
            bench.device_ids, bench.package_id = device_ids, package_id
        await bench.settle()
        expected = {bench.device_ids[member] for members in sizes for member in members}
        shares = await bench.shares(task)
        assert {share.device_id for share in shares} == expected
        conflicts = {share.device_id for share in shares if share.tally is Tally.FAILED}
        assert conflicts <= {bench.device_ids[number] for number in busy}
        assert (await bench.task(task)).course.work is None
        await bench.database.close()

    asyncio.run(check())


async def test_others_write_between_two_batches_of_the_engine(empty_bench):
    """Whoever writes while a fleet is due waits for the batch that is under way, not for the fleet."""
    bench = empty_bench
    bench.now = datetime.now(UTC)
    ids = [await bench.add_device(f"ep-{number}") for number in range(6 * BATCH)]
    await bench.add_group("all", ids[: 5 * BATCH])
    await bench.add_group("rest", ids[5 * BATCH :])
    task = await bench.create_for_groups("all", "rest")
    engine = UpgradeEngine(database=bench.database, log=bench.log, clock=SystemClock(), limits=LIMITS)
    await engine.start()
    taken = []
    for number in range(4):
        await bench.add_group(f"another-{number}")
        taken.append(sum((await bench.task(task)).tallies.values()))
    steps = [after - before for before, after in pairwise([0, *taken])]
    assert max(steps) <= 2 * BATCH
    assert taken[0] < len(ids)
    async with asyncio.timeout(30):
        while sum((await bench.task(task)).tallies.values()) < len(ids):
            await asyncio.sleep(0)
    await engine.stop()
    assert len(await bench.shares(task)) == len(ids)
