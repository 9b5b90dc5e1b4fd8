"""A decision becomes a line of the device's journal: what was heard in which phase, and what it led to."""

from datetime import datetime
from typing import Final, assert_never

from firmcast.journal.model import Decision as NotedDecision
from firmcast.journal.model import DeviceNote, Note
from firmcast.lwm2m.firmware_update import FirmwareUpdateState, describe_result, parse_result
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    DeadlinePassed,
    DeviceUpgrade,
    FellAsleep,
    Input,
    ResourcesReported,
    SeenAlive,
    SessionRenewed,
    StopRequested,
    TaskBegan,
    TransferProgressed,
    UpgradePhase,
)
from firmcast.upgrades.state_machine import Decision

_LONGEST_WORDS: Final = 200
_WORDS: Final = {DeadlinePassed: "deadline_passed", StopRequested: "stop_requested", FellAsleep: "fell_asleep"}
_ANSWERS: Final = (CommandAnswered, CommandFailed)
_STATES: Final = frozenset(FirmwareUpdateState)


def note_of(before: DeviceUpgrade, decision: Decision, occurred_at: datetime) -> DeviceNote:
    """Return the line of a decision about an upgrade that was `before`."""
    after = decision.upgrade
    heard, told = _heard(before, decision.heard)
    ways = after.evidence.refused_ways
    given_up = ways[-1] if len(ways) > len(before.evidence.refused_ways) else None
    what = NotedDecision(
        heard=heard,
        told=told[:_LONGEST_WORDS],
        before=before.phase.value,
        after=after.phase.value,
        attempt=after.attempt,
        order="" if decision.command is None else decision.command.value,
        withdrawn=decision.withdraw and before.command_kind is not None and not isinstance(decision.heard, _ANSWERS),
        way_given_up="" if given_up is None else given_up.way.value,
        why_given_up="" if given_up is None else given_up.answer,
        was_left=given_up is not None and given_up.was_left,
        deadline_at=None if after.deadline_at == before.deadline_at else after.deadline_at,
        phase_ends_at=None if after.phase_ends_at == before.phase_ends_at else after.phase_ends_at,
        outcome="" if after.outcome is None else after.outcome.value,
        description=after.description,
    )
    note = Note(occurred_at=occurred_at, what=what, device_upgrade_id=after.device_upgrade_id)
    return DeviceNote(device_id=after.device_id, note=note)


def _heard(before: DeviceUpgrade, told: Input | None) -> tuple[str, str]:
    """Return an input as a word, and what came with it."""
    match told:
        case None if before.phase is UpgradePhase.SCHEDULED:
            return "device_busy", "the device is in another upgrade"
        case None:
            return "gateway_dead", "no other gateway is at its address, and the device is waited for"
        case TaskBegan(online=online):
            return "task_began", "the device can be talked to" if online else "the device is awaited"
        case SessionRenewed():
            return _renewed(told)
        case SeenAlive(updated=updated):
            return ("registration_updated", "") if updated else ("woke_up", "")
        case ResourcesReported():
            return "resources_told", describe_resources(told)
        case TransferProgressed(finished=finished):
            return ("last_block", "") if finished else ("first_block", "")
        case CommandAnswered(resources=resources):
            return f"{_order(before)}_answered", describe_resources(resources)
        case CommandFailed(description=description, failure=failure):
            return f"{_order(before)}_failed", f"{failure.value}: {description}"
        case DeadlinePassed() | StopRequested() | FellAsleep():
            return _WORDS[type(told)], ""
        case _:
            assert_never(told)


def _renewed(told: SessionRenewed) -> tuple[str, str]:
    came = "its former gateway was dead" if told.was_unattended else ""
    if told.newly_registered:
        return "registered", came
    return ("came_from_another_gateway", came) if told.was_heard else ("gateway_started", "")


def _order(before: DeviceUpgrade) -> str:
    return "order" if before.command_kind is None else before.command_kind.value


def describe_resources(resources: ResourcesReported) -> str:
    """Return what a device told of its state, its result and its version, for a person."""
    words = []
    if resources.state is not None:
        words.append(f"state {describe_state(resources.state)}")
    if resources.result is not None:
        words.append(f"result {resources.result}: {describe_result(parse_result(resources.result))}")
    if resources.firmware_version is not None:
        words.append(f"version {resources.firmware_version!r}")
    return ", ".join(words)


def describe_state(state: int) -> str:
    """Return a state with its name."""
    return f"{state} {FirmwareUpdateState(state).name.lower()}" if state in _STATES else f"{state}, which is none"
