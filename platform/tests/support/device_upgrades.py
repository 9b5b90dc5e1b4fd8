"""A device's upgrade as the store has it before anything was done, for tests that drive the rules by themselves."""

from datetime import datetime
from typing import Any

from msgspec import structs

from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, PackageId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.upgrades.model import DeviceUpgrade, Evidence, Tally, UpgradePhase


def scheduled_upgrade(begins_at: datetime, **changes: Any) -> DeviceUpgrade:
    """Return an upgrade that was scheduled at a time, with `changes`."""
    upgrade = DeviceUpgrade(
        device_upgrade_id=DeviceUpgradeId("upgrade"),
        task_id=TaskId("task"),
        application_id=ApplicationId("application"),
        device_id=DeviceId("device"),
        package_id=PackageId("package"),
        position=0,
        attempt=1,
        phase=UpgradePhase.SCHEDULED,
        tally=Tally.WAITING,
        retryable=False,
        published_state=FirmwareUpdateState.IDLE,
        command_id=None,
        command_kind=None,
        probed=False,
        evidence=Evidence(),
        transfer_token="token",
        source_version="",
        target_version="",
        current_version="",
        bytes_total=1000,
        created_at=begins_at,
        started_at=None,
        window_end=None,
        waiting_ends_at=None,
        phase_ends_at=begins_at,
        deadline_at=begins_at,
        ended_at=None,
        outcome=None,
        description="",
    )
    return structs.replace(upgrade, **changes)
