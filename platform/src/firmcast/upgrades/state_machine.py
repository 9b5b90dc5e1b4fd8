"""One table says what each input means in each phase; nobody else moves a device's upgrade from phase to phase.

`advance` is pure: an upgrade, an input and a time in; the new upgrade, an order for the device and facts for the log
out. Its rules:

* A closed upgrade stays closed: nothing changes it, nothing is told of it. A retry is another attempt (`try_again`).
* State and result arrive apart and may be old; a verdict stands on both read together (`rules/evidence.py`).
* An answer counts when it names the one order that waits; every other answer is old.
* After a doubt (new registration, our own start, no answer) the next order is an inspection, and only after an
  inspection is a package sent or installed again.
* Each phase has an end. What has not ended by then is probed once, and then judged.
* A device in queue mode that sleeps is not judged before it wakes, or is away (`rules/sleep.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from msgspec.structs import replace

from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    DeadlinePassed,
    DeviceUpgrade,
    Evidence,
    FellAsleep,
    Input,
    ResourcesReported,
    SeenAlive,
    SessionRenewed,
    StopRequested,
    Tally,
    TaskBegan,
    TransferProgressed,
    UpgradePhase,
)
from firmcast.upgrades.rules import installing, looking, sleep, starting, transferring
from firmcast.upgrades.rules.evidence import TASK_CONFLICT
from firmcast.upgrades.rules.turn import Decision, PublishedFact, Turn

__all__ = ["TABLE", "Decision", "PublishedFact", "Rule", "advance", "put_off", "refuse", "try_again"]

SCHEDULED: Final = UpgradePhase.SCHEDULED
WAITING: Final = UpgradePhase.WAITING
INSPECTING: Final = UpgradePhase.INSPECTING
TRANSFERRING: Final = UpgradePhase.TRANSFERRING
EXECUTING: Final = UpgradePhase.EXECUTING
VERIFYING: Final = UpgradePhase.VERIFYING
CLOSED: Final = UpgradePhase.CLOSED


@dataclass(frozen=True, slots=True)
class Rule:
    """What an input means in a phase, and the other phases that it may lead to."""

    decide: Callable[[Turn, Any], None]
    leads_to: frozenset[UpgradePhase] = field(default_factory=frozenset)


def _to(decide: Callable[[Turn, Any], None], *leads_to: UpgradePhase) -> Rule:
    return Rule(decide, frozenset(leads_to))


def _nothing(_turn: Turn, _input: Input) -> None:
    """Leave all as it is: the input is late, repeated, or says nothing in this phase."""


_IGNORED: Final = Rule(_nothing)

TABLE: Final[Mapping[UpgradePhase, Mapping[type[Input], Rule]]] = MappingProxyType(
    {
        SCHEDULED: {
            TaskBegan: _to(starting.begin, WAITING, INSPECTING, CLOSED),
            SessionRenewed: _IGNORED,
            SeenAlive: _IGNORED,
            FellAsleep: _IGNORED,
            ResourcesReported: _IGNORED,
            TransferProgressed: _IGNORED,
            CommandAnswered: _IGNORED,
            CommandFailed: _IGNORED,
            DeadlinePassed: _to(starting.begin_unasked, WAITING, CLOSED),
            StopRequested: _to(starting.stop_before_transfer, CLOSED),
        },
        WAITING: {
            TaskBegan: _IGNORED,
            SessionRenewed: _to(starting.came_online, INSPECTING),
            SeenAlive: _to(starting.came_online, INSPECTING),
            FellAsleep: _IGNORED,
            ResourcesReported: _to(starting.came_online, INSPECTING),
            TransferProgressed: _IGNORED,
            CommandAnswered: _IGNORED,
            CommandFailed: _IGNORED,
            DeadlinePassed: _to(starting.give_up_waiting, INSPECTING, CLOSED),
            StopRequested: _to(starting.stop_before_transfer, CLOSED),
        },
        INSPECTING: {
            TaskBegan: _IGNORED,
            SessionRenewed: _to(starting.inspect_anew),
            SeenAlive: _to(starting.inspect_if_idle),
            FellAsleep: _to(sleep.fall_asleep),
            ResourcesReported: _IGNORED,
            TransferProgressed: _IGNORED,
            CommandAnswered: _to(starting.answered, TRANSFERRING, EXECUTING, CLOSED),
            CommandFailed: _to(starting.failed, WAITING, CLOSED),
            DeadlinePassed: _to(starting.give_up_inspecting, CLOSED),
            StopRequested: _to(starting.stop_before_transfer, CLOSED),
        },
        TRANSFERRING: {
            TaskBegan: _IGNORED,
            SessionRenewed: _to(transferring.renew),
            SeenAlive: _to(looking.look),
            FellAsleep: _to(sleep.fall_asleep),
            ResourcesReported: _to(transferring.report, EXECUTING, CLOSED),
            TransferProgressed: _to(transferring.progress),
            CommandAnswered: _to(transferring.answered, EXECUTING, CLOSED),
            CommandFailed: _to(transferring.failed, EXECUTING, CLOSED),
            DeadlinePassed: _to(looking.look_or_judge, CLOSED),
            StopRequested: _to(transferring.stop, CLOSED),
        },
        EXECUTING: {
            TaskBegan: _IGNORED,
            SessionRenewed: _to(installing.renew, VERIFYING),
            SeenAlive: _to(looking.look),
            FellAsleep: _to(sleep.fall_asleep),
            ResourcesReported: _to(installing.report, VERIFYING, CLOSED),
            TransferProgressed: _IGNORED,
            CommandAnswered: _to(installing.answered, TRANSFERRING, VERIFYING, CLOSED),
            CommandFailed: _to(installing.failed, VERIFYING, CLOSED),
            DeadlinePassed: _to(looking.look_or_judge, CLOSED),
            StopRequested: _to(installing.stop, CLOSED),
        },
        VERIFYING: {
            TaskBegan: _IGNORED,
            SessionRenewed: _to(installing.renew),
            SeenAlive: _to(looking.look),
            FellAsleep: _to(sleep.fall_asleep),
            ResourcesReported: _to(installing.report, EXECUTING, CLOSED),
            TransferProgressed: _IGNORED,
            CommandAnswered: _to(installing.answered, TRANSFERRING, EXECUTING, CLOSED),
            CommandFailed: _to(installing.failed, EXECUTING, CLOSED),
            DeadlinePassed: _to(looking.look_or_judge, CLOSED),
            StopRequested: _to(installing.stop, CLOSED),
        },
        CLOSED: {
            TaskBegan: _IGNORED,
            SessionRenewed: _IGNORED,
            SeenAlive: _IGNORED,
            FellAsleep: _IGNORED,
            ResourcesReported: _IGNORED,
            TransferProgressed: _IGNORED,
            CommandAnswered: _IGNORED,
            CommandFailed: _IGNORED,
            DeadlinePassed: _IGNORED,
            StopRequested: _IGNORED,
        },
    }
)


def advance(upgrade: DeviceUpgrade, told: Input, at: datetime, limits: Limits) -> Decision:
    """Return what `told` makes of an upgrade at the time `at`."""
    if _is_old(upgrade, told, at):
        return Decision(upgrade=upgrade)
    turn = Turn(upgrade, at, limits)
    sleep.take_notice(turn, told)
    rule = TABLE[upgrade.phase][type(told)]
    rule.decide(turn, told)
    assert turn.upgrade.phase is upgrade.phase or turn.upgrade.phase in rule.leads_to
    return replace(turn.decision(), heard=told)


def put_off(upgrade: DeviceUpgrade, at: datetime, limits: Limits) -> Decision:
    """Judge later a device whose gateway is dead: nobody could ask it, and its silence says nothing.

    The end of its task's window is not put off, unless it installs.
    """
    end = upgrade.window_end if upgrade.phase in (INSPECTING, TRANSFERRING) else None
    if upgrade.phase in (SCHEDULED, WAITING, CLOSED) or (end is not None and at >= end):
        return advance(upgrade, DeadlinePassed(), at, limits)
    if _is_old(upgrade, DeadlinePassed(), at):
        return Decision(upgrade=upgrade)
    look_at = at + limits.probe
    return Decision(upgrade=replace(upgrade, deadline_at=look_at if end is None else min(look_at, end)))


def refuse(upgrade: DeviceUpgrade, at: datetime, limits: Limits) -> Decision:
    """Close a new upgrade of a device that is in another one; it is not tried again.

    A retry follows at once, when the other upgrade is under way still; and if it is over, the device has what that one
    was for, and which of the two is wanted is not ours to say.
    """
    assert upgrade.phase is SCHEDULED
    turn = Turn(upgrade, at, limits)
    turn.close(TASK_CONFLICT, clean_up=False)
    return turn.decision()


def try_again(upgrade: DeviceUpgrade, at: datetime, transfer_token: str) -> DeviceUpgrade:
    """Return the next attempt of an upgrade that has failed: a new beginning, under the same id.

    What was told of the former attempt stays told; applications see the device climb again from Idle.
    """
    assert upgrade.retryable
    return replace(
        upgrade,
        attempt=upgrade.attempt + 1,
        phase=SCHEDULED,
        tally=Tally.WAITING,
        retryable=False,
        published_state=FirmwareUpdateState.IDLE,
        evidence=Evidence(),
        transfer_token=transfer_token,
        source_version=upgrade.current_version or upgrade.source_version,
        started_at=None,
        waiting_ends_at=None,
        phase_ends_at=at,
        deadline_at=at,
        ended_at=None,
        outcome=None,
        description="",
    )


def _is_old(upgrade: DeviceUpgrade, told: Input, at: datetime) -> bool:
    """Tell whether `told` is an answer to another order than the one that waits, or a time that was put off."""
    if isinstance(told, CommandAnswered | CommandFailed):
        return upgrade.command_id is None or told.command_id != upgrade.command_id
    if isinstance(told, DeadlinePassed):
        return upgrade.deadline_at is None or at < upgrade.deadline_at
    return False
