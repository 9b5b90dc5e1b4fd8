"""A device has one registration at the most, its latest; it ends when its lifetime passes without an update.

It is told when a device comes and when it leaves, in turns: a registration that takes the place of another, even of
one that is overdue, and an update of one are no news. All of it takes batches: many devices that come back at once
cost a few statements, and one append to the log.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from firmcast.db.port import Transaction
from firmcast.devices import holding
from firmcast.devices.changes import described
from firmcast.devices.model import NOBODY, Device, NewRegistration, Registration, RegistrationUpdate
from firmcast.devices.store import devices as device_store
from firmcast.devices.store import registrations as store
from firmcast.events.log import EventLog
from firmcast.events.model import (
    Binding,
    DeviceBound,
    DeviceDescription,
    DeviceFact,
    DeviceInfoChanged,
    NewEvent,
    Reachability,
)
from firmcast.ids import DeviceId, GatewayId, RegistrationId, new_registration_id

Farewell = tuple[RegistrationId, str | None]
"""Which registration is to end, and the identity of whoever says so; None of one that speaks in clear."""


async def register(
    tx: Transaction,
    registrations: Sequence[NewRegistration],
    now: datetime,
    *,
    log: EventLog,
    gateway: GatewayId = NOBODY,
) -> dict[str, Registration]:
    """Register devices (OMA LwM2M 1.1 Core 6.2.1) with `gateway` and return their registrations by endpoint name.

    Whoever we do not know, or whose time for the first registration is over, is absent from the answer. Of two
    registrations of one device the later in the sequence counts, though a secure one before any in clear. Who comes
    for the first time, or was away, is told. Absent is also whoever comes in clear under the name of a device that is
    here through a secure session, or has to be.
    """
    in_clear_first = sorted(registrations, key=lambda registration: registration.is_secure)
    latest = {registration.endpoint_name: registration for registration in in_clear_first}
    admitted = {
        device.endpoint_name: device
        for device in await device_store.by_endpoint_names(tx, list(latest))
        if may_register(device, now)
    }
    here = await store.registered(tx, [device.device_id for device in admitted.values()], now) if admitted else {}
    admitted = {
        name: device
        for name, device in admitted.items()
        if latest[name].is_secure or not (must_be_secure(device) or _is_secure(here.get(device.device_id)))
    }
    made = {
        name: _registration(device, latest[name], now, here.get(device.device_id), gateway)
        for name, device in admitted.items()
    }
    if made:
        device_ids = [device.device_id for device in admitted.values()]
        await store.upsert(tx, list(made.values()))
        holding.tell_moved(tx, made.values())
        await device_store.activate(tx, device_ids, now)
        await log.append(
            tx,
            [news for device in admitted.values() for news in _coming(device, now, was_here=device.device_id in here)],
        )
    return made


def may_register(device: Device, now: datetime) -> bool:
    """Tell whether the device has registered before, or is still in time for doing so first."""
    last_moment = device.activation_ends_at
    return device.activated_at is not None or last_moment is None or now <= last_moment


def must_be_secure(device: Device) -> bool:
    """Tell whether the application wants this device to come through secure sessions only."""
    return device.attributes.get("is_secure", "").lower() == "true"


async def refresh(
    tx: Transaction, updates: Sequence[RegistrationUpdate], now: datetime, *, gateway: GatewayId = NOBODY
) -> dict[RegistrationId, Registration]:
    """Update registrations (OMA LwM2M 1.1 Core 6.2.2) and return them; unknown and ended ones are absent.

    Whoever held them, `gateway` does from now on.

    So are those that somebody else than their device tries to update: see `RegistrationUpdate.identity`.
    """
    live = {
        registration.registration_id: registration
        for registration in await store.by_ids(tx, [update.registration_id for update in updates], now)
    }
    changed: dict[RegistrationId, Registration] = {}
    for update in updates:
        registration = changed.get(update.registration_id) or live.get(update.registration_id)
        if registration is not None and update.identity == registration.identity:
            changed[update.registration_id] = _updated(holding.moved_to(registration, gateway), update, now)
    if changed:
        await store.update(tx, list(changed.values()))
        holding.tell_moved(tx, changed.values())
    return changed


async def remove(
    tx: Transaction, registration_ids: Sequence[RegistrationId], now: datetime, *, log: EventLog
) -> dict[RegistrationId, DeviceId]:
    """End registrations, tell that their devices left, and return whose they were; unknown ones are absent."""
    removed = await store.delete(tx, registration_ids) if registration_ids else {}
    holding.tell_ended(tx, removed)
    await _tell_leaving(tx, dict.fromkeys(removed.values(), now), log=log)
    return removed


async def leave(
    tx: Transaction, farewells: Collection[Farewell], now: datetime, *, log: EventLog
) -> dict[Farewell, DeviceId]:
    """End the registrations whose own devices say so, and return whose they were; all others are absent.

    So are those that somebody else than their device would end: see `Registration.identity`.
    """
    if not farewells:
        return {}
    live = await store.by_ids(tx, list({registration_id for registration_id, _ in farewells}), now)
    own = {each.registration_id: each.identity for each in live if (each.registration_id, each.identity) in farewells}
    removed = await remove(tx, list(own), now, log=log)
    return {(registration_id, own[registration_id]): device_id for registration_id, device_id in removed.items()}


async def live(tx: Transaction, now: datetime, after: DeviceId | None = None, limit: int = 1000) -> list[Registration]:
    """Return a page of the live registrations, in the order of device ids; `after` is the last page's last device."""
    return await store.live(tx, DeviceId("") if after is None else after, now, limit)


async def of_devices(tx: Transaction, device_ids: Sequence[DeviceId], now: datetime) -> dict[DeviceId, Registration]:
    """Return the live registrations of these devices; who has none is absent."""
    return {registration.device_id: registration for registration in await store.of_devices(tx, device_ids, now)}


async def expire(tx: Transaction, now: datetime, limit: int = 1000, *, log: EventLog) -> list[Registration]:
    """End registrations whose lifetime has passed, `limit` at the most, tell that their devices left; return them."""
    expired = await store.expired(tx, now, limit)
    if expired:
        holding.tell_ended(tx, await store.delete(tx, [registration.registration_id for registration in expired]))
        left_at = {registration.device_id: registration.expires_at for registration in expired}
        await _tell_leaving(tx, left_at, log=log)
    return expired


def _coming(device: Device, now: datetime, *, was_here: bool) -> list[NewEvent]:
    facts: list[DeviceFact] = []
    if device.activated_at is None:
        facts.append(DeviceBound(binding=Binding.SUCCEEDED, device=described(device, Reachability.ONLINE)))
    if not was_here:
        facts.append(DeviceInfoChanged(changed=DeviceDescription(reachability=Reachability.ONLINE)))
    return [
        NewEvent(application_id=device.application_id, device_id=device.device_id, occurred_at=now, fact=fact)
        for fact in facts
    ]


async def _tell_leaving(tx: Transaction, left_at: Mapping[DeviceId, datetime], *, log: EventLog) -> None:
    if not left_at:
        return
    owners = await device_store.owners(tx, list(left_at))
    gone = DeviceInfoChanged(changed=DeviceDescription(reachability=Reachability.OFFLINE))
    await log.append(
        tx,
        [
            NewEvent(application_id=owners[device_id], device_id=device_id, occurred_at=moment, fact=gone)
            for device_id, moment in left_at.items()
        ],
    )


def _is_secure(standing: store.Standing | None) -> bool:
    return standing is not None and standing.is_secure


def _registration(
    device: Device, told: NewRegistration, now: datetime, former: store.Standing | None, gateway: GatewayId
) -> Registration:
    moves = former is not None and former.gateway != gateway
    return Registration(
        registration_id=new_registration_id(),
        device_id=device.device_id,
        endpoint_name=told.endpoint_name,
        host=told.host,
        port=told.port,
        lifetime_seconds=told.lifetime_seconds,
        binding=told.binding,
        queue_mode=told.queue_mode,
        lwm2m_version=told.lwm2m_version,
        objects=told.objects,
        is_secure=told.is_secure,
        gateway=gateway,
        epoch=1 if former is None else former.epoch + moves,
        came_from=former.gateway if former is not None and moves else None,
        registered_at=now,
        updated_at=now,
        expires_at=now + timedelta(seconds=told.lifetime_seconds),
    )


def _queue_mode(registration: Registration, update: RegistrationUpdate) -> bool:
    """Return whether a device is in queue mode after an update.

    Up to LwM2M 1.0 the binding says both. From 1.1 on the flag is a word of its own, and clients leave it out of an
    update that names a binding: then it stays.
    """
    if update.queue_mode is None:
        return registration.queue_mode
    return update.queue_mode or (registration.queue_mode and registration.lwm2m_version != "1.0")


def _updated(registration: Registration, update: RegistrationUpdate, now: datetime) -> Registration:
    lifetime = registration.lifetime_seconds if update.lifetime_seconds is None else update.lifetime_seconds
    return replace(
        registration,
        host=update.host,
        port=update.port,
        lifetime_seconds=lifetime,
        binding=registration.binding if update.binding is None else update.binding,
        queue_mode=_queue_mode(registration, update),
        objects=registration.objects if update.objects is None else update.objects,
        updated_at=now,
        expires_at=now + timedelta(seconds=lifetime),
    )
