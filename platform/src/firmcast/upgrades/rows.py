"""How a task and a device upgrade look as rows of their tables; the order is that of the statements in `store`."""

from typing import Any

import msgspec

from firmcast.db.columns import from_column, from_optional_column, to_column, to_optional_column
from firmcast.db.port import Row, Value
from firmcast.devices.model import CommandKind
from firmcast.events.model import Outcome
from firmcast.ids import ApplicationId, CommandId, DeviceId, DeviceUpgradeId, PackageId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.upgrades.model import (
    DeviceUpgrade,
    Evidence,
    StartMode,
    Tally,
    TargetSelection,
    TaskCourse,
    TaskStatus,
    TaskWork,
    UpgradePhase,
    UpgradePolicy,
    UpgradeTask,
)

_evidence = msgspec.json.Decoder(Evidence)
_targets = msgspec.json.Decoder(TargetSelection)


def task_row(task: UpgradeTask) -> tuple[Value, ...]:
    """Return a task's row."""
    return (
        task.task_id,
        task.application_id,
        task.package_id,
        task.target_version,
        task.device_type,
        task.model,
        task.manufacturer_name,
        msgspec.json.encode(task.targets).decode(),
        to_column(task.created_at),
        task.idempotency_key,
        task.request_digest,
        task.policy.start_mode.value,
        to_optional_column(task.policy.window_start),
        to_optional_column(task.policy.window_end),
        task.policy.retry_limit,
        *course_row(task.course),
    )


def task_of(row: Row, tallies: dict[Tally, int]) -> UpgradeTask:
    """Return the task of a row."""
    return UpgradeTask(
        task_id=TaskId(row[0]),
        application_id=ApplicationId(row[1]),
        package_id=PackageId(row[2]),
        target_version=row[3],
        device_type=row[4],
        model=row[5],
        manufacturer_name=row[6],
        targets=_targets.decode(row[7]),
        created_at=from_column(row[8]),
        idempotency_key=row[9],
        request_digest=row[10],
        policy=policy_of(row[11:15]),
        course=course_of(row[15:24]),
        tallies=tallies,
    )


def policy_of(row: Row) -> UpgradePolicy:
    """Return the policy of the four columns that hold it."""
    return UpgradePolicy(
        start_mode=StartMode(row[0]),
        window_start=from_optional_column(row[1]),
        window_end=from_optional_column(row[2]),
        retry_limit=row[3],
    )


def course_row(course: TaskCourse) -> tuple[Value, ...]:
    """Return the columns of a task that change."""
    return (
        course.status.value,
        course.round,
        course.work.value if course.work else None,
        to_optional_column(course.work_at),
        course.cursor,
        to_optional_column(course.stop_requested_at),
        to_optional_column(course.started_at),
        to_optional_column(course.ended_at),
        course.description,
    )


def course_of(row: Row) -> TaskCourse:
    """Return the course of the nine columns that hold it."""
    return TaskCourse(
        status=TaskStatus(row[0]),
        round=row[1],
        work=None if row[2] is None else TaskWork(row[2]),
        work_at=from_optional_column(row[3]),
        cursor=row[4],
        stop_requested_at=from_optional_column(row[5]),
        started_at=from_optional_column(row[6]),
        ended_at=from_optional_column(row[7]),
        description=row[8],
    )


def device_upgrade_row(upgrade: DeviceUpgrade) -> tuple[Value, ...]:
    """Return a device upgrade's whole row."""
    return (
        upgrade.device_upgrade_id,
        upgrade.task_id,
        upgrade.application_id,
        upgrade.device_id,
        upgrade.package_id,
        upgrade.position,
        upgrade.attempt,
        upgrade.phase.value,
        upgrade.tally.value,
        int(upgrade.retryable),
        int(upgrade.published_state),
        upgrade.command_id,
        upgrade.command_kind.value if upgrade.command_kind else None,
        int(upgrade.probed),
        msgspec.json.encode(upgrade.evidence),
        upgrade.transfer_token,
        upgrade.source_version,
        upgrade.target_version,
        upgrade.current_version,
        upgrade.bytes_total,
        to_column(upgrade.created_at),
        to_optional_column(upgrade.started_at),
        to_optional_column(upgrade.window_end),
        to_optional_column(upgrade.waiting_ends_at),
        to_optional_column(upgrade.phase_ends_at),
        to_optional_column(upgrade.deadline_at),
        to_optional_column(upgrade.ended_at),
        upgrade.outcome.value if upgrade.outcome else None,
        upgrade.description,
    )


def changed_row(upgrade: DeviceUpgrade) -> tuple[Value, ...]:
    """Return what an input can change of a device upgrade, after its id."""
    return (
        upgrade.device_upgrade_id,
        upgrade.phase.value,
        upgrade.tally.value,
        int(upgrade.published_state),
        upgrade.command_id,
        upgrade.command_kind.value if upgrade.command_kind else None,
        int(upgrade.probed),
        msgspec.json.encode(upgrade.evidence),
        upgrade.source_version,
        upgrade.current_version,
        to_optional_column(upgrade.started_at),
        to_optional_column(upgrade.waiting_ends_at),
        to_optional_column(upgrade.phase_ends_at),
        to_optional_column(upgrade.deadline_at),
        to_optional_column(upgrade.ended_at),
        upgrade.outcome.value if upgrade.outcome else None,
        upgrade.description,
        int(upgrade.retryable),
    )


def device_upgrade_of(row: Row) -> DeviceUpgrade:
    """Return the device upgrade of a row."""
    command: Any = row[12]
    return DeviceUpgrade(
        device_upgrade_id=DeviceUpgradeId(row[0]),
        task_id=TaskId(row[1]),
        application_id=ApplicationId(row[2]),
        device_id=DeviceId(row[3]),
        package_id=PackageId(row[4]),
        position=row[5],
        attempt=row[6],
        phase=UpgradePhase(row[7]),
        tally=Tally(row[8]),
        retryable=bool(row[9]),
        published_state=FirmwareUpdateState(row[10]),
        command_id=None if row[11] is None else CommandId(row[11]),
        command_kind=None if command is None else CommandKind(command),
        probed=bool(row[13]),
        evidence=_evidence.decode(row[14]),
        transfer_token=row[15],
        source_version=row[16],
        target_version=row[17],
        current_version=row[18],
        bytes_total=row[19],
        created_at=from_column(row[20]),
        started_at=from_optional_column(row[21]),
        window_end=from_optional_column(row[22]),
        waiting_ends_at=from_optional_column(row[23]),
        phase_ends_at=from_optional_column(row[24]),
        deadline_at=from_optional_column(row[25]),
        ended_at=from_optional_column(row[26]),
        outcome=None if row[27] is None else Outcome(row[27]),
        description=row[28],
    )
