"""Each entry is told in one line, and where a device is now in a few, for a person who asks why it is there."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from firmcast.events.model import (
    DeviceAdded,
    DeviceBound,
    DeviceDeleted,
    DeviceInfoChanged,
    Event,
    Fact,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
)
from firmcast.journal.model import FROM_DEVICE, Decision, Exchange, ExchangeKind, Transfer
from firmcast.lwm2m.firmware_update import FirmwareUpdateState, describe_result, parse_result
from firmcast.push.model import Attempt, DeadLetter
from firmcast.timeline.model import Entry, Present
from firmcast.upgrades.model import DeviceUpgrade, UpgradePhase

_STATE: Final = "/5/0/3"
_RESULT: Final = "/5/0/5"
_STATES: Final = frozenset(FirmwareUpdateState)

_REQUESTS: Final[Mapping[ExchangeKind, str]] = MappingProxyType(
    {
        ExchangeKind.REGISTER: "the device registered",
        ExchangeKind.UPDATE: "the device updated its registration",
        ExchangeKind.DEREGISTER: "the device ended its registration",
        ExchangeKind.EXPIRY: "the registration ran out",
        ExchangeKind.NOTIFICATION: "the device notified",
        ExchangeKind.SEND: "the device sent",
        ExchangeKind.READ: "read",
        ExchangeKind.OBSERVE: "observe",
        ExchangeKind.WRITE: "write",
        ExchangeKind.EXECUTE: "execute",
        ExchangeKind.DISCOVER: "discover",
    }
)

_WAITS: Final[Mapping[UpgradePhase, str]] = MappingProxyType(
    {
        UpgradePhase.SCHEDULED: "its task has not begun with it",
        UpgradePhase.WAITING: "it is awaited: nothing is done before it registers or updates its registration",
        UpgradePhase.INSPECTING: "its state, versions and abilities are being read",
        UpgradePhase.TRANSFERRING: "it was given the package, or the address of it",
        UpgradePhase.EXECUTING: "it was told to install the package",
        UpgradePhase.VERIFYING: "it may be done, and what it tells is being read",
        UpgradePhase.CLOSED: "it has ended",
    }
)


def line(entry: Entry) -> str:
    """Return what an entry tells."""
    match entry.what:
        case DeviceUpgrade():
            return _upgrade(entry.what)
        case Exchange():
            return _exchange(entry.what)
        case Transfer():
            return _transfer(entry.what)
        case Decision():
            return _decision(entry.what, entry.at)
        case Event():
            return _event(entry.what)
        case Attempt():
            return _attempt(entry.what, entry.sequence)
        case DeadLetter():
            return _dead_letter(entry.what)


def present_lines(present: Present, now: datetime) -> Iterator[str]:
    """Yield what explains where a device is now."""
    registration = present.registration
    if registration is None:
        known = present.device.activated_at is not None
        yield "the device is not registered" + ("" if known else ", and never was")
    else:
        yield (
            f"registered since {_span(now - registration.registered_at)}, heard {_span(now - registration.updated_at)}"
            f" ago, for another {_span(registration.expires_at - now)}"
            + (", and sleeps between" if registration.queue_mode else "")
        )
    if not present.upgrades:
        yield "it is in no upgrade"
    waiting = {command.device_upgrade_id: command for command in present.commands}
    for upgrade in present.upgrades:
        yield f"upgrade {upgrade.device_upgrade_id} is {upgrade.phase.value}: {_WAITS[upgrade.phase]}"
        order = waiting.pop(upgrade.device_upgrade_id, None)
        if order is not None:
            yield f"the order {order.kind.value} waits for it" + ("" if registration else ", until it is registered")
        if upgrade.deadline_at is not None:
            yield f"it is looked at again {_due(upgrade.deadline_at, now)}" + (
                f"; {_end_of_phase(upgrade, upgrade.phase_ends_at, now)}" if upgrade.phase_ends_at else ""
            )
    for order in waiting.values():
        yield f"the order {order.kind.value} of an upgrade that has ended waits for it"
    if present.deliveries_waiting:
        first = present.deliveries[0]
        why = "" if first.reason is None else f", after {first.attempts} attempts: {first.reason.value}"
        yield f"{present.deliveries_waiting} events of it wait to be pushed, the first to {first.subscription_id}{why}"


def _upgrade(upgrade: DeviceUpgrade) -> str:
    wanted = f" to {upgrade.target_version}" if upgrade.target_version else ""
    return f"taken into the task {upgrade.task_id}{wanted}"


def _exchange(what: Exchange) -> str:
    words = _REQUESTS[what.kind]
    if what.path and what.kind is ExchangeKind.NOTIFICATION and what.told and not what.failure:
        return f"{words} {_told(what.told)}"
    words = f"{words} {what.path}".rstrip()
    if what.kind in FROM_DEVICE:
        end = f": {what.failure or what.answer}" if what.failure or what.answer else ""
        return f"{words}{end}" + (f", {_told(what.told)}" if what.told else "")
    took = f" in {what.seconds:.3g} s" if what.seconds >= 0.001 else ""
    told = f", {_told(what.told)}" if what.told else ""
    return f"{words}: {what.failure or what.answer}{took}{told}"


def _told(told: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}{_meaning(name, value)}" for name, value in told.items())


def _meaning(name: str, value: str) -> str:
    if not value.isascii() or not value.removeprefix("-").isdigit():
        return ""
    number = int(value)
    if name == _STATE and number in _STATES:
        return f" {FirmwareUpdateState(number).name.lower()}"
    return f" ({describe_result(parse_result(number))})" if name == _RESULT and number else ""


def _transfer(what: Transfer) -> str:
    way = "fetches the package" if what.way == "uri" else "is written the package"
    percent = 100 * what.reached // what.total if what.total else 100
    again = f", begun again {what.restarts} times" if what.restarts else ""
    took = _span(what.last_at - what.began_at)
    return f"{way}: {what.blocks} blocks in {took}, {what.reached} of {what.total} bytes ({percent} %){again}"


def _decision(what: Decision, at: datetime) -> str:
    heard = what.heard.replace("_", " ") + (f": {what.told}" if what.told else "")
    attempt = f" (attempt {what.attempt})" if what.attempt > 1 else ""
    moved = what.before if what.before == what.after else f"{what.before} -> {what.after}"
    follows = []
    if what.way_given_up:
        follows.append(f"gives up {what.way_given_up} for the package: {what.why_given_up}")
    if what.order:
        follows.append(f"order {what.order}")
    elif what.withdrawn:
        follows.append("the order that waited is taken back")
    if what.outcome:
        follows.append(f"{what.outcome}: {what.description}")
    if what.deadline_at is not None:
        follows.append(f"looks again in {_span(what.deadline_at - at)}")
    if what.phase_ends_at is not None and what.phase_ends_at != what.deadline_at:
        follows.append(f"ends in {_span(what.phase_ends_at - at)}")
    return f"{heard}; {moved}{attempt}" + (f"; {', '.join(follows)}" if follows else "")


def _event(event: Event) -> str:
    unseen = ", unseen" if event.synthesised else ""
    return f"event {event.sequence}: {_fact(event.fact)}{unseen}"


def _fact(fact: Fact) -> str:
    match fact:
        case FirmwareStateChanged(state=state):
            return f"state {int(state)} {state.name.lower()}"
        case FirmwareUpgradeEnded(outcome=outcome, description=description):
            return f"upgrade {outcome.value}: {description}"
        case DeviceAdded():
            return "device added"
        case DeviceBound(binding=binding):
            return f"first registration {binding.value}"
        case DeviceInfoChanged(changed=changed):
            if changed.reachability is not None:
                return f"device {changed.reachability.value}"
            if changed.firmware_version is not None:
                return f"device runs {changed.firmware_version!r}"
            return "device described anew"
        case DeviceDeleted():
            return "device deleted"


def _attempt(attempt: Attempt, sequence: int) -> str:
    event = f"event {sequence}" if sequence else "an event that is no longer kept"
    answer = "no answer" if attempt.status is None else str(attempt.status)
    detail = f": {attempt.detail}" if attempt.detail else ""
    failure = "" if attempt.failure is None else f", {attempt.failure.value}{detail}"
    took = attempt.duration.total_seconds()
    return f"push of {event} to {attempt.subscription_id}, attempt {attempt.number}: {answer}{failure} ({took:.3g} s)"


def _dead_letter(letter: DeadLetter) -> str:
    return (
        f"push of event {letter.sequence} to {letter.subscription_id} given up after {letter.attempts} attempts:"
        f" {letter.reason.value}, {letter.failure.value}"
    )


def _end_of_phase(upgrade: DeviceUpgrade, end: datetime, now: datetime) -> str:
    if end <= now and upgrade.deadline_at is not None and upgrade.deadline_at > now:
        return (
            f"the time for {upgrade.phase.value} is over since {_span(now - end)}, and the verdict waits for that look"
        )
    return f"{upgrade.phase.value} ends {_due(end, now)}"


def _due(moment: datetime, now: datetime) -> str:
    return f"in {_span(moment - now)}" if moment > now else f"since {_span(now - moment)}: the engine is late"


def _span(span: timedelta) -> str:
    """Return a length of time as a person says it, with two units at the most."""
    seconds = max(0.0, span.total_seconds())
    if seconds < 10:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for size, name, smaller_size, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
