"""Once told to install: an order without an answer may have been obeyed, and only readings tell how it ended.

A device that puts the installation off (result 11) keeps its package and is told again after a pause, as long as its
time and the window of the task last; it may also begin by itself. One that has lost its package is sent it again: see
`lost_packages`.
"""

from datetime import datetime, timedelta
from typing import Final

from firmcast.devices.model import CommandKind
from firmcast.lwm2m.firmware_update import FirmwareUpdateState, UpdateResult
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    CommandFailure,
    DeviceUpgrade,
    ResourcesReported,
    SessionRenewed,
    StopRequested,
    UpgradePhase,
)
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.evidence import (
    STOPPED,
    WINDOW_TOO_SHORT,
    Reading,
    failure,
    is_deferred,
    judge_install,
    parse_state,
    reading_of,
    refusal,
    tells_failure,
    tells_success,
)
from firmcast.upgrades.rules.ladder import DOWNLOADED, DOWNLOADING, IDLE, UPDATING
from firmcast.upgrades.rules.looking import judge
from firmcast.upgrades.rules.lost_packages import begin_anew, is_lost
from firmcast.upgrades.rules.offer import is_ours
from firmcast.upgrades.rules.turn import Turn

_REPETITIONS_LIMIT: Final = 1
"""So often a device that came back with its package is told again to install it; more would be an endless loop."""

_REFUSALS_LIMIT: Final = 2
"""So often an order is repeated that a device refuses while it shows the package.

LiteOS refuses it until its own word that it has the package is acknowledged, and the acknowledgement may be lost.
"""

_AFTER_REFUSAL: Final = timedelta(seconds=15)
"""So long a refusal may pass by itself: by then a notification has been sent four times."""


def renew(turn: Turn, renewed: SessionRenewed) -> None:
    """Look at a device that came back, or that we lost sight of: it may run the new firmware."""
    if renewed.newly_registered:
        turn.note(registered_anew=True, installed_version=None)
        if turn.upgrade.phase is UpgradePhase.EXECUTING:
            turn.enter(UpgradePhase.VERIFYING, _verifying_ends_at(turn))
            turn.arm()
    if renewed.was_unattended:
        turn.enter_anew()
    turn.order(CommandKind.INSPECT)


def _verifying_ends_at(turn: Turn) -> datetime:
    """Return the end of the phase: a device that registers again and again gets no time beyond that of two phases."""
    evidence = turn.upgrade.evidence
    assert evidence.executed_at is not None
    last_begin = evidence.executed_at + turn.limits.executing
    if evidence.deferred_until is not None:
        last_begin = max(last_begin, _deferral_ends_at(turn))
    return min(turn.at, last_begin) + turn.limits.verifying


def _deferral_ends_at(turn: Turn) -> datetime:
    """Return until when the device may put off what it was told, never beyond the window of its task."""
    since = turn.upgrade.evidence.deferred_since
    ends_at = (turn.at if since is None else since) + turn.limits.deferral
    window_end = turn.upgrade.window_end
    return ends_at if window_end is None else min(ends_at, window_end)


def stop(turn: Turn, _stop: StopRequested) -> None:
    """Stop a device that has put the installation off; one that installs cannot be called back, it ends as it ends."""
    turn.note(stop_requested=True)
    if turn.upgrade.evidence.deferred_until is not None:
        turn.close(STOPPED, clean_up=True)


def report(turn: Turn, told: ResourcesReported) -> None:
    """Take in what the device told unasked; never order to install, whatever state it shows."""
    turn.weigh(told)
    reading = reading_of(told)
    if reading is not None:
        _settle(turn, reading)
    elif _is_worth_asking(turn.upgrade, told):
        turn.ask()
    elif parse_state(told.state) is UPDATING and turn.upgrade.published_state is not IDLE:
        _follow(turn, UPDATING)


def answered(turn: Turn, answer: CommandAnswered) -> None:
    """Go on with what came of an order."""
    kind = turn.upgrade.command_kind
    turn.finish_order()
    if kind is CommandKind.EXECUTE:
        turn.note(execute_confirmed=True)
        report(turn, answer.resources)
        if turn.upgrade.command_kind is None and not turn.is_closed:
            turn.hold()
        return
    turn.weigh(answer.resources)
    reading = reading_of(answer.resources)
    if reading is not None and is_lost(turn, reading):
        begin_anew(turn, reading)
        return
    if reading is not None:
        _settle(turn, reading)
    if not turn.is_closed:
        _look_further(turn, reading, answer.resources, inspected=kind is CommandKind.INSPECT)


def failed(turn: Turn, failed: CommandFailed) -> None:
    """Take an order to install without an answer for one that may have been obeyed, and a refusal for what it says."""
    kind = turn.upgrade.command_kind
    turn.finish_order()
    turn.weigh(failed.resources)
    reading = reading_of(failed.resources)
    if reading is not None:
        _settle(turn, reading)
    if turn.is_closed:
        return
    if kind is CommandKind.EXECUTE and failed.failure is not CommandFailure.UNREACHABLE:
        _refused(turn, failed, reading)
    else:
        turn.hold(turn.limits.probe)


def _refused(turn: Turn, failed: CommandFailed, reading: Reading | None) -> None:
    if reading is None:
        turn.ask()
    elif reading.state is IDLE:
        # It has lost the package, or what it refuses is the repeat of an order that it obeyed: its version tells.
        turn.note(refused_to_install=True)
        turn.order(CommandKind.INSPECT)
        turn.hold()
    elif reading.state is not DOWNLOADED or is_deferred(reading):
        turn.hold(turn.limits.probe)
    elif turn.upgrade.evidence.refused_executions < _REFUSALS_LIMIT:
        turn.note(refused_executions=turn.upgrade.evidence.refused_executions + 1)
        turn.hold(min(turn.limits.probe, _AFTER_REFUSAL))
    else:
        turn.conclude(refusal("to install the package", failed.description, reading.result), reading.state)


def _is_worth_asking(upgrade: DeviceUpgrade, told: ResourcesReported) -> bool:
    """Tell whether the device said half of what a verdict needs."""
    state = parse_state(told.state)
    published = upgrade.published_state
    went_down = (state is DOWNLOADED and published is UPDATING) or (state is IDLE and published is not IDLE)
    ended = tells_failure(upgrade.evidence, told.result) or tells_success(upgrade.evidence, told.result)
    changed = upgrade.evidence.registered_anew and told.firmware_version == upgrade.target_version
    put_off = told.result == UpdateResult.DEFERRED and upgrade.evidence.deferred_until is None
    return went_down or ended or changed or put_off


def _settle(turn: Turn, reading: Reading) -> None:
    """Close if the reading decides, or follow the device to where it is."""
    if is_lost(turn, reading):
        # As far as it told: its version may say otherwise.
        turn.ask()
        return
    verdict = judge_install(turn.upgrade, reading, new_version_required=turn.limits.new_version_required)
    if verdict is not None:
        has_tried = reading.result == UpdateResult.UPDATE_FAILED and tells_failure(
            turn.upgrade.evidence, reading.result
        )
        if has_tried and turn.upgrade.published_state is DOWNLOADED:
            # It cannot have failed without having been Updating, whether it said so or not.
            turn.publish(UPDATING, observed=False)
        turn.conclude(verdict, reading.state)
        return
    if is_deferred(reading):
        _put_off(turn)
    else:
        _follow(turn, reading.state)


def _put_off(turn: Turn) -> None:
    """Tell that the device has put the installation off, and wait until it is to be told again."""
    turn.publish(DOWNLOADED)
    evidence = turn.upgrade.evidence
    if evidence.stop_requested:
        turn.close(STOPPED, clean_up=True)
        return
    if evidence.deferred_until is None:
        turn.note(
            deferred_since=evidence.deferred_since or turn.at,
            deferred_until=turn.at + turn.limits.deferral_pause,
            execute_confirmed=True,
        )
    ends_at = _deferral_ends_at(turn)
    probed = turn.upgrade.probed and turn.at >= ends_at
    turn.enter(UpgradePhase.EXECUTING, ends_at)
    turn.change(description=wording.DEFERRED, probed=probed)
    turn.hold(_until_told_again(turn))


def _until_told_again(turn: Turn) -> timedelta:
    """Return the time until a device that has put the installation off is looked at."""
    until = turn.upgrade.evidence.deferred_until
    assert until is not None
    return until - turn.at if until > turn.at else turn.limits.probe


def _follow(turn: Turn, state: FirmwareUpdateState) -> None:
    dropped = state is IDLE and turn.upgrade.published_state is DOWNLOADED
    if not dropped or turn.upgrade.evidence.execute_confirmed:
        turn.publish(state)
    # Else it dropped the package, or obeyed the order whose answer was lost: the verdict knows which steps that were.
    put_off = turn.upgrade.evidence.deferred_until is not None
    if put_off and state in (IDLE, DOWNLOADING):
        # It has dropped the package, or has installed it and forgotten that: there may be evidence.
        _take_up(turn, UpgradePhase.VERIFYING)
    if state is not UPDATING:
        return
    turn.note(execute_confirmed=True)
    if put_off:
        # It has begun by itself.
        _take_up(turn, UpgradePhase.EXECUTING)
    executed_at = turn.upgrade.evidence.executed_at
    if turn.upgrade.phase is UpgradePhase.VERIFYING and executed_at is not None:
        # It registered in the middle of the work, and has what is left of the time for that.
        turn.enter(UpgradePhase.EXECUTING, executed_at + turn.limits.executing)
        turn.arm()


def _look_further(turn: Turn, reading: Reading | None, told: ResourcesReported, *, inspected: bool) -> None:
    """Go on after a look that decided nothing."""
    if turn.time_is_up:
        judge(turn, reading)
    elif reading is None or not _is_to_be_told(turn, reading):
        turn.arm(_until_told_again(turn) if _has_put_off(turn, reading) else None)
    elif not inspected:
        turn.order(CommandKind.INSPECT)
        turn.arm()
    elif not is_ours(turn.upgrade, told):
        turn.conclude(failure(wording.BUSY), None)
    else:
        _execute_again(turn)


def _has_put_off(turn: Turn, reading: Reading | None) -> bool:
    is_waiting = reading is not None and reading.state is DOWNLOADED
    return is_waiting and turn.upgrade.evidence.deferred_until is not None


def _is_to_be_told(turn: Turn, reading: Reading) -> bool:
    """Tell whether the device waits with its package for an order that never reached it, or has put it off enough."""
    evidence = turn.upgrade.evidence
    if reading.state is not DOWNLOADED or evidence.deferred_until is None:
        return reading.state is DOWNLOADED and not evidence.execute_confirmed
    has_forgotten = turn.upgrade.phase is UpgradePhase.VERIFYING and not is_deferred(reading)
    return has_forgotten or turn.at >= evidence.deferred_until


def _take_up(turn: Turn, phase: UpgradePhase) -> None:
    """Go on with what was put off, with all the time of a phase."""
    turn.enter(phase)
    turn.arm()
    turn.note(executed_at=turn.at, deferred_until=None)
    turn.change(description="")


def _execute_again(turn: Turn) -> None:
    """Repeat an order that never reached the device, with new time after a new registration or a deferral."""
    if turn.window_is_over:
        turn.close(WINDOW_TOO_SHORT, clean_up=True)
        return
    turn.note(refused_to_install=False)
    evidence = turn.upgrade.evidence
    if evidence.deferred_until is not None:
        _take_up(turn, UpgradePhase.EXECUTING)
        turn.note(registered_anew=False, execute_confirmed=False)
    elif evidence.registered_anew:
        if evidence.repeated_executions >= _REPETITIONS_LIMIT:
            turn.conclude(failure(wording.PACKAGE_KEPT), DOWNLOADED)
            return
        turn.enter(UpgradePhase.EXECUTING)
        turn.note(repeated_executions=evidence.repeated_executions + 1, registered_anew=False, executed_at=turn.at)
    turn.order(CommandKind.EXECUTE)
    turn.arm()
