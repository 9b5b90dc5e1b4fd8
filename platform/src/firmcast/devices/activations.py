"""A device that does not register in its time is told once, when that time is over; nobody has to ask for it."""

from datetime import datetime
from typing import Final

from firmcast.db.port import Channel, Transaction
from firmcast.devices.changes import described
from firmcast.devices.store import devices as store
from firmcast.events.log import EventLog
from firmcast.events.model import Binding, DeviceBound, NewEvent, Reachability

ACTIVATIONS_AWAITED: Final = Channel("activations_awaited")
"""Announced with the last moment for the first registration of each device that is made known."""


async def next_end(tx: Transaction) -> datetime | None:
    """Return the next last moment; None when nobody is awaited."""
    return await store.next_activation_end(tx)


async def expire(tx: Transaction, now: datetime, limit: int, *, log: EventLog) -> int:
    """Tell of devices whose last moment is past, `limit` at the most; return how many there were."""
    devices = await store.expire_activations(tx, now, limit)
    await log.append(
        tx,
        [
            NewEvent(
                application_id=device.application_id,
                device_id=device.device_id,
                occurred_at=device.activation_ends_at or now,
                fact=DeviceBound(binding=Binding.EXPIRED, device=described(device, Reachability.NEVER_REGISTERED)),
            )
            for device in devices
        ],
    )
    return len(devices)
