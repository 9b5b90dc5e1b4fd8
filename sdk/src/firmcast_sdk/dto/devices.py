"""What the vendor's handlers are given about devices, their services and their models.

What a push does not say is None, as in the vendor's SDK.
"""
# ruff: noqa: N815 -- attributes are named as the vendor named them

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """The facts of a device; a push of changes fills in what changed."""

    nodeId: str | None = None
    name: str | None = None
    description: str | None = None
    manufacturerId: str | None = None
    manufacturerName: str | None = None
    mac: str | None = None
    location: str | None = None
    deviceType: str | None = None
    model: str | None = None
    swVersion: str | None = None
    fwVersion: str | None = None
    hwVersion: str | None = None
    protocolType: str | None = None
    bridgeId: str | None = None
    status: str | None = None
    statusDetail: str | None = None
    mute: str | None = None
    supportedSecurity: str | None = None
    isSecurity: str | None = None
    signalStrength: str | None = None
    sigVersion: str | None = None
    serialNumber: str | None = None
    batteryLevel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceInfo:
    """The commands that a service does not take."""

    muteCmds: list[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceService:
    """Data of one service; `eventTime` is in the contract's form, 20151212T121212Z."""

    serviceId: str
    serviceType: str | None = None
    data: dict[str, Any] | None = None
    eventTime: str | None = None
    serviceInfo: ServiceInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyDeviceAddedDTO:
    """A device was registered."""

    notifyType: str
    deviceId: str
    gatewayId: str | None = None
    nodeType: str
    deviceInfo: DeviceInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyBindDeviceDTO:
    """A device came for the first time, or its time ran out: `resultCode` is succeeded or expired."""

    notifyType: str
    deviceId: str
    resultCode: str
    deviceInfo: DeviceInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyDeviceInfoChangedDTO:
    """Facts of a device changed; those of `deviceInfo` that did not are None."""

    notifyType: str
    deviceId: str
    gatewayId: str
    deviceInfo: DeviceInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyDeviceDataChangedDTO:
    """One service of a device reported data."""

    notifyType: str
    requestId: str | None = None
    deviceId: str
    gatewayId: str
    service: DeviceService


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyDeviceDatasChangedDTO:
    """Several services of a device reported data; `services` as in Java and PHP, `service` as in Python."""

    notifyType: str
    requestId: str | None = None
    deviceId: str
    gatewayId: str
    services: list[DeviceService]

    @property
    def service(self) -> list[DeviceService]:
        """The same list under its other name."""
        return self.services


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyServiceInfoChangedDTO:
    """A service of a device takes other commands than before."""

    notifyType: str
    deviceId: str
    gatewayId: str
    serviceId: str
    serviceType: str
    serviceInfo: ServiceInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyDeviceDeletedDTO:
    """A device was deleted."""

    notifyType: str
    deviceId: str
    gatewayId: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyDeviceModelAddedDTO:
    """A device model was added."""

    notifyType: str
    appId: str
    deviceType: str
    manufacturerName: str
    manufacturerId: str
    model: str
    protocolType: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyDeviceModelDeletedDTO:
    """A device model was deleted."""

    notifyType: str
    appId: str
    deviceType: str
    manufacturerName: str
    manufacturerId: str
    model: str
    protocolType: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyDeviceDesiredStatusChangedDTO:
    """Properties that an application wished for reached the device or not: `status` is DELIVERED or FAILED."""

    notifyType: str
    deviceId: str
    serviceId: str
    properties: dict[str, Any]
    status: str
