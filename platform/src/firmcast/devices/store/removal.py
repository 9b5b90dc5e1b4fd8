"""The rows of many devices go together, from the tables of this capability: what an application leaves behind."""

from firmcast.db.port import Transaction
from firmcast.db.statement import differing, portable
from firmcast.ids import ApplicationId, DeviceId, RegistrationId

# Some devices of an application, by its index: with an equality PostgreSQL may walk through all for one that has few.
SOME_OF_APPLICATION = portable(
    "SELECT device_id, endpoint_name FROM device WHERE application_id >= ?1 AND application_id <= ?1"
    " ORDER BY application_id, created_at, device_id LIMIT ?2"
)

# What waits for these devices, their registrations, and the devices themselves.
DELETE_COMMANDS = differing(
    sqlite="DELETE FROM device_command WHERE device_id IN (SELECT value FROM json_each(?1))",
    postgres="DELETE FROM device_command WHERE device_id = ANY(?1)",
)
DELETE_REGISTRATIONS = differing(
    sqlite="DELETE FROM registration WHERE device_id IN (SELECT value FROM json_each(?1))"
    " RETURNING registration_id, device_id",
    postgres="DELETE FROM registration WHERE device_id = ANY(?1) RETURNING registration_id, device_id",
)
DELETE_DEVICES = differing(
    sqlite="DELETE FROM device WHERE device_id IN (SELECT value FROM json_each(?1))",
    postgres="DELETE FROM device WHERE device_id = ANY(?1)",
)


async def some_of(tx: Transaction, application_id: ApplicationId, limit: int) -> list[DeviceId]:
    """Return those devices that `remove_some` would remove."""
    return [DeviceId(row[0]) for row in await tx.fetch(SOME_OF_APPLICATION, application_id, limit)]


async def remove_some(
    tx: Transaction, application_id: ApplicationId, limit: int
) -> tuple[list[str], dict[RegistrationId, DeviceId]]:
    """Remove `limit` devices of an application, at the most, with all that is kept of them.

    Returns their names, and the registrations that went with them.
    """
    rows = await tx.fetch(SOME_OF_APPLICATION, application_id, limit)
    device_ids = [DeviceId(row[0]) for row in rows]
    if not device_ids:
        return [], {}
    await tx.execute(DELETE_COMMANDS, device_ids)
    ended = await tx.fetch(DELETE_REGISTRATIONS, device_ids)
    await tx.execute(DELETE_DEVICES, device_ids)
    return [row[1] for row in rows], {RegistrationId(row[0]): DeviceId(row[1]) for row in ended}
