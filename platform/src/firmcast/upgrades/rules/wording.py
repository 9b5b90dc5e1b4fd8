"""Why an upgrade ended is said in the vendor's words where it has words for it, since applications show or match them.

A text is the vendor's, or begins with the vendor's and tells more after a colon; the vendor has no words for some ends
that occur here. One of its texts is never used: cells are not asked for. Source: contract page,
section 6, the reasons of a device's failure.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from firmcast.lwm2m.firmware_update import (
    Protocol,
    TransferWay,
    UpdateResult,
    describe_result,
    is_failure,
    parse_result,
)
from firmcast.upgrades.model import RefusedWay, UpgradePhase

SAME_VERSION: Final = "The current version is the same as the target version"
TASK_CONFLICT: Final = "Task Conflict"
NO_FIRMWARE_OBJECT: Final = (
    "The task failed to start, unable to find protocol service based on device information:"
    " the device has no firmware object (LwM2M Object 5)"
)
NOT_ONLINE: Final = "Device Abnormal is not online"
"""It was there, and answers no more; who never came is told of by the time-out of waiting."""
BUSY: Final = "Task Conflict: the device is busy with a firmware update that is not this one"
NO_COMMON_METHOD: Final = "Unsupported protocol: the device fetches packages only, and by none that is offered to it"
HTTP_FORBIDDEN: Final = (
    "a device with a secure session is offered HTTP, which is in clear, only if upgrades.http_in_clear allows it"
)
NO_WAY_LEFT: Final = "Unsupported protocol: the device took the package in none of the ways that it has"
NO_BYTES: Final = "The bytes of the package cannot be read"
STOPPED: Final = "The upgrade was stopped"
WINDOW_OVER: Final = "The upgrade was stopped: the device did not come online within the window of the task"
WINDOW_TOO_SHORT: Final = (
    "The upgrade was stopped: the device had not got the package when the window of the task ended"
)
NOBODY_MATCHES: Final = "No device of the groups has the device type, the model and the manufacturer of the task"
SUCCEEDED: Final = "The firmware was updated"
NO_EVIDENCE: Final = "Firmware update failed: the device came back Idle with neither a result nor the target version"
OLD_VERSION: Final = "Firmware update failed: the device tells success, and still runs the version that it had"
PACKAGE_KEPT: Final = "Firmware update failed: the device did not install the package, and kept it"
DROPPED: Final = "Connection lost during downloading process: the device dropped the package and gave no reason"

NOT_ASKED_FOR: Final = "the device took the address and asked for nothing"

DEFERRED: Final = "The device has put the installation off"
"""Of one that is still open; it is told again to install."""
DEFERRED_TOO_LONG: Final = "Firmware update failed: the device put the installation off until its time was over"
DEFERRED_BEYOND_WINDOW: Final = (
    "The upgrade was stopped: the device put the installation off until the window of the task ended"
)

_PROTOCOLS: Final[Mapping[Protocol, str]] = MappingProxyType(
    {
        Protocol.COAP: "CoAP",
        Protocol.COAPS: "CoAPs",
        Protocol.HTTP: "HTTP",
        Protocol.HTTPS: "HTTPS",
        Protocol.COAP_TCP: "CoAP over TCP",
        Protocol.COAP_TLS: "CoAP over TLS",
    }
)

_WAYS: Final[Mapping[TransferWay, str]] = MappingProxyType(
    {
        TransferWay.COAP: "fetched by CoAP",
        TransferWay.COAPS: "fetched by CoAPs",
        TransferWay.HTTP: "fetched by HTTP",
        TransferWay.HTTPS: "fetched by HTTPS",
        TransferWay.WRITTEN: "written",
    }
)

_RESULTS: Final[Mapping[UpdateResult, str]] = MappingProxyType(
    {
        UpdateResult.NOT_ENOUGH_FLASH: "Not enough storage for the new firmware package",
        UpdateResult.OUT_OF_MEMORY: "Out of memory during downloading process",
        UpdateResult.CONNECTION_LOST: "Connection lost during downloading process",
        UpdateResult.INTEGRITY_CHECK_FAILED: "Integrity check failure for new downloaded package",
        UpdateResult.UNSUPPORTED_PACKAGE_TYPE: "Unsupported package type",
        UpdateResult.INVALID_URI: "Invalid URI",
        UpdateResult.UPDATE_FAILED: "Firmware update failed",
    }
)

TIMEOUTS: Final[Mapping[UpgradePhase, str]] = MappingProxyType(
    {
        UpgradePhase.WAITING: "Waiting for the device online timeout",
        UpgradePhase.INSPECTING: "Waiting for report device firmware version timeout",
        UpgradePhase.TRANSFERRING: "Waiting for device downloaded package timeout",
        UpgradePhase.EXECUTING: "Wait for the device to report upgrade result timeout",
        UpgradePhase.VERIFYING: "Updating timeout and query device version for check timeout",
    }
)


def describe_no_method(
    taken: Iterable[Protocol], offered: Iterable[Protocol], *, http_is_forbidden: bool = False
) -> str:
    """Return why there is no way: what the device takes and is offered, and the setting that would help."""
    said = f"{NO_COMMON_METHOD}: it takes {_names(taken)}, and is offered {_names(offered)}"
    return f"{said}; {HTTP_FORBIDDEN}" if http_is_forbidden else said


def describe_ways(refused: Iterable[RefusedWay]) -> str:
    """Return that no way is left, with all that were tried and what was answered to each."""
    return f"{NO_WAY_LEFT}: " + "; ".join(f"{_WAYS[each.way]}: {each.answer}" for each in refused)


def describe_answer(answer: str, result: int | None) -> str:
    """Return what a device answered to a way for its package, with the result that it had then if that says more."""
    fails = result is not None and is_failure(parse_result(result))
    return f"{answer}, result {result}" if fails else answer


def describe_success(wanted: str, told: str | None) -> str:
    """Return what a success is called; where the device names its new firmware otherwise, that is said."""
    return SUCCEEDED if not told or told == wanted else f"{SUCCEEDED}; the device calls its version {told!r}"


def describe_failure(result: int) -> str:
    """Return what a failing result of the device (/5/0/5) is called; any number has an answer."""
    known = parse_result(result)
    if isinstance(known, UpdateResult) and known in _RESULTS:
        return _RESULTS[known]
    said = describe_result(known)
    return said[:1].upper() + said[1:]


def describe_refusal(what: str, answer: str, result: int | None) -> str:
    """Return why an order came to nothing: what was refused, the device's answer, and its result if that tells more."""
    said = f"The device refused {what}: {answer}"
    if result is not None and is_failure(parse_result(result)):
        return f"{describe_failure(result)}. {said}"
    return said


def _names(protocols: Iterable[Protocol]) -> str:
    return ", ".join(_PROTOCOLS[protocol] for protocol in sorted(protocols)) or "none that is known"
