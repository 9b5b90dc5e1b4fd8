"""A device belongs to the application that made it known; for every other application it does not exist.

Its endpoint name is unique over all applications, since that is all that a device says when it registers. What
changes of it is told in the transaction that changes it, and what stays as it was is not.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from firmcast.db.page import Page
from firmcast.db.port import Transaction
from firmcast.devices import holding, registrations
from firmcast.devices.activations import ACTIVATIONS_AWAITED
from firmcast.devices.changes import described, difference
from firmcast.devices.keys import DEVICE_KEYS_CHANGED
from firmcast.devices.model import Device, DeviceDetails, DeviceFilter
from firmcast.devices.store import commands as command_store
from firmcast.devices.store import devices as store
from firmcast.devices.store import listing, removal
from firmcast.devices.store import registrations as registration_store
from firmcast.errors import ConflictError, NotFoundError
from firmcast.events.log import EventLog
from firmcast.events.model import (
    DeviceAdded,
    DeviceDeleted,
    DeviceDescription,
    DeviceFact,
    DeviceInfoChanged,
    NewEvent,
    Reachability,
)
from firmcast.ids import ApplicationId, DeviceId, new_uuid

DEFAULT_ACTIVATION_SECONDS = 180
EVERYTHING = Page()
EVERY_DEVICE = DeviceFilter()
NO_DETAILS = DeviceDetails()

ReleaseDevice = Callable[[Transaction, DeviceId, datetime], Awaitable[None]]
"""Ends what others are doing with a device that is about to be deleted, or raises ConflictError."""

JoinGroup = Callable[[Transaction, ApplicationId, str, DeviceId], Awaitable[object]]
"""Puts a new device into the group of this id, or raises RefusedError."""


class AlreadyBoundError(ConflictError):
    """A device of this endpoint name is known and has registered already."""


async def create(
    tx: Transaction,
    application_id: ApplicationId,
    endpoint_name: str,
    verification_code: str,
    now: datetime,
    *,
    log: EventLog,
    details: DeviceDetails = NO_DETAILS,
    activation_seconds: int = DEFAULT_ACTIVATION_SECONDS,
    pre_shared_key: bytes = b"",
) -> Device:
    """Make a device known, so that it may register within `activation_seconds` (0 for ever).

    A device of this application that let its time pass is made known anew under its old id. `pre_shared_key` is
    sealed by the caller.

    Raises:
        AlreadyBoundError: a device of this name has registered already.
        ConflictError: a device of this name is known.
    """
    known = {device.endpoint_name: device for device in await store.by_endpoint_names(tx, [endpoint_name])}
    former = known.get(endpoint_name)
    if former is not None and former.activated_at is not None:
        message = f"the device {endpoint_name!r} has registered already"
        raise AlreadyBoundError(message)
    if former is not None and (former.application_id != application_id or registrations.may_register(former, now)):
        message = f"the endpoint name {endpoint_name!r} is taken"
        raise ConflictError(message)
    device = Device(
        device_id=DeviceId(new_uuid()) if former is None else former.device_id,
        application_id=application_id,
        endpoint_name=endpoint_name,
        verification_code=verification_code,
        name=details.name or "",
        manufacturer_id=details.manufacturer_id or "",
        manufacturer_name=details.manufacturer_name or "",
        device_type=details.device_type or "",
        model=details.model or "",
        protocol_type=details.protocol_type or "",
        activation_seconds=activation_seconds,
        firmware_version="",
        created_at=now,
        changed_at=now,
        activated_at=None,
        attributes=details.attributes,
    )
    if former is None:
        await store.insert(tx, device, pre_shared_key)
    else:
        await store.renew(tx, device, pre_shared_key)
    await _tell(tx, device, DeviceAdded(device=described(device, Reachability.NEVER_REGISTERED)), now, log=log)
    if device.activation_ends_at is not None:
        tx.announce(ACTIVATIONS_AWAITED, [device.activation_ends_at])
    return device


async def find(tx: Transaction, application_id: ApplicationId, device_id: DeviceId) -> Device:
    """Return the device.

    Raises:
        NotFoundError: the application has no such device.
    """
    device = await store.find(tx, application_id, device_id)
    if device is None:
        raise NotFoundError("device", device_id)
    return device


async def find_called(tx: Transaction, called: str) -> Device:
    """Return the device of an id or, where there is no such id, of an endpoint name; of any application.

    Raises:
        NotFoundError: there is no such device.
    """
    device = await store.find_any(tx, DeviceId(called))
    if device is not None:
        return device
    named = await store.by_endpoint_names(tx, [called])
    if not named:
        raise NotFoundError("device", called)
    return named[0]


async def by_ids(
    tx: Transaction, application_id: ApplicationId, device_ids: Sequence[DeviceId]
) -> dict[DeviceId, Device]:
    """Return those of these devices that the application has."""
    return {device.device_id: device for device in await store.by_ids(tx, application_id, device_ids)}


async def by_endpoint_names(tx: Transaction, names: Sequence[str]) -> dict[str, Device]:
    """Return the devices of these names, whichever application they belong to; unknown names are absent."""
    return {device.endpoint_name: device for device in await store.by_endpoint_names(tx, names)}


async def listed(
    tx: Transaction,
    application_id: ApplicationId,
    filters: DeviceFilter = EVERY_DEVICE,
    page: Page = EVERYTHING,
    *,
    now: datetime,
) -> tuple[list[Device], int]:
    """Return a page of the application's devices and how many there are on all pages."""
    return await listing.listed(tx, application_id, filters, page, now)


async def modify(
    tx: Transaction,
    application_id: ApplicationId,
    device_id: DeviceId,
    details: DeviceDetails,
    now: datetime,
    *,
    log: EventLog,
    pre_shared_key: bytes | None = None,
) -> Device:
    """Change what the application says of a device; what `details` leaves out stays.

    One that has to come through secure sessions from now on, and is here in clear, is so no longer.

    Raises:
        NotFoundError: the application has no such device.
    """
    device = await find(tx, application_id, device_id)
    changed = replace(
        device,
        name=_said(details.name, device.name),
        manufacturer_id=_said(details.manufacturer_id, device.manufacturer_id),
        manufacturer_name=_said(details.manufacturer_name, device.manufacturer_name),
        device_type=_said(details.device_type, device.device_type),
        model=_said(details.model, device.model),
        protocol_type=_said(details.protocol_type, device.protocol_type),
        attributes=device.attributes | details.attributes,
        changed_at=now,
    )
    await store.modify(tx, changed)
    if pre_shared_key is not None:
        await store.set_pre_shared_key(tx, device_id, pre_shared_key, now)
        tx.announce(DEVICE_KEYS_CHANGED, [device.endpoint_name])
    await _tell(tx, changed, difference(device, changed), now, log=log)
    if registrations.must_be_secure(changed):
        here = await registrations.of_devices(tx, [device_id], now)
        in_clear = [each.registration_id for each in here.values() if not each.is_secure]
        await registrations.remove(tx, in_clear, now, log=log)
    return changed


async def refresh_credentials(
    tx: Transaction,
    application_id: ApplicationId,
    device_id: DeviceId,
    now: datetime,
    *,
    log: EventLog,
    endpoint_name: str | None,
    verification_code: str,
    activation_seconds: int,
) -> Device:
    """Give a device another verification code, and another endpoint name where one is given.

    Raises:
        NotFoundError: the application has no such device.
        ConflictError: another device has this endpoint name.
    """
    device = await find(tx, application_id, device_id)
    name = device.endpoint_name if endpoint_name is None else endpoint_name
    if name != device.endpoint_name and await store.by_endpoint_names(tx, [name]):
        message = f"the endpoint name {name!r} is taken"
        raise ConflictError(message)
    changed = replace(
        device,
        endpoint_name=name,
        verification_code=verification_code,
        activation_seconds=activation_seconds,
        changed_at=now,
    )
    await store.set_credentials(tx, changed)
    if name != device.endpoint_name:
        tx.announce(DEVICE_KEYS_CHANGED, [device.endpoint_name])
    await _tell(tx, changed, difference(device, changed), now, log=log)
    return changed


async def delete(
    tx: Transaction,
    application_id: ApplicationId,
    device_id: DeviceId,
    now: datetime,
    *,
    log: EventLog,
    release: ReleaseDevice,
) -> None:
    """Forget a device, its registration and what waits for it, after `release` has ended what is under way with it.

    That it is gone is the last that is told of it; what was told stays in the log and is delivered.

    Raises:
        NotFoundError: the application has no such device.
        ConflictError: `release` does not let it go.
    """
    device = await find(tx, application_id, device_id)
    await release(tx, device_id, now)
    await command_store.delete_of_device(tx, device_id)
    holding.tell_ended(tx, dict.fromkeys(await registration_store.delete_of_device(tx, device_id), device_id))
    await store.delete(tx, device_id)
    tx.announce(DEVICE_KEYS_CHANGED, [device.endpoint_name])
    await _tell(tx, device, DeviceDeleted(), now, log=log)


async def next_forgotten(tx: Transaction, application_id: ApplicationId, limit: int = 1000) -> list[DeviceId]:
    """Return the devices that `forget_application` would remove, so that others forget them before."""
    return await removal.some_of(tx, application_id, limit)


async def forget_application(tx: Transaction, application_id: ApplicationId, limit: int = 1000) -> int:
    """Remove some devices of an application that is about to be deleted, `limit` at the most; nobody is told.

    Returns how many were removed; 0 when none is left.
    """
    endpoint_names, ended = await removal.remove_some(tx, application_id, limit)
    holding.tell_ended(tx, ended)
    if endpoint_names:
        tx.announce(DEVICE_KEYS_CHANGED, endpoint_names)
    return len(endpoint_names)


async def sealed_keys(tx: Transaction, endpoint_names: Sequence[str]) -> dict[str, bytes]:
    """Return the sealed pre-shared keys of those of these devices that have one."""
    return await store.pre_shared_keys(tx, endpoint_names)


async def record_firmware_versions(
    tx: Transaction, versions: Mapping[DeviceId, str], now: datetime, *, log: EventLog
) -> None:
    """Note which versions devices run (/3/0/3), and tell those that are news."""
    if versions:
        news = await store.set_firmware_versions(tx, versions, now)
        await log.append(
            tx,
            [
                NewEvent(
                    application_id=application_id,
                    device_id=device_id,
                    occurred_at=now,
                    fact=DeviceInfoChanged(changed=DeviceDescription(firmware_version=version)),
                )
                for device_id, application_id, version in news
            ],
        )


async def _tell(tx: Transaction, device: Device, fact: DeviceFact | None, now: datetime, *, log: EventLog) -> None:
    if fact is not None:
        news = NewEvent(application_id=device.application_id, device_id=device.device_id, occurred_at=now, fact=fact)
        await log.append(tx, [news])


def _said(new: str | None, former: str) -> str:
    return former if new is None else new
