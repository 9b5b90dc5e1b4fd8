"""The table of orders that wait for devices: one row at the most for each device upgrade."""

from collections.abc import Sequence
from datetime import datetime

from firmcast.db.columns import to_column
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import differing, portable
from firmcast.devices.model import CommandKind, DeviceCommand, NewCommand
from firmcast.ids import CommandId, DeviceId, DeviceUpgradeId, GatewayId

# Orders that a newer one takes the place of: of the same device upgrade, or owed to the same device.
_DELETE_REPLACED = differing(
    sqlite="DELETE FROM device_command WHERE device_upgrade_id IN (SELECT value FROM json_each(?1))"
    " OR (tries > 0 AND device_id IN (SELECT value FROM json_each(?2)))",
    postgres="DELETE FROM device_command WHERE device_upgrade_id = ANY(?1) OR (tries > 0 AND device_id = ANY(?2))",
)

# Orders that are no longer wanted.
_DELETE_OF_UPGRADES = differing(
    sqlite="DELETE FROM device_command WHERE device_upgrade_id IN (SELECT value FROM json_each(?1))",
    postgres="DELETE FROM device_command WHERE device_upgrade_id = ANY(?1)",
)

# A new order; the store numbers it.
_INSERT = portable(
    "INSERT INTO device_command (device_id, device_upgrade_id, kind, transfer_token, created_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5)"
)

# The orders just written, with their numbers.
_OF_UPGRADES = differing(
    sqlite="SELECT command_id, device_id, device_upgrade_id, kind, transfer_token FROM device_command"
    " WHERE device_upgrade_id IN (SELECT value FROM json_each(?1)) ORDER BY command_id",
    postgres="SELECT command_id, device_id, device_upgrade_id, kind, transfer_token FROM device_command"
    " WHERE device_upgrade_id = ANY(?1) ORDER BY command_id",
)

# Orders that were carried out, or came to nothing.
_DELETE = differing(
    sqlite="DELETE FROM device_command WHERE command_id IN (SELECT value FROM json_each(?1))",
    postgres="DELETE FROM device_command WHERE command_id = ANY(?1)",
)

# How often orders were carried out in vain before.
_TRIES = differing(
    sqlite="SELECT command_id, kind, tries FROM device_command WHERE command_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT command_id, kind, tries FROM device_command WHERE command_id = ANY(?1)",
)

# One time more.
_COUNT_TRY = differing(
    sqlite="UPDATE device_command SET tries = tries + 1 WHERE command_id IN (SELECT value FROM json_each(?1))",
    postgres="UPDATE device_command SET tries = tries + 1 WHERE command_id = ANY(?1)",
)

# What waits for devices that can now be talked to.
_OF_DEVICES = differing(
    sqlite="SELECT command_id, device_id, device_upgrade_id, kind, transfer_token FROM device_command"
    " WHERE device_id IN (SELECT value FROM json_each(?1)) ORDER BY command_id",
    postgres="SELECT command_id, device_id, device_upgrade_id, kind, transfer_token FROM device_command"
    " WHERE device_id = ANY(?1) ORDER BY command_id",
)

# What a gateway may carry out: of devices that it holds.
OF_HELD_DEVICES = differing(
    sqlite="SELECT c.command_id, c.device_id, c.device_upgrade_id, c.kind, c.transfer_token FROM device_command c"
    " JOIN registration r ON r.device_id = c.device_id AND r.gateway = ?2"
    " WHERE c.device_id IN (SELECT value FROM json_each(?1)) ORDER BY c.command_id",
    postgres="SELECT c.command_id, c.device_id, c.device_upgrade_id, c.kind, c.transfer_token FROM device_command c"
    " JOIN registration r ON r.device_id = c.device_id AND r.gateway = ?2"
    " WHERE c.device_id = ANY(?1) ORDER BY c.command_id",
)

# The orders of a device that is forgotten.
_DELETE_OF_DEVICE = portable("DELETE FROM device_command WHERE device_id = ?1")


def _command(row: Row) -> DeviceCommand:
    return DeviceCommand(
        command_id=CommandId(row[0]),
        device_id=DeviceId(row[1]),
        device_upgrade_id=DeviceUpgradeId(row[2]),
        kind=CommandKind(row[3]),
        transfer_token=row[4],
    )


async def replace(tx: Transaction, orders: Sequence[NewCommand], now: datetime) -> list[DeviceCommand]:
    """Store orders, each in the place of its device upgrade's former one; return them with their numbers.

    What is owed to the devices of upgrades goes with them.
    """
    device_upgrade_ids = [order.device_upgrade_id for order in orders]
    upgraded = [order.device_id for order in orders if order.kind is not CommandKind.CHECK]
    await tx.execute(_DELETE_REPLACED, device_upgrade_ids, upgraded)
    stored_now = to_column(now)
    await tx.execute_many(
        _INSERT,
        [
            (order.device_id, order.device_upgrade_id, order.kind.value, order.transfer_token, stored_now)
            for order in orders
        ],
    )
    return [_command(row) for row in await tx.fetch(_OF_UPGRADES, device_upgrade_ids)]


async def delete_of_upgrades(tx: Transaction, device_upgrade_ids: Sequence[DeviceUpgradeId]) -> None:
    """Delete the orders of these device upgrades."""
    await tx.execute(_DELETE_OF_UPGRADES, list(device_upgrade_ids))


async def delete(tx: Transaction, command_ids: Sequence[CommandId]) -> None:
    """Delete orders."""
    await tx.execute(_DELETE, list(command_ids))


async def tries(tx: Transaction, command_ids: Sequence[CommandId]) -> dict[CommandId, tuple[CommandKind, int]]:
    """Return the kinds of orders, and how often they were carried out without an answer before."""
    return {CommandId(row[0]): (CommandKind(row[1]), row[2]) for row in await tx.fetch(_TRIES, list(command_ids))}


async def count_try(tx: Transaction, command_ids: Sequence[CommandId]) -> None:
    """Note that orders were carried out without an answer once more."""
    await tx.execute(_COUNT_TRY, list(command_ids))


async def of_devices(tx: Transaction, device_ids: Sequence[DeviceId]) -> list[DeviceCommand]:
    """Return what waits for these devices, the oldest first."""
    return [_command(row) for row in await tx.fetch(_OF_DEVICES, list(device_ids))]


async def of_held_devices(tx: Transaction, device_ids: Sequence[DeviceId], gateway: GatewayId) -> list[DeviceCommand]:
    """Return what waits for those of these devices that a gateway holds, the oldest first."""
    return [_command(row) for row in await tx.fetch(OF_HELD_DEVICES, list(device_ids), gateway)]


async def delete_of_device(tx: Transaction, device_id: DeviceId) -> None:
    """Delete the orders of a device."""
    await tx.execute(_DELETE_OF_DEVICE, device_id)
