"""Failed devices are tried again after the whole task, round after round, and nothing of that is lost or doubled."""

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.ids import ApplicationId
from firmcast.settings import UpgradeSettings
from firmcast.upgrades import use_cases
from firmcast.upgrades.limits import limits_of
from firmcast.upgrades.model import StartMode, Tally, TaskStatus, TaskWork

APPLICATION = ApplicationId("application")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMITS = limits_of(UpgradeSettings())


async def test_a_failed_device_is_tried_again_after_the_last_one_has_ended(bench):
    task = await bench.create(retry_limit=1)
    await bench.settle()
    first, second, third = bench.device_ids
    await bench.reject(first)
    await bench.upgrade(second)
    await bench.settle()
    assert (await bench.task(task)).tallies == {Tally.FAILED: 1, Tally.SUCCEEDED: 1, Tally.WAITING: 1}
    await bench.upgrade(third)
    between = await bench.task(task)
    assert (between.status, between.ended_at, between.course.work) == (
        TaskStatus.PROCESSING,
        None,
        TaskWork.RETRYING,
    )
    await bench.settle()
    again = await bench.task(task)
    assert (again.status, again.course.round) == (TaskStatus.PROCESSING, 2)
    assert again.tallies == {Tally.SUCCEEDED: 2, Tally.WAITING: 1}
    await bench.upgrade(first)
    ended = await bench.task(task)
    assert (ended.status, ended.tallies) == (TaskStatus.SUCCEEDED, {Tally.SUCCEEDED: 3})
    assert await bench.ends(first) == ["failed", "succeeded"]
    assert await bench.ends(second) == ["succeeded"]


async def test_a_round_is_the_last_one_when_the_limit_is_reached(bench):
    device_id = bench.device_ids[0]
    task = await bench.create(device_id, retry_limit=2)
    for _ in range(3):
        await bench.settle()
        await bench.reject(device_id)
    ended = await bench.task(task)
    assert (ended.status, ended.course.round, ended.course.work) == (TaskStatus.FAILED, 3, None)
    assert await bench.ends(device_id) == ["failed"] * 3
    (share,) = await bench.shares(task)
    assert (share.attempt, share.description) == (3, "Not enough storage for the new firmware package")


async def test_a_device_that_never_comes_is_waited_for_in_each_round(bench):
    device_id = bench.device_ids[0]
    task = await bench.create(device_id, retry_limit=1)
    await bench.settle()
    await bench.pass_time(hours=25)
    await bench.settle()
    assert (await bench.task(task)).tallies == {Tally.WAITING: 1}
    await bench.pass_time(hours=25)
    assert (await bench.task(task)).tallies == {Tally.TIMED_OUT: 1}
    assert (await bench.task(task)).ended_at == bench.now


async def test_a_conflict_and_the_same_version_are_not_tried_again(bench):
    await bench.create(bench.device_ids[0])
    await bench.settle()
    task = await bench.create(*bench.device_ids[:2], retry_limit=5)
    await bench.settle()
    await bench.tell_same_version(bench.device_ids[1])
    ended = await bench.task(task)
    assert (ended.status, ended.course.round) == (TaskStatus.FAILED, 1)
    shares = await bench.shares(task)
    assert [share.description for share in shares] == [
        "Task Conflict",
        "The current version is the same as the target version",
    ]
    assert await bench.ends(bench.device_ids[0]) == ["failed"]


async def test_no_round_begins_after_the_end_of_the_window(bench):
    window = {"window_start": NOW, "window_end": NOW + timedelta(hours=1)}
    early, late = bench.device_ids[:2]
    task = await bench.create(early, start_mode=StartMode.WINDOW, retry_limit=5, **window)
    await bench.settle()
    await bench.reject(early)
    await bench.settle()
    assert (await bench.task(task)).course.round == 2
    other = await bench.create(late, start_mode=StartMode.WINDOW, retry_limit=5, **window)
    await bench.settle()
    await bench.pass_time(minutes=59)
    await bench.reject(late)
    await bench.pass_time(minutes=1)
    await bench.settle()
    assert (await bench.task(other)).course.round == 1
    assert (await bench.shares(other))[0].tally is Tally.FAILED
    assert await bench.ends(late) == ["failed"]
    assert (await bench.task(task)).tallies == {Tally.STOPPED: 1}
    assert await bench.ends(early) == ["failed", "cancelled"]


async def test_the_second_attempt_has_a_token_of_its_own_and_an_old_answer_means_nothing(bench):
    device_id = bench.device_ids[0]
    task = await bench.create(device_id, retry_limit=1)
    await bench.settle()
    before = (await bench.shares(task))[0]
    await bench.reject(device_id)
    await bench.settle()
    after = (await bench.shares(task))[0]
    assert (after.device_upgrade_id, after.attempt) == (before.device_upgrade_id, 2)
    assert after.transfer_token != before.transfer_token
    assert (after.outcome, after.ended_at, after.description, after.started_at) == (None, None, "", None)


async def test_a_task_that_is_stopped_between_two_rounds_has_no_further_one(bench):
    task = await bench.create(retry_limit=5)
    await bench.settle()
    for device_id in bench.device_ids:
        await bench.reject(device_id)
    assert (await bench.task(task)).course.work is TaskWork.RETRYING
    stopped = await bench.stop(task)
    await bench.settle()
    ended = await bench.task(task)
    assert (ended.status, ended.tallies, ended.course.round) == (TaskStatus.FAILED, {Tally.FAILED: 3}, 1)
    assert ended.ended_at == stopped.ended_at is not None


async def test_a_package_is_needed_between_two_rounds(bench):
    device_id = bench.device_ids[0]
    await bench.create(device_id, retry_limit=1)
    await bench.settle()
    await bench.reject(device_id)
    assert await bench.database.read(use_cases.is_needed, bench.package_id)
    assert await bench.database.read(use_cases.has_open_tasks, APPLICATION)
    await bench.settle()
    await bench.reject(device_id)
    assert not await bench.database.read(use_cases.is_needed, bench.package_id)
    assert not await bench.database.read(use_cases.has_open_tasks, APPLICATION)


async def test_a_device_that_goes_between_two_rounds_is_not_tried_again(bench):
    task = await bench.create(retry_limit=1)
    await bench.settle()
    for device_id in bench.device_ids:
        await bench.reject(device_id)
    await bench.database.write(use_cases.release_device, bench.device_ids[0], bench.now, log=bench.log, limits=LIMITS)
    await bench.settle()
    assert (await bench.task(task)).tallies == {Tally.FAILED: 1, Tally.WAITING: 2}


async def test_a_round_begins_in_batches_and_goes_on_after_a_kill(tmp_path, open_bench):
    """The store is opened anew between the batches, as after a kill: what was committed is all that there is."""
    bench = await (await open_bench(tmp_path / "store.db")).prepare(7)
    task = await bench.create(retry_limit=1)
    await bench.settle()
    for device_id in bench.device_ids:
        await bench.reject(device_id)
    waiting = []
    while (await bench.task(task)).course.work is TaskWork.RETRYING:
        await bench.pass_time(limit=3)
        waiting.append((await bench.task(task)).tallies.get(Tally.WAITING, 0))
        await bench.shares(task)
        await bench.database.close()
        device_ids, package_id = bench.device_ids, bench.package_id
        bench = await open_bench(tmp_path / "store.db")
        bench.device_ids, bench.package_id = device_ids, package_id
    assert waiting == [3, 6, 7]
    assert {share.attempt for share in await bench.shares(task)} == {2}
    for device_id in bench.device_ids:
        await bench.upgrade(device_id)
        assert await bench.ends(device_id) == ["failed", "succeeded"]
    assert (await bench.task(task)).status is TaskStatus.SUCCEEDED
    await bench.database.close()


DEEDS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["succeed", "fail", "away", "same", "stop", "go", "reopen"]),
        st.integers(1, 3),
    ),
    max_size=14,
)


@settings(max_examples=25, deadline=None)
@given(deeds=DEEDS, retry_limit=st.integers(0, 3), busy=st.sets(st.integers(0, 3), max_size=2))
def test_rounds_agree_with_an_oracle_that_counts_on_its_fingers(tmp_path_factory, open_bench, deeds, retry_limit, busy):
    """The oracle knows of each device only: its attempts, how each ended, and whether one more may follow."""

    async def check() -> None:
        path = tmp_path_factory.mktemp("rounds") / "store.db"
        bench = await (await open_bench(path)).prepare(4)
        for number in busy:
            await bench.create(bench.device_ids[number])
        await bench.settle()
        task = await bench.create(retry_limit=retry_limit)
        expected = {number: ["failed"] if number in busy else [] for number in range(4)}
        under_way = set(range(4)) - busy
        failed: set[int] = set()
        rounds, stopped = 1, False
        await bench.settle(limit=2)
        for number, deed, limit in deeds:
            device_id = bench.device_ids[number]
            if deed == "reopen":
                device_ids, package_id, now = bench.device_ids, bench.package_id, bench.now
                await bench.database.close()
                bench = await open_bench(path)
                bench.device_ids, bench.package_id, bench.now = device_ids, package_id, now
                continue
            if deed == "stop":
                await bench.stop(task)
                for open_one in under_way:
                    expected[open_one].append("cancelled")
                under_way, stopped = set(), True
            elif deed == "away" and under_way:
                await bench.pass_time(hours=25)
                for open_one in under_way:
                    expected[open_one].append("failed")
                failed |= under_way
                under_way = set()
            elif number not in under_way:
                continue
            elif deed == "go":
                await bench.database.write(use_cases.release_device, device_id, bench.now, log=bench.log, limits=LIMITS)
                expected[number].append("cancelled")
                under_way.discard(number)
            elif deed == "fail":
                await bench.reject(device_id)
                expected[number].append("failed")
                failed.add(number)
                under_way.discard(number)
            elif deed in ("succeed", "same"):
                await (bench.upgrade if deed == "succeed" else bench.tell_same_version)(device_id)
                expected[number].append("succeeded")
                under_way.discard(number)
            await bench.shares(task)
            if not under_way and failed and rounds <= retry_limit and not stopped:
                rounds, under_way, failed = rounds + 1, failed, set()
            await bench.settle(limit=limit)
            seen = await bench.task(task)
            assert still_open(seen) == len(under_way)
            assert (seen.ended_at is None) == bool(under_way)
            assert seen.course.round == rounds
        for number, told in expected.items():
            assert await bench.ends(bench.device_ids[number], task) == told
        await bench.shares(task)
        await bench.database.close()

    asyncio.run(check())


def still_open(task):
    return task.tallies.get(Tally.WAITING, 0) + task.tallies.get(Tally.PROCESSING, 0)
