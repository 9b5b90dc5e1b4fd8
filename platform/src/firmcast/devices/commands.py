"""One order at the most waits for each device upgrade; a new one gets a new number, so that an old answer shows as old.

An order may be carried out more than once: it is removed after its answer was recorded, and a crash may come between.
A reset of a device that is in no upgrade any more is owed to it: without an answer it stays, and is carried out again
at the next sign of life, until it was tried often enough or another upgrade begins with the device.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from firmcast.db.port import Channel, Transaction
from firmcast.devices.model import CommandKind, DeviceCommand, NewCommand
from firmcast.devices.store import commands as store
from firmcast.ids import CommandId, DeviceId, DeviceUpgradeId, GatewayId

DEVICE_COMMANDS = Channel("device_commands")
"""Announced with each new DeviceCommand."""

DEVICES_COMMANDED = Channel("devices_commanded")
"""Told with the DeviceIds of new commands that another node has given."""

MOST_TRIES: Final = 5
"""So often a reset that is owed to a device is carried out without an answer."""


def is_owed(kind: CommandKind, tries: int) -> bool:
    """Tell whether an order stays that got no answer, as `tries` times before, of a device that is in no upgrade."""
    return kind is CommandKind.RESET and tries + 1 < MOST_TRIES


async def replace(tx: Transaction, orders: Sequence[NewCommand], now: datetime) -> list[DeviceCommand]:
    """Let orders wait, each in the place of its device upgrade's former one; return them with their numbers.

    What was owed to the devices of upgrades is not any more: whoever goes on with them inspects and resets them. The
    device upgrades must differ from each other.
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


async def leave_unanswered(tx: Transaction, command_ids: Sequence[CommandId]) -> None:
    """Keep those of these orders that are owed to their devices, which are in no upgrade, and remove the others."""
    if not command_ids:
        return
    found = await store.tries(tx, command_ids)
    owed = [command_id for command_id, (kind, tries) in found.items() if is_owed(kind, tries)]
    await store.count_try(tx, owed)
    await store.delete(tx, [command_id for command_id in command_ids if command_id not in owed])


async def waiting(tx: Transaction, device_ids: Sequence[DeviceId]) -> list[DeviceCommand]:
    """Return what waits for these devices, the oldest first."""
    return await store.of_devices(tx, device_ids)


async def to_carry_out(tx: Transaction, device_ids: Sequence[DeviceId], gateway: GatewayId) -> list[DeviceCommand]:
    """Return what waits for those of these devices that `gateway` holds, the oldest first: the rest is not its own."""
    return await store.of_held_devices(tx, device_ids, gateway)
