"""Why an upgrade ended is said in the vendor's words where it has words for it, since applications show or match them.

Source: contract page, section 6, the reasons of a device's failure.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from firmcast.lwm2m.firmware_update import UpdateResult, describe_result, is_failure, parse_result
from firmcast.upgrades.model import UpgradePhase

SAME_VERSION: Final = "The current version is the same as the target version"
TASK_CONFLICT: Final = "Task Conflict"
NO_FIRMWARE_OBJECT: Final = (
    "The task failed to start, unable to find protocol service based on device information:"
    " the device told no firmware update state"
)
BUSY: Final = "Device Abnormal: it is busy with a firmware update that is not this one"
NO_COMMON_METHOD: Final = "Device Abnormal: it fetches packages only, and by no protocol that is offered"
NO_BYTES: Final = "The bytes of the package cannot be read"
STOPPED: Final = "The upgrade was stopped"
WINDOW_OVER: Final = "The upgrade was stopped: the device did not come online within the window of the task"
SUCCEEDED: Final = "The firmware was updated"
NO_EVIDENCE: Final = "Firmware update failed: the device came back Idle with neither a result nor the target version"
PACKAGE_KEPT: Final = "Firmware update failed: the device did not install the package, and kept it"
DROPPED: Final = "Connection lost during downloading process: the device dropped the package and gave no reason"

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
