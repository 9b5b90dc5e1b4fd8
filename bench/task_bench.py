"""A task for a whole fleet against a task for one device: what is asked of it must cost the same, however large it is.

The fleet is 40,000 devices for each second of work, so 200,000 in a full run. Every figure is a rate against another
of the same run on the same store, so that a slow machine is slow on both sides.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

from bench.rows import Row, row
from firmcast.db.page import Page
from firmcast.db.port import Transaction
from firmcast.db.sqlite import SqliteDatabase
from firmcast.db.statement import Statement, portable
from firmcast.events.log import EventLog
from firmcast.events.model import Event
from firmcast.firmware import use_cases as firmware
from firmcast.firmware.model import PackageMetadata, StoredFile
from firmcast.groups import use_cases as groups
from firmcast.ids import ApplicationId, DeviceId, PackageId, TaskId, new_uuid
from firmcast.settings import UpgradeSettings
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.engine import BATCH
from firmcast.upgrades.limits import limits_of
from firmcast.upgrades.model import Tally, TargetSelection, TaskFilter, UpgradePolicy, UpgradeTask

_APPLICATION = ApplicationId("bench")
_DEVICES_PER_SECOND = 40_000
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_LIMITS = limits_of(UpgradeSettings())
_RUNS = 5
_PAGE = 100
_WORDS = ("WaterMeter", "WM1", "Acme")

_INSERT_DEVICE = portable(
    "INSERT INTO device (device_id, application_id, endpoint_name, verification_code, device_type, model,"
    " manufacturer_name, activation_seconds, created_at, changed_at) VALUES (?1, ?2, ?1, ?1, ?3, ?4, ?5, 0, 0, 0)"
)
_CREATE_PLAIN = portable("CREATE TABLE plain (id TEXT PRIMARY KEY, device_id TEXT NOT NULL, body BLOB NOT NULL) STRICT")
_INSERT_PLAIN = portable("INSERT INTO plain (id, device_id, body) VALUES (?1, ?2, ?3)")


@dataclass(slots=True)
class _Fleet:
    """A store with devices, a group of all of them and a group of one."""

    database: SqliteDatabase
    package_id: PackageId
    device_ids: list[DeviceId]
    log: EventLog
    now: datetime = _NOW

    async def create(self, group: str) -> UpgradeTask:
        targets = TargetSelection(
            device_groups=(group,), device_type=_WORDS[0], model=_WORDS[1], manufacturer_name=_WORDS[2]
        )
        create = upgrades.create_task
        return await self.database.write(create, _APPLICATION, self.package_id, targets, UpgradePolicy(), self.now)

    async def pass_time(self) -> bool:
        """Pass time once; tell whether more is due."""
        await self.database.write_behind(upgrades.pass_time, log=self.log, limits=_LIMITS, now=self.now, limit=BATCH)
        deadline = await self.database.read(upgrades.next_deadline)
        return deadline is not None and deadline <= self.now


def run(seconds: float) -> tuple[list[Row], list[str]]:
    """Measure a fleet that fits `seconds`; return the rows, and why rows are missing."""
    with tempfile.TemporaryDirectory(prefix="firmcast-bench-") as folder:
        return uvloop.run(_measured(Path(folder), int(seconds * _DEVICES_PER_SECOND))), []


async def _measured(folder: Path, devices: int) -> list[Row]:
    fleet = await _prepared(folder, devices)
    size = f"{devices // 1000}k"
    rows = [await _creation(fleet, size)]
    many, one = await fleet.create("all"), await fleet.create("one")
    rows += [await _beginning(fleet, many, devices), *await _others_meanwhile(fleet)]
    rows += [*await _readings(fleet, many, one, size), await _stopping(fleet, devices)]
    await fleet.database.close()
    return rows


async def _prepared(folder: Path, devices: int) -> _Fleet:
    database = await SqliteDatabase.open(folder / "firmcast.db", _NOW)
    words = dict(zip(("device_type", "model", "manufacturer_name"), _WORDS, strict=True))
    metadata = PackageMetadata(name="a", version="2.0", protocol_type="", description="", **words)
    package = await database.write(firmware.record, _APPLICATION, metadata, StoredFile(digest="0" * 64, size=1), _NOW)
    device_ids = [DeviceId(new_uuid()) for _ in range(devices)]
    for start in range(0, devices, 1000):
        some = device_ids[start : start + 1000]
        await database.write(_insert, _INSERT_DEVICE, [(each, _APPLICATION, *_WORDS) for each in some])
    for name, members in (("all", device_ids), ("one", device_ids[:1])):
        group = await database.write(groups.create, _APPLICATION, name, _NOW)
        for start in range(0, len(members), 1000):
            some = members[start : start + 1000]
            await database.write(groups.add_members, _APPLICATION, group.group_id, some)
    return _Fleet(database, package.package_id, device_ids, EventLog(encode=_nothing))


def _nothing(_event: Event) -> bytes:
    return b"{}"


async def _insert(tx: Transaction, statement: Statement, rows: list[tuple[str | bytes, ...]]) -> None:
    await tx.execute_many(statement, rows)


async def _create_plain(tx: Transaction) -> None:
    await tx.execute(_CREATE_PLAIN)


async def _rates(*asks: Callable[[], Awaitable[object]], times: int = 30) -> list[float]:
    """Return how often each can be asked in a second: the median of runs in turn, which share a slow minute."""
    rates: list[list[float]] = [[] for _ in asks]
    for _ in range(_RUNS):
        for ask, found in zip(asks, rates, strict=True):
            began = time.perf_counter()
            for _ in range(times):
                await ask()
            found.append(times / (time.perf_counter() - began))
    return [statistics.median(found) for found in rates]


async def _creation(fleet: _Fleet, size: str) -> Row:
    async def create_and_stop(group: str) -> None:
        task = await fleet.create(group)
        await fleet.database.write(
            upgrades.stop_task, _APPLICATION, task.task_id, log=fleet.log, limits=_LIMITS, now=fleet.now
        )

    many, one = await _rates(lambda: create_and_stop("all"), lambda: create_and_stop("one"))
    return row(f"upgrades/create/group-{size}-of-1", many, "tasks/s", "a group of one", one)


async def _beginning(fleet: _Fleet, many: UpgradeTask, devices: int) -> Row:
    """Take all members into the task and begin with them, and compare with plain rows, committed as often."""
    began = time.perf_counter()
    while await fleet.pass_time():
        pass
    ours = devices / (time.perf_counter() - began)
    task = await fleet.database.read(upgrades.find_task, _APPLICATION, many.task_id)
    taken = sum(task.tallies.values())
    if taken != devices:
        raise SystemExit(f"{taken} of {devices} devices were taken into the task")
    await fleet.database.write(_create_plain)
    began = time.perf_counter()
    for start in range(0, devices, BATCH):
        some = fleet.device_ids[start : start + BATCH]
        rows: list[tuple[str | bytes, ...]] = [(new_uuid(), each, b"x" * 400) for each in some]
        await fleet.database.write(_insert, _INSERT_PLAIN, rows)
    plain = devices / (time.perf_counter() - began)
    return row("upgrades/begin/devices-of-plain-rows", ours, "devices/s", "one plain row each", plain)


async def _others_meanwhile(fleet: _Fleet) -> list[Row]:
    """Have somebody else write and read while the whole fleet's time is up at once, and while nothing is due."""

    async def touch() -> None:
        await fleet.database.write(groups.by_names, _APPLICATION, ["one"])

    async def look() -> None:
        await fleet.database.read(groups.by_names, _APPLICATION, ["one"])

    idle = dict(zip(("writes", "reads"), await _rates(touch, look), strict=True))
    fleet.now += timedelta(hours=25)
    passing = asyncio.create_task(_pass_all(fleet))
    busy = dict(zip(("writes", "reads"), await _rates(touch, look, times=5), strict=True))
    assert not passing.done(), "everything was over before it was measured"
    await passing
    return [
        row(f"upgrades/others-{name}/due-of-idle", busy[name], f"{name}/s", "nothing due", idle[name]) for name in busy
    ]


async def _pass_all(fleet: _Fleet) -> None:
    while await fleet.pass_time():
        pass


async def _readings(fleet: _Fleet, many: UpgradeTask, one: UpgradeTask, size: str) -> list[Row]:
    def find(task_id: TaskId) -> Callable[[], Awaitable[object]]:
        return lambda: fleet.database.read(upgrades.find_task, _APPLICATION, task_id)

    def page(offset: int, tallies: tuple[Tally, ...]) -> Callable[[], Awaitable[object]]:
        ask = upgrades.device_upgrades
        return lambda: fleet.database.read(ask, _APPLICATION, many.task_id, tallies, Page(offset, _PAGE))

    def tasks_of(device_id: DeviceId) -> Callable[[], Awaitable[object]]:
        wanted = TaskFilter(device_id=device_id)
        return lambda: fleet.database.read(upgrades.listed_tasks, _APPLICATION, wanted, Page(0, 10))

    last = len(fleet.device_ids) - _PAGE
    every, failed = tuple(Tally), (Tally.FAILED, Tally.TIMED_OUT)
    measured = [
        (f"task/{size}-of-1", find(many.task_id), find(one.task_id), "tasks/s", "a task of one"),
        ("subtasks/last-page-of-first", page(last, every), page(0, every), "pages/s", "the first page"),
        ("subtasks/middle-page-of-first", page(last // 2, every), page(0, every), "pages/s", "the first page"),
        ("subtasks/failed-last-of-first", page(last, failed), page(0, failed), "pages/s", "the first page"),
        ("subtasks/failed-middle-of-first", page(last // 2, failed), page(0, failed), "pages/s", "the first page"),
        (
            "list/of-a-device-of-all",
            tasks_of(fleet.device_ids[-1]),
            lambda: fleet.database.read(upgrades.listed_tasks, _APPLICATION, TaskFilter(), Page(0, 10)),
            "pages/s",
            "without a filter",
        ),
    ]
    rows = []
    for name, ours, reference, unit, against in measured:
        value, other = await _rates(ours, reference)
        rows.append(row(f"upgrades/{name}", value, unit, against, other))
    return rows


async def _stopping(fleet: _Fleet, devices: int) -> Row:
    """Begin with the fleet again and stop it: what a stop of all costs against their beginning."""
    task = await fleet.create("all")
    began = time.perf_counter()
    while await fleet.pass_time():
        pass
    beginning = devices / (time.perf_counter() - began)
    began = time.perf_counter()
    await fleet.database.write(
        upgrades.stop_task, _APPLICATION, task.task_id, log=fleet.log, limits=_LIMITS, now=fleet.now
    )
    answered = time.perf_counter() - began
    while await fleet.pass_time():
        pass
    stopping = devices / (time.perf_counter() - began)
    assert answered < 5, "the call waits for the whole fleet"
    return row("upgrades/stop/devices-of-begin", stopping, "devices/s", "their beginning", beginning)
