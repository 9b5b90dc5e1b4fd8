"""What can happen to a device's Object 5, and what it leads to: records of inputs, answers, actions and steps."""

from dataclasses import dataclass
from enum import Enum, unique
from typing import TypeAlias

from firmcast.lwm2m.firmware_update import FirmwareUpdateState, UpdateResult
from firmcast.lwm2m.paths import Path
from firmcast.simulator.profile import IDLE


@unique
class Transfer(Enum):
    """How a package is on its way to the device."""

    BY_URI = "by_uri"
    BY_WRITE = "by_write"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareObject:
    """What the device remembers; `transfer` is under way exactly while a package is."""

    version: str
    state: FirmwareUpdateState = IDLE
    result: UpdateResult = UpdateResult.INITIAL
    package_uri: str = ""
    transfer: Transfer | None = None
    deferred: int = 0
    """How often the update of this package was put off."""
    unanswered_resets: int = 0
    """How many requests to go back to state 0 it has left unanswered."""
    cuts_at_update: int = 0
    """How often its power was cut when Update was ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UriWritten:
    """The server wrote /5/0/1; an empty text is a reset."""

    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageStarted:
    """The first block of a package written to /5/0/0 arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageWritten:
    """The package written to /5/0/0 is complete; `intact` tells how its integrity check ended."""

    intact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetWritten:
    """Nothing, or a single NUL, was written to /5/0/0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelExecuted:
    """The server executed /5/0/10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadFinished:
    """The package at the address is complete; `intact` tells how its integrity check ended."""

    intact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFailed:
    """The package could not be had: the download failed, or the rest of a written package never came."""

    result: UpdateResult


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateExecuted:
    """The server executed /5/0/2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferralEnded:
    """The time is over for which an update was put off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallEnded:
    """The install is over, and the device did not restart for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebooted:
    """The device has started again, after an install or because it lost its power."""


Request: TypeAlias = UriWritten | PackageStarted | PackageWritten | ResetWritten | CancelExecuted | UpdateExecuted
"""What the server does."""
Occurrence: TypeAlias = DownloadFinished | TransferFailed | DeferralEnded | InstallEnded | Rebooted
"""What happens in the device."""
Input: TypeAlias = Request | Occurrence


@unique
class Answer(Enum):
    """What the server is told about its request; NONE is no answer at all."""

    CHANGED = "2.04"
    BAD_REQUEST = "4.00"
    NOT_ALLOWED = "4.05"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartDownload:
    """Fetch the package at `uri`."""

    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTransfer:
    """Give up the transfer under way and drop what came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reboot:
    """Start again in `after` seconds, then put in Rebooted."""

    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EndInstall:
    """Put in InstallEnded in `after` seconds."""

    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDeferral:
    """Put in DeferralEnded in `after` seconds."""

    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterAnew:
    """Register again from where the device is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePort:
    """Go on from another port."""


Action: TypeAlias = StartDownload | StopTransfer | Reboot | EndInstall | EndDeferral | RegisterAnew | ChangePort


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What an input led to: the object now, the answer to a request, what to do and which resources to report."""

    after: FirmwareObject
    answer: Answer = Answer.CHANGED
    actions: tuple[Action, ...] = ()
    reports: tuple[Path, ...] = ()
