"""What happens to devices, their services and their models.

`gateway_id` is the device's own id when it is connected directly, None where the platform does not say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from firmcast_sdk.events.facts import ApplicationId, DeviceId, PushedEvent
from firmcast_sdk.wire.devices import DeviceInfo, NodeType


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAdded(PushedEvent):
    """A device was registered."""

    device_id: DeviceId
    gateway_id: DeviceId | None
    node_type: NodeType
    info: DeviceInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceBound(PushedEvent):
    """A registered device came for the first time."""

    device_id: DeviceId
    info: DeviceInfo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceBindingExpired(PushedEvent):
    """A registered device did not come before its time was over."""

    device_id: DeviceId
    info: DeviceInfo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfoChanged(PushedEvent):
    """Facts of a device changed; `changes` holds those alone, by the names that `DeviceInfo` gives them."""

    device_id: DeviceId
    gateway_id: DeviceId
    changes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDeleted(PushedEvent):
    """A device was deleted."""

    device_id: DeviceId
    gateway_id: DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReport:
    """What one service of a device reported; `reported_at` is None when the wire's text is no time."""

    service_id: str
    service_type: str | None
    data: Mapping[str, object]
    reported_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDataReported(PushedEvent):
    """A device reported data of one service or of several."""

    device_id: DeviceId
    gateway_id: DeviceId
    request_id: str | None
    reports: tuple[ServiceReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceInfoChanged(PushedEvent):
    """A service of a device refuses other commands than before: `muted_commands`."""

    device_id: DeviceId
    gateway_id: DeviceId
    service_id: str
    service_type: str
    muted_commands: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredPropertiesSettled(PushedEvent):
    """Properties that an application wished for reached the device, or did not: `delivered`."""

    device_id: DeviceId
    service_id: str
    properties: Mapping[str, object]
    delivered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceModelEvent(PushedEvent):
    """What both events of a device model tell."""

    application_id: ApplicationId
    device_type: str
    manufacturer_name: str
    manufacturer_id: str
    model: str
    protocol_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceModelAdded(DeviceModelEvent):
    """A device model was added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceModelDeleted(DeviceModelEvent):
    """A device model was deleted."""
