"""While a package is on its way: believe only readings, send again what broke off, install what arrived whole.

What a device does not take in one way it is sent in another, as long as there is one: see `ways`.
"""

from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from firmcast.devices.model import CommandKind
from firmcast.lwm2m.firmware_update import FirmwareUpdateState, UpdateResult
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    CommandFailure,
    Evidence,
    ResourcesReported,
    SessionRenewed,
    StopRequested,
    TransferProgressed,
    UpgradePhase,
)
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.evidence import (
    LOST_TRANSFERS_LIMIT,
    STOPPED,
    WINDOW_TOO_SHORT,
    Reading,
    failure,
    has_begun,
    is_its_doing,
    judge_transfer,
    leaves_it,
    parse_state,
    reading_of,
    refusal,
    tells_failure,
    tells_lost_transfer,
)
from firmcast.upgrades.rules.ladder import DOWNLOADED, DOWNLOADING, IDLE, UPDATING, is_forward
from firmcast.upgrades.rules.looking import judge
from firmcast.upgrades.rules.offer import is_ours, start_transfer
from firmcast.upgrades.rules.turn import TRANSFERS, Turn
from firmcast.upgrades.rules.ways import describe_end, give_up_way, is_given_up, speaks_against_the_way

_AT_ONCE: Final = timedelta(0)


def renew(turn: Turn, renewed: SessionRenewed) -> None:
    """Inspect before anything else: after a registration, or a start of ours, the transfer may be over or begun."""
    turn.note(asks_by=None, **({"registered_anew": True} if renewed.newly_registered else {"interrupted": True}))
    if renewed.was_unattended:
        turn.enter_anew()
    turn.order(CommandKind.INSPECT)


def progress(turn: Turn, progressed: TransferProgressed) -> None:
    """Tell of a written package that it is downloading, since its device may not; look soon after the last byte.

    The last byte of a package that the device fetches was sent, which does not say that it came.
    """
    by_write = turn.upgrade.evidence.transfer_kind is CommandKind.TRANSFER_BY_WRITE
    if by_write:
        _publish_unseen_download(turn)
    else:
        turn.note(has_asked=True, asks_by=None)
    if (by_write or turn.limits.fetches_in_turn) and not turn.upgrade.evidence.turn_came:
        # What is over of its time went by while others had theirs.
        turn.note(turn_came=True)
        turn.enter(UpgradePhase.TRANSFERRING)
        turn.arm()
    _note_download(turn, ended=progressed.finished)
    if progressed.finished:
        if turn.upgrade.evidence.transfer_kind is CommandKind.TRANSFER_BY_WRITE:
            turn.note(transfer_finished=True)
        turn.hold(turn.limits.probe)


def report(turn: Turn, told: ResourcesReported) -> None:
    """Take in what the device told unasked."""
    turn.weigh(told)
    reading = reading_of(told)
    if reading is not None:
        _settle(turn, reading)
        # A device that never shows state 1 is Idle while it is written to.
        is_certain = turn.upgrade.command_kind is None or tells_failure(turn.upgrade.evidence, reading.result)
        if is_certain and _has_lost(turn, reading):
            _lost(turn, reading)
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
        is_write = kind is CommandKind.TRANSFER_BY_WRITE
        turn.note(interrupted=turn.upgrade.evidence.interrupted or is_write, asks_by=None)
        turn.weigh(failed.resources)
        turn.hold(turn.limits.probe)
    elif failed.failure is CommandFailure.BROKEN_OFF and _may_begin_anew(turn.upgrade.evidence):
        _broken_off(turn, failed)
    elif kind in TRANSFERS:
        _refused(turn, failed, by_uri=kind is CommandKind.TRANSFER_BY_URI)
    elif kind is CommandKind.RESET:
        turn.order(CommandKind.INSPECT)
    else:
        turn.hold()


def stop(turn: Turn, _stop: StopRequested) -> None:
    """Close, and have the device drop what it has of the package."""
    turn.close(STOPPED, clean_up=True)


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
        if turn.upgrade.evidence.reset_ordered:
            # It does not let itself be reset: then block 0 has to be beginning enough.
            _send_again(turn, told)
        else:
            _reset(turn)
        return
    reading = Reading(state=state, result=told.result or 0, version=told.firmware_version)
    _settle(turn, reading)
    if turn.upgrade.phase is not UpgradePhase.TRANSFERRING:
        return
    if turn.time_is_up:
        judge(turn, reading)
    elif leaves_it(turn.upgrade, turn.at):
        _give_up_what_lies(turn)
    elif state is IDLE:
        _send_again(turn, told)
    else:
        turn.note(reset_ordered=False)
        _await_first_request(turn)
        # It had the last byte sent and is not done: the notification that it is may be lost.
        _look_again(turn, None if turn.upgrade.evidence.downloaded_at is None else turn.limits.probe)


def _await_first_request(turn: Turn) -> None:
    """Give a device that has an address its time to ask for the first byte, unless that runs."""
    evidence = turn.upgrade.evidence
    is_sent = evidence.transfer_kind is CommandKind.TRANSFER_BY_URI and not evidence.has_asked
    if is_sent and evidence.asks_by is None:
        turn.note(asks_by=turn.at + turn.limits.fetching)


def _look_again(turn: Turn, after: timedelta | None) -> None:
    """Look again as `Turn.hold` says; when a first byte should have been asked for, at the latest."""
    evidence = turn.upgrade.evidence
    if evidence.asks_by is not None and evidence.another_way:
        usual = turn.limits.between_checks(UpgradePhase.TRANSFERRING) if after is None else after
        after = max(_AT_ONCE, min(usual, evidence.asks_by - turn.at))
    turn.hold(after)


def _give_up_what_lies(turn: Turn) -> None:
    """Bring a device that lets an address lie back to Idle, from where it is sent the package in another way.

    It may still obey the address. One that stays where it is has its time, and is told again after as long.
    """
    evidence = give_up_way(turn.upgrade.evidence, wording.NOT_ASKED_FOR, was_left=True)
    turn.change(evidence=replace(evidence, reset_ordered=True, asks_by=turn.at + turn.limits.fetching))
    turn.order(CommandKind.RESET)
    turn.hold()


def _settle(turn: Turn, reading: Reading) -> None:
    """Close if the reading decides, or follow the device to where it is."""
    is_late = turn.time_is_up or turn.window_is_over
    verdict = judge_transfer(turn.upgrade, reading, is_late=is_late)
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


def _has_lost(turn: Turn, reading: Reading) -> bool:
    """Tell whether the device had taken up the transfer that is open still, and is Idle."""
    is_open = turn.upgrade.phase is UpgradePhase.TRANSFERRING
    return is_open and reading.state is IDLE and has_begun(turn.upgrade.evidence)


def _send_again(turn: Turn, told: ResourcesReported) -> None:
    """Send the package once more, unless the device has lost it so often that it would lose it for ever.

    Where this way does not work it is sent in another one.
    """
    evidence = turn.upgrade.evidence
    lost = evidence.lost_transfers + is_its_doing(evidence)
    says_why = tells_lost_transfer(evidence, told.result)
    if is_given_up(evidence):
        start_transfer(turn, told)
        return
    if says_why and speaks_against_the_way(told.result):
        _send_otherwise(turn, told, wording.describe_failure(told.result or 0))
        return
    turn.note(
        lost_transfers=lost,
        spoilt=evidence.spoilt or (says_why and told.result == UpdateResult.INTEGRITY_CHECK_FAILED),
    )
    was_dropped = evidence.transfer_finished and not evidence.registered_anew and not says_why
    if not was_dropped and lost >= LOST_TRANSFERS_LIMIT and evidence.another_way:
        why = wording.describe_failure(told.result or 0) if says_why else wording.DROPPED
        _send_otherwise(turn, told, f"{why}, {lost} times")
    elif was_dropped or lost >= LOST_TRANSFERS_LIMIT:
        turn.conclude(failure(wording.DROPPED), parse_state(told.state))
    else:
        start_transfer(turn, told)


def _send_otherwise(turn: Turn, told: ResourcesReported, answer: str) -> None:
    turn.change(evidence=give_up_way(turn.upgrade.evidence, answer))
    start_transfer(turn, told)


def _reset(turn: Turn) -> None:
    if turn.upgrade.evidence.reset_ordered:
        turn.conclude(failure(wording.BUSY), None)
    else:
        turn.note(reset_ordered=True)
        turn.order(CommandKind.RESET)


def _probed(turn: Turn, told: ResourcesReported) -> None:
    turn.weigh(told)
    reading = reading_of(told)
    if reading is not None:
        _settle(turn, reading)
    if turn.upgrade.phase is not UpgradePhase.TRANSFERRING:
        return
    if turn.time_is_up and _may_wait_on(turn, reading):
        turn.enter(UpgradePhase.TRANSFERRING)
        turn.order(CommandKind.INSPECT)
        turn.hold()
    elif turn.time_is_up:
        judge(turn, reading)
    elif reading is not None and _has_lost(turn, reading):
        _lost(turn, reading)
    else:
        turn.arm()


def _may_wait_on(turn: Turn, reading: Reading | None) -> bool:
    """Tell whether the device is there, and it is for us to begin with it: for as long as it was waited for."""
    until = turn.upgrade.waiting_ends_at
    is_ready = reading is not None and reading.state is IDLE and turn.upgrade.evidence.awaits_turn
    return is_ready and not turn.window_is_over and until is not None and turn.at < until


def _lost(turn: Turn, reading: Reading) -> None:
    """Look at an Idle device that has lost what it was sent, before it is sent again; it may need time for that."""
    says_why = tells_lost_transfer(turn.upgrade.evidence, reading.result)
    if reading.result == UpdateResult.OUT_OF_MEMORY and says_why:
        turn.withdraw()
        turn.hold(turn.limits.probe)
    elif says_why or not turn.upgrade.evidence.transfer_finished:
        turn.order(CommandKind.INSPECT)
        turn.hold()
    else:
        turn.hold()


def _offered(turn: Turn, told: ResourcesReported, *, written: bool) -> None:
    if written:
        turn.note(transfer_finished=True)
        _publish_unseen_download(turn)
        _note_download(turn, ended=True)
    report(turn, told)
    if turn.upgrade.phase is not UpgradePhase.TRANSFERRING:
        return
    _await_first_request(turn)
    if written and turn.upgrade.command_kind is None and reading_of(told) is None:
        # Its answer means that the bytes arrived, not that they are good.
        turn.order(CommandKind.PROBE)
    _look_again(turn, turn.limits.probe)


def _may_begin_anew(evidence: Evidence) -> bool:
    """Tell whether a device took some blocks before it missed any, and can have the package in no other way."""
    return is_its_doing(evidence) and not evidence.another_way


def _broken_off(turn: Turn, failed: CommandFailed) -> None:
    """Begin anew, as often as with any lost transfer: the device may take each repeat on a bad network for a gap."""
    turn.weigh(failed.resources)
    reading = reading_of(failed.resources)
    if reading is not None:
        _settle(turn, reading)
    if turn.upgrade.phase is not UpgradePhase.TRANSFERRING:
        return
    if turn.time_is_up:
        judge(turn, reading)
    else:
        turn.order(CommandKind.INSPECT)
        turn.hold()


def _refused(turn: Turn, failed: CommandFailed, *, by_uri: bool) -> None:
    turn.weigh(failed.resources)
    reading = reading_of(failed.resources)
    result = failed.resources.result
    answer = wording.describe_answer(failed.description, result)
    if reading is None or reading.state is IDLE or not by_uri:
        turn.change(evidence=give_up_way(turn.upgrade.evidence, answer))
    if reading is not None:
        _settle(turn, reading)
    if turn.upgrade.phase is not UpgradePhase.TRANSFERRING:
        return
    if by_uri and reading is not None and reading.state is DOWNLOADING:
        # An order given twice over a crash: the device refuses the second while it obeys the first.
        turn.hold()
        return
    if turn.upgrade.evidence.another_way and not turn.time_is_up:
        turn.order(CommandKind.INSPECT)
        turn.hold()
        return
    tried = describe_end(turn.upgrade.evidence, answer, result)
    what = "the address of the package" if by_uri else "the package"
    verdict = refusal(what, failed.description, result) if tried is None else failure(tried)
    turn.conclude(verdict, parse_state(failed.resources.state))


def _publish_unseen_download(turn: Turn) -> None:
    if turn.upgrade.published_state is IDLE:
        turn.publish(DOWNLOADING, observed=False)
