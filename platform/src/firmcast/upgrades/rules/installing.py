"""Once told to install: an order without an answer may have been obeyed, and only readings tell how it ended."""

from datetime import datetime
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
    UpgradePhase,
)
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.evidence import (
    WINDOW_TOO_SHORT,
    Reading,
    failure,
    judge_install,
    parse_state,
    reading_of,
    tells_failure,
    tells_success,
)
from firmcast.upgrades.rules.ladder import DOWNLOADED, IDLE, UPDATING
from firmcast.upgrades.rules.looking import judge
from firmcast.upgrades.rules.offer import is_ours
from firmcast.upgrades.rules.turn import Turn

_REPETITIONS_LIMIT: Final = 1
"""So often a device that came back with its package is told again to install it; more would be an endless loop."""


def renew(turn: Turn, renewed: SessionRenewed) -> None:
    """Look at a device that came back, or that we lost sight of: it may run the new firmware."""
    if renewed.newly_registered:
        turn.note(registered_anew=True, installed_version=None)
        if turn.upgrade.phase is UpgradePhase.EXECUTING:
            turn.enter(UpgradePhase.VERIFYING, _verifying_ends_at(turn))
            turn.arm()
    turn.order(CommandKind.INSPECT)


def _verifying_ends_at(turn: Turn) -> datetime:
    """Return the end of the phase: a device that registers again and again gets no time beyond that of two phases."""
    executed_at = turn.upgrade.evidence.executed_at
    assert executed_at is not None
    return min(turn.at, executed_at + turn.limits.executing) + turn.limits.verifying


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
    elif reading.state is DOWNLOADED and reading.result != UpdateResult.DEFERRED:
        description = wording.describe_refusal("to install the package", failed.description, reading.result)
        turn.conclude(failure(description), reading.state)
    else:
        turn.hold(turn.limits.probe)


def _is_worth_asking(upgrade: DeviceUpgrade, told: ResourcesReported) -> bool:
    """Tell whether the device said half of what a verdict needs."""
    state = parse_state(told.state)
    published = upgrade.published_state
    went_down = (state is DOWNLOADED and published is UPDATING) or (state is IDLE and published is not IDLE)
    ended = tells_failure(upgrade.evidence, told.result) or tells_success(upgrade.evidence, told.result)
    changed = upgrade.evidence.registered_anew and told.firmware_version == upgrade.target_version
    return went_down or ended or changed


def _settle(turn: Turn, reading: Reading) -> None:
    """Close if the reading decides, or follow the device to where it is."""
    verdict = judge_install(turn.upgrade, reading)
    if verdict is not None:
        turn.conclude(verdict, reading.state)
        return
    if reading.result == UpdateResult.DEFERRED:
        turn.note(execute_confirmed=True)
    _follow(turn, reading.state)


def _follow(turn: Turn, state: FirmwareUpdateState) -> None:
    turn.publish(state)
    if state is not UPDATING:
        return
    turn.note(execute_confirmed=True)
    executed_at = turn.upgrade.evidence.executed_at
    if turn.upgrade.phase is UpgradePhase.VERIFYING and executed_at is not None:
        # It registered in the middle of the work, and has what is left of the time for that.
        turn.enter(UpgradePhase.EXECUTING, executed_at + turn.limits.executing)
        turn.arm()


def _look_further(turn: Turn, reading: Reading | None, told: ResourcesReported, *, inspected: bool) -> None:
    """Go on after a look that decided nothing."""
    if turn.time_is_up:
        judge(turn, reading)
    elif reading is None or not _never_began(turn.upgrade, reading):
        turn.arm()
    elif not inspected:
        turn.order(CommandKind.INSPECT)
        turn.arm()
    elif not is_ours(turn.upgrade, told):
        turn.conclude(failure(wording.BUSY), None)
    else:
        _execute_again(turn)


def _never_began(upgrade: DeviceUpgrade, reading: Reading) -> bool:
    waits_for_us = reading.state is DOWNLOADED and reading.result != UpdateResult.DEFERRED
    return waits_for_us and not upgrade.evidence.execute_confirmed


def _execute_again(turn: Turn) -> None:
    """Repeat an order that never reached the device, with new time after a new registration."""
    if turn.window_is_over:
        turn.close(WINDOW_TOO_SHORT, clean_up=True)
        return
    evidence = turn.upgrade.evidence
    if evidence.registered_anew:
        if evidence.repeated_executions >= _REPETITIONS_LIMIT:
            turn.conclude(failure(wording.PACKAGE_KEPT), DOWNLOADED)
            return
        turn.enter(UpgradePhase.EXECUTING)
        turn.note(repeated_executions=evidence.repeated_executions + 1, registered_anew=False, executed_at=turn.at)
    turn.order(CommandKind.EXECUTE)
    turn.arm()
