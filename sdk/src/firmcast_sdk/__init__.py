"""What an application installs to receive firmware-upgrade notifications and to call the northbound API."""

from firmcast_sdk.client import AsyncNorthboundClient, NorthboundClient, TransportOptions
from firmcast_sdk.errors import (
    AccessDeniedError,
    ClientError,
    ClientExtraMissingError,
    ConflictError,
    NorthboundError,
    NotFoundError,
    PlatformFailedError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
)
from firmcast_sdk.events import (
    ApplicationId,
    DeviceId,
    DeviceUpgradeId,
    Event,
    EventId,
    FirmwareState,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    Outcome,
    SoftwareState,
    SoftwareStateChanged,
    SoftwareUpgradeEnded,
    TaskId,
)
from firmcast_sdk.push_message_receiver import (
    NotifyFwUpgradeResultDTO,
    NotifyFwUpgradeStateChangedDTO,
    NotifySwUpgradeResultDTO,
    NotifySwUpgradeStateChangedDTO,
    PushMessageReceiver,
)
from firmcast_sdk.receiver import (
    DeduplicationStore,
    MemoryDeduplicationStore,
    PushKey,
    Receiver,
    Standing,
)
from firmcast_sdk.wire.notifications import NotifyType

__version__ = "0.1.0"

__all__ = [
    "AccessDeniedError",
    "ApplicationId",
    "AsyncNorthboundClient",
    "ClientError",
    "ClientExtraMissingError",
    "ConflictError",
    "DeduplicationStore",
    "DeviceId",
    "DeviceUpgradeId",
    "Event",
    "EventId",
    "FirmwareState",
    "FirmwareStateChanged",
    "FirmwareUpgradeEnded",
    "MemoryDeduplicationStore",
    "NorthboundClient",
    "NorthboundError",
    "NotFoundError",
    "NotifyFwUpgradeResultDTO",
    "NotifyFwUpgradeStateChangedDTO",
    "NotifySwUpgradeResultDTO",
    "NotifySwUpgradeStateChangedDTO",
    "NotifyType",
    "Outcome",
    "PlatformFailedError",
    "PushKey",
    "PushMessageReceiver",
    "Receiver",
    "SoftwareState",
    "SoftwareStateChanged",
    "SoftwareUpgradeEnded",
    "Standing",
    "TaskId",
    "ThrottledError",
    "TransportError",
    "TransportOptions",
    "UnexpectedAnswerError",
]
