"""Subscriptions: which pushes go to which callback URL. Contract page, sections 3 (upgrades) and 4 (all types).

The management subscription is answered with 200, a JSON content type and no body at all: a body, or no content type,
breaks a vendor's client. A business subscription is answered with 201 and the subscription, deleting with 204.
"""

from typing import Annotated, Final

import msgspec

from firmcast_sdk.wire.decoding import Hints, InvalidValueError, Required, Short, WireEnum
from firmcast_sdk.wire.notify_types import NotifyType

MANAGEMENT_SUBSCRIBE_PATH: Final = "/iodm/app/sub/v1.1.0/subscribe"
MANAGEMENT_NOTIFY_TYPES: Final = frozenset(
    {
        NotifyType.SW_UPGRADE_STATE_CHANGE,
        NotifyType.SW_UPGRADE_RESULT,
        NotifyType.FW_UPGRADE_STATE_CHANGE,
        NotifyType.FW_UPGRADE_RESULT,
    }
)
SUBSCRIPTIONS_PATH: Final = "/iocm/app/sub/v1.2.0/subscriptions"
SUBSCRIPTION_PATH: Final = "/iocm/app/sub/v1.2.0/subscriptions/{subscription_id}"
OLDER_SUBSCRIBE_PATHS: Final = ("/iocm/app/sub/v1.2.0/subscribe",)
VOID_SUBSCRIBE_PATH: Final = "/iocm/app/sub/v1.1.0/subscribe"
"""The oldest: its clients expect 201, and the Java client throws when there is anything to read."""
CALLBACK_URL_LIMIT: Final = 1024  # characters
DEFAULT_PAGE_SIZE: Final = 10

CallbackUrl = Annotated[str, Hints(limit=CALLBACK_URL_LIMIT, filled=True)]


class SubscribableType(WireEnum):
    """Every type that can be subscribed to: those whose body is known, and those that later editions only name."""

    DEVICE_ADDED = NotifyType.DEVICE_ADDED.value
    BIND_DEVICE = NotifyType.BIND_DEVICE.value
    DEVICE_INFO_CHANGED = NotifyType.DEVICE_INFO_CHANGED.value
    DEVICE_DATA_CHANGED = NotifyType.DEVICE_DATA_CHANGED.value
    DEVICE_DATAS_CHANGED = NotifyType.DEVICE_DATAS_CHANGED.value
    SERVICE_INFO_CHANGED = NotifyType.SERVICE_INFO_CHANGED.value
    DEVICE_DELETED = NotifyType.DEVICE_DELETED.value
    MESSAGE_CONFIRM = NotifyType.MESSAGE_CONFIRM.value
    COMMAND_RSP = NotifyType.COMMAND_RSP.value
    DEVICE_EVENT = NotifyType.DEVICE_EVENT.value
    DEVICE_MODEL_ADDED = NotifyType.DEVICE_MODEL_ADDED.value
    DEVICE_MODEL_DELETED = NotifyType.DEVICE_MODEL_DELETED.value
    RULE_EVENT = NotifyType.RULE_EVENT.value
    DEVICE_DESIRED_PROPERTIES_MODIFY_STATUS_CHANGED = NotifyType.DEVICE_DESIRED_PROPERTIES_MODIFY_STATUS_CHANGED.value
    SW_UPGRADE_STATE_CHANGE = NotifyType.SW_UPGRADE_STATE_CHANGE.value
    SW_UPGRADE_RESULT = NotifyType.SW_UPGRADE_RESULT.value
    FW_UPGRADE_STATE_CHANGE = NotifyType.FW_UPGRADE_STATE_CHANGE.value
    FW_UPGRADE_RESULT = NotifyType.FW_UPGRADE_RESULT.value
    DEVICE_REAL_TIME_DATA_QUERY_STATUS_CHANGED = "deviceRealTimeDataQueryStatusChanged"
    APP_AUTHORIZATION = "appAuthorization"
    APP_DEAUTHORIZATION = "appDeauthorization"
    LOCATION_CHANGED = "LocationChanged"
    DEVICE_CAPABILITIES_ADDED = "deviceCapabilitiesAdded"
    DEVICE_CAPABILITIES_CHANGED = "deviceCapabilitiesChanged"
    DEVICE_CAPABILITIES_DELETED = "deviceCapabilitiesDeleted"


class ManagementSubscribeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a subscription; the vendor writes both `callbackurl` and `callbackUrl`, we write the former."""

    notify_type: NotifyType = msgspec.field(name="notifyType")
    callback_url: CallbackUrl = msgspec.field(name="callbackurl")

    def __post_init__(self) -> None:
        if self.notify_type not in MANAGEMENT_NOTIFY_TYPES:
            raise InvalidValueError("notifyType", "is not a type of the management subscription")


class SubscribeRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of a business subscription; older paths are sent `callbackurl`, and one client sends every null.

    `app_id` names the owner of the devices and `owner_flag` whose callback it is; both travel in the query as well.
    """

    notify_type: SubscribableType
    callback_url: CallbackUrl
    app_id: Short | None = None
    owner_flag: bool | None = None
    channel: Short | None = None


class SubscribeQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The query of a business subscription: whose callback it is, the authorising application's where it is false."""

    owner_flag: bool | None = None
    app_id: Short | None = None


class Subscription(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One subscription as the calls give it."""

    subscription_id: Required
    notify_type: SubscribableType
    callback_url: str


class SubscriptionList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of subscriptions and the number of all."""

    total_count: Annotated[int, Hints(other_names=("totalSize",))]
    page_no: int = 0
    page_size: int = DEFAULT_PAGE_SIZE
    subscriptions: tuple[Subscription, ...]


class SubscriptionQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The filters of a list; without `page_no` there is no paging at all. Page limits are the caller's to check."""

    app_id: Short | None = None
    notify_type: SubscribableType | None = None
    page_no: int | None = None
    page_size: int | None = None


class SubscriptionDeletion(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which subscriptions a call deletes: those that fit every filter, all of the application where there is none.

    `channel` is "HTTP" or "MQTTS", or None for both; for any other word nothing is deleted.
    """

    app_id: Short | None = None
    notify_type: SubscribableType | None = None
    callback_url: Annotated[str, Hints(limit=CALLBACK_URL_LIMIT)] | None = None
    channel: Short | None = None


class SubscriptionAddress(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The query of the calls on one subscription: whose devices it is about."""

    app_id: Short | None = None
