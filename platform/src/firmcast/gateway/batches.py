"""One batch of what devices told is one transaction: registrations, and what upgrades make of it, commit together."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

import msgspec
from msgspec.structs import replace

from firmcast.db.port import Transaction
from firmcast.devices import holding, registrations
from firmcast.devices.model import NewRegistration, Registration, RegistrationUpdate
from firmcast.devices.registrations import Farewell
from firmcast.events.log import EventLog
from firmcast.gateway import noting
from firmcast.gateway.membership import Membership
from firmcast.ids import DeviceId, DeviceUpgradeId, GatewayId, RegistrationId
from firmcast.journal import use_cases as journal
from firmcast.journal.model import DeviceNote, Exchange, Note
from firmcast.profiles import use_cases as profiles
from firmcast.profiles.model import Findings
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import CommandAnswered, CommandFailed, DeviceReport, FellAsleep, SeenAlive, SessionRenewed
from firmcast.upgrades.use_cases import NOTHING_HEARD


class Registering(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device registers."""

    told: NewRegistration
    occurred_at: datetime


class Updating(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device updates its registration."""

    told: RegistrationUpdate
    occurred_at: datetime
    moved: bool = False
    """True when it came from another address than before."""


class Keeping(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device takes a package, so that its registration lives on as by an update; it has said nothing itself."""

    told: RegistrationUpdate
    occurred_at: datetime


class Leaving(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device ends its registration; `identity` is that of the secure session in which somebody says so."""

    registration_id: RegistrationId
    identity: str | None
    occurred_at: datetime


class Showing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device that another gateway holds shows itself at this one, under this registration."""

    registration_id: RegistrationId
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What came of one batch of devices that a gateway took up."""

    count: int
    """How many there were, those that are not live any more too."""
    live: Sequence[Registration]
    fetching: Sequence[DeviceUpgradeId]
    """The upgrades in which a device was fetching its package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckEnded:
    """A check of a device has come to its end."""

    device_id: DeviceId
    findings: Findings
    occurred_at: datetime


Item = Registering | Updating | Keeping | Leaving | Showing | DeviceReport | DeviceNote | CheckEnded

Answer = Registration | DeviceId | None
"""To a register, an update, a keeping or a showing the registration, to a de-register the device, to a report and for
nobody None.
"""


async def record_batch(
    tx: Transaction, items: Sequence[Item], *, member: Membership, log: EventLog, limits: Limits, now: datetime
) -> list[Answer]:
    """Write everything that `items` tell, in their order within each device, and return the answer to each.

    Whoever registers, updates or shows himself is held by the gateway `member` then. What came of orders counts only
    of devices that it holds.

    The journal's lines go with it: an update of a registration that says nothing new, of a device in no upgrade, has
    none, since the registration itself tells when it was last updated.
    """
    written = await _write(tx, items, member, log=log, now=now)
    answers: list[Answer] = []
    reports: list[DeviceReport] = []
    for item in items:
        answer, report = written.answer_to(item)
        answers.append(answer)
        if report is not None:
            reports.append(report)
    heard = await upgrades.record_reports(tx, reports, log=log, limits=limits, now=now) if reports else NOTHING_HEARD
    await journal.write(tx, [*_exchanges(items, answers, heard.under_way), *heard.notes])
    for item in items:
        if isinstance(item, CheckEnded):
            await profiles.end_check(tx, item.device_id, item.findings, now)
    return answers


async def adopt(
    tx: Transaction, former: GatewayId, limit: int, *, member: Membership, log: EventLog, limits: Limits, now: datetime
) -> Adopted:
    """Let the gateway `member` hold `limit` devices, at the most, of one that is dead or has left.

    Those under way are looked at anew.
    """
    count, live = await holding.adopt(tx, former, now, limit, gateway=member.gateway_id)
    renewed = SessionRenewed(newly_registered=False, was_unattended=True)
    reports = [_report(registration, renewed, now) for registration in live]
    heard = await upgrades.record_reports(tx, reports, log=log, limits=limits, now=now)
    await journal.write(tx, heard.notes)
    return Adopted(count=count, live=live, fetching=heard.fetching)


async def _write(
    tx: Transaction, items: Sequence[Item], member: Membership, *, log: EventLog, now: datetime
) -> "_Written":
    gateway = member.gateway_id
    coming = [item.told for item in items if isinstance(item, Registering)]
    registered = await registrations.register(tx, coming, now, log=log, gateway=gateway)
    leaving = {(item.registration_id, item.identity) for item in items if isinstance(item, Leaving)}
    removed = await registrations.leave(tx, leaving, now, log=log)
    updates = [item.told for item in items if isinstance(item, Updating | Keeping)]
    refreshed = await registrations.refresh(tx, updates, now, gateway=gateway)
    showing = [item.registration_id for item in items if isinstance(item, Showing)]
    shown = await holding.take_over(tx, showing, now, gateway=gateway)
    there = (*registered.values(), *refreshed.values(), *shown.values())
    moved = any(registration.came_from is not None for registration in there)
    outcomes = [item.device_id for item in items if isinstance(item, DeviceReport) and _is_of_holder(item)]
    return _Written(
        registered=registered,
        removed=removed,
        refreshed=refreshed,
        shown=shown,
        alive=frozenset(await member.living(tx)) if moved else frozenset(),
        elsewhere=await holding.held_elsewhere(tx, outcomes, now, gateway=gateway) if outcomes else set(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """What became of the registrations of one batch."""

    registered: Mapping[str, Registration]
    removed: Mapping[Farewell, DeviceId]
    refreshed: Mapping[RegistrationId, Registration]
    shown: Mapping[RegistrationId, Registration]
    alive: Collection[GatewayId]
    elsewhere: Collection[DeviceId]
    """Devices that another gateway holds: what came here of an order of theirs is late."""

    def answer_to(self, item: Item) -> tuple[Answer, DeviceReport | None]:
        """Return the answer to an item, and what upgrades are to hear of it."""
        match item:
            case Registering(told=told):
                registration = self.registered.get(told.endpoint_name)
                if registration is not None and registration.is_secure != told.is_secure:
                    # It is that of the secure device, whose name somebody in clear gave in the same batch.
                    registration = None
                return self._with_sign_of_life(registration, item.occurred_at, newly_registered=True)
            case Updating(told=update):
                return self._with_sign_of_life(self.refreshed.get(update.registration_id), item.occurred_at)
            case Keeping(told=update):
                return self.refreshed.get(update.registration_id), None
            case Showing(registration_id=registration_id):
                return self._with_sign_of_life(self.shown.get(registration_id), item.occurred_at)
            case Leaving(registration_id=registration_id, identity=identity):
                return self.removed.get((registration_id, identity)), None
            case DeviceReport():
                return None, None if item.device_id in self.elsewhere and _is_of_holder(item) else item
            case DeviceNote() | CheckEnded():
                return None, None
            case _:
                assert_never(item)

    def _with_sign_of_life(
        self, registration: Registration | None, occurred_at: datetime, *, newly_registered: bool = False
    ) -> tuple[Answer, DeviceReport | None]:
        """Say what it means for an upgrade that a device shows itself; one from another gateway has to be looked at."""
        if registration is None:
            return None, None
        former = registration.came_from
        if former is None and not newly_registered:
            return registration, _report(registration, SeenAlive(), occurred_at)
        unattended = former is not None and former not in self.alive
        renewed = SessionRenewed(newly_registered=newly_registered, was_unattended=unattended, was_heard=True)
        return registration, _report(registration, renewed, occurred_at)


def _is_of_holder(report: DeviceReport) -> bool:
    """Tell whether a report says what only the gateway that holds the device can know."""
    return isinstance(report.input, CommandAnswered | CommandFailed | FellAsleep)


def _exchanges(
    items: Sequence[Item], answers: Sequence[Answer], under_way: Mapping[DeviceId, DeviceUpgradeId]
) -> Iterator[DeviceNote]:
    """Yield the journal's lines about what was asked and told, with the upgrade that each device is in."""
    for item, answer in zip(items, answers, strict=True):
        match item, answer:
            case DeviceNote(device_id=device_id, note=note), _:
                upgrade_id = note.device_upgrade_id or under_way.get(device_id)
                if upgrade_id != note.device_upgrade_id:
                    note = replace(note, device_upgrade_id=upgrade_id)
                yield DeviceNote(device_id=device_id, note=note)
            case Registering(told=told, occurred_at=at), Registration(device_id=device_id):
                yield _noted(device_id, noting.registering(told), at, under_way)
            case Updating(told=update, occurred_at=at, moved=moved), Registration(device_id=device_id):
                if device_id in under_way or noting.is_news(update, moved=moved):
                    yield _noted(device_id, noting.updating(update, moved=moved), at, under_way)
            case Leaving(occurred_at=at), str(device_id):
                yield _noted(DeviceId(device_id), noting.leaving(), at, under_way)


def _noted(
    device_id: DeviceId, what: Exchange, occurred_at: datetime, under_way: Mapping[DeviceId, DeviceUpgradeId]
) -> DeviceNote:
    note = Note(occurred_at=occurred_at, what=what, device_upgrade_id=under_way.get(device_id))
    return DeviceNote(device_id=device_id, note=note)


def _report(registration: Registration, told: SessionRenewed | SeenAlive, occurred_at: datetime) -> DeviceReport:
    return DeviceReport(device_id=registration.device_id, input=told, occurred_at=occurred_at)
