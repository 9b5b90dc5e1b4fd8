"""A device under way is looked at when it shows itself, when it was silent for long, and once more before a verdict."""

from firmcast.devices.model import CommandKind
from firmcast.upgrades.model import DeadlinePassed, SeenAlive
from firmcast.upgrades.rules.evidence import Reading, has_begun, judge_at_the_end
from firmcast.upgrades.rules.turn import Turn


def look(turn: Turn, _seen: SeenAlive) -> None:
    """Inspect a device that shows itself, unless an order waits for it anyway; this also renews lost observations."""
    if turn.upgrade.command_kind is None:
        turn.order(CommandKind.INSPECT)


def look_or_judge(turn: Turn, _passed: DeadlinePassed) -> None:
    """Look at a silent device; at the end of the phase probe it once; after an unanswered probe judge."""
    if turn.upgrade.probed:
        judge(turn, None)
    elif turn.time_is_up:
        if _awaits_turn(turn):
            turn.note(awaits_turn=True)
        turn.order(CommandKind.PROBE)
        turn.change(probed=True, deadline_at=turn.at + turn.limits.probe)
    else:
        if turn.upgrade.command_kind is None or _is_obeyed(turn):
            turn.order(CommandKind.INSPECT)
        turn.arm()


def _is_obeyed(turn: Turn) -> bool:
    """Tell whether the order that waits was to fetch the package, and the device does so: the answer must be lost."""
    is_order_to_fetch = turn.upgrade.command_kind is CommandKind.TRANSFER_BY_URI
    return is_order_to_fetch and turn.upgrade.evidence.download_began_at is not None


def _awaits_turn(turn: Turn) -> bool:
    """Tell whether the package is to go to the device in its turn, and does not yet."""
    evidence = turn.upgrade.evidence
    kind = turn.upgrade.command_kind
    is_to_fetch = kind is CommandKind.TRANSFER_BY_URI and turn.limits.fetches_in_turn
    is_waiting = kind is CommandKind.TRANSFER_BY_WRITE or is_to_fetch
    return is_waiting and not evidence.turn_came and not has_begun(evidence)


def judge(turn: Turn, reading: Reading | None) -> None:
    """Close, since the time of the phase is over."""
    verdict = judge_at_the_end(
        turn.upgrade,
        reading,
        window_is_over=turn.window_is_over,
        new_version_required=turn.limits.new_version_required,
    )
    turn.conclude(verdict, None if reading is None else reading.state)
