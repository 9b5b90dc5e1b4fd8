"""A task is created at one cost, whomever it is for: the members of its groups are looked for when it starts.

A creator that names its request has it carried out once: the same name tells the same task again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from firmcast.db.port import Transaction
from firmcast.devices import use_cases as devices
from firmcast.devices.model import Device
from firmcast.errors import InvalidValueError, NotFoundError
from firmcast.firmware import use_cases as firmware
from firmcast.firmware.model import FirmwarePackage
from firmcast.groups import use_cases as groups
from firmcast.ids import ApplicationId, DeviceUpgradeId, PackageId, TaskId, new_hex, new_secret, new_uuid
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.upgrades import course
from firmcast.upgrades.changes import UPGRADES_CHANGED
from firmcast.upgrades.model import (
    CreationKey,
    DeviceUpgrade,
    Evidence,
    MismatchError,
    OtherRequestError,
    StartMode,
    Tally,
    TargetSelection,
    TaskCourse,
    TaskWork,
    UnknownGroupError,
    UpgradePhase,
    UpgradePolicy,
    UpgradeTask,
)
from firmcast.upgrades.store import device_upgrades, tasks

RequireTaken = Callable[[ApplicationId], Awaitable[None]]
"""Raises UndeliveredLimitError while an application has too much to take before it may begin anything new."""

_RETRY_LIMIT: Final = 5
NO_KEY: Final = CreationKey()


async def created_before(tx: Transaction, application_id: ApplicationId, key: CreationKey) -> UpgradeTask | None:
    """Return the task that a request of this name has created; None for none, or without a name.

    Raises:
        OtherRequestError: that request asked for something else.
    """
    task = await tasks.by_key(tx, application_id, key.name) if key.name else None
    if task is not None and task.request_digest != key.digest:
        raise OtherRequestError(key.name)
    return task


async def create_task(
    tx: Transaction,
    application_id: ApplicationId,
    package_id: PackageId,
    targets: TargetSelection,
    policy: UpgradePolicy,
    now: datetime,
    key: CreationKey = NO_KEY,
) -> UpgradeTask:
    """Create a task; the engine begins it when the policy lets it. No request of this key has created one yet.

    Raises:
        InvalidValueError: nobody is chosen, or devices and groups are; or the policy contradicts itself.
        NotFoundError: the application has no such package, or not all of these devices.
        UnknownGroupError: it has not all of these groups.
        MismatchError: the package is for other devices.
    """
    _check(targets, policy)
    package = await firmware.find(tx, package_id, application_id)
    known = await _known_devices(tx, application_id, targets, package)
    begins_at = policy.window_start or now
    if targets.device_groups:
        targets = await _with_group_ids(tx, application_id, targets, package)
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
        created_at=now,
        course=course.working(TaskCourse(), TaskWork.RESOLVING, begins_at) if targets.group_ids else TaskCourse(),
        tallies={Tally.WAITING: len(known)} if known else {},
        idempotency_key=key.name,
        request_digest=key.digest,
    )
    await tasks.insert(tx, task)
    await device_upgrades.insert(
        tx, [scheduled(task, package, device, position, begins_at) for position, device in enumerate(known)]
    )
    await tasks.move_tallies(tx, {(task.task_id, tally): count for tally, count in task.tallies.items()})
    tx.announce(UPGRADES_CHANGED, [begins_at])
    return task


def scheduled(
    task: UpgradeTask, package: FirmwarePackage, device: Device, position: int, begins_at: datetime
) -> DeviceUpgrade:
    """Return the first attempt with a device of a task, at its place among the others."""
    return DeviceUpgrade(
        device_upgrade_id=DeviceUpgradeId(new_uuid()),
        task_id=task.task_id,
        application_id=task.application_id,
        device_id=device.device_id,
        package_id=task.package_id,
        position=position,
        attempt=1,
        phase=UpgradePhase.SCHEDULED,
        tally=Tally.WAITING,
        retryable=False,
        published_state=FirmwareUpdateState.IDLE,
        command_id=None,
        command_kind=None,
        probed=False,
        evidence=Evidence(),
        transfer_token=new_secret(16),
        source_version=device.firmware_version,
        target_version=task.target_version,
        current_version=device.firmware_version,
        bytes_total=package.size,
        created_at=max(task.created_at, begins_at) if task.targets.group_ids else task.created_at,
        started_at=None,
        window_end=task.policy.window_end,
        waiting_ends_at=None,
        phase_ends_at=begins_at,
        deadline_at=begins_at,
        ended_at=None,
        outcome=None,
        description="",
    )


def _check(targets: TargetSelection, policy: UpgradePolicy) -> None:
    if bool(targets.devices) == bool(targets.device_groups):
        raise InvalidValueError("targets", "devices or groups, one of them at least, and not both")
    is_window = policy.start_mode is StartMode.WINDOW
    if is_window != (policy.window_start is not None and policy.window_end is not None):
        raise InvalidValueError("policy", "a window has a start and an end, and nothing else has")
    if not 0 <= policy.retry_limit <= _RETRY_LIMIT:
        raise InvalidValueError("policy.retry_limit", f"0 to {_RETRY_LIMIT}")


async def _known_devices(
    tx: Transaction, application_id: ApplicationId, targets: TargetSelection, package: FirmwarePackage
) -> list[Device]:
    """Return the devices that are named, each once, in the order in which they are."""
    if not targets.devices:
        return []
    known = await devices.by_ids(tx, application_id, targets.devices)
    for device_id in targets.devices:
        if device_id not in known:
            raise NotFoundError("device", device_id)
        device = known[device_id]
        _require_fit(package, (device.device_type, device.model, device.manufacturer_name), f"the device {device_id!r}")
    return [known[device_id] for device_id in dict.fromkeys(targets.devices)]


async def _with_group_ids(
    tx: Transaction, application_id: ApplicationId, targets: TargetSelection, package: FirmwarePackage
) -> TargetSelection:
    """Return the targets with the groups that have these names now: one that takes a name later is another group."""
    named = await groups.by_names(tx, application_id, targets.device_groups)
    for name in targets.device_groups:
        if name not in named:
            raise UnknownGroupError(name)
    _require_fit(package, (targets.device_type, targets.model, targets.manufacturer_name), "what is chosen of groups")
    group_ids = tuple(named[name].group_id for name in targets.device_groups)
    return replace(targets, group_ids=group_ids)


def _require_fit(package: FirmwarePackage, words: tuple[str, str, str], what: str) -> None:
    """Refuse a package when something that is known of both speaks against it; what either leaves open does not."""
    wanted = (package.device_type, package.model, package.manufacturer_name)
    if any(want and word and want != word for want, word in zip(wanted, words, strict=True)):
        message = f"the package is not for {what}"
        raise MismatchError(message)
