"""One batch of what devices told is one transaction: registrations, and what upgrades make of it, commit together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from firmcast.db.port import Transaction
from firmcast.devices import registrations
from firmcast.devices.model import NewRegistration, Registration, RegistrationUpdate
from firmcast.events.log import EventLog
from firmcast.ids import DeviceId, RegistrationId
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import DeviceReport, SeenAlive, SessionRenewed


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A device ends its registration."""

    registration_id: RegistrationId


Item = Registering | Updating | Leaving | DeviceReport

Answer = Registration | DeviceId | None
"""To a register or an update the registration, to a de-register the device, to a report and for nobody None."""


async def record_batch(
    tx: Transaction, items: Sequence[Item], *, log: EventLog, limits: Limits, now: datetime
) -> list[Answer]:
    """Write everything that `items` tell, in their order within each device, and return the answer to each."""
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
            case _:
                assert_never(item)
    if reports:
        await upgrades.record_reports(tx, reports, log=log, limits=limits, now=now)
    return answers


def _report(registration: Registration, told: SessionRenewed | SeenAlive, occurred_at: datetime) -> DeviceReport:
    return DeviceReport(device_id=registration.device_id, input=told, occurred_at=occurred_at)
