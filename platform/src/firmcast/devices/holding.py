"""A registration is held by one gateway at a time, the one that heard of its device last; it alone carries out orders.

With each change of hands an epoch grows, so that news of two changes, whichever comes first, say which one counts. A
gateway that is dead holds what it held until another one has taken it.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from firmcast.db.port import Channel, Transaction
from firmcast.devices.model import NOBODY, Registration, RegistrationMoved
from firmcast.devices.store import holding as store
from firmcast.devices.store import registrations as registration_store
from firmcast.ids import DeviceId, GatewayId, RegistrationId

REGISTRATIONS_MOVED: Final = Channel("registrations_moved")
"""Announced with a RegistrationMoved of each registration that changed hands or ended."""

GATEWAYS_LEFT: Final = Channel("gateways_left")
"""Announced with the GatewayIds of those that end in good order: what they hold is free."""

LivingGateways = Callable[[Transaction], Awaitable[Collection[GatewayId]]]
"""Returns, within a transaction, the gateways that are alive; of each other one the devices have nobody."""


def moved_to(registration: Registration, gateway: GatewayId) -> Registration:
    """Return a registration in the hands of a gateway."""
    if registration.gateway == gateway:
        return registration
    return replace(registration, gateway=gateway, epoch=registration.epoch + 1, came_from=registration.gateway)


def tell_moved(tx: Transaction, registrations: Iterable[Registration]) -> None:
    """Announce those registrations that came from another gateway."""
    moved = [
        RegistrationMoved(
            device_id=registration.device_id,
            registration_id=registration.registration_id,
            gateway=registration.gateway,
            epoch=registration.epoch,
        )
        for registration in registrations
        if registration.came_from is not None
    ]
    if moved:
        tx.announce(REGISTRATIONS_MOVED, moved)


def tell_ended(tx: Transaction, ended: Mapping[RegistrationId, DeviceId]) -> None:
    """Announce registrations that have ended: another gateway than this one may hold them."""
    if ended:
        tx.announce(
            REGISTRATIONS_MOVED,
            [
                RegistrationMoved(device_id=device_id, registration_id=registration_id, gateway=NOBODY, epoch=0)
                for registration_id, device_id in ended.items()
            ],
        )


async def take_over(
    tx: Transaction, registration_ids: Sequence[RegistrationId], now: datetime, *, gateway: GatewayId
) -> dict[RegistrationId, Registration]:
    """Let `gateway` hold these registrations, and return those that are live."""
    if not registration_ids:
        return {}
    found = await registration_store.by_ids(tx, registration_ids, now)
    taken = {each.registration_id: moved_to(each, gateway) for each in found}
    moving = [each for each in taken.values() if each.came_from is not None]
    if moving:
        await store.move(tx, [each.device_id for each in moving], gateway)
        tell_moved(tx, moving)
    return taken


async def adopt(
    tx: Transaction, former: GatewayId, now: datetime, limit: int, *, gateway: GatewayId
) -> tuple[int, list[Registration]]:
    """Let `gateway` hold `limit` devices, at the most, that a dead one holds.

    Returns how many those are, and the registrations of those that are live.
    """
    device_ids = await store.some_held(tx, former, limit)
    if not device_ids:
        return 0, []
    live = [moved_to(each, gateway) for each in await registration_store.of_devices(tx, device_ids, now)]
    await store.move(tx, device_ids, gateway)
    tell_moved(tx, live)
    return len(device_ids), live


async def holders(tx: Transaction) -> list[GatewayId]:
    """Return everybody who holds any registration, alive or not."""
    return await store.holders(tx)


async def held(tx: Transaction, gateway: GatewayId, after: DeviceId | None, limit: int) -> list[DeviceId]:
    """Return a page of the devices that a gateway holds, in the order of ids; `after` is the last page's last."""
    return await store.held_after(tx, gateway, DeviceId("") if after is None else after, limit)


async def held_elsewhere(
    tx: Transaction, device_ids: Collection[DeviceId], now: datetime, *, gateway: GatewayId
) -> set[DeviceId]:
    """Return which of these devices another gateway holds."""
    holding = await store.gateways_of(tx, list(device_ids), now)
    return {device_id for device_id, holder in holding.items() if holder != gateway}


async def unattended(
    tx: Transaction, device_ids: Collection[DeviceId], now: datetime, *, living: LivingGateways
) -> set[DeviceId]:
    """Return which of these devices are registered with a gateway that is dead: nobody can ask them anything."""
    holding = await store.gateways_of(tx, list(device_ids), now)
    alive = await living(tx)
    return {device_id for device_id, holder in holding.items() if holder not in alive}


async def at_addresses(tx: Transaction, addresses: Sequence[tuple[str, int]], now: datetime) -> list[Registration]:
    """Return the live registrations from these hosts and ports; several devices may have had one address."""
    return await store.at_addresses(tx, addresses, now)


async def secure_named(tx: Transaction, names: Sequence[str], now: datetime) -> list[Registration]:
    """Return the live registrations of these endpoint names that came through secure sessions."""
    return await store.secure_named(tx, names, now)


async def beginning_with(tx: Transaction, beginnings: Sequence[str], now: datetime) -> list[Registration]:
    """Return the live registrations whose ids are any of these, or go on from them in hexadecimal digits."""
    return await store.beginning_with(tx, beginnings, now)


async def leave(tx: Transaction, gateway: GatewayId) -> None:
    """Announce that a gateway ends in good order."""
    tx.announce(GATEWAYS_LEFT, [gateway])
