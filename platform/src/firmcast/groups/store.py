"""The SQL of device groups and of who is in them; a group's count is moved in the transaction that moves its members.

A member has two indexes: by group for reading a group in the order of its devices, by device for forgetting a device.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from firmcast.db.columns import from_column, to_column
from firmcast.db.page import Page
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import differing, portable
from firmcast.groups.model import DeviceGroup
from firmcast.ids import ApplicationId, DeviceId, GroupId

_COLUMNS: Final = "group_id, application_id, name, description, max_devices, device_count, created_at"

# A new group without members; its name must be free.
INSERT: Final = portable(
    "INSERT INTO device_group (" + _COLUMNS + ") VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)",
)

# What an application may change of a group.
UPDATE: Final = portable("UPDATE device_group SET name = ?2, description = ?3, max_devices = ?4 WHERE group_id = ?1")

# The group alone; its members go afterwards, in batches.
DELETE: Final = portable("DELETE FROM device_group WHERE group_id = ?1")

# One group of an application.
FIND: Final = portable("SELECT " + _COLUMNS + " FROM device_group WHERE application_id = ?1 AND group_id = ?2")

# The groups that an upgrade task names.
BY_NAMES: Final = differing(
    sqlite="SELECT " + _COLUMNS + " FROM device_group WHERE application_id = ?1"
    " AND name IN (SELECT value FROM json_each(?2))",
    postgres="SELECT " + _COLUMNS + " FROM device_group WHERE application_id = ?1 AND name = ANY(?2)",
)

# A page of an application's groups, the oldest first.
LIST: Final = portable(
    "SELECT " + _COLUMNS + " FROM device_group WHERE application_id = ?1"
    " ORDER BY created_at, group_id LIMIT ?2 OFFSET ?3"
)

# How many groups an application has.
COUNT: Final = portable("SELECT count(*) FROM device_group WHERE application_id = ?1")

# New members; who is one already stays one, and is not counted.
INSERT_MEMBERS: Final = differing(
    sqlite="INSERT INTO device_group_member (group_id, device_id) SELECT ?1, value FROM json_each(?2) WHERE true"
    " ON CONFLICT DO NOTHING",
    postgres="INSERT INTO device_group_member (group_id, device_id) SELECT ?1, unnest(?2::text[])"
    " ON CONFLICT DO NOTHING",
)

# Members that leave a group.
DELETE_MEMBERS: Final = differing(
    sqlite="DELETE FROM device_group_member WHERE group_id = ?1 AND device_id IN (SELECT value FROM json_each(?2))",
    postgres="DELETE FROM device_group_member WHERE group_id = ?1 AND device_id = ANY(?2)",
)

# The count of a group whose members came or left.
MOVE_COUNT: Final = portable("UPDATE device_group SET device_count = device_count + ?2 WHERE group_id = ?1")

# A device is about to leave every group that it is in.
MOVE_COUNTS_OF_DEVICE: Final = portable(
    "UPDATE device_group SET device_count = device_count - 1"
    " WHERE group_id IN (SELECT group_id FROM device_group_member WHERE device_id = ?1)"
)
DELETE_DEVICE: Final = portable("DELETE FROM device_group_member WHERE device_id = ?1")

# Some members of a group that is gone.
PURGE: Final = differing(
    sqlite="DELETE FROM device_group_member WHERE group_id = ?1 AND device_id IN"
    " (SELECT device_id FROM device_group_member WHERE group_id = ?1 ORDER BY device_id LIMIT ?2)",
    postgres="DELETE FROM device_group_member WHERE group_id = ?1 AND device_id IN"
    " (SELECT device_id FROM device_group_member WHERE group_id = ?1 ORDER BY device_id LIMIT ?2)",
)

# A page of a group's members by number; the rows before it are passed over within the index.
MEMBERS: Final = portable(
    "SELECT device_id FROM device_group_member WHERE group_id = ?1 ORDER BY device_id LIMIT ?2 OFFSET ?3"
)

# The next members of each of several groups, each after another device: one JSON text with [group, device] for each.
NEXT_MEMBERS: Final = differing(
    sqlite="SELECT asked.value ->> 0, m.device_id FROM json_each(?1) AS asked CROSS JOIN device_group_member m"
    " WHERE m.group_id = asked.value ->> 0 AND m.device_id > asked.value ->> 1 AND m.device_id <= coalesce("
    "(SELECT last.device_id FROM device_group_member last WHERE last.group_id = asked.value ->> 0"
    " AND last.device_id > asked.value ->> 1 ORDER BY last.device_id LIMIT 1 OFFSET ?2 - 1),"
    " (SELECT max(last.device_id) FROM device_group_member last WHERE last.group_id = asked.value ->> 0))",
    postgres="SELECT asked.group_id, found.device_id"
    " FROM (SELECT row ->> 0 AS group_id, row ->> 1 AS after FROM jsonb_array_elements(?1::jsonb) row) AS asked"
    " CROSS JOIN LATERAL (SELECT m.device_id FROM device_group_member m WHERE m.group_id = asked.group_id"
    " AND m.device_id > asked.after ORDER BY m.device_id LIMIT ?2) AS found",
)


def _group(row: Row) -> DeviceGroup:
    return DeviceGroup(
        group_id=GroupId(row[0]),
        application_id=ApplicationId(row[1]),
        name=row[2],
        description=row[3],
        max_devices=row[4],
        device_count=row[5],
        created_at=from_column(row[6]),
    )


async def insert(tx: Transaction, group: DeviceGroup) -> None:
    """Store a new group; its members come afterwards."""
    await tx.execute(
        INSERT,
        group.group_id,
        group.application_id,
        group.name,
        group.description,
        group.max_devices,
        to_column(group.created_at),
    )


async def update(tx: Transaction, group: DeviceGroup) -> None:
    """Write back what an application may change."""
    await tx.execute(UPDATE, group.group_id, group.name, group.description, group.max_devices)


async def delete(tx: Transaction, group_id: GroupId) -> None:
    """Forget a group, but not its members."""
    await tx.execute(DELETE, group_id)


async def find(tx: Transaction, application_id: ApplicationId, group_id: GroupId) -> DeviceGroup | None:
    """Return the group, None when the application has no such group."""
    row = await tx.fetch_row(FIND, application_id, group_id)
    return None if row is None else _group(row)


async def by_names(tx: Transaction, application_id: ApplicationId, names: Sequence[str]) -> list[DeviceGroup]:
    """Return those that the application has."""
    return [_group(row) for row in await tx.fetch(BY_NAMES, application_id, list(names))]


async def listed(tx: Transaction, application_id: ApplicationId, page: Page) -> list[DeviceGroup]:
    """Return a page of the application's groups."""
    return [_group(row) for row in await tx.fetch(LIST, application_id, page.limit, page.offset)]


async def count(tx: Transaction, application_id: ApplicationId) -> int:
    """Return how many groups the application has."""
    row = await tx.fetch_row(COUNT, application_id)
    return 0 if row is None else int(row[0])


async def insert_members(tx: Transaction, group_id: GroupId, device_ids: Sequence[DeviceId]) -> int:
    """Let devices be members and return how many were none before."""
    added = await tx.execute(INSERT_MEMBERS, group_id, list(device_ids))
    await tx.execute(MOVE_COUNT, group_id, added)
    return added


async def delete_members(tx: Transaction, group_id: GroupId, device_ids: Sequence[DeviceId]) -> int:
    """Let devices be no members any longer and return how many were."""
    removed = await tx.execute(DELETE_MEMBERS, group_id, list(device_ids))
    await tx.execute(MOVE_COUNT, group_id, -removed)
    return removed


async def delete_device(tx: Transaction, device_id: DeviceId) -> None:
    """Take a device out of every group."""
    await tx.execute(MOVE_COUNTS_OF_DEVICE, device_id)
    await tx.execute(DELETE_DEVICE, device_id)


async def purge(tx: Transaction, group_id: GroupId, limit: int) -> int:
    """Delete some members of a group that is gone and return how many."""
    return await tx.execute(PURGE, group_id, limit)


async def members(tx: Transaction, group_id: GroupId, page: Page) -> list[DeviceId]:
    """Return a page of a group's devices in the order of their ids."""
    return [DeviceId(row[0]) for row in await tx.fetch(MEMBERS, group_id, page.limit, page.offset)]


async def next_members(
    tx: Transaction, after: Mapping[GroupId, DeviceId], limit: int
) -> list[tuple[GroupId, DeviceId]]:
    """Return for each group the next `limit` devices after the one named for it."""
    return [
        (GroupId(row[0]), DeviceId(row[1]))
        for row in await tx.fetch(NEXT_MEMBERS, json.dumps(list(after.items())), limit)
    ]
