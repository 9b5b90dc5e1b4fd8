"""What others may ask of upgrades; each takes the caller's transaction, and none of them commits.

The state machine decides, `changes.py` writes; this module finds out about whom. How a task is created, begun, tried
again and stopped stands in modules of their own, whose calls are offered here too.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from firmcast.db.page import Page
from firmcast.db.port import Transaction
from firmcast.devices import commands
from firmcast.devices import use_cases as devices
from firmcast.errors import NotFoundError
from firmcast.events.log import EventLog
from firmcast.firmware import use_cases as firmware
from firmcast.ids import ApplicationId, CommandId, DeviceId, DeviceUpgradeId, PackageId, TaskId
from firmcast.journal.model import DeviceNote
from firmcast.upgrades.beginning import SLEEPERS_AWAITED
from firmcast.upgrades.changes import UPGRADES_CHANGED, Changes
from firmcast.upgrades.creation import create_task, created_before
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    CommandFailure,
    DeviceReport,
    DeviceUpgrade,
    Input,
    Progress,
    ResourcesReported,
    Tally,
    TaskFilter,
    TransferTarget,
    UpgradeTask,
)
from firmcast.upgrades.passing_time import next_deadline, pass_time
from firmcast.upgrades.state_machine import Decision, advance
from firmcast.upgrades.stopping import release_device, stop_task
from firmcast.upgrades.store import device_upgrades as store
from firmcast.upgrades.store import progress, tasks

__all__ = [
    "SLEEPERS_AWAITED",
    "UPGRADES_CHANGED",
    "create_task",
    "created_before",
    "device_upgrades",
    "find_task",
    "forget_application",
    "has_open_tasks",
    "is_needed",
    "listed_tasks",
    "next_deadline",
    "note_progress",
    "of_device",
    "pass_time",
    "progress_of",
    "record_reports",
    "release_device",
    "stop_task",
    "transfer",
]

EVERYTHING = Page()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the journal is to say of a batch of reports."""

    under_way: Mapping[DeviceId, DeviceUpgradeId]
    """Which upgrade each of the devices was in, of those that were in one."""
    fetching: Sequence[DeviceUpgradeId] = ()
    """In which of them the device was fetching its package, before it was heard."""
    notes: Sequence[DeviceNote]
    """A line about each decision."""


NOTHING_HEARD: Final = Heard(under_way={}, notes=())


async def find_task(tx: Transaction, application_id: ApplicationId | None, task_id: TaskId) -> UpgradeTask:
    """Return a task of the application; of any for None.

    Raises:
        NotFoundError: there is no such task.
    """
    task = await tasks.find(tx, task_id, application_id)
    if task is None:
        raise NotFoundError("task", task_id)
    return task


async def listed_tasks(
    tx: Transaction, application_id: ApplicationId | None, wanted: TaskFilter, page: Page = EVERYTHING
) -> tuple[list[UpgradeTask], int]:
    """Return a page of the application's tasks (of all for None), the newest first, and how many there are."""
    return await tasks.listed(tx, application_id, wanted, page)


async def device_upgrades(
    tx: Transaction,
    application_id: ApplicationId | None,
    task_id: TaskId,
    tallies: Sequence[Tally] = tuple(Tally),
    page: Page = EVERYTHING,
) -> tuple[list[DeviceUpgrade], int]:
    """Return a page of a task's devices that count as one of `tallies`, and how many there are on all pages.

    They come in the order of the task: all of those that count as the first of `tallies`, then of the next one; when
    that is all of them, in the order of the task alone, where any page costs the same. Of a part of them, what is
    before the page, or behind it where that is less, is passed over in an index.

    Raises:
        NotFoundError: there is no such task.
    """
    task = await find_task(tx, application_id, task_id)
    total = sum(task.tallies.get(tally, 0) for tally in tallies)
    if total == sum(task.tallies.values()):
        return await store.of_task(tx, task_id, page), total
    found: list[DeviceUpgrade] = []
    passed = 0
    for tally in tallies:
        count = task.tallies.get(tally, 0)
        offset = max(0, page.offset - passed)
        part = Page(offset, page.limit - len(found))
        found += await store.page_of_tally(tx, task_id, tally, part, count)
        passed += count
    return found, passed


async def of_device(tx: Transaction, device_id: DeviceId, limit: int = 1000) -> list[DeviceUpgrade]:
    """Return the upgrades that a device is in, or was, `limit` at the most."""
    return await store.of_device(tx, device_id, limit)


async def is_needed(tx: Transaction, package_id: PackageId) -> bool:
    """Return whether an open task needs a package; one whose retries are to come is open."""
    return await tasks.is_needed(tx, package_id)


async def has_open_tasks(tx: Transaction, application_id: ApplicationId) -> bool:
    """Return whether an application has a task that has not ended."""
    return await tasks.has_open(tx, application_id)


async def forget_application(tx: Transaction, application_id: ApplicationId, limit: int = 1000) -> int:
    """Remove some of what an application has here: `limit` devices of a task, or a task that has none left.

    Returns how much was removed; 0 when nothing is left. Its tasks must have ended.
    """
    task_id = await tasks.any_of(tx, application_id)
    if task_id is None:
        return 0
    await progress.forget_some(tx, task_id, limit)
    removed = await store.delete_some(tx, task_id, limit)
    if removed < limit:
        await tasks.delete(tx, task_id)
        removed += 1
    return removed


async def note_progress(tx: Transaction, noted: Sequence[Progress]) -> None:
    """Write how far packages have come."""
    await progress.note(tx, noted)


async def progress_of(
    tx: Transaction, device_upgrade_ids: Sequence[DeviceUpgradeId]
) -> dict[DeviceUpgradeId, Progress]:
    """Return what was noted of the packages of these upgrades, however long ago."""
    return await progress.of(tx, device_upgrade_ids) if device_upgrade_ids else {}


async def transfer(tx: Transaction, token: str) -> TransferTarget:
    """Return what the bearer of a transfer token may fetch.

    Raises:
        NotFoundError: no open upgrade has this token.
    """
    upgrade = await store.by_token(tx, token)
    if upgrade is None:
        raise NotFoundError("transfer", token)
    package = await firmware.find(tx, upgrade.package_id)
    device = await devices.find(tx, upgrade.application_id, upgrade.device_id)
    return TransferTarget(
        device_upgrade_id=upgrade.device_upgrade_id,
        device_id=upgrade.device_id,
        endpoint_name=device.endpoint_name,
        package_id=package.package_id,
        digest=package.digest,
        size=package.size,
        protocol=upgrade.evidence.transfer_protocol,
    )


async def record_reports(
    tx: Transaction, reports: Sequence[DeviceReport], *, log: EventLog, limits: Limits, now: datetime
) -> Heard:
    """Let the state machine hear what devices told, in order; what is told of no upgrade under way changes nothing.

    Returns what the journal is to say of it: the caller writes that, with what else it has to note.
    """
    await devices.record_firmware_versions(tx, _versions(reports), now, log=log)
    begun = await store.begun(tx, [report.device_id for report in reports])
    changes = Changes()
    for report in reports:
        upgrade = begun.get(report.device_id)
        if upgrade is not None:
            changes.decide(upgrade, _hearing(report.input, now, limits), report.occurred_at)
    owed = _unanswered(reports, begun)
    await commands.finish(tx, [command_id for command_id in _answered(reports) if command_id not in owed])
    await commands.leave_unanswered(tx, owed)
    await changes.write_unnoted(tx, log=log, now=now)
    under_way = {device_id: upgrade.device_upgrade_id for device_id, upgrade in begun.items()}
    fetching = [upgrade.device_upgrade_id for upgrade in begun.values() if upgrade.is_fetching]
    return Heard(under_way=under_way, fetching=fetching, notes=changes.notes)


def _hearing(told: Input, now: datetime, limits: Limits) -> Callable[[DeviceUpgrade], Decision]:
    """Return what makes of an upgrade what it is after `told`."""
    return partial(advance, told=told, at=now, limits=limits)


def _answered(reports: Sequence[DeviceReport]) -> list[CommandId]:
    return [report.input.command_id for report in reports if isinstance(report.input, CommandAnswered | CommandFailed)]


def _unanswered(reports: Sequence[DeviceReport], begun: Container[DeviceId]) -> list[CommandId]:
    """Return the orders without an answer of devices in no upgrade; where there is one, it says what silence means."""
    return [
        report.input.command_id
        for report in reports
        if isinstance(report.input, CommandFailed)
        and report.input.failure is CommandFailure.UNREACHABLE
        and report.device_id not in begun
    ]


def _versions(reports: Sequence[DeviceReport]) -> dict[DeviceId, str]:
    versions: dict[DeviceId, str] = {}
    for report in reports:
        told = report.input
        resources = told.resources if isinstance(told, CommandAnswered | CommandFailed) else told
        if isinstance(resources, ResourcesReported) and resources.firmware_version is not None:
            versions[report.device_id] = resources.firmware_version
    return versions


async def not_ended(tx: Transaction, device_upgrade_ids: Sequence[DeviceUpgradeId]) -> set[DeviceUpgradeId]:
    """Return which of these device upgrades have not ended; one that is not known has."""
    return await store.not_ended(tx, device_upgrade_ids)
