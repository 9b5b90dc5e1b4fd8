"""What the management API says of upgrade tasks, and the words that an operator asks with."""

from datetime import datetime

import msgspec

from firmcast.events.model import Outcome
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.upgrades.model import DeviceUpgrade, StartMode, Tally, TaskStatus, TaskWork, UpgradePhase, UpgradeTask
from firmcast.upgrades.progress import TransferView
from firmcast_sdk.wire.decoding import Short


class TaskQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks are wanted; what is not given matches all."""

    application_id: Short = ""
    status: TaskStatus | None = None
    device_id: Short = ""
    page: int | None = None
    page_size: int | None = None


class TaskDevicesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices of a task are wanted."""

    counts_as: Tally | None = None
    page: int | None = None
    page_size: int | None = None


class TallyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices of a task count as what; `total` is their sum, and grows while groups are resolved."""

    total: int
    waiting: int
    processing: int
    succeeded: int
    failed: int
    stopped: int
    timed_out: int


class TaskAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One task."""

    task_id: str
    application_id: str
    package_id: str
    target_version: str
    device_groups: tuple[str, ...]
    device_type: str
    model: str
    manufacturer_name: str
    start_mode: StartMode
    window_start: datetime | None
    window_end: datetime | None
    retry_limit: int
    round: int
    status: TaskStatus
    work: TaskWork | None
    description: str
    created_at: datetime
    started_at: datetime | None
    stop_requested_at: datetime | None
    ended_at: datetime | None
    devices: TallyAnswer


class TaskList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of tasks, the newest first."""

    tasks: tuple[TaskAnswer, ...]
    page: int
    page_size: int
    total: int


class TransferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How far the package of a device is.

    `bytes_done` are those that it has acknowledged, or that were served to it; `bytes_per_second` are those of the last
    seconds, null when nothing was noted for a minute or the package is not on its way; `expected_end` is when the last
    one will be there if it goes on so.
    """

    bytes_done: int
    bytes_total: int
    bytes_per_second: int | None
    expected_end: datetime | None
    noted_at: datetime


class TaskDeviceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One device of a task."""

    device_upgrade_id: str
    device_id: str
    position: int
    attempt: int
    phase: UpgradePhase
    counts_as: Tally
    published_state: FirmwareUpdateState
    source_version: str
    current_version: str
    target_version: str
    created_at: datetime
    started_at: datetime | None
    deadline_at: datetime | None
    ended_at: datetime | None
    outcome: Outcome | None
    description: str
    transfer: TransferAnswer | None


class TaskDeviceList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the devices of a task, in the order of the task."""

    devices: tuple[TaskDeviceAnswer, ...]
    page: int
    page_size: int
    total: int


def shown_task(task: UpgradeTask) -> TaskAnswer:
    """Return what is said of a task."""
    count = task.tallies.get
    return TaskAnswer(
        task_id=task.task_id,
        application_id=task.application_id,
        package_id=task.package_id,
        target_version=task.target_version,
        device_groups=task.targets.device_groups,
        device_type=task.device_type,
        model=task.model,
        manufacturer_name=task.manufacturer_name,
        start_mode=task.policy.start_mode,
        window_start=task.policy.window_start,
        window_end=task.policy.window_end,
        retry_limit=task.policy.retry_limit,
        round=task.course.round,
        status=task.status,
        work=task.course.work,
        description=task.course.description,
        created_at=task.created_at,
        started_at=task.started_at,
        stop_requested_at=task.course.stop_requested_at,
        ended_at=task.ended_at,
        devices=TallyAnswer(
            total=sum(task.tallies.values()),
            waiting=count(Tally.WAITING, 0),
            processing=count(Tally.PROCESSING, 0),
            succeeded=count(Tally.SUCCEEDED, 0),
            failed=count(Tally.FAILED, 0),
            stopped=count(Tally.STOPPED, 0),
            timed_out=count(Tally.TIMED_OUT, 0),
        ),
    )


def shown_device(upgrade: DeviceUpgrade, transfer: TransferView | None) -> TaskDeviceAnswer:
    """Return what is said of a device of a task, and of its package."""
    return TaskDeviceAnswer(
        device_upgrade_id=upgrade.device_upgrade_id,
        device_id=upgrade.device_id,
        position=upgrade.position,
        attempt=upgrade.attempt,
        phase=upgrade.phase,
        counts_as=upgrade.tally,
        published_state=upgrade.published_state,
        source_version=upgrade.source_version,
        current_version=upgrade.current_version,
        target_version=upgrade.target_version,
        created_at=upgrade.created_at,
        started_at=upgrade.started_at,
        deadline_at=upgrade.deadline_at,
        ended_at=upgrade.ended_at,
        outcome=upgrade.outcome,
        description=upgrade.description,
        transfer=None if transfer is None else _shown_transfer(transfer),
    )


def _shown_transfer(transfer: TransferView) -> TransferAnswer:
    return TransferAnswer(
        bytes_done=transfer.bytes_done,
        bytes_total=transfer.bytes_total,
        bytes_per_second=transfer.bytes_per_second,
        expected_end=transfer.expected_end,
        noted_at=transfer.noted_at,
    )
