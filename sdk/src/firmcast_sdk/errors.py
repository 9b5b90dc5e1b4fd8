"""What a call of the northbound API can end in, named by who must act.

ClientError
├── NorthboundError             the platform refused: see its code
│   ├── AccessDeniedError       the credentials, or what they allow, are to be put right
│   ├── NotFoundError           nothing of that id is there
│   ├── ConflictError           something of that name is there already
│   ├── ThrottledError          too many calls; slow down
│   └── PlatformFailedError     the platform itself failed; try later
├── UnexpectedAnswerError       the answer does not follow the contract
├── TransportError              no answer came: name, connection, TLS or time-out
└── ClientExtraMissingError     the HTTP library is not installed
"""

from firmcast_sdk.wire import errors as codes


class ClientError(Exception):
    """A call of the northbound API did not end well."""


class NorthboundError(ClientError):
    """The platform refused a call, in the contract's own form.

    Attributes:
        code: the contract's code, a string of digits.
        description: the platform's words.
        status: the HTTP status, which can be 200.
    """

    def __init__(self, *, code: str, description: str, status: int) -> None:
        super().__init__(f"{code} (HTTP {status}): {description}")
        self.code = code
        self.description = description
        self.status = status


class AccessDeniedError(NorthboundError):
    """The credentials are wrong, or do not allow the call."""


class NotFoundError(NorthboundError):
    """Nothing of that id is there."""


class ConflictError(NorthboundError):
    """It collides with something that is there already."""


class ThrottledError(NorthboundError):
    """The application made too many calls."""


class PlatformFailedError(NorthboundError):
    """The platform failed; the same call may work later."""


class UnexpectedAnswerError(ClientError):
    """An answer does not follow the contract; `status` is its HTTP status."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status


class TransportError(ClientError):
    """No answer came; whether the platform acted is not known, unless the connection was never made."""


class ClientExtraMissingError(ClientError):
    """The client needs an HTTP library: install firmcast-sdk[client]."""


_NOT_FOUND = {
    code.code
    for code in (
        codes.APPLICATION_NOT_FOUND,
        codes.SUBSCRIBER_NOT_FOUND,
        codes.SUBSCRIPTION_NOT_FOUND,
        codes.PACKAGE_NOT_FOUND,
        codes.TASK_NOT_FOUND,
        codes.DEVICE_GROUPS_NOT_FOUND,
        codes.DEVICE_NOT_FOUND,
        codes.DEVICE_DATA_NOT_FOUND,
        codes.DEVICE_GROUP_NOT_FOUND,
        codes.PRODUCT_NOT_FOUND,
    )
}
_CONFLICT = {
    code.code
    for code in (
        codes.SUBSCRIPTION_CONFLICT,
        codes.CALLBACK_HOST_CONFLICT,
        codes.DEVICE_ALREADY_BOUND,
        codes.NODE_ID_DUPLICATED,
        codes.DEVICE_GROUP_NAME_USED,
    )
}
_THROTTLED = {codes.THROTTLED.code, "1010004"}  # the second is the 2018 edition's


def make_northbound_error(*, code: str, description: str, status: int) -> NorthboundError:
    """The error of the class that `code` and `status` call for."""
    kind = NorthboundError
    if code in _THROTTLED:
        kind = ThrottledError
    elif code in _NOT_FOUND:
        kind = NotFoundError
    elif code in _CONFLICT:
        kind = ConflictError
    elif status in {401, 403}:
        kind = AccessDeniedError
    elif status >= 500:
        kind = PlatformFailedError
    return kind(code=code, description=description, status=status)
