"""How a task and a device upgrade look as rows of their tables; the order is that of the statements in `store.py`."""

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
    TaskStatus,
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
        task.policy.start_mode.value,
        to_optional_column(task.policy.window_start),
        to_optional_column(task.policy.window_end),
        task.policy.retry_limit,
        task.status.value,
        to_column(task.created_at),
        to_optional_column(task.started_at),
        to_optional_column(task.ended_at),
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
        policy=UpgradePolicy(
            start_mode=StartMode(row[8]),
            window_start=from_optional_column(row[9]),
            window_end=from_optional_column(row[10]),
            retry_limit=row[11],
        ),
        status=TaskStatus(row[12]),
        created_at=from_column(row[13]),
        started_at=from_optional_column(row[14]),
        ended_at=from_optional_column(row[15]),
        tallies=tallies,
    )


def device_upgrade_row(upgrade: DeviceUpgrade) -> tuple[Value, ...]:
    """Return a device upgrade's whole row."""
    return (
        upgrade.device_upgrade_id,
        upgrade.task_id,
        upgrade.application_id,
        upgrade.device_id,
        upgrade.package_id,
        upgrade.phase.value,
        upgrade.tally.value,
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
    )


def device_upgrade_of(row: Row) -> DeviceUpgrade:
    """Return the device upgrade of a row."""
    command: Any = row[9]
    return DeviceUpgrade(
        device_upgrade_id=DeviceUpgradeId(row[0]),
        task_id=TaskId(row[1]),
        application_id=ApplicationId(row[2]),
        device_id=DeviceId(row[3]),
        package_id=PackageId(row[4]),
        phase=UpgradePhase(row[5]),
        tally=Tally(row[6]),
        published_state=FirmwareUpdateState(row[7]),
        command_id=None if row[8] is None else CommandId(row[8]),
        command_kind=None if command is None else CommandKind(command),
        probed=bool(row[10]),
        evidence=_evidence.decode(row[11]),
        transfer_token=row[12],
        source_version=row[13],
        target_version=row[14],
        current_version=row[15],
        bytes_total=row[16],
        created_at=from_column(row[17]),
        started_at=from_optional_column(row[18]),
        window_end=from_optional_column(row[19]),
        waiting_ends_at=from_optional_column(row[20]),
        phase_ends_at=from_optional_column(row[21]),
        deadline_at=from_optional_column(row[22]),
        ended_at=from_optional_column(row[23]),
        outcome=None if row[24] is None else Outcome(row[24]),
        description=row[25],
    )
