"""A device in queue mode that sleeps is not judged: what is wanted of it waits for its next window, within bounds.

| the device | while it sleeps the time of the phase |
| --- | --- |
| is inspected | stands still: all of it is questions of ours, and nobody hears them |
| should download | stands still: a device that downloads is awake |
| was told to install, and may not have heard it | stands still |
| installs, or may have installed | runs: it does that by itself |

When it wakes it has what was left of its time, and where nothing was left the time of a probe. When it comes back from
an installation it has the time for that, however long it slept before. It is away, and not asleep, from the end of its
registration on; and whoever has slept for `Limits.sleeping` within one phase (an installation and its verification are
one) is treated as one that does not. Only the gateway knows who sleeps; whoever is not in queue mode never does.
"""

from firmcast.devices.model import CommandKind
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    CommandFailure,
    DeadlinePassed,
    FellAsleep,
    Input,
    ResourcesReported,
    SeenAlive,
    SessionRenewed,
    TransferProgressed,
    UpgradePhase,
)
from firmcast.upgrades.rules.turn import Turn


def fall_asleep(turn: Turn, fell: FellAsleep) -> None:
    """Put off the deadline to the time when the device is away, or has slept for too long."""
    evidence = turn.upgrade.evidence
    left = turn.limits.sleeping - evidence.slept
    since = turn.at if evidence.asleep_since is None else evidence.asleep_since
    away_at = min(fell.registered_until, since + left)
    if away_at > turn.at:
        turn.note(asleep_since=since)
        turn.change(deadline_at=away_at)


def take_notice(turn: Turn, told: Input) -> None:
    """End the sleep of a device by the first sign of life, or by a deadline; what else `told` means comes after."""
    if turn.upgrade.evidence.asleep_since is None:
        return
    if isinstance(told, DeadlinePassed):
        _end(turn)
    elif _is_sign_of_life(told):
        _end(turn)
        _give_time(turn)


def _is_sign_of_life(told: Input) -> bool:
    match told:
        case SeenAlive() | ResourcesReported() | TransferProgressed() | CommandAnswered():
            return True
        case SessionRenewed():
            return told.newly_registered or told.was_heard
        case CommandFailed(failure=failure):
            return failure in (CommandFailure.REJECTED, CommandFailure.BROKEN_OFF)
        case _:
            return False


def _end(turn: Turn) -> None:
    evidence = turn.upgrade.evidence
    assert evidence.asleep_since is not None
    assert turn.upgrade.phase_ends_at is not None
    slept = min(turn.at - evidence.asleep_since, turn.limits.sleeping - evidence.slept)
    turn.note(asleep_since=None, slept=evidence.slept + slept)
    if evidence.asks_by is not None:
        turn.note(asks_by=evidence.asks_by + slept)
    if evidence.executed_at is not None:
        turn.note(executed_at=evidence.executed_at + slept)
    if _stands_still(turn):
        turn.put_off_end(turn.upgrade.phase_ends_at + slept)


def _stands_still(turn: Turn) -> bool:
    installing = turn.upgrade.phase in (UpgradePhase.EXECUTING, UpgradePhase.VERIFYING)
    return not (installing and turn.upgrade.evidence.execute_confirmed)


def _give_time(turn: Turn) -> None:
    inspecting = turn.upgrade.phase is UpgradePhase.INSPECTING
    if turn.time_is_up:
        if turn.upgrade.command_kind is None:
            turn.order(CommandKind.INSPECT if inspecting else CommandKind.PROBE)
        turn.change(probed=True, deadline_at=turn.at + turn.limits.probe)
    elif inspecting:
        turn.change(deadline_at=turn.upgrade.phase_ends_at)
    else:
        turn.arm()
