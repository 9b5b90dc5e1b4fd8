"""An event is a fact about one device, with a number: gapless within the device, in the order of commits."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, EventId, MessageId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState


class EventType(StrEnum):
    """What an event tells, and what an application subscribes to."""

    FIRMWARE_STATE_CHANGED = "firmware.state_changed"
    FIRMWARE_UPGRADE_ENDED = "firmware.upgrade_ended"
    SOFTWARE_STATE_CHANGED = "software.state_changed"
    """Can be subscribed to; nothing tells it yet."""
    SOFTWARE_UPGRADE_ENDED = "software.upgrade_ended"
    """Can be subscribed to; nothing tells it yet."""


class Outcome(StrEnum):
    """How the upgrade of one device ended for the customer."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareStateChanged:
    """The device's Firmware Update State (OMA /5/0/3) went to `state`."""

    state: FirmwareUpdateState


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareUpgradeEnded:
    """The upgrade of the device ended.

    Versions are those of /3/0/3 as far as known, the empty string where not; `duration` is in whole seconds, from
    the first command to the verdict.
    """

    outcome: Outcome
    description: str
    source_version: str
    target_version: str
    current_version: str
    duration: int


Fact = FirmwareStateChanged | FirmwareUpgradeEnded


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """A fact not yet in the log, so without a number."""

    application_id: ApplicationId
    device_id: DeviceId
    task_id: TaskId
    device_upgrade_id: DeviceUpgradeId
    occurred_at: datetime
    """When it happened, as well as we know: when its report reached us."""
    synthesised: bool
    """True when nobody observed it and it follows from what was observed later."""
    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact in the log."""

    event_id: EventId
    message_id: MessageId
    sequence: int
    """1 for the first event of the device, then without a gap."""
    application_id: ApplicationId
    device_id: DeviceId
    task_id: TaskId
    device_upgrade_id: DeviceUpgradeId
    occurred_at: datetime
    synthesised: bool
    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """What is sent of an event: the bytes, frozen when it was written, and what stands beside them in headers."""

    event_id: EventId
    message_id: MessageId
    device_id: DeviceId
    sequence: int
    application_id: ApplicationId
    event_type: EventType
    occurred_at: datetime
    synthesised: bool
    body: bytes


def type_of(fact: Fact) -> EventType:
    """Return the type under which `fact` is subscribed to."""
    match fact:
        case FirmwareStateChanged():
            return EventType.FIRMWARE_STATE_CHANGED
        case FirmwareUpgradeEnded():
            return EventType.FIRMWARE_UPGRADE_ENDED
