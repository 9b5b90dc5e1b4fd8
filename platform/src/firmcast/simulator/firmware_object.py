"""A device's Object 5 only decides: object and input in; object, answer, actions and reports out.

Reports are in the order real clients send them: state, then result, then version. Equal values are never reported.
Source: OMA Object 5 (Firmware Update) 1.0 and 1.1, and the behaviour of real clients where the text leaves room.
"""

from dataclasses import replace
from typing import assert_never

from firmcast.lwm2m.firmware_update import (
    LONGEST_PACKAGE_URI,
    DeliveryMethod,
    FirmwareUpdateState,
    Protocol,
    UpdateResult,
)
from firmcast.lwm2m.paths import FIRMWARE_RESULT, FIRMWARE_STATE, FIRMWARE_VERSION, Path
from firmcast.simulator.firmware_steps import (
    Action,
    Answer,
    CancelExecuted,
    ChangePort,
    DeferralEnded,
    DownloadFinished,
    EndDeferral,
    EndInstall,
    FirmwareObject,
    Input,
    InstallEnded,
    Occurrence,
    PackageStarted,
    PackageWritten,
    Reboot,
    Rebooted,
    RegisterAnew,
    Request,
    ResetWritten,
    StartDownload,
    Step,
    StopTransfer,
    Transfer,
    TransferFailed,
    UpdateExecuted,
    UriWritten,
)
from firmcast.simulator.profile import DOWNLOADED, DOWNLOADING, IDLE, UPDATING, DeviceProfile

_SCHEMES = {
    "coap": Protocol.COAP,
    "coaps": Protocol.COAPS,
    "http": Protocol.HTTP,
    "https": Protocol.HTTPS,
    "coap+tcp": Protocol.COAP_TCP,
    "coaps+tcp": Protocol.COAP_TLS,
}


def start(profile: DeviceProfile) -> FirmwareObject:
    """Return the object of a device that never upgraded, or whose upgrade was long ago."""
    return FirmwareObject(
        version=profile.version,
        state=DOWNLOADING if profile.is_stub else IDLE,
        result=profile.first_result,
        package_uri=profile.first_package_uri,
    )


def install_succeeds(profile: DeviceProfile) -> bool:
    """Say whether an install on such a device ends, and ends well."""
    return profile.failed_install_returns_to is None and not profile.hang_in_updating


def advance(profile: DeviceProfile, before: FirmwareObject, happened: Input) -> Step:
    """Return what `happened` makes of the object. An input that fits no state changes nothing."""
    if profile.is_stub:
        return _nothing(before)
    step = _asked(profile, before, happened) if isinstance(happened, Request) else _occurred(profile, before, happened)
    after = step.after
    reports = tuple(path for path in step.reports if path != FIRMWARE_STATE or after.state not in profile.unnotified)
    if profile.result_first and FIRMWARE_STATE in reports and FIRMWARE_RESULT in reports:
        reports = (FIRMWARE_RESULT, FIRMWARE_STATE, *reports[2:])
    actions = step.actions
    if before.state is not after.state:
        if after.state is profile.registers_anew_in:
            actions = (*actions, RegisterAnew())
        if after.state is profile.changes_port_in:
            actions = (*actions, ChangePort())
    return replace(step, reports=reports, actions=actions)


def _asked(profile: DeviceProfile, before: FirmwareObject, request: Request) -> Step:
    is_reset = isinstance(request, ResetWritten | CancelExecuted) or request == UriWritten(uri="")
    if is_reset and before.unanswered_resets < profile.unanswered_resets:
        after = replace(before, unanswered_resets=before.unanswered_resets + 1)
        return Step(after=after, answer=Answer.NONE)
    match request:
        case UriWritten(uri=uri):
            return _uri_written(profile, before, uri) if uri else _reset(profile, before)
        case ResetWritten():
            return _nul_written(profile, before)
        case CancelExecuted():
            return _cancelled(before)
        case PackageStarted():
            return _package_started(profile, before)
        case PackageWritten(intact=intact):
            return _complete(profile, before, intact) if before.transfer is Transfer.BY_WRITE else _refused(before)
        case UpdateExecuted():
            return _executed(profile, before)
        case _:
            assert_never(request)


def _occurred(profile: DeviceProfile, before: FirmwareObject, happened: Occurrence) -> Step:
    match happened:
        case DownloadFinished(intact=intact):
            return _complete(profile, before, intact) if before.transfer is Transfer.BY_URI else _nothing(before)
        case TransferFailed(result=result):
            if before.transfer is None:
                return _nothing(before)
            return _changed(before, replace(before, state=IDLE, result=result, transfer=None))
        case DeferralEnded():
            return _deferral_ended(profile, before)
        case InstallEnded():
            return _install_ended(profile, before)
        case Rebooted():
            return _rebooted(profile, before)
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


def _reset(profile: DeviceProfile, before: FirmwareObject) -> Step:
    if before.state not in profile.honours_reset_in:
        return _refused(before) if profile.denies_reset else _nothing(before)
    return _emptied(before, UpdateResult.INITIAL)


def _emptied(before: FirmwareObject, result: UpdateResult) -> Step:
    actions = (StopTransfer(),) if before.transfer is not None else ()
    return _changed(before, replace(_empty(before), result=result), *actions)


def _empty(before: FirmwareObject) -> FirmwareObject:
    """Return a device in state 0 that remembers nothing of a package, and what it ran."""
    return FirmwareObject(
        version=before.version, unanswered_resets=before.unanswered_resets, cuts_at_update=before.cuts_at_update
    )


def _nul_written(profile: DeviceProfile, before: FirmwareObject) -> Step:
    if not profile.takes_nul_for_package or before.state in (DOWNLOADED, UPDATING):
        return _reset(profile, before)
    if before.transfer is None and profile.delivery is DeliveryMethod.PULL:
        return _refused(before)
    # One byte of an image: too little by itself, and too much for the package that is coming.
    stop = (StopTransfer(),) if before.transfer is not None else ()
    after = replace(before, state=IDLE, result=UpdateResult.INTEGRITY_CHECK_FAILED, transfer=None)
    return _changed(before, after, *stop)


def _cancelled(before: FirmwareObject) -> Step:
    if before.state not in (DOWNLOADING, DOWNLOADED) and before.transfer is None:
        return _refused(before)
    return _emptied(before, UpdateResult.CANCELLED)


def _uri_written(profile: DeviceProfile, before: FirmwareObject, uri: str) -> Step:
    if profile.ignores_uri_while_busy and before.state is not IDLE:
        return _nothing(before)
    if before.state is UPDATING or profile.delivery is DeliveryMethod.PUSH or profile.refuses_addresses:
        return _refused(before)
    if before.state is not IDLE:
        return Step(after=before, answer=Answer.BAD_REQUEST)
    if profile.leaves_addresses is not None and wrong_with(profile, uri) is not None:
        return _left_alone(before, uri, profile.leaves_addresses)
    wrong = wrong_with(profile, uri) if profile.judges_uri_at_once else None
    if wrong is not None:
        # As measured: refused at once, the state does not move.
        return _changed(before, replace(before, result=wrong), answer=Answer.BAD_REQUEST)
    after = replace(
        before,
        state=DOWNLOADING,
        result=UpdateResult.INITIAL,
        package_uri=uri,
        transfer=Transfer.BY_URI,
        deferred=0,
    )
    # A package that stopped coming, and whose state was never shown, does not bar the way.
    stop = () if before.transfer is None else (StopTransfer(),)
    return _changed(before, after, *stop, StartDownload(uri=uri))


def _left_alone(before: FirmwareObject, uri: str, state: FirmwareUpdateState) -> Step:
    transfer = Transfer.BY_URI if state is DOWNLOADING else None
    after = replace(before, state=state, result=UpdateResult.INITIAL, package_uri=uri, transfer=transfer, deferred=0)
    return _changed(before, after)


def wrong_with(profile: DeviceProfile, uri: str) -> UpdateResult | None:
    """Return the result for a package address that such a device cannot use; None for one that it can."""
    scheme, separator, rest = uri.partition("://")
    if not separator or not rest or len(uri) > LONGEST_PACKAGE_URI or not uri.isascii():
        return UpdateResult.INVALID_URI
    protocol = _SCHEMES.get(scheme.lower())
    listed = profile.speaks if profile.lists_as_in_clear else profile.protocols or profile.speaks
    if protocol not in profile.speaks or protocol not in listed:
        return UpdateResult.UNSUPPORTED_PROTOCOL
    return None


def _package_started(profile: DeviceProfile, before: FirmwareObject) -> Step:
    if profile.delivery is DeliveryMethod.PULL or profile.refuses_packages:
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
        deferred=0,
    )
    return _changed(before, after)


def _complete(profile: DeviceProfile, before: FirmwareObject, intact: bool) -> Step:
    rejected = profile.rejects_package_with
    if intact and rejected is None:
        return _changed(before, replace(before, state=DOWNLOADED, transfer=None))
    result = UpdateResult.INTEGRITY_CHECK_FAILED if rejected is None else rejected
    return _changed(before, replace(before, state=IDLE, result=result, transfer=None))


def _executed(profile: DeviceProfile, before: FirmwareObject) -> Step:
    if before.state is not DOWNLOADED:
        return _refused(before)
    if before.cuts_at_update < profile.power_cuts_at_update:
        after = replace(before, cuts_at_update=before.cuts_at_update + 1)
        return Step(after=after, answer=Answer.NONE, actions=(Reboot(after=0.0),))
    if before.deferred >= profile.defers:
        return _installing(profile, before)
    if profile.defers_from is UPDATING:
        # It begins, and thinks better of it at once.
        after = replace(before, state=UPDATING, result=UpdateResult.INITIAL)
        return _changed(before, after, EndInstall(after=0.0))
    return _deferred(profile, before)


def _installing(profile: DeviceProfile, before: FirmwareObject) -> Step:
    after = replace(before, state=UPDATING, result=UpdateResult.INITIAL)
    if not profile.answers_update:
        return Step(after=after, answer=Answer.NONE, actions=(Reboot(after=0.0),))
    if profile.hang_in_updating:
        return _changed(before, after)
    if profile.failed_install_returns_to is not None or profile.notify_final_idle:
        return _changed(before, after, EndInstall(after=profile.reboot_delay))
    return _changed(before, after, Reboot(after=profile.reboot_delay))


def _deferred(profile: DeviceProfile, before: FirmwareObject) -> Step:
    after = replace(before, state=DOWNLOADED, result=UpdateResult.DEFERRED, deferred=before.deferred + 1)
    return _changed(before, after, *_waiting(profile, after))


def _waiting(profile: DeviceProfile, device: FirmwareObject) -> tuple[Action, ...]:
    deferred = device.state is DOWNLOADED and device.result is UpdateResult.DEFERRED
    return () if profile.defers_for is None or not deferred else (EndDeferral(after=profile.defers_for),)


def _deferral_ended(profile: DeviceProfile, before: FirmwareObject) -> Step:
    if before.state is not DOWNLOADED or before.result is not UpdateResult.DEFERRED:
        return _nothing(before)
    step = _installing(profile, replace(before, deferred=max(before.deferred, profile.defers)))
    return replace(step, answer=Answer.CHANGED)


def _install_ended(profile: DeviceProfile, before: FirmwareObject) -> Step:
    if before.state is not UPDATING:
        return _nothing(before)
    if before.deferred < profile.defers:
        return _deferred(profile, before)
    return _nothing(before) if profile.hang_in_updating else _changed(before, _installed(profile, before))


def _installed(profile: DeviceProfile, before: FirmwareObject) -> FirmwareObject:
    if profile.failed_install_returns_to is not None:
        return replace(before, state=profile.failed_install_returns_to, result=UpdateResult.UPDATE_FAILED)
    return replace(
        _empty(before),
        version=profile.installs_version,
        result=UpdateResult.SUCCESS,
        package_uri=before.package_uri if profile.keeps_package_uri else "",
    )


def _rebooted(profile: DeviceProfile, before: FirmwareObject) -> Step:
    after = _after_reboot(profile, before)
    if profile.forgets_state_on_reboot:
        return Step(after=_empty(after))
    if after.transfer is Transfer.BY_URI:
        return Step(after=after, actions=(StartDownload(uri=after.package_uri),))
    return Step(after=after, actions=_waiting(profile, after))


def _after_reboot(profile: DeviceProfile, before: FirmwareObject) -> FirmwareObject:
    if before.state is UPDATING:
        if before.deferred < profile.defers:
            return _deferred(profile, before).after
        if profile.hang_in_updating:
            return replace(before, state=IDLE, result=UpdateResult.UPDATE_FAILED)
        return _installed(profile, before)
    if before.state is DOWNLOADED and profile.loses_package_with_power:
        return _empty(before)
    if before.transfer is None or (before.transfer is Transfer.BY_URI and profile.keeps_download_over_reboot):
        return before
    return replace(before, state=IDLE, result=UpdateResult.CONNECTION_LOST, transfer=None)
