"""An event is a fact about one device, with a number: gapless within the device, in the order of commits."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, EventId, MessageId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState


class EventType(StrEnum):
    """What an event tells, and what an application subscribes to."""

    FIRMWARE_STATE_CHANGED = "firmware.state_changed"
    FIRMWARE_UPGRADE_ENDED = "firmware.upgrade_ended"
    DEVICE_ADDED = "device.added"
    DEVICE_BOUND = "device.bound"
    DEVICE_INFO_CHANGED = "device.info_changed"
    DEVICE_DELETED = "device.deleted"

    # These can be subscribed to; nothing tells them.
    SOFTWARE_STATE_CHANGED = "software.state_changed"
    SOFTWARE_UPGRADE_ENDED = "software.upgrade_ended"
    DATA_CHANGED = "device.data_changed"
    DATA_OF_SERVICES_CHANGED = "device.data_of_services_changed"
    SERVICE_INFO_CHANGED = "device.service_info_changed"
    MESSAGE_CONFIRMED = "device.message_confirmed"
    COMMAND_ANSWERED = "device.command_answered"
    DEVICE_EVENT_REPORTED = "device.event_reported"
    DESIRED_PROPERTIES_SETTLED = "device.desired_properties_settled"
    DATA_QUERY_CHANGED = "device.data_query_changed"
    LOCATION_CHANGED = "device.location_changed"
    CAPABILITIES_ADDED = "device.capabilities_added"
    CAPABILITIES_CHANGED = "device.capabilities_changed"
    CAPABILITIES_DELETED = "device.capabilities_deleted"
    MODEL_ADDED = "model.added"
    MODEL_DELETED = "model.deleted"
    RULE_FIRED = "rule.fired"
    APPLICATION_AUTHORISED = "application.authorised"
    APPLICATION_DEAUTHORISED = "application.deauthorised"


class Outcome(StrEnum):
    """How the upgrade of one device ended for the customer."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Reachability(StrEnum):
    """Whether a device can be reached, as far as its registration tells."""

    NEVER_REGISTERED = "never_registered"
    ONLINE = "online"
    OFFLINE = "offline"


class Binding(StrEnum):
    """How a device's time for its first registration ended."""

    SUCCEEDED = "succeeded"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDescription:
    """What is known of a device; in an increment None is what did not change, and an empty text what is gone."""

    endpoint_name: str | None = None
    name: str | None = None
    manufacturer_id: str | None = None
    manufacturer_name: str | None = None
    device_type: str | None = None
    model: str | None = None
    protocol_type: str | None = None
    location: str | None = None
    mute: str | None = None
    is_secure: str | None = None
    firmware_version: str | None = None
    reachability: Reachability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAdded:
    """An application made the device known, for the first time or anew."""

    device: DeviceDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceBound:
    """The device registered for the first time, or its time for doing so ran out."""

    binding: Binding
    device: DeviceDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfoChanged:
    """Something of what is known of the device is different now: what, and nothing else."""

    changed: DeviceDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDeleted:
    """The application took the device back."""


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


DeviceFact = DeviceAdded | DeviceBound | DeviceInfoChanged | DeviceDeleted
UpgradeFact = FirmwareStateChanged | FirmwareUpgradeEnded
Fact = DeviceFact | UpgradeFact


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """A fact not yet in the log, so without a number."""

    application_id: ApplicationId
    device_id: DeviceId
    task_id: TaskId | None = None
    """None when it is no part of an upgrade, as for `device_upgrade_id`."""
    device_upgrade_id: DeviceUpgradeId | None = None
    occurred_at: datetime
    """When it happened, as well as we know: when its report reached us."""
    synthesised: bool = False
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
    task_id: TaskId | None
    device_upgrade_id: DeviceUpgradeId | None
    occurred_at: datetime
    synthesised: bool
    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class EventAge:
    """How old an event is, and which upgrade it is part of."""

    event_id: EventId
    occurred_at: datetime
    device_upgrade_id: DeviceUpgradeId | None


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which of an application's events are wanted; without arguments all."""

    event_types: frozenset[EventType] = frozenset()
    """Of these types; empty for every one."""
    device_id: DeviceId | None = None
    """Of this device; None for every one."""

    @property
    def takes_all(self) -> bool:
        """Whether it leaves nothing out."""
        return not self.event_types and self.device_id is None

    def takes(self, event_type: EventType, device_id: DeviceId) -> bool:
        """Say whether an event of this type and device is wanted."""
        is_of_type = not self.event_types or event_type in self.event_types
        return is_of_type and self.device_id in (None, device_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of the log: what an application has in it, as far as it was wanted."""

    events: tuple[StoredEvent, ...]
    """In the order of the log."""
    reached: EventId
    """Where to go on: up to here there is nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHeading:
    """What says of an event in the log whether somebody wants it."""

    event_id: EventId
    application_id: ApplicationId
    device_id: DeviceId
    sequence: int
    event_type: EventType
    occurred_at: datetime


def type_of(fact: Fact) -> EventType:
    """Return the type under which `fact` is subscribed to."""
    match fact:
        case FirmwareStateChanged():
            return EventType.FIRMWARE_STATE_CHANGED
        case FirmwareUpgradeEnded():
            return EventType.FIRMWARE_UPGRADE_ENDED
        case DeviceAdded():
            return EventType.DEVICE_ADDED
        case DeviceBound():
            return EventType.DEVICE_BOUND
        case DeviceInfoChanged():
            return EventType.DEVICE_INFO_CHANGED
        case DeviceDeleted():
            return EventType.DEVICE_DELETED


def stored_form(event: Event, body: bytes) -> StoredEvent:
    """Return what is sent of `event`, whose bytes are `body`."""
    return StoredEvent(
        event_id=event.event_id,
        message_id=event.message_id,
        device_id=event.device_id,
        sequence=event.sequence,
        application_id=event.application_id,
        event_type=type_of(event.fact),
        occurred_at=event.occurred_at,
        synthesised=event.synthesised,
        body=body,
    )
