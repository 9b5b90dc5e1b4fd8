"""Until a package is on its way: wait for the device, read what it is, and give it a package only when it is Idle."""

from firmcast.devices.model import CommandKind
from firmcast.events.model import Outcome
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    CommandFailure,
    DeadlinePassed,
    ResourcesReported,
    SeenAlive,
    SessionRenewed,
    StopRequested,
    Tally,
    TaskBegan,
    UpgradePhase,
)
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.evidence import STOPPED, WINDOW_TOO_SHORT, Verdict, failure, parse_state, refusal
from firmcast.upgrades.rules.ladder import IDLE, UPDATING
from firmcast.upgrades.rules.offer import is_ours, start_transfer
from firmcast.upgrades.rules.transferring import adopt
from firmcast.upgrades.rules.turn import Turn

SAME_VERSION = Verdict(outcome=Outcome.SUCCEEDED, tally=Tally.SUCCEEDED, description=wording.SAME_VERSION)
"""The contract leaves open how this counts for LwM2M devices; its other edition counts it as success, and so do we:
what the operator wanted is the case, and a retry of the failed ones would find nothing to do."""

_WINDOW_OVER = Verdict(outcome=Outcome.CANCELLED, tally=Tally.STOPPED, description=wording.WINDOW_OVER)


# --- SCHEDULED --------------------------------------------------------------------------------------------------


def begin(turn: Turn, began: TaskBegan) -> None:
    """Begin with the device, unless its window has closed meanwhile."""
    if turn.window_is_over:
        turn.close(_WINDOW_OVER, clean_up=False)
        return
    turn.change(waiting_ends_at=turn.at + turn.limits.waiting)
    if began.online:
        _inspect(turn)
    else:
        _wait(turn)


def begin_unasked(turn: Turn, _passed: DeadlinePassed) -> None:
    """Begin when the time has come, with a device of which nothing is known."""
    begin(turn, TaskBegan(online=False))


def stop_before_transfer(turn: Turn, _stop: StopRequested) -> None:
    """Close: nothing was done to the device yet."""
    turn.close(STOPPED, clean_up=False)


# --- WAITING ----------------------------------------------------------------------------------------------------


def came_online(turn: Turn, _sign: SessionRenewed | SeenAlive | ResourcesReported) -> None:
    """Look at the device now that it can be talked to."""
    _inspect(turn)


def give_up_waiting(turn: Turn, _passed: DeadlinePassed) -> None:
    """Close: the device did not come, and a probe would have nobody to reach. Ask one again that was busy."""
    if turn.window_is_over:
        turn.close(_WINDOW_OVER, clean_up=False)
    elif not turn.time_is_up:
        _inspect(turn)
    elif turn.upgrade.started_at is not None:
        turn.close(_timed_out(wording.NOT_ONLINE), clean_up=False)
    else:
        turn.close(_timed_out(wording.TIMEOUTS[UpgradePhase.WAITING]), clean_up=False)


# --- INSPECTING -------------------------------------------------------------------------------------------------


def inspect_anew(turn: Turn, renewed: SessionRenewed) -> None:
    """Inspect again: what was asked before the registration may be answered by nobody."""
    if renewed.was_unattended:
        turn.enter_anew()
    turn.order(CommandKind.INSPECT)


def inspect_if_idle(turn: Turn, _seen: SeenAlive) -> None:
    """Inspect, unless an order waits anyway."""
    if turn.upgrade.command_kind is None:
        turn.order(CommandKind.INSPECT)


def answered(turn: Turn, answer: CommandAnswered) -> None:
    """Go on with what was read."""
    kind = turn.upgrade.command_kind
    turn.finish_order()
    if kind is CommandKind.RESET:
        turn.order(CommandKind.INSPECT)
    else:
        _inspected(turn, answer.resources)


def failed(turn: Turn, failed: CommandFailed) -> None:
    """Wait for an unreachable device, for a busy one not long; close when it does not let itself be read."""
    kind = turn.upgrade.command_kind
    turn.finish_order()
    if failed.failure is CommandFailure.UNREACHABLE:
        _wait(turn)
        if failed.is_busy and turn.upgrade.phase is UpgradePhase.WAITING:
            turn.arm(turn.limits.probe)
    elif kind is CommandKind.RESET:
        turn.order(CommandKind.INSPECT)
    else:
        turn.close(refusal("to be read", failed.description, None), clean_up=False)


def give_up_inspecting(turn: Turn, _passed: DeadlinePassed) -> None:
    """Inspect once more, then close; at once when the window is over, since nothing could follow."""
    if turn.window_is_over:
        turn.close(WINDOW_TOO_SHORT, clean_up=False)
        return
    if not turn.time_is_up:
        if turn.upgrade.command_kind is None:
            turn.order(CommandKind.INSPECT)
        turn.arm()
        return
    if turn.upgrade.probed:
        turn.close(_timed_out(wording.TIMEOUTS[UpgradePhase.INSPECTING]), clean_up=False)
        return
    turn.order(CommandKind.INSPECT)
    turn.change(probed=True, deadline_at=turn.at + turn.limits.probe)


def _inspected(turn: Turn, told: ResourcesReported) -> None:
    version = told.firmware_version
    turn.change(current_version=version or "", source_version=version or turn.upgrade.source_version)
    if version is not None and version == turn.upgrade.target_version:
        turn.close(SAME_VERSION, clean_up=False)
    elif told.state is None:
        turn.close(failure(wording.NO_FIRMWARE_OBJECT), clean_up=False)
    elif parse_state(told.state) is IDLE:
        turn.enter(UpgradePhase.TRANSFERRING)
        start_transfer(turn, told)
    elif is_ours(turn.upgrade, told):
        adopt(turn, told)
    elif parse_state(told.state) is UPDATING:
        _let_it_install(turn)
    elif turn.upgrade.evidence.reset_ordered:
        turn.close(failure(wording.BUSY), clean_up=False)
    else:
        # What it has is of an earlier upgrade or of somebody else: nothing of this one was sent yet.
        turn.note(reset_ordered=True)
        turn.order(CommandKind.RESET)


def _let_it_install(turn: Turn) -> None:
    """Wait for the end of an installation that is not of this upgrade and that nobody can take back."""
    since = turn.upgrade.evidence.installs_other_since or turn.at
    ends_at = since + turn.limits.executing
    if turn.at >= ends_at:
        turn.close(failure(wording.BUSY), clean_up=False)
        return
    turn.note(installs_other_since=since)
    turn.enter(UpgradePhase.INSPECTING, ends_at)
    turn.arm()


def _inspect(turn: Turn) -> None:
    turn.enter(UpgradePhase.INSPECTING)
    if turn.upgrade.started_at is None:
        turn.change(started_at=turn.at)
    turn.note(reset_ordered=False)
    turn.order(CommandKind.INSPECT)


def _wait(turn: Turn) -> None:
    ends_at = turn.upgrade.waiting_ends_at
    assert ends_at is not None
    turn.enter(UpgradePhase.WAITING, ends_at)
    if turn.time_is_up:
        give_up_waiting(turn, DeadlinePassed())


def _timed_out(words: str) -> Verdict:
    return Verdict(outcome=Outcome.FAILED, tally=Tally.TIMED_OUT, description=words)
