"""The northbound API, called: requests and answers are pure functions, two thin senders carry them.

Results are the wire's own records, since that is what the platform's documentation speaks of; they and the words that
arguments are made of are to be had from here.
"""

from firmcast_sdk.client.async_northbound_client import AsyncNorthboundClient
from firmcast_sdk.client.call import Page
from firmcast_sdk.client.following import AsyncEventFeed, EventFeed
from firmcast_sdk.client.listing import AsyncListing, Listing
from firmcast_sdk.client.northbound_client import NorthboundClient
from firmcast_sdk.client.retry import RetryPolicy
from firmcast_sdk.client.transport import TransportOptions
from firmcast_sdk.wire.device_groups import DeviceGroup, DeviceGroupDetails
from firmcast_sdk.wire.devices import (
    DataConfig,
    Device,
    DeviceActivation,
    DeviceConfig,
    DeviceInfo,
    DeviceService,
    DeviceStatus,
    NodeType,
    RefreshDeviceResponse,
    RegisterDeviceResponse,
    RegisteredDeviceInfo,
    ServiceInfo,
    Sort,
)
from firmcast_sdk.wire.feed import FeedItem, FeedPage
from firmcast_sdk.wire.notify_types import NotifyType
from firmcast_sdk.wire.operations import (
    ExecuteType,
    ExtendInfo,
    OperateType,
    Operation,
    OperationStatus,
    Policy,
    StageResult,
    SubOperation,
    SubOperationStatus,
    Targets,
)
from firmcast_sdk.wire.packages import FileType, Package
from firmcast_sdk.wire.subscriptions import SubscribableType, Subscription

__all__ = [
    "AsyncEventFeed",
    "AsyncListing",
    "AsyncNorthboundClient",
    "DataConfig",
    "Device",
    "DeviceActivation",
    "DeviceConfig",
    "DeviceGroup",
    "DeviceGroupDetails",
    "DeviceInfo",
    "DeviceService",
    "DeviceStatus",
    "EventFeed",
    "ExecuteType",
    "ExtendInfo",
    "FeedItem",
    "FeedPage",
    "FileType",
    "Listing",
    "NodeType",
    "NorthboundClient",
    "NotifyType",
    "OperateType",
    "Operation",
    "OperationStatus",
    "Package",
    "Page",
    "Policy",
    "RefreshDeviceResponse",
    "RegisterDeviceResponse",
    "RegisteredDeviceInfo",
    "RetryPolicy",
    "ServiceInfo",
    "Sort",
    "StageResult",
    "SubOperation",
    "SubOperationStatus",
    "SubscribableType",
    "Subscription",
    "Targets",
    "TransportOptions",
]
