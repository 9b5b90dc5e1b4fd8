"""A device's Object 5 only decides: object and input in; object, answer, actions and reports out.

Reports are in the order real clients send them: state, then result, then version. Equal values are never reported.
Source: OMA Object 5 (Firmware Update) 1.0, and the behaviour of real clients where the text leaves room.
"""

from dataclasses import dataclass, replace
from enum import Enum, unique
from typing import TypeAlias, assert_never

from firmcast.lwm2m.firmware_update import (
    LONGEST_PACKAGE_URI,
    DeliveryMethod,
    FirmwareUpdateState,
    Protocol,
    UpdateResult,
)
from firmcast.lwm2m.paths import FIRMWARE_RESULT, FIRMWARE_STATE, FIRMWARE_VERSION, Path
from firmcast.simulator.profile import DeviceProfile

IDLE = FirmwareUpdateState.IDLE
DOWNLOADING = FirmwareUpdateState.DOWNLOADING
DOWNLOADED = FirmwareUpdateState.DOWNLOADED
UPDATING = FirmwareUpdateState.UPDATING

_SCHEMES = {
    "coap": Protocol.COAP,
    "coaps": Protocol.COAPS,
    "http": Protocol.HTTP,
    "https": Protocol.HTTPS,
    "coap+tcp": Protocol.COAP_TCP,
    "coaps+tcp": Protocol.COAP_TLS,
}


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
class InstallEnded:
    """The install is over, and the device did not restart for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebooted:
    """The device has started again, after an install or because it lost its power."""


Input: TypeAlias = (
    UriWritten
    | PackageStarted
    | PackageWritten
    | ResetWritten
    | DownloadFinished
    | TransferFailed
    | UpdateExecuted
    | InstallEnded
    | Rebooted
)


@unique
class Answer(Enum):
    """What the server is told about its request."""

    CHANGED = "2.04"
    BAD_REQUEST = "4.00"
    NOT_ALLOWED = "4.05"


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


Action: TypeAlias = StartDownload | StopTransfer | Reboot | EndInstall


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What an input led to: the object now, the answer to a request, what to do and which resources to report."""

    after: FirmwareObject
    answer: Answer = Answer.CHANGED
    actions: tuple[Action, ...] = ()
    reports: tuple[Path, ...] = ()


def start(profile: DeviceProfile) -> FirmwareObject:
    """Return the object of a device that never upgraded."""
    return FirmwareObject(version=profile.version)


def install_succeeds(profile: DeviceProfile) -> bool:
    """Say whether an install on such a device ends, and ends well."""
    return profile.failed_install_returns_to is None and not profile.hang_in_updating


def advance(profile: DeviceProfile, before: FirmwareObject, happened: Input) -> Step:
    """Return what `happened` makes of the object. An input that fits no state changes nothing."""
    match happened:
        case UriWritten(uri=uri):
            return _reset(before) if not uri else _uri_written(profile, before, uri)
        case ResetWritten():
            return _reset(before)
        case PackageStarted():
            return _package_started(profile, before)
        case PackageWritten(intact=intact):
            return _complete(before, intact) if before.transfer is Transfer.BY_WRITE else _refused(before)
        case DownloadFinished(intact=intact):
            return _complete(before, intact) if before.transfer is Transfer.BY_URI else _nothing(before)
        case TransferFailed(result=result):
            if before.transfer is None:
                return _nothing(before)
            return _changed(before, replace(before, state=IDLE, result=result, transfer=None))
        case UpdateExecuted():
            return _executed(profile, before)
        case InstallEnded():
            return _install_ended(profile, before)
        case Rebooted():
            return Step(after=_rebooted(profile, before))
        case _:
            assert_never(happened)


def _changed(before: FirmwareObject, after: FirmwareObject, *actions: Action, answer: Answer = Answer.CHANGED) -> Step:
    reports: list[Path] = []
    if after.state is not before.state:
        reports.append(FIRMWARE_STATE)
    if after.result is not before.result:
        reports.append(FIRMWARE_RESULT)
    if after.version != before.version:
        reports.append(FIRMWARE_VERSION)
    return Step(after=after, answer=answer, actions=actions, reports=tuple(reports))


def _nothing(before: FirmwareObject) -> Step:
    return Step(after=before)


def _refused(before: FirmwareObject) -> Step:
    return Step(after=before, answer=Answer.NOT_ALLOWED)


def _reset(before: FirmwareObject) -> Step:
    if before.state is UPDATING:
        return _refused(before)
    actions = (StopTransfer(),) if before.transfer is not None else ()
    after = FirmwareObject(version=before.version)
    return _changed(before, after, *actions)


def _uri_written(profile: DeviceProfile, before: FirmwareObject, uri: str) -> Step:
    if before.state is UPDATING or profile.delivery is DeliveryMethod.PUSH:
        return _refused(before)
    if before.state is not IDLE:
        return Step(after=before, answer=Answer.BAD_REQUEST)
    scheme, separator, rest = uri.partition("://")
    if not separator or not rest or len(uri) > LONGEST_PACKAGE_URI or not uri.isascii():
        return _changed(before, replace(before, result=UpdateResult.INVALID_URI), answer=Answer.BAD_REQUEST)
    protocol = _SCHEMES.get(scheme.lower())
    if protocol not in profile.speaks or protocol not in (profile.protocols or profile.speaks):
        # As measured: refused at once, the state does not move.
        after = replace(before, result=UpdateResult.UNSUPPORTED_PROTOCOL)
        return _changed(before, after, answer=Answer.BAD_REQUEST)
    after = replace(
        before,
        state=DOWNLOADING,
        result=UpdateResult.INITIAL,
        package_uri=uri,
        transfer=Transfer.BY_URI,
    )
    # A package that stopped coming, and whose state was never shown, does not bar the way.
    stop = () if before.transfer is None else (StopTransfer(),)
    return _changed(before, after, *stop, StartDownload(uri=uri))


def _package_started(profile: DeviceProfile, before: FirmwareObject) -> Step:
    if profile.delivery is DeliveryMethod.PULL:
        return _refused(before)
    if before.transfer is Transfer.BY_WRITE:
        # The server begins again at block 0, after a 4.08 or a restart of its own.
        return _nothing(before)
    if before.state is not IDLE or before.transfer is not None:
        return _refused(before)
    after = replace(
        before,
        state=DOWNLOADING if profile.shows_state_downloading else IDLE,
        result=UpdateResult.INITIAL,
        package_uri="",
        transfer=Transfer.BY_WRITE,
    )
    return _changed(before, after)


def _complete(before: FirmwareObject, intact: bool) -> Step:
    if intact:
        return _changed(before, replace(before, state=DOWNLOADED, transfer=None))
    after = replace(before, state=IDLE, result=UpdateResult.INTEGRITY_CHECK_FAILED, transfer=None)
    return _changed(before, after)


def _executed(profile: DeviceProfile, before: FirmwareObject) -> Step:
    if before.state is not DOWNLOADED:
        return _refused(before)
    action: Action = Reboot(after=profile.reboot_delay)
    if profile.failed_install_returns_to is not None or profile.notify_final_idle:
        action = EndInstall(after=profile.reboot_delay)
    after = replace(before, state=UPDATING, result=UpdateResult.INITIAL)
    return _changed(before, after, *(() if profile.hang_in_updating else (action,)))


def _install_ended(profile: DeviceProfile, before: FirmwareObject) -> Step:
    if before.state is not UPDATING or profile.hang_in_updating:
        return _nothing(before)
    return _changed(before, _installed(profile, before))


def _installed(profile: DeviceProfile, before: FirmwareObject) -> FirmwareObject:
    if profile.failed_install_returns_to is not None:
        return replace(before, state=profile.failed_install_returns_to, result=UpdateResult.UPDATE_FAILED)
    return FirmwareObject(version=profile.installs_version, result=UpdateResult.SUCCESS)


def _rebooted(profile: DeviceProfile, before: FirmwareObject) -> FirmwareObject:
    after = before
    if before.state is UPDATING:
        after = replace(before, state=IDLE, result=UpdateResult.UPDATE_FAILED)
        if not profile.hang_in_updating:
            after = _installed(profile, before)
    elif before.transfer is not None:
        after = replace(before, state=IDLE, result=UpdateResult.CONNECTION_LOST, transfer=None)
    return FirmwareObject(version=after.version) if profile.forgets_state_on_reboot else after
