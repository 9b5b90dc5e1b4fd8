"""What a call of the northbound API can end in, named by who must act.

ClientError
├── NorthboundError             the platform refused: see its code
│   ├── InvalidRequestError     the request itself is to be put right
│   ├── AccessDeniedError       the credentials, or what they allow, are to be put right
│   │   └── AuthenticationError     they do not prove who calls
│   ├── NotFoundError           nothing of that id is there
│   ├── ConflictError           it does not fit what is there, or its present state
│   ├── LimitReachedError       there is no room for more; the operator can make some
│   ├── ThrottledError          too many calls; slow down
│   └── PlatformFailedError     the platform itself failed; try later
├── UnexpectedAnswerError       the answer does not follow the contract
├── TransportError              no answer came; the platform may have acted all the same
│   └── NotReachedError         the request never got there; it may be made again
├── ClientClosedError           the client was closed
├── AddressError                the base URL is none
└── ClientExtraMissingError     the HTTP library is not installed
"""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from firmcast_sdk.wire import errors as codes


class ClientError(Exception):
    """A call of the northbound API did not end well."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross processes and are raised to every caller that waited for the same login: both copy them.
        return _made_again, (type(self), self.args), self.__dict__


class NorthboundError(ClientError):
    """The platform refused a call, in the contract's own form.

    Attributes:
        code: the contract's code, a string of digits.
        description: the contract's words for it.
        status: the HTTP status, which can be 200.
        reason: what exactly was wrong, in the platform's words; empty when it does not say.
        retry_after: how long the platform asks to keep away; None when it does not say.
    """

    def __init__(
        self, *, code: str, description: str, status: int, reason: str = "", retry_after: timedelta | None = None
    ) -> None:
        super().__init__(f"{code} (HTTP {status}): {description}{f' ({reason})' if reason else ''}")
        self.code = code
        self.description = description
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class InvalidRequestError(NorthboundError):
    """The request is wrong in itself; the same one will be refused again."""


class AccessDeniedError(NorthboundError):
    """The application may not do this."""


class AuthenticationError(AccessDeniedError):
    """Who calls is not proved: a wrong secret, an unknown application, a token that does not hold."""


class NotFoundError(NorthboundError):
    """Nothing of that id is there."""


class ConflictError(NorthboundError):
    """It collides with something that is there already, or with the state that it is in."""


class LimitReachedError(NorthboundError):
    """The platform has no room for more of this."""


class ThrottledError(NorthboundError):
    """The application made too many calls; nothing was done."""


class PlatformFailedError(NorthboundError):
    """The platform failed; the same call may work later."""


class UnexpectedAnswerError(ClientError):
    """An answer does not follow the contract.

    Attributes:
        status: its HTTP status.
        retry_after: how long it asks to keep away; None when it does not say.
    """

    def __init__(self, message: str, *, status: int, retry_after: timedelta | None = None) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status
        self.retry_after = retry_after


class TransportError(ClientError):
    """No answer came. Whether the platform acted is not known, unless it is a NotReachedError."""


class NotReachedError(TransportError):
    """The request never got to the platform: name, connection, proxy or TLS."""


class ClientClosedError(ClientError):
    """The client was closed, before the call or while it waited."""


class AddressError(ClientError, ValueError):
    """What was given as base URL is none."""


class ClientExtraMissingError(ClientError):
    """The client needs an HTTP library: install firmcast-sdk[client]."""


_ROWS: Final[Mapping[type[NorthboundError], tuple[codes.ErrorCode, ...]]] = MappingProxyType(
    {
        InvalidRequestError: (
            codes.INPUT_INVALID,
            codes.BAD_REQUEST_MESSAGE,
            codes.REQUIRED_PARAMETER_MISSING,
            codes.SUBSCRIPTION_BAD_REQUEST,
            codes.CALLBACK_URL_ILLEGAL,
            codes.UPGRADE_BAD_REQUEST,
            codes.TARGET_VERSION_MISMATCH,
            codes.MANUFACTURER_NAME_NULL,
            codes.DEVICE_TYPE_NULL,
            codes.MODEL_NULL,
            codes.TARGETS_MISSING,
            codes.TARGETS_CONFLICT,
            codes.TARGETS_TOO_MANY,
            codes.EXECUTE_TYPE_INVALID,
            codes.WINDOW_INVALID,
            codes.RETRY_TIMES_INVALID,
            codes.PAGE_BEYOND_LIMIT,
            codes.WINDOW_REVERSED,
            codes.WINDOW_PAST,
            codes.WINDOW_TOO_SHORT,
            codes.VERIFY_CODE_INVALID,
            codes.REGISTRATION_INPUT_INVALID,
            codes.GATEWAY_AND_PAGE_MISSING,
            codes.APPLICATION_INPUT_INVALID,
            codes.DEVICE_GROUP_DEVICE_INVALID,
            codes.DEVICE_GROUP_INPUT_INVALID,
        ),
        AccessDeniedError: (
            codes.APPLICATION_NOT_AUTHORISED,
            codes.APPLICATION_FROZEN,
            codes.SUBSCRIBER_REFUSED,
        ),
        # An application that is not there is the caller's own identity, not the thing it asked for.
        AuthenticationError: (
            codes.BAD_TOKEN,
            codes.APP_KEY_MISSING,
            codes.APP_ID_OR_SECRET_WRONG,
            codes.REFRESH_FAILED,
            codes.APPLICATION_NOT_FOUND,
            codes.SUBSCRIBER_NOT_FOUND,
        ),
        NotFoundError: (
            codes.SUBSCRIPTION_NOT_FOUND,
            codes.PACKAGE_NOT_FOUND,
            codes.TASK_NOT_FOUND,
            codes.DEVICE_GROUPS_NOT_FOUND,
            codes.PRODUCT_NOT_FOUND,
            codes.DEVICE_NOT_FOUND,
            codes.DEVICE_DATA_NOT_FOUND,
            codes.DEVICE_QUERY_NOT_FOUND,
            codes.DEVICE_DATA_QUERY_NOT_FOUND,
            codes.DEVICE_GROUP_NOT_FOUND,
        ),
        ConflictError: (
            codes.SUBSCRIPTION_CONFLICT,
            codes.CALLBACK_HOST_CONFLICT,
            codes.DEVICE_ALREADY_BOUND,
            codes.NODE_ID_DUPLICATED,
            codes.DEVICE_NOT_ACTIVE,
            codes.DEVICE_ONLINE,
            codes.DEVICE_GROUP_NAME_USED,
        ),
        LimitReachedError: (
            codes.DEVICE_LIMIT_REACHED,
            codes.INSECURE_DEVICE_LIMIT_REACHED,
            codes.LICENSE_NOT_FOUND,
            codes.LICENSE_EXHAUSTED,
            codes.DEVICE_GROUP_FULL,
            codes.DEVICE_GROUP_LIMIT_REACHED,
        ),
        ThrottledError: (codes.THROTTLED,),
        PlatformFailedError: (
            codes.INTERNAL_ERROR,
            codes.GATEWAY_INTERNAL_ERROR,
            codes.UPGRADE_INTERNAL_ERROR,
            codes.DATABASE_ABNORMAL,
            codes.APP_KEY_UNREADABLE,
            codes.PROXY_ADDRESS_MISSING,
            codes.SUBSCRIPTION_READ_FAILED,
            codes.SUBSCRIPTION_WRITE_FAILED,
        ),
    }
)

# What platforms of the 2018 edition send in place of a code of the table. Contract page, sections 1, 4 and 6.
_OLDER: Final[Mapping[str, type[NorthboundError]]] = MappingProxyType(
    {
        "1010004": ThrottledError,
        "123001": InvalidRequestError,
        "200001": NotFoundError,
        "200002": ConflictError,
    }
)

KINDS: Final[Mapping[str, type[NorthboundError]]] = MappingProxyType(
    {**_OLDER, **{row.code: kind for kind, rows in _ROWS.items() for row in rows}}
)
"""The class of each code that is known."""


def make_northbound_error(
    *, code: str, description: str, status: int, reason: str = "", retry_after: timedelta | None = None
) -> NorthboundError:
    """The error of the class that `code` calls for, or for an unknown code the HTTP status."""
    kind = KINDS.get(code) or _kind_of_status(status)
    return kind(code=code, description=description, status=status, reason=reason, retry_after=retry_after)


def _kind_of_status(status: int) -> type[NorthboundError]:
    match status:
        case 401:
            return AuthenticationError
        case 403:
            return AccessDeniedError
        case 404 | 410:
            return NotFoundError
        case 409 | 412:
            return ConflictError
        case 429:
            return ThrottledError
        case _ if status >= 500:
            return PlatformFailedError
        case _ if status >= 400:
            return InvalidRequestError
        case _:
            return NorthboundError


def _made_again(kind: type[ClientError], arguments: tuple[Any, ...]) -> ClientError:
    """An error of `kind` without its constructor, which asks for more than the message."""
    error = kind.__new__(kind)
    error.args = arguments
    return error
