"""Every error of the contract stands in this one table: its code, its HTTP status and its words.

Codes are those of the 2022 edition and later. A status of 200 is meant: some business errors travel with it, and
clients look for `error_code` in any answer. The vendor's spelling, mistakes included, is kept where it is known; where
the edition shows a code without words the words are ours.
"""

from types import MappingProxyType
from typing import Final

import msgspec

from firmcast_sdk.wire.decoding import decode_struct


class ErrorCode(msgspec.Struct, frozen=True):
    """One row: `code` as sent in `error_code`, the HTTP `status`, and the default `description`."""

    code: str
    status: int
    description: str


# Section 1: any call
BAD_TOKEN: Final = ErrorCode("1010005", 403, "Invalid access token or appId.")
THROTTLED: Final = ErrorCode("1010009", 403, "app throttle exceed.")
APP_KEY_MISSING: Final = ErrorCode("100025", 401, "AppId for auth not exist.")
APPLICATION_NOT_FOUND: Final = ErrorCode("100203", 403, "The application is not existed.")
APPLICATION_NOT_AUTHORISED: Final = ErrorCode("100217", 403, "The application hasn't been authorized.")
INPUT_INVALID: Final = ErrorCode("100022", 400, "The input is invalid.")
BAD_REQUEST_MESSAGE: Final = ErrorCode("100007", 400, "Bad request message.")
INTERNAL_ERROR: Final = ErrorCode("100001", 500, "Internal server error.")
GATEWAY_INTERNAL_ERROR: Final = ErrorCode("50252", 500, "Internal server error.")
UPGRADE_INTERNAL_ERROR: Final = ErrorCode("120001", 500, "Internal server error.")
DATABASE_ABNORMAL: Final = ErrorCode("100023", 500, "The data in dataBase is abnomal.")
APP_KEY_UNREADABLE: Final = ErrorCode("100220", 500, "Get AppKey from header failed.")

# Section 2: login and refresh
APP_ID_OR_SECRET_WRONG: Final = ErrorCode("100208", 401, "AppId or secret is not right.")
REQUIRED_PARAMETER_MISSING: Final = ErrorCode("102202", 400, "Required Parameter is null or empty.")
APPLICATION_FROZEN: Final = ErrorCode("100247", 400, "Operation not allowed. The application has been frozen.")
REFRESH_FAILED: Final = ErrorCode("100006", 401, "Refresh access token failed.")
PROXY_ADDRESS_MISSING: Final = ErrorCode("100008", 500, "The haproxy address is null.")

# Section 3: management subscription; section 4: business subscriptions
SUBSCRIBER_NOT_FOUND: Final = ErrorCode("120203", 200, "The application is not existed.")
SUBSCRIPTION_BAD_REQUEST: Final = ErrorCode("120007", 200, "Bad request message.")
CALLBACK_URL_ILLEGAL: Final = ErrorCode("100222", 400, "The request callbackurl is illegal.")
SUBSCRIBER_REFUSED: Final = ErrorCode("100228", 400, "The application is refused.")
CALLBACK_HOST_CONFLICT: Final = ErrorCode(
    "100234", 403, "The host field of the callbackUrl is in conflict with existing callbackUrl."
)
SUBSCRIPTION_CONFLICT: Final = ErrorCode("100227", 409, "The resource is conflicted.")
SUBSCRIPTION_NOT_FOUND: Final = ErrorCode("100225", 404, "The resource is not found")
SUBSCRIPTION_READ_FAILED: Final = ErrorCode("101016", 500, "Get iotws address failed.")
SUBSCRIPTION_WRITE_FAILED: Final = ErrorCode("101017", 500, "Get newCallback url from oss failed.")

# Section 5: version packages; section 6: upgrade tasks
UPGRADE_BAD_REQUEST: Final = ErrorCode("120015", 400, "Bad request error.")
PACKAGE_NOT_FOUND: Final = ErrorCode("123002", 404, "Device or package file not found.")
TASK_NOT_FOUND: Final = ErrorCode("123009", 404, "The requested task does not exist.")
TARGET_VERSION_MISMATCH: Final = ErrorCode(
    "123016", 400, "The parameter is error, targetversion not match with device."
)
MANUFACTURER_NAME_NULL: Final = ErrorCode("123019", 400, "manufacturerName is null.")
DEVICE_TYPE_NULL: Final = ErrorCode("123020", 400, "deviceType is null")
MODEL_NULL: Final = ErrorCode("123021", 400, "model is null.")
TARGETS_MISSING: Final = ErrorCode("123022", 400, "deviceGroups and devices cannot be null together")
TARGETS_CONFLICT: Final = ErrorCode("123023", 400, "deviceGroups and devices cannot be exist together")
TARGETS_TOO_MANY: Final = ErrorCode("123024", 400, "The number of deviceGroups or devices reached upper limit")
EXECUTE_TYPE_INVALID: Final = ErrorCode("123025", 400, "executeType is error or can not to be null")
WINDOW_INVALID: Final = ErrorCode("123026", 400, "startTime or endTime is null or error")
DEVICE_GROUPS_NOT_FOUND: Final = ErrorCode("123027", 400, "some deviceGroups not found")
RETRY_TIMES_INVALID: Final = ErrorCode("123028", 400, "retryTimes is null or beyond the limit")
PAGE_BEYOND_LIMIT: Final = ErrorCode("123029", 400, "pageNo or pageSize beyond the limit.")
WINDOW_REVERSED: Final = ErrorCode("123032", 400, "startTime can not be later than the endTime")
WINDOW_PAST: Final = ErrorCode("123033", 400, "startTime can not be earlier than the now")
WINDOW_TOO_SHORT: Final = ErrorCode("123034", 400, "endtime must be greater than 5 minutes")

# Section 7: devices
VERIFY_CODE_INVALID: Final = ErrorCode("100003", 400, "Invalid verify code.")
DEVICE_ALREADY_BOUND: Final = ErrorCode("100416", 400, "The device has already been binded.")
NODE_ID_DUPLICATED: Final = ErrorCode("100426", 400, "The nodeId is duplicated.")
REGISTRATION_INPUT_INVALID: Final = ErrorCode("50400", 400, "The input is invalid.")
PRODUCT_NOT_FOUND: Final = ErrorCode("600002", 403, "The product not existed.")
DEVICE_LIMIT_REACHED: Final = ErrorCode("100412", 500, "The amount of device has reached the limit.")
INSECURE_DEVICE_LIMIT_REACHED: Final = ErrorCode("100441", 500, "The amount of nonSecure device has reached the limit.")
LICENSE_NOT_FOUND: Final = ErrorCode("103026", 500, "The license is not exist.")
LICENSE_EXHAUSTED: Final = ErrorCode("103028", 200, "The license pool resources.")
DEVICE_NOT_ACTIVE: Final = ErrorCode("100610", 400, "Device is not active.")
DEVICE_ONLINE: Final = ErrorCode("100611", 400, "Device is online.")
DEVICE_NOT_FOUND: Final = ErrorCode("100403", 404, "The device is not existed.")
DEVICE_DATA_NOT_FOUND: Final = ErrorCode("100418", 404, "The deviceData is not existed.")
DEVICE_QUERY_NOT_FOUND: Final = ErrorCode("100403", 200, "The device is not existed.")
DEVICE_DATA_QUERY_NOT_FOUND: Final = ErrorCode("100418", 200, "The deviceData is not existed.")
GATEWAY_AND_PAGE_MISSING: Final = ErrorCode("100218", 400, "The gatewayId and pageNo can't be both null.")
APPLICATION_INPUT_INVALID: Final = ErrorCode("100216", 400, "The application input is invalid.")

# Section 7: device groups
DEVICE_GROUP_FULL: Final = ErrorCode("100601", 200, "The number of device in the group has reach the max.")
DEVICE_GROUP_NAME_USED: Final = ErrorCode("100602", 200, "The device group name has been used.")
DEVICE_GROUP_NOT_FOUND: Final = ErrorCode("100603", 200, "The device group is not existed.")
DEVICE_GROUP_DEVICE_INVALID: Final = ErrorCode("100604", 400, "The device group request parameter is invalid.")
DEVICE_GROUP_LIMIT_REACHED: Final = ErrorCode("100607", 200, "The devGroup has reached the limit.")
DEVICE_GROUP_INPUT_INVALID: Final = ErrorCode("100609", 400, "Too much devices to add.")

ERROR_CODES: Final = MappingProxyType(
    {name: value for name, value in list(globals().items()) if isinstance(value, ErrorCode)}
)


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an error: exactly two strings, since a number in `error_code` breaks a vendor's client."""

    error_code: str
    error_desc: str = ""


def encode_error(error: ErrorCode, description: str | None = None) -> bytes:
    """The body for `error`, with `description` in place of the table's words where given."""
    words = error.description if description is None else description
    return msgspec.json.encode(ErrorBody(error_code=error.code, error_desc=words))


def decode_error(body: bytes) -> ErrorBody:
    """The error in `body`, whatever its HTTP status; raises WireError when the body is none."""
    return decode_struct(ErrorBody, body)
