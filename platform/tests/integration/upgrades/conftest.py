"""A store with a package and devices, and upgrades driven as the gateway and the engine would."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firmcast.db.sqlite import SqliteDatabase
from firmcast.devices import commands
from firmcast.devices import use_cases as devices
from firmcast.devices.model import DeviceDetails
from firmcast.events import use_cases as events
from firmcast.events.log import EventLog
from firmcast.events.model import FirmwareUpgradeEnded
from firmcast.firmware import use_cases as firmware
from firmcast.firmware.model import PackageMetadata, StoredFile
from firmcast.groups import use_cases as groups
from firmcast.ids import ApplicationId, PackageId
from firmcast.settings import UpgradeSettings
from firmcast.upgrades import use_cases
from firmcast.upgrades.limits import limits_of
from firmcast.upgrades.model import (
    CommandAnswered,
    DeviceReport,
    ResourcesReported,
    SessionRenewed,
    TargetSelection,
    UpgradePolicy,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
APPLICATION = ApplicationId("application")
LIMITS = limits_of(UpgradeSettings())
METERS = {"device_type": "Meter", "model": "M1", "manufacturer_name": "Acme"}


class Bench:
    """A store with a package and devices, and the calls of the gateway and the engine."""

    def __init__(self, database: SqliteDatabase) -> None:
        self.database = database
        self.log = EventLog(encode=lambda event: str(event.sequence).encode())
        self.now = NOW
        self.package_id = PackageId("")
        self.device_ids = []

    async def prepare(self, count: int) -> "Bench":
        await self.use_package()
        for number in range(count):
            await self.add_device(f"ep-{number}")
        return self

    async def use_package(self, **what):
        words = {"device_type": "", "model": "", "manufacturer_name": "", "protocol_type": "", "description": ""}
        metadata = PackageMetadata(name="a", version="2.0", **{**words, **what})
        stored = StoredFile(digest="0" * 64, size=1000)
        package = await self.database.write(firmware.record, APPLICATION, metadata, stored, NOW)
        self.package_id = package.package_id

    async def add_device(self, name, **details):
        made = await self.database.write(
            devices.create, APPLICATION, name, name, NOW, log=self.log, details=DeviceDetails(**(details or METERS))
        )
        self.device_ids.append(made.device_id)
        return made.device_id

    async def add_group(self, name, device_ids=()):
        return await self.database.write(groups.create, APPLICATION, name, NOW, device_ids=list(device_ids))

    async def create(self, *device_ids, **policy):
        targets = TargetSelection(devices=tuple(device_ids or self.device_ids))
        return await self.database.write(
            use_cases.create_task, APPLICATION, self.package_id, targets, UpgradePolicy(**policy), self.now
        )

    async def create_for_groups(self, *names, **policy):
        targets = TargetSelection(device_groups=names, **METERS)
        return await self.database.write(
            use_cases.create_task, APPLICATION, self.package_id, targets, UpgradePolicy(**policy), self.now
        )

    async def pass_time(self, *, limit=1000, **parts):
        self.now += timedelta(**parts)
        await self.database.write(use_cases.pass_time, log=self.log, limits=LIMITS, now=self.now, limit=limit)
        return await self.database.read(use_cases.next_deadline)

    async def settle(self, *, limit=1000):
        """Pass time without its passing, until nothing is due."""
        for _ in range(200):
            deadline = await self.pass_time(limit=limit)
            if deadline is None or deadline > self.now:
                return
        raise AssertionError("what is due never ends")

    async def stop(self, task):
        return await self.database.write(
            use_cases.stop_task, APPLICATION, task.task_id, log=self.log, limits=LIMITS, now=self.now
        )

    async def report(self, *reports):
        await self.database.write(use_cases.record_reports, list(reports), log=self.log, limits=LIMITS, now=self.now)

    async def tell(self, device_id, told):
        await self.report(DeviceReport(device_id=device_id, input=told, occurred_at=self.now))

    async def answer(self, device_id, **resources):
        (command,) = await self.database.read(commands.waiting, [device_id])
        told = CommandAnswered(command_id=command.command_id, resources=ResourcesReported(**resources))
        await self.tell(device_id, told)

    async def tell_same_version(self, device_id):
        """Let a device that waits come and tell that it runs the target version."""
        await self.tell(device_id, SessionRenewed(newly_registered=True))
        await self.answer(device_id, state=0, result=0, firmware_version="2.0", protocols=(0,), delivery_method=0)

    downloaded = ResourcesReported(state=2, result=0)

    async def come(self, device_id):
        """Let a device that waits come and tell that it is Idle with the old version."""
        await self.tell(device_id, SessionRenewed(newly_registered=True))
        await self.answer(device_id, state=0, result=0, firmware_version="1.0", protocols=(0,), delivery_method=0)

    async def reject(self, device_id):
        """Let a device that waits come and fail: it has no room for the package."""
        await self.come(device_id)
        await self.answer(device_id)
        await self.tell(device_id, ResourcesReported(state=1, result=0))
        await self.tell(device_id, ResourcesReported(state=0, result=2))

    async def upgrade(self, device_id, *, version="2.0", result=1):
        """Bring a device from its registration to its end."""
        await self.tell(device_id, SessionRenewed(newly_registered=True))
        await self.answer(device_id, state=0, result=0, firmware_version="1.0", protocols=(0,), delivery_method=0)
        await self.answer(device_id)
        await self.tell(device_id, ResourcesReported(state=1, result=0))
        await self.tell(device_id, ResourcesReported(state=2))
        await self.answer(device_id)
        await self.tell(device_id, ResourcesReported(state=3))
        await self.tell(device_id, SessionRenewed(newly_registered=True))
        await self.answer(device_id, state=0, result=result, firmware_version=version)

    async def task(self, task):
        return await self.database.read(use_cases.find_task, APPLICATION, task.task_id)

    async def shares(self, task):
        """Return the devices of a task in its order, and that their counts are those of the task."""
        shares, total = await self.database.read(use_cases.device_upgrades, APPLICATION, task.task_id)
        tallies = (await self.task(task)).tallies
        assert total == len(shares) == sum(tallies.values())
        assert tallies == dict(Counter(share.tally for share in shares))
        assert [share.position for share in shares] == list(range(total))
        assert len({share.device_id for share in shares}) == total
        return shares

    async def ends(self, device_id, task=None):
        """Return how each attempt with a device ended (in one task, or any), as it was told."""
        history = await self.history(device_id)
        facts = [event.fact for event in history if task is None or event.task_id == task.task_id]
        return [fact.outcome.value for fact in facts if isinstance(fact, FirmwareUpgradeEnded)]

    async def history(self, device_id):
        """Return what was told of upgrades of the device; its numbers are those of all that was told of it."""
        everything = await self.database.read(events.of_device, device_id)
        assert [event.sequence for event in everything] == list(range(1, len(everything) + 1))
        return [event for event in everything if event.task_id is not None]


@pytest.fixture
async def bench(database):
    return await Bench(database).prepare(3)


@pytest.fixture
async def empty_bench(database):
    """Without devices."""
    return await Bench(database).prepare(0)


@pytest.fixture(scope="session")
def open_bench(open_sqlite_store: Callable[[Path], Awaitable[SqliteDatabase]]) -> Callable[[Path], Awaitable[Bench]]:
    """Return what opens a bench on a store, new or left over."""

    async def open_it(path: Path) -> Bench:
        return Bench(await open_sqlite_store(path))

    return open_it
