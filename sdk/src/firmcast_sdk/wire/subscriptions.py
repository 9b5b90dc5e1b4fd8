"""The management subscription: which upgrade pushes go to which callback URL. Contract page, section 3.

Its answer is 200 with a JSON content type and no body at all: a body, or no content type, breaks a vendor's client.
"""

from typing import Annotated, Final

import msgspec

from firmcast_sdk.wire.decoding import Hints, InvalidValueError
from firmcast_sdk.wire.notifications import NotifyType

MANAGEMENT_SUBSCRIBE_PATH: Final = "/iodm/app/sub/v1.1.0/subscribe"
MANAGEMENT_NOTIFY_TYPES: Final = frozenset(
    {
        NotifyType.SW_UPGRADE_STATE_CHANGE,
        NotifyType.SW_UPGRADE_RESULT,
        NotifyType.FW_UPGRADE_STATE_CHANGE,
        NotifyType.FW_UPGRADE_RESULT,
    }
)
CALLBACK_URL_LIMIT: Final = 1024  # characters, as for business subscriptions


class ManagementSubscribeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a subscription; the vendor writes both `callbackurl` and `callbackUrl`, we write the former."""

    notify_type: NotifyType = msgspec.field(name="notifyType")
    callback_url: Annotated[str, Hints(limit=CALLBACK_URL_LIMIT, filled=True)] = msgspec.field(name="callbackurl")

    def __post_init__(self) -> None:
        if self.notify_type not in MANAGEMENT_NOTIFY_TYPES:
            raise InvalidValueError("notifyType", "is not a type of the management subscription")
