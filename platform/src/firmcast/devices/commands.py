"""One order at the most waits for each device upgrade; a new one gets a new number, so that an old answer shows as old.

An order may be carried out more than once: it is removed after its answer was recorded, and a crash may come between.
"""

from collections.abc import Sequence
from datetime import datetime

from firmcast.db.port import Channel, Transaction
from firmcast.devices.model import DeviceCommand, NewCommand
from firmcast.devices.store import commands as store
from firmcast.ids import CommandId, DeviceId, DeviceUpgradeId, GatewayId

DEVICE_COMMANDS = Channel("device_commands")
"""Announced with each new DeviceCommand."""

DEVICES_COMMANDED = Channel("devices_commanded")
"""Told with the DeviceIds of new commands that another node has given."""


async def replace(tx: Transaction, orders: Sequence[NewCommand], now: datetime) -> list[DeviceCommand]:
    """Let orders wait, each in the place of its device upgrade's former one; return them with their numbers.

    The device upgrades must differ from each other.
    """
    if not orders:
        return []
    commands = await store.replace(tx, orders, now)
    tx.announce(DEVICE_COMMANDS, commands)
    return commands


async def withdraw(tx: Transaction, device_upgrade_ids: Sequence[DeviceUpgradeId]) -> None:
    """Let nothing wait any longer for these device upgrades."""
    if device_upgrade_ids:
        await store.delete_of_upgrades(tx, device_upgrade_ids)


async def finish(tx: Transaction, command_ids: Sequence[CommandId]) -> None:
    """Remove orders that were answered; unknown ones have been replaced or withdrawn, and are no error."""
    if command_ids:
        await store.delete(tx, command_ids)


async def waiting(tx: Transaction, device_ids: Sequence[DeviceId]) -> list[DeviceCommand]:
    """Return what waits for these devices, the oldest first."""
    return await store.of_devices(tx, device_ids)


async def to_carry_out(tx: Transaction, device_ids: Sequence[DeviceId], gateway: GatewayId) -> list[DeviceCommand]:
    """Return what waits for those of these devices that `gateway` holds, the oldest first: the rest is not its own."""
    return await store.of_held_devices(tx, device_ids, gateway)
