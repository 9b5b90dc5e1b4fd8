"""While a package is on its way: believe only readings, send again what broke off, install what arrived whole."""

from typing import Final

from firmcast.devices.model import CommandKind
from firmcast.events.model import Outcome
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    CommandFailure,
    Evidence,
    ResourcesReported,
    SessionRenewed,
    StopRequested,
    Tally,
    TransferProgressed,
    UpgradePhase,
)
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.evidence import (
    WINDOW_TOO_SHORT,
    Reading,
    Verdict,
    failure,
    judge_transfer,
    parse_state,
    reading_of,
    tells_failure,
)
from firmcast.upgrades.rules.ladder import DOWNLOADED, DOWNLOADING, IDLE, UPDATING, is_forward
from firmcast.upgrades.rules.looking import judge
from firmcast.upgrades.rules.offer import is_ours, start_transfer
from firmcast.upgrades.rules.turn import TRANSFERS, Turn

_LOST_TRANSFERS_LIMIT: Final = 5
"""So often a device may drop a transfer for no reason given; a loop of downloads serves nobody."""


def renew(turn: Turn, renewed: SessionRenewed) -> None:
    """Inspect before anything else: after a registration, or a start of ours, the transfer may be over or begun."""
    if renewed.newly_registered:
        turn.note(registered_anew=True)
    turn.order(CommandKind.INSPECT)


def progress(turn: Turn, progressed: TransferProgressed) -> None:
    """Tell of a written package that it is downloading, since its device may not; look soon after the last byte."""
    if turn.upgrade.evidence.transfer_kind is CommandKind.TRANSFER_BY_WRITE:
        _publish_unseen_download(turn)
    _note_download(turn, ended=progressed.finished)
    if progressed.finished:
        turn.note(transfer_finished=True)
        turn.hold(turn.limits.probe)


def report(turn: Turn, told: ResourcesReported) -> None:
    """Take in what the device told unasked."""
    turn.weigh(told)
    reading = reading_of(told)
    if reading is not None:
        _settle(turn, reading)
        return
    state = parse_state(told.state)
    published = turn.upgrade.published_state
    if state is not None and is_forward(published, state):
        _advance_to(turn, state)
    elif (state is IDLE and published is not IDLE) or tells_failure(turn.upgrade.evidence, told.result):
        # State and result come apart, in either order: neither alone is a verdict.
        turn.ask()


def answered(turn: Turn, answer: CommandAnswered) -> None:
    """Go on with what came of an order."""
    kind = turn.upgrade.command_kind
    turn.finish_order()
    if kind is CommandKind.INSPECT:
        inspected(turn, answer.resources)
    elif kind is CommandKind.PROBE:
        _probed(turn, answer.resources)
    elif kind is CommandKind.RESET:
        turn.order(CommandKind.INSPECT)
    else:
        _offered(turn, answer.resources, written=kind is CommandKind.TRANSFER_BY_WRITE)


def failed(turn: Turn, failed: CommandFailed) -> None:
    """Wait for a sign of life, or judge what the device said instead of doing it."""
    kind = turn.upgrade.command_kind
    turn.finish_order()
    if failed.failure is CommandFailure.NO_BYTES:
        turn.conclude(failure(wording.NO_BYTES), None)
    elif failed.failure is CommandFailure.UNREACHABLE:
        turn.weigh(failed.resources)
        turn.hold(turn.limits.probe)
    elif kind in TRANSFERS:
        _refused(turn, failed, by_uri=kind is CommandKind.TRANSFER_BY_URI)
    elif kind is CommandKind.RESET:
        turn.order(CommandKind.INSPECT)
    else:
        turn.hold()


def stop(turn: Turn, _stop: StopRequested) -> None:
    """Close, and have the device drop what it has of the package."""
    turn.close(
        Verdict(outcome=Outcome.CANCELLED, tally=Tally.STOPPED, description=wording.STOPPED),
        clean_up=True,
    )


def adopt(turn: Turn, told: ResourcesReported) -> None:
    """Go on with a transfer that the device has from us although we do not know of it: our store was set back."""
    turn.enter(UpgradePhase.TRANSFERRING)
    turn.change(evidence=Evidence(transfer_kind=CommandKind.TRANSFER_BY_URI))
    inspected(turn, told)


def inspected(turn: Turn, told: ResourcesReported) -> None:
    """Go on from wherever the device is now."""
    turn.weigh(told)
    state = parse_state(told.state)
    if state is None:
        turn.hold()
        return
    if state is not IDLE and not is_ours(turn.upgrade, told):
        _reset(turn)
        return
    if state is DOWNLOADING and _broke_off(turn.upgrade.evidence):
        # The rest of a written package that broke off cannot be had: it begins anew, from Idle.
        turn.publish(state)
        _reset(turn)
        return
    reading = Reading(state=state, result=told.result or 0, version=told.firmware_version)
    _settle(turn, reading)
    if turn.upgrade.phase is not UpgradePhase.TRANSFERRING:
        return
    if turn.time_is_up:
        judge(turn, reading)
    elif state is IDLE:
        _send_again(turn, told)
    else:
        turn.note(reset_ordered=False)
        turn.hold()


def _settle(turn: Turn, reading: Reading) -> None:
    """Close if the reading decides, or follow the device to where it is."""
    verdict = judge_transfer(turn.upgrade, reading)
    if verdict is None:
        _advance_to(turn, reading.state)
    else:
        turn.conclude(verdict, reading.state)


def _broke_off(evidence: Evidence) -> bool:
    is_written = evidence.transfer_kind is CommandKind.TRANSFER_BY_WRITE
    return is_written and (evidence.registered_anew or not evidence.transfer_finished)


def _note_download(turn: Turn, *, ended: bool) -> None:
    """Keep when the bytes began to flow and when the last one was there, as far as either is seen."""
    evidence = turn.upgrade.evidence
    if evidence.download_began_at is None and not ended:
        turn.note(download_began_at=turn.at)
    elif evidence.downloaded_at is None and ended:
        turn.note(downloaded_at=turn.at)


def _advance_to(turn: Turn, state: FirmwareUpdateState) -> None:
    turn.publish(state)
    if state in (DOWNLOADING, DOWNLOADED):
        _note_download(turn, ended=state is DOWNLOADED)
    if state is DOWNLOADED and turn.window_is_over:
        # To install now would be outside the window: the device is to drop what it has.
        turn.close(WINDOW_TOO_SHORT, clean_up=True)
    elif state is DOWNLOADED:
        turn.enter(UpgradePhase.EXECUTING)
        turn.note(executed_at=turn.at, registered_anew=False)
        turn.order(CommandKind.EXECUTE)
        turn.arm()
    elif state is UPDATING:
        # A client with "automatic upgrade at download" (OMA Object 5 1.2, resource 14) needs no order to install.
        turn.enter(UpgradePhase.EXECUTING)
        turn.note(executed_at=turn.at, registered_anew=False, execute_confirmed=True)
        turn.withdraw()
        turn.arm()


def _send_again(turn: Turn, told: ResourcesReported) -> None:
    evidence = turn.upgrade.evidence
    if evidence.transfer_finished and not evidence.registered_anew:
        turn.conclude(failure(wording.DROPPED), IDLE)
    else:
        start_transfer(turn, told)


def _reset(turn: Turn) -> None:
    if turn.upgrade.evidence.reset_ordered:
        turn.conclude(failure(wording.BUSY), None)
    else:
        turn.note(reset_ordered=True)
        turn.order(CommandKind.RESET)


def _probed(turn: Turn, told: ResourcesReported) -> None:
    had_begun = turn.upgrade.published_state is not IDLE
    turn.weigh(told)
    reading = reading_of(told)
    if reading is not None:
        _settle(turn, reading)
    if turn.upgrade.phase is not UpgradePhase.TRANSFERRING:
        return
    if turn.time_is_up:
        judge(turn, reading)
    elif reading is not None and reading.state is IDLE and had_begun and not turn.upgrade.evidence.transfer_finished:
        _lost(turn)
    else:
        turn.arm()


def _lost(turn: Turn) -> None:
    lost = turn.upgrade.evidence.lost_transfers + 1
    turn.note(lost_transfers=lost)
    if lost >= _LOST_TRANSFERS_LIMIT:
        turn.conclude(failure(wording.DROPPED), IDLE)
    else:
        turn.order(CommandKind.INSPECT)
        turn.arm()


def _offered(turn: Turn, told: ResourcesReported, *, written: bool) -> None:
    if written:
        turn.note(transfer_finished=True)
        _publish_unseen_download(turn)
        _note_download(turn, ended=True)
    report(turn, told)
    if turn.upgrade.phase is not UpgradePhase.TRANSFERRING:
        return
    if written and turn.upgrade.command_kind is None and reading_of(told) is None:
        # Its answer means that the bytes arrived, not that they are good.
        turn.order(CommandKind.PROBE)
    turn.hold(turn.limits.probe)


def _refused(turn: Turn, failed: CommandFailed, *, by_uri: bool) -> None:
    turn.weigh(failed.resources)
    reading = reading_of(failed.resources)
    if reading is not None:
        _settle(turn, reading)
    if turn.upgrade.phase is not UpgradePhase.TRANSFERRING:
        return
    if by_uri and reading is not None and reading.state is DOWNLOADING:
        # An order given twice over a crash: the device refuses the second while it obeys the first.
        turn.hold()
        return
    what = "the address of the package" if by_uri else "the package"
    description = wording.describe_refusal(what, failed.description, failed.resources.result)
    turn.conclude(failure(description), parse_state(failed.resources.state))


def _publish_unseen_download(turn: Turn) -> None:
    if turn.upgrade.published_state is IDLE:
        turn.publish(DOWNLOADING, observed=False)
