"""The northbound API, called: requests and answers are pure functions, two thin senders carry them.

Results and arguments are the wire's own records, since that is what the platform's documentation speaks of; those an
application needs are to be had from here.
"""

from firmcast_sdk.client.async_northbound_client import AsyncNorthboundClient
from firmcast_sdk.client.northbound_client import NorthboundClient
from firmcast_sdk.client.transport import TransportOptions
from firmcast_sdk.wire.devices import (
    Device,
    DeviceActivation,
    DeviceConfig,
    DeviceInfo,
    DeviceQuery,
    ModifyDeviceRequest,
    RefreshDeviceRequest,
    RefreshDeviceResponse,
    RegisterDeviceRequest,
    RegisterDeviceResponse,
)
from firmcast_sdk.wire.notifications import NotifyType
from firmcast_sdk.wire.operations import (
    CreateUpgradeRequest,
    ExecuteType,
    Operation,
    OperationQuery,
    OperationStatus,
    Policy,
    SubOperation,
    SubOperationStatus,
    Targets,
)
from firmcast_sdk.wire.packages import FileType, Package, PackageQuery

__all__ = [
    "AsyncNorthboundClient",
    "CreateUpgradeRequest",
    "Device",
    "DeviceActivation",
    "DeviceConfig",
    "DeviceInfo",
    "DeviceQuery",
    "ExecuteType",
    "FileType",
    "ModifyDeviceRequest",
    "NorthboundClient",
    "NotifyType",
    "Operation",
    "OperationQuery",
    "OperationStatus",
    "Package",
    "PackageQuery",
    "Policy",
    "RefreshDeviceRequest",
    "RefreshDeviceResponse",
    "RegisterDeviceRequest",
    "RegisterDeviceResponse",
    "SubOperation",
    "SubOperationStatus",
    "Targets",
    "TransportOptions",
]
