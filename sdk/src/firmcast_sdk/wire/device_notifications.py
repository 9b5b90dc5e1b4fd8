"""What is pushed about devices, their services and their models. Contract page, section 8.

`gateway_id` is the device's own id when it is connected directly. A field that is None is not written, so that an
increment carries what changed and nothing else; only the full `deviceInfo` of a new device writes its nulls.
"""

from typing import Annotated, ClassVar

import msgspec

from firmcast_sdk.wire.decoding import Hints, WireEnum
from firmcast_sdk.wire.devices import DeviceInfo, NodeType
from firmcast_sdk.wire.notify_types import NotifyType


class BindResult(WireEnum):
    """Whether a device came before its time was over."""

    SUCCEEDED = "succeeded"
    EXPIRED = "expired"


class ModifyStatus(WireEnum):
    """What became of desired properties."""

    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


class ChangedDeviceInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The facts of a device that changed, each a string; what is None did not change and is not written."""

    node_id: str | None = None
    name: str | None = None
    description: str | None = None
    manufacturer_id: str | None = None
    manufacturer_name: str | None = None
    mac: str | None = None
    location: str | None = None
    device_type: str | None = None
    model: str | None = None
    sw_version: str | None = None
    fw_version: str | None = None
    hw_version: str | None = None
    protocol_type: str | None = None
    bridge_id: str | None = None
    status: str | None = None
    status_detail: str | None = None
    mute: str | None = None
    supported_security: str | None = None
    is_security: str | None = None
    signal_strength: str | None = None
    sig_version: str | None = None
    serial_number: str | None = None
    battery_level: str | None = None


class ServiceData(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What one service of a device reported; `event_time` is the contract's form of a time."""

    service_id: str
    service_type: str | None = None
    data: dict[str, object]
    event_time: str | None = None


class MutedCommands(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The commands that a service does not take; written as a list, read from a text too."""

    mute_cmds: tuple[str, ...] | None = None


class DeviceAddedNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    tag_field="notifyType",
    tag=NotifyType.DEVICE_ADDED.value,
):
    """A device was registered."""

    notify_type: ClassVar[NotifyType] = NotifyType.DEVICE_ADDED

    device_id: str
    gateway_id: str | None = None
    node_type: NodeType
    device_info: DeviceInfo


class BindDeviceNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    tag_field="notifyType",
    tag=NotifyType.BIND_DEVICE.value,
):
    """A registered device came for the first time, or its time ran out."""

    notify_type: ClassVar[NotifyType] = NotifyType.BIND_DEVICE

    device_id: str
    result_code: BindResult
    device_info: DeviceInfo | None = None


class DeviceInfoChangedNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.DEVICE_INFO_CHANGED.value,
):
    """Facts of a device changed; `device_info` holds those alone."""

    notify_type: ClassVar[NotifyType] = NotifyType.DEVICE_INFO_CHANGED

    device_id: str
    gateway_id: str
    device_info: ChangedDeviceInfo


class DeviceDataChangedNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    tag_field="notifyType",
    tag=NotifyType.DEVICE_DATA_CHANGED.value,
):
    """One service of a device reported data."""

    notify_type: ClassVar[NotifyType] = NotifyType.DEVICE_DATA_CHANGED

    request_id: Annotated[str, Hints(limit=128)] | None = None
    device_id: str
    gateway_id: str
    service: ServiceData


class DeviceDatasChangedNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    tag_field="notifyType",
    tag=NotifyType.DEVICE_DATAS_CHANGED.value,
):
    """Several services of a device reported data.

    Examples of the vendor call the list `service`, one of its clients reads `services` alone.
    """

    notify_type: ClassVar[NotifyType] = NotifyType.DEVICE_DATAS_CHANGED

    request_id: Annotated[str, Hints(limit=128)] | None = None
    device_id: str
    gateway_id: str
    services: Annotated[tuple[ServiceData, ...], Hints(other_names=("service",))]


class ServiceInfoChangedNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.SERVICE_INFO_CHANGED.value,
):
    """A service of a device takes other commands than before."""

    notify_type: ClassVar[NotifyType] = NotifyType.SERVICE_INFO_CHANGED

    device_id: str
    gateway_id: str
    service_id: str
    service_type: str
    service_info: MutedCommands


class DeviceDeletedNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.DEVICE_DELETED.value,
):
    """A device was deleted."""

    notify_type: ClassVar[NotifyType] = NotifyType.DEVICE_DELETED

    device_id: str
    gateway_id: str


class DeviceModelAddedNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.DEVICE_MODEL_ADDED.value,
):
    """A device model was added."""

    notify_type: ClassVar[NotifyType] = NotifyType.DEVICE_MODEL_ADDED

    app_id: str
    device_type: str
    manufacturer_name: str
    manufacturer_id: str
    model: str
    protocol_type: str


class DeviceModelDeletedNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.DEVICE_MODEL_DELETED.value,
):
    """A device model was deleted."""

    notify_type: ClassVar[NotifyType] = NotifyType.DEVICE_MODEL_DELETED

    app_id: str
    device_type: str
    manufacturer_name: str
    manufacturer_id: str
    model: str
    protocol_type: str


class DeviceDesiredPropertiesModifyStatusChangedNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.DEVICE_DESIRED_PROPERTIES_MODIFY_STATUS_CHANGED.value,
):
    """Properties that an application wished for reached the device, or did not."""

    notify_type: ClassVar[NotifyType] = NotifyType.DEVICE_DESIRED_PROPERTIES_MODIFY_STATUS_CHANGED

    device_id: str
    service_id: str
    properties: dict[str, object]
    status: ModifyStatus
