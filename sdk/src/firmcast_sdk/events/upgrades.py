"""What happens in an upgrade: a task is the wire's operation, a device upgrade its sub-operation."""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, StrEnum

from firmcast_sdk.events.facts import ApplicationId, DeviceId, DeviceUpgradeId, PushedEvent, TaskId


class FirmwareState(StrEnum):
    """What a device says of its firmware update: LwM2M object 5, resource 3, 0 to 3 in this order."""

    IDLE = "idle"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    UPDATING = "updating"


class SoftwareState(StrEnum):
    """What a device says of its software upgrade."""

    IDLE = "idle"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    UPDATING = "updating"
    CREATED = "created"
    DOWNLOAD_REQUESTED = "download requested"


class Outcome(Enum):
    """How an upgrade ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeEvent(PushedEvent):
    """What every event of an upgrade tells."""

    device_id: DeviceId
    application_id: ApplicationId
    task_id: TaskId
    device_upgrade_id: DeviceUpgradeId


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareStateChanged(UpgradeEvent):
    """A device went to another state of its firmware upgrade."""

    state: FirmwareState


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareUpgradeEnded(UpgradeEvent):
    """A device's firmware upgrade ended; `duration` is None when the wire's text is no number of seconds."""

    outcome: Outcome
    description: str
    current_version: str
    target_version: str
    source_version: str
    duration: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareStateChanged(UpgradeEvent):
    """A device went to another state of its software upgrade."""

    state: SoftwareState


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareUpgradeEnded(UpgradeEvent):
    """A device's software upgrade ended; `error_code` is what the device reported."""

    outcome: Outcome
    description: str
    current_version: str
    target_version: str
    source_version: str
    duration: timedelta | None
    error_code: str
    error_description: str
