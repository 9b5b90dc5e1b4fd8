"""What others may ask of upgrades; each takes the caller's transaction, and none of them commits.

The state machine decides, `changes.py` writes; this module finds out about whom.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from firmcast.db.columns import from_optional_column
from firmcast.db.page import Page
from firmcast.db.port import Channel, Transaction
from firmcast.devices import commands, registrations
from firmcast.devices import use_cases as devices
from firmcast.devices.model import Registration
from firmcast.errors import ConflictError, InvalidValueError, NotFoundError
from firmcast.events.log import EventLog
from firmcast.firmware import use_cases as firmware
from firmcast.firmware.model import FirmwarePackage
from firmcast.ids import (
    ApplicationId,
    CommandId,
    DeviceId,
    DeviceUpgradeId,
    PackageId,
    TaskId,
    new_hex,
    new_secret,
    new_uuid,
)
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.upgrades import store
from firmcast.upgrades.changes import Changes
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    DeadlinePassed,
    DeviceReport,
    DeviceUpgrade,
    Evidence,
    Input,
    ResourcesReported,
    StartMode,
    StopRequested,
    Tally,
    TargetSelection,
    TaskBegan,
    TaskFilter,
    TaskStatus,
    TransferTarget,
    UpgradePhase,
    UpgradePolicy,
    UpgradeTask,
)
from firmcast.upgrades.state_machine import Decision, advance, refuse

UPGRADES_CHANGED = Channel("upgrades")
"""Announced with the new deadlines of devices, as aware times."""

EVERYTHING = Page()

_RETRY_LIMIT = 5
_AWAKE = timedelta(seconds=93)
"""How long a sleepy device listens after it was heard: MAX_TRANSMIT_WAIT of RFC 7252 4.8.2, the default of LwM2M."""


async def create_task(
    tx: Transaction,
    application_id: ApplicationId,
    package_id: PackageId,
    targets: TargetSelection,
    policy: UpgradePolicy,
    now: datetime,
) -> UpgradeTask:
    """Create a task; the engine begins it with its devices as soon as the policy lets it.

    Raises:
        InvalidValueError: nobody is chosen, or groups are, which there are none of; or the policy contradicts itself.
        NotFoundError: the application has no such package, or not all of these devices.
    """
    _check(targets, policy)
    package = await firmware.find(tx, package_id, application_id)
    known = await devices.by_ids(tx, application_id, targets.devices)
    for device_id in targets.devices:
        if device_id not in known:
            raise NotFoundError("device", device_id)
    task = UpgradeTask(
        task_id=TaskId(new_hex()),
        application_id=application_id,
        package_id=package_id,
        target_version=package.version,
        device_type=targets.device_type or package.device_type,
        model=targets.model or package.model,
        manufacturer_name=targets.manufacturer_name or package.manufacturer_name,
        targets=targets,
        policy=policy,
        status=TaskStatus.WAITING,
        created_at=now,
        started_at=None,
        ended_at=None,
        tallies={Tally.WAITING: len(known)},
    )
    await store.insert_task(tx, task)
    await store.insert_upgrades(
        tx,
        [
            _scheduled(task, package, device_id, known[device_id].firmware_version)
            for device_id in dict.fromkeys(targets.devices)
        ],
    )
    await store.move_tallies(tx, {(task.task_id, Tally.WAITING): len(known)})
    tx.announce(UPGRADES_CHANGED, [policy.window_start or now])
    return task


def _check(targets: TargetSelection, policy: UpgradePolicy) -> None:
    if not targets.devices or targets.device_groups:
        raise InvalidValueError("targets", "one device at least, and no groups")
    is_window = policy.start_mode is StartMode.WINDOW
    if is_window != (policy.window_start is not None and policy.window_end is not None):
        raise InvalidValueError("policy", "a window has a start and an end, and nothing else has")
    if not 0 <= policy.retry_limit <= _RETRY_LIMIT:
        raise InvalidValueError("policy.retry_limit", f"0 to {_RETRY_LIMIT}")


def _scheduled(task: UpgradeTask, package: FirmwarePackage, device_id: DeviceId, version: str) -> DeviceUpgrade:
    begins_at = task.policy.window_start or task.created_at
    return DeviceUpgrade(
        device_upgrade_id=DeviceUpgradeId(new_uuid()),
        task_id=task.task_id,
        application_id=task.application_id,
        device_id=device_id,
        package_id=task.package_id,
        phase=UpgradePhase.SCHEDULED,
        tally=Tally.WAITING,
        published_state=FirmwareUpdateState.IDLE,
        command_id=None,
        command_kind=None,
        probed=False,
        evidence=Evidence(),
        transfer_token=new_secret(16),
        source_version=version,
        target_version=task.target_version,
        current_version=version,
        bytes_total=package.size,
        created_at=task.created_at,
        started_at=None,
        window_end=task.policy.window_end,
        waiting_ends_at=None,
        phase_ends_at=begins_at,
        deadline_at=begins_at,
        ended_at=None,
        outcome=None,
        description="",
    )


async def find_task(tx: Transaction, application_id: ApplicationId, task_id: TaskId) -> UpgradeTask:
    """Return a task of the application.

    Raises:
        NotFoundError: it has no such task.
    """
    task = await store.find_task(tx, application_id, task_id)
    if task is None:
        raise NotFoundError("task", task_id)
    return task


async def listed_tasks(
    tx: Transaction, application_id: ApplicationId, wanted: TaskFilter, page: Page = EVERYTHING
) -> tuple[list[UpgradeTask], int]:
    """Return a page of the application's tasks, the newest first, and how many there are on all pages."""
    return await store.tasks(tx, application_id, wanted, page)


async def device_upgrades(
    tx: Transaction,
    application_id: ApplicationId,
    task_id: TaskId,
    tallies: Sequence[Tally] = tuple(Tally),
    page: Page = EVERYTHING,
) -> tuple[list[DeviceUpgrade], int]:
    """Return a page of a task's devices that count as one of `tallies`, and how many there are on all pages.

    Raises:
        NotFoundError: the application has no such task.
    """
    task = await find_task(tx, application_id, task_id)
    total = sum(task.tallies.get(tally, 0) for tally in tallies)
    return await store.of_task(tx, task_id, tallies, page), total


async def stop_task(
    tx: Transaction,
    application_id: ApplicationId,
    task_id: TaskId,
    *,
    log: EventLog,
    limits: Limits,
    now: datetime,
) -> UpgradeTask:
    """Stop what can still be stopped of a task, and return it; a device that installs already is not interrupted.

    Raises:
        NotFoundError: the application has no such task.
    """
    await find_task(tx, application_id, task_id)
    await _stop(tx, await store.open_of_task(tx, task_id), log=log, limits=limits, now=now)
    return await find_task(tx, application_id, task_id)


async def release_device(tx: Transaction, device_id: DeviceId, now: datetime, *, log: EventLog, limits: Limits) -> None:
    """Stop what is under way with a device, so that it can be forgotten.

    Raises:
        ConflictError: it is installing; that cannot be stopped.
    """
    upgrades = await store.open_of_device(tx, device_id)
    if not await _stop(tx, upgrades, log=log, limits=limits, now=now):
        message = f"the device {device_id!r} is installing firmware"
        raise ConflictError(message)


async def is_needed(tx: Transaction, package_id: PackageId) -> bool:
    """Return whether an open task needs a package."""
    return await store.is_needed(tx, package_id)


async def transfer(tx: Transaction, token: str) -> TransferTarget:
    """Return what the bearer of a transfer token may fetch.

    Raises:
        NotFoundError: no open upgrade has this token.
    """
    upgrade = await store.by_token(tx, token)
    if upgrade is None:
        raise NotFoundError("transfer", token)
    package = await firmware.find(tx, upgrade.package_id)
    return TransferTarget(
        device_upgrade_id=upgrade.device_upgrade_id,
        device_id=upgrade.device_id,
        package_id=package.package_id,
        digest=package.digest,
        size=package.size,
    )


async def record_reports(
    tx: Transaction, reports: Sequence[DeviceReport], *, log: EventLog, limits: Limits, now: datetime
) -> None:
    """Let the state machine hear what devices told, in order; what is told of no upgrade under way changes nothing."""
    await devices.record_firmware_versions(tx, _versions(reports), now, log=log)
    begun = await store.begun(tx, [report.device_id for report in reports])
    changes = Changes()
    for report in reports:
        upgrade = begun.get(report.device_id)
        if upgrade is not None:
            changes.decide(upgrade, _hearing(report.input, now, limits), report.occurred_at)
    await commands.finish(tx, _answered(reports))
    await _write(tx, changes, log=log, now=now)


async def pass_time(tx: Transaction, *, log: EventLog, limits: Limits, now: datetime, limit: int) -> None:
    """Begin what is to begin by `now` and judge whose time is up, `limit` devices at the most."""
    due = await store.due(tx, now, limit)
    if due:
        waits_for_device = {
            task_id
            for task_id, mode in (await store.start_modes(tx, [upgrade.task_id for upgrade in due])).items()
            if mode == StartMode.ON_REGISTRATION
        }
        scheduled = [upgrade.device_id for upgrade in due if upgrade.phase is UpgradePhase.SCHEDULED]
        live = await registrations.of_devices(tx, scheduled, now)
        online = {device_id for device_id, registration in live.items() if _is_awake(registration, now)}
        busy = set(await store.begun(tx, scheduled))
        changes = Changes()
        for upgrade in due:
            if upgrade.phase is not UpgradePhase.SCHEDULED:
                changes.decide(upgrade, _hearing(DeadlinePassed(), now, limits), now)
            elif upgrade.device_id in busy:
                changes.decide(upgrade, partial(refuse, at=now, limits=limits), now)
            else:
                began = TaskBegan(upgrade.device_id in online and upgrade.task_id not in waits_for_device)
                after = changes.decide(upgrade, _hearing(began, now, limits), now)
                if after.phase is not UpgradePhase.CLOSED:
                    busy.add(upgrade.device_id)
        await _write(tx, changes, log=log, now=now)


async def next_deadline(tx: Transaction) -> datetime | None:
    """Return when time is to be passed next; None when nothing has a deadline."""
    return from_optional_column(await store.next_deadline(tx))


async def _stop(
    tx: Transaction, upgrades: Sequence[DeviceUpgrade], *, log: EventLog, limits: Limits, now: datetime
) -> bool:
    """Ask for the end of upgrades; return whether all of them have ended."""
    changes = Changes()
    after = [changes.decide(upgrade, _hearing(StopRequested(), now, limits), now) for upgrade in upgrades]
    await _write(tx, changes, log=log, now=now)
    return all(upgrade.phase is UpgradePhase.CLOSED for upgrade in after)


async def _write(tx: Transaction, changes: Changes, *, log: EventLog, now: datetime) -> None:
    tx.announce(UPGRADES_CHANGED, await changes.write(tx, log=log, now=now))


def _is_awake(registration: Registration, now: datetime) -> bool:
    """Tell whether a registered device can be talked to; one that sleeps is waited for until it shows itself."""
    return not registration.queue_mode or now - registration.updated_at < _AWAKE


def _hearing(told: Input, now: datetime, limits: Limits) -> Callable[[DeviceUpgrade], Decision]:
    """Return what makes of an upgrade what it is after `told`."""
    return partial(advance, told=told, at=now, limits=limits)


def _answered(reports: Sequence[DeviceReport]) -> list[CommandId]:
    return [report.input.command_id for report in reports if isinstance(report.input, CommandAnswered | CommandFailed)]


def _versions(reports: Sequence[DeviceReport]) -> dict[DeviceId, str]:
    versions: dict[DeviceId, str] = {}
    for report in reports:
        told = report.input
        resources = told.resources if isinstance(told, CommandAnswered | CommandFailed) else told
        if isinstance(resources, ResourcesReported) and resources.firmware_version is not None:
            versions[report.device_id] = resources.firmware_version
    return versions
