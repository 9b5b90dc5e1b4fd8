"""One batch of what devices told is one transaction: registrations, and what upgrades make of it, commit together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from firmcast.db.port import Transaction
from firmcast.devices import registrations
from firmcast.devices.model import NewRegistration, Registration, RegistrationUpdate
from firmcast.events.log import EventLog
from firmcast.gateway import noting
from firmcast.ids import DeviceId, DeviceUpgradeId, RegistrationId
from firmcast.journal import use_cases as journal
from firmcast.journal.model import DeviceNote, Exchange, Note
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import DeviceReport, SeenAlive, SessionRenewed
from firmcast.upgrades.use_cases import NOTHING_HEARD


@dataclass(frozen=True, slots=True, kw_only=True)
class Registering:
    """A device registers."""

    told: NewRegistration
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Updating:
    """A device updates its registration."""

    told: RegistrationUpdate
    occurred_at: datetime
    moved: bool = False
    """True when it came from another address than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A device ends its registration."""

    registration_id: RegistrationId
    occurred_at: datetime


Item = Registering | Updating | Leaving | DeviceReport | DeviceNote

Answer = Registration | DeviceId | None
"""To a register or an update the registration, to a de-register the device, to a report and for nobody None."""


async def record_batch(
    tx: Transaction, items: Sequence[Item], *, log: EventLog, limits: Limits, now: datetime
) -> list[Answer]:
    """Write everything that `items` tell, in their order within each device, and return the answer to each.

    The journal's lines go with it: an update of a registration that says nothing new, of a device in no upgrade, has
    none, since the registration itself tells when it was last updated.
    """
    coming = [item.told for item in items if isinstance(item, Registering)]
    registered = await registrations.register(tx, coming, now, log=log)
    leaving = [item.registration_id for item in items if isinstance(item, Leaving)]
    removed = await registrations.remove(tx, leaving, now, log=log)
    refreshed = await registrations.refresh(tx, [item.told for item in items if isinstance(item, Updating)], now)
    answers: list[Answer] = []
    reports: list[DeviceReport] = []
    for item in items:
        match item:
            case Registering(told=told, occurred_at=occurred_at):
                registration = registered.get(told.endpoint_name)
                if registration is not None and registration.is_secure != told.is_secure:
                    # It is that of the secure device, whose name somebody in clear gave in the same batch.
                    registration = None
                answers.append(registration)
                if registration is not None:
                    renewed = SessionRenewed(newly_registered=True)
                    reports.append(_report(registration, renewed, occurred_at))
            case Updating(told=update, occurred_at=occurred_at):
                registration = refreshed.get(update.registration_id)
                answers.append(registration)
                if registration is not None:
                    reports.append(_report(registration, SeenAlive(), occurred_at))
            case Leaving(registration_id=registration_id):
                answers.append(removed.get(registration_id))
            case DeviceReport():
                answers.append(None)
                reports.append(item)
            case DeviceNote():
                answers.append(None)
            case _:
                assert_never(item)
    heard = await upgrades.record_reports(tx, reports, log=log, limits=limits, now=now) if reports else NOTHING_HEARD
    await journal.write(tx, [*_exchanges(items, answers, heard.under_way), *heard.notes])
    return answers


def _exchanges(
    items: Sequence[Item], answers: Sequence[Answer], under_way: Mapping[DeviceId, DeviceUpgradeId]
) -> Iterator[DeviceNote]:
    """Yield the journal's lines about what was asked and told, with the upgrade that each device is in."""
    for item, answer in zip(items, answers, strict=True):
        match item, answer:
            case DeviceNote(device_id=device_id, note=note), _:
                upgrade_id = note.device_upgrade_id or under_way.get(device_id)
                yield DeviceNote(device_id=device_id, note=replace(note, device_upgrade_id=upgrade_id))
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
