"""What Object 5 (Firmware Update) means: its states, results, protocols and delivery methods, and nothing about us."""

from enum import Enum, IntEnum, unique
from typing import assert_never

LONGEST_PACKAGE_URI = 255
"""Characters that /5/0/1 holds at most (OMA Object 5, resource 1)."""


@unique
class FirmwareUpdateState(IntEnum):
    """What the device does with a package (/5/0/3); only the device changes it."""

    IDLE = 0
    DOWNLOADING = 1
    DOWNLOADED = 2
    UPDATING = 3


@unique
class UpdateResult(IntEnum):
    """How the last download or update ended (/5/0/5); 10 and 11 since version 1.1 of the object."""

    INITIAL = 0
    SUCCESS = 1
    NOT_ENOUGH_FLASH = 2
    OUT_OF_MEMORY = 3
    CONNECTION_LOST = 4
    INTEGRITY_CHECK_FAILED = 5
    UNSUPPORTED_PACKAGE_TYPE = 6
    INVALID_URI = 7
    UPDATE_FAILED = 8
    UNSUPPORTED_PROTOCOL = 9
    CANCELLED = 10
    DEFERRED = 11


@unique
class Protocol(IntEnum):
    """How a device can fetch a package itself (/5/0/8)."""

    COAP = 0
    COAPS = 1
    HTTP = 2
    HTTPS = 3
    COAP_TCP = 4
    COAP_TLS = 5


@unique
class TransferWay(Enum):
    """How a package can reach a device here: fetched by one of four protocols, or written to /5/0/0."""

    COAP = "coap"
    COAPS = "coaps"
    HTTP = "http"
    HTTPS = "https"
    WRITTEN = "written"


@unique
class DeliveryMethod(IntEnum):
    """Whether a device fetches its package, is given it, or either (/5/0/9)."""

    PULL = 0
    PUSH = 1
    BOTH = 2


@unique
class RetryAdvice(Enum):
    """What another try with the same package may hope for."""

    AGAIN = "again"
    ONCE = "once"
    WAIT = "wait"
    AFTER_CHANGE = "after_change"
    NEVER = "never"


@unique
class ResetWay(Enum):
    """What brings a client back to Idle, the mildest first."""

    FORGET_ADDRESS = "forget_address"
    CANCEL = "cancel"
    FORGET_PACKAGE = "forget_package"


STATE_TRANSITIONS: frozenset[tuple[FirmwareUpdateState, FirmwareUpdateState]] = frozenset(
    {
        (FirmwareUpdateState.IDLE, FirmwareUpdateState.DOWNLOADING),
        # A package written in blocks: several clients go from 0 to 2 and never show 1.
        (FirmwareUpdateState.IDLE, FirmwareUpdateState.DOWNLOADED),
        (FirmwareUpdateState.DOWNLOADING, FirmwareUpdateState.IDLE),
        (FirmwareUpdateState.DOWNLOADING, FirmwareUpdateState.DOWNLOADED),
        (FirmwareUpdateState.DOWNLOADED, FirmwareUpdateState.IDLE),
        (FirmwareUpdateState.DOWNLOADED, FirmwareUpdateState.UPDATING),
        (FirmwareUpdateState.UPDATING, FirmwareUpdateState.IDLE),
        (FirmwareUpdateState.UPDATING, FirmwareUpdateState.DOWNLOADED),
    }
)
"""Every change of state that a client is known to make (OMA Object 5, state diagram, and real clients)."""

_DESCRIPTIONS: dict[UpdateResult, str] = {
    UpdateResult.INITIAL: "no result yet",
    UpdateResult.SUCCESS: "the firmware was updated",
    UpdateResult.NOT_ENOUGH_FLASH: "the device has not enough flash memory for the package",
    UpdateResult.OUT_OF_MEMORY: "the device ran out of memory during the download",
    UpdateResult.CONNECTION_LOST: "the connection was lost during the download",
    UpdateResult.INTEGRITY_CHECK_FAILED: "the integrity check of the downloaded package failed",
    UpdateResult.UNSUPPORTED_PACKAGE_TYPE: "the device does not support this type of package",
    UpdateResult.INVALID_URI: "the device could not use the address of the package",
    UpdateResult.UPDATE_FAILED: "the device could not install the package",
    UpdateResult.UNSUPPORTED_PROTOCOL: "the device does not support the protocol of the package address",
    UpdateResult.CANCELLED: "the update was cancelled",
    UpdateResult.DEFERRED: "the device put the update off",
}


def parse_result(value: int) -> UpdateResult | int:
    """Return the result that `value` stands for, or `value` itself where the object names none: another failure."""
    try:
        return UpdateResult(value)
    except ValueError:
        return value


def is_failure(result: UpdateResult | int) -> bool:
    """Say whether `result` tells of an end without success; a deferral is no end and an unknown result is one."""
    return result not in (UpdateResult.INITIAL, UpdateResult.SUCCESS, UpdateResult.DEFERRED)


def describe_result(result: UpdateResult | int) -> str:
    """Return what `result` says, in plain words without a full stop."""
    known = parse_result(result)
    if isinstance(known, UpdateResult):
        return _DESCRIPTIONS[known]
    return f"the device reported the unknown result {result}"


def retry_advice(result: UpdateResult | int) -> RetryAdvice:
    """Return what to expect of another try after `result`."""
    known = parse_result(result)
    if not isinstance(known, UpdateResult):
        return RetryAdvice.AFTER_CHANGE
    match known:
        case UpdateResult.CONNECTION_LOST | UpdateResult.OUT_OF_MEMORY:
            return RetryAdvice.AGAIN
        case UpdateResult.INTEGRITY_CHECK_FAILED | UpdateResult.UPDATE_FAILED:
            return RetryAdvice.ONCE
        case UpdateResult.DEFERRED:
            return RetryAdvice.WAIT
        case (
            UpdateResult.NOT_ENOUGH_FLASH
            | UpdateResult.UNSUPPORTED_PACKAGE_TYPE
            | UpdateResult.INVALID_URI
            | UpdateResult.UNSUPPORTED_PROTOCOL
        ):
            return RetryAdvice.AFTER_CHANGE
        case UpdateResult.INITIAL | UpdateResult.SUCCESS | UpdateResult.CANCELLED:
            return RetryAdvice.NEVER
        case _:
            assert_never(known)


def is_retryable(result: UpdateResult | int) -> bool:
    """Say whether the same package may be tried again with nothing changed, at least once."""
    return retry_advice(result) in (RetryAdvice.AGAIN, RetryAdvice.ONCE)


def parse_protocols(values: tuple[int, ...]) -> frozenset[Protocol]:
    """Return the protocols of /5/0/8 that the object names; none listed means CoAP, unknown ones are passed over."""
    if not values:
        return frozenset({Protocol.COAP})
    known = frozenset(Protocol)
    return frozenset(Protocol(value) for value in values if value in known)


def parse_delivery_method(value: int | None) -> DeliveryMethod | None:
    """Return the method of /5/0/9, or None where the device says none or one that the object does not name."""
    if value is None or value not in frozenset(DeliveryMethod):
        return None
    return DeliveryMethod(value)
