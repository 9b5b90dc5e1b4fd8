"""Upgrades on a real store: counts, conflicts, engine, and what commits together."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.clock import SystemClock
from firmcast.db.page import Page
from firmcast.devices import commands, registrations
from firmcast.errors import ConflictError, InvalidValueError, NotFoundError
from firmcast.events.model import FirmwareUpgradeEnded, Outcome
from firmcast.ids import ApplicationId
from firmcast.settings import UpgradeSettings
from firmcast.upgrades import use_cases
from firmcast.upgrades.engine import UpgradeEngine
from firmcast.upgrades.limits import limits_of
from firmcast.upgrades.model import (
    CommandAnswered,
    DeviceReport,
    ResourcesReported,
    SessionRenewed,
    StartMode,
    Tally,
    TargetSelection,
    TaskStatus,
    UpgradePhase,
    UpgradePolicy,
)

APPLICATION = ApplicationId("application")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMITS = limits_of(UpgradeSettings())


async def test_a_task_counts_its_devices_to_the_end(bench):
    task = await bench.create()
    assert (await bench.task(task)).tallies == {Tally.WAITING: 3}
    await bench.pass_time()
    first, second, third = bench.device_ids
    await bench.upgrade(first)
    told = await bench.task(task)
    assert told.status is TaskStatus.PROCESSING
    assert told.tallies == {Tally.WAITING: 2, Tally.SUCCEEDED: 1}
    await bench.upgrade(second, version="1.0", result=8)
    await bench.pass_time(hours=25)
    told = await bench.task(task)
    assert told.tallies == {Tally.SUCCEEDED: 1, Tally.FAILED: 1, Tally.TIMED_OUT: 1}
    assert (told.status, told.ended_at) == (TaskStatus.FAILED, bench.now)
    assert len(await bench.history(first)) == 5
    assert isinstance((await bench.history(third))[-1].fact, FirmwareUpgradeEnded)
    assert await bench.database.read(commands.waiting, bench.device_ids) == []


async def test_a_device_in_one_task_conflicts_with_another(bench):
    await bench.create()
    await bench.pass_time()
    second = await bench.create(bench.device_ids[0])
    await bench.pass_time()
    (share,), _ = await bench.database.read(use_cases.device_upgrades, APPLICATION, second.task_id)
    assert (share.description, share.outcome) == ("Task Conflict", Outcome.FAILED)
    assert (await bench.task(second)).status is TaskStatus.FAILED


async def test_a_window_begins_at_its_start_and_stops_at_its_end_what_did_not_come(bench):
    window = {"window_start": NOW + timedelta(hours=1), "window_end": NOW + timedelta(hours=2)}
    task = await bench.create(start_mode=StartMode.WINDOW, **window)
    assert await bench.pass_time() == NOW + timedelta(hours=1)
    assert (await bench.task(task)).started_at is None
    await bench.pass_time(hours=1)
    await bench.upgrade(bench.device_ids[0])
    await bench.pass_time(hours=1)
    told = await bench.task(task)
    assert told.tallies == {Tally.SUCCEEDED: 1, Tally.STOPPED: 2}


async def test_what_is_stopped_before_the_window_has_not_started_the_task(bench):
    window = {"window_start": NOW + timedelta(hours=1), "window_end": NOW + timedelta(hours=2)}
    task = await bench.create(start_mode=StartMode.WINDOW, **window)
    await bench.database.write(use_cases.release_device, bench.device_ids[0], NOW, log=bench.log, limits=LIMITS)
    told = await bench.task(task)
    assert (told.status, told.started_at) == (TaskStatus.WAITING, None)
    assert told.tallies == {Tally.STOPPED: 1, Tally.WAITING: 2}
    await bench.pass_time(hours=1)
    begun = await bench.task(task)
    assert (begun.status, begun.started_at) == (TaskStatus.PROCESSING, window["window_start"])
    later = {"window_start": NOW + timedelta(hours=3), "window_end": NOW + timedelta(hours=4)}
    other = await bench.create(start_mode=StartMode.WINDOW, **later)
    await bench.stop(other)
    ended = await bench.task(other)
    assert (ended.status, ended.started_at, ended.ended_at) == (TaskStatus.STOPPED, None, bench.now)


async def test_on_registration_waits_for_a_device_that_is_there_already(bench):
    device_id = bench.device_ids[0]
    await bench.create(device_id, start_mode=StartMode.ON_REGISTRATION)
    await bench.pass_time()
    assert await bench.database.read(commands.waiting, [device_id]) == []
    await bench.upgrade(device_id)
    assert len(await bench.history(device_id)) == 5


async def test_a_package_is_needed_until_its_task_ends_and_a_token_opens_it_that_long(bench):
    task = await bench.create(bench.device_ids[0])
    (share,), _ = await bench.database.read(use_cases.device_upgrades, APPLICATION, task.task_id)
    assert await bench.database.read(use_cases.is_needed, bench.package_id)
    assert (await bench.database.read(use_cases.transfer, share.transfer_token)).size == 1000
    await bench.database.write(
        use_cases.stop_task, APPLICATION, task.task_id, log=bench.log, limits=LIMITS, now=bench.now
    )
    assert not await bench.database.read(use_cases.is_needed, bench.package_id)
    with pytest.raises(NotFoundError):
        await bench.database.read(use_cases.transfer, share.transfer_token)


async def test_a_device_that_installs_is_not_let_go(bench):
    device_id = bench.device_ids[0]
    await bench.create(device_id)
    await bench.pass_time()
    await bench.tell(device_id, SessionRenewed(newly_registered=True))
    await bench.answer(device_id, state=0, result=0, firmware_version="1.0", protocols=(0,), delivery_method=0)
    await bench.answer(device_id, state=2, result=0)
    with pytest.raises(ConflictError):
        await bench.database.write(use_cases.release_device, device_id, bench.now, log=bench.log, limits=LIMITS)


async def test_a_sleeping_device_is_waited_for_and_not_given_up(bench):
    device_id = bench.device_ids[0]
    told = registrations.NewRegistration(
        endpoint_name="ep-0", host="127.0.0.1", port=1, lifetime_seconds=86400, binding="UQ", queue_mode=True,
        lwm2m_version="1.0", objects="",
    )  # fmt: skip
    await bench.database.write(registrations.register, [told], bench.now, log=bench.log)
    bench.now += timedelta(hours=1)
    await bench.create(device_id)
    await bench.pass_time()
    assert await bench.database.read(commands.waiting, [device_id]) == []
    await bench.pass_time(hours=2)
    await bench.upgrade(device_id)
    assert isinstance((await bench.history(device_id))[-1].fact, FirmwareUpgradeEnded)


@pytest.mark.parametrize(
    ("targets", "policy"),
    [
        ({}, {}),
        ({"devices": ("x",), "device_groups": ("all",)}, {}),
        ({"devices": ("x",)}, {"retry_limit": 6}),
        ({"devices": ("x",)}, {"start_mode": StartMode.WINDOW}),
        ({"devices": ("x",)}, {"window_start": NOW, "window_end": NOW}),
    ],
)
async def test_a_task_that_could_never_end_is_not_created(bench, targets, policy):
    with pytest.raises(InvalidValueError):
        await bench.database.write(
            use_cases.create_task, APPLICATION, bench.package_id, TargetSelection(**targets),
            UpgradePolicy(**policy), NOW,
        )  # fmt: skip
    assert not await bench.database.read(use_cases.is_needed, bench.package_id)


async def test_the_engine_sleeps_through_reports_that_move_no_deadline(bench):
    bench.now = datetime.now(UTC)
    engine = UpgradeEngine(database=bench.database, log=bench.log, clock=SystemClock(), limits=LIMITS)
    device_id = bench.device_ids[0]
    await bench.create(device_id)
    await bench.pass_time()
    await bench.tell(device_id, SessionRenewed(newly_registered=True))
    await engine.start()
    await bench.database.read(use_cases.next_deadline)
    before = bench.database.commits
    for _ in range(50):
        await bench.tell(device_id, ResourcesReported(state=0))
    assert bench.database.commits - before == 50
    await engine.stop()


async def test_tasks_of_others_and_unknown_ones_are_not_found(bench):
    task = await bench.create()
    with pytest.raises(NotFoundError):
        await bench.database.read(use_cases.find_task, ApplicationId("other"), task.task_id)
    with pytest.raises(NotFoundError):
        await bench.create("no such device")


async def test_the_engine_begins_a_task_as_soon_as_it_is_there(bench):
    bench.now = datetime.now(UTC)
    engine = UpgradeEngine(database=bench.database, log=bench.log, clock=SystemClock(), limits=LIMITS)
    begun = asyncio.Event()
    bench.database.listen(commands.DEVICE_COMMANDS, lambda _items: begun.set())
    await engine.start()
    await bench.create(start_mode=StartMode.NOW)
    async with asyncio.timeout(10):
        while not await _waits(bench):
            await asyncio.sleep(0)
    await bench.tell(bench.device_ids[0], SessionRenewed(newly_registered=True))
    await begun.wait()
    await engine.stop()


async def _waits(bench):
    tasks, _ = await bench.database.read(use_cases.listed_tasks, APPLICATION, use_cases.TaskFilter())
    shares, _ = await bench.database.read(use_cases.device_upgrades, APPLICATION, tasks[0].task_id)
    return all(share.phase is UpgradePhase.WAITING for share in shares)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
async def test_pages_of_any_tallies_hold_each_device_once_in_one_order(bench, size):
    ids = [*bench.device_ids, *[await bench.add_device(f"another-{number}") for number in range(9)]]
    task = await bench.create()
    await bench.settle()
    for number, device_id in enumerate(ids):
        if number % 3:
            await (bench.reject if number % 2 else bench.upgrade)(device_id)
    shares = await bench.shares(task)
    for tallies in (
        tuple(Tally),
        (Tally.FAILED,),
        (Tally.SUCCEEDED, Tally.WAITING),
        (Tally.TIMED_OUT, Tally.FAILED),
        (Tally.STOPPED,),
    ):
        wanted = [share for tally in tallies for share in shares if share.tally is tally]
        if len(wanted) == len(shares):
            wanted = shares
        seen, total = [], -1
        for offset in range(0, len(ids) + size, size):
            page, total = await bench.database.read(
                use_cases.device_upgrades, APPLICATION, task.task_id, tallies, Page(offset, size)
            )
            assert len(page) <= size
            seen += page
        assert (seen, total) == (wanted, len(wanted))


REPORT = st.tuples(
    st.integers(0, 2),
    st.sampled_from(
        [
            ResourcesReported(state=0, result=5),
            ResourcesReported(state=1, result=0),
            ResourcesReported(state=2, result=0),
            ResourcesReported(state=3, result=0),
            ResourcesReported(state=0, result=1, firmware_version="2.0"),
            SessionRenewed(newly_registered=True),
            "answer",
            "deadline",
        ]
    ),
)


@settings(max_examples=20, deadline=None)
@given(batches=st.lists(st.lists(REPORT, max_size=8), max_size=12))
def test_counts_are_exact_under_repeated_and_reordered_reports(tmp_path_factory, open_bench, batches):
    async def check() -> None:
        bench = await (await open_bench(tmp_path_factory.mktemp("counts") / "store.db")).prepare(3)
        database = bench.database
        task = await bench.create()
        await bench.pass_time()
        for batch in batches:
            reports = []
            for number, told in batch:
                device_id = bench.device_ids[number]
                if told == "deadline":
                    await bench.pass_time(hours=1)
                    continue
                if told == "answer":
                    waiting = await database.read(commands.waiting, [device_id])
                    if not waiting:
                        continue
                    resources = ResourcesReported(state=0, result=0, firmware_version="1.0", delivery_method=0)
                    said = CommandAnswered(command_id=waiting[0].command_id, resources=resources)
                else:
                    said = told
                reports.append(DeviceReport(device_id=device_id, input=said, occurred_at=bench.now))
            await bench.report(*reports, *reports)
        shares, total = await database.read(use_cases.device_upgrades, APPLICATION, task.task_id)
        assert total == 3
        assert (await bench.task(task)).tallies == dict(Counter(share.tally for share in shares))
        for device_id, share in zip(
            sorted(bench.device_ids), sorted(shares, key=lambda share: share.device_id), strict=True
        ):
            history = await bench.history(device_id)
            ends = [event for event in history if isinstance(event.fact, FirmwareUpgradeEnded)]
            assert len(ends) == (share.phase is UpgradePhase.CLOSED)
        await database.close()

    asyncio.run(check())
