"""A group belongs to one application and holds only devices of it; a device may be in many groups, or in none.

Groups are large: what is asked of their members goes in pages and batches, by index, and never needs them all.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from firmcast.db.page import Page
from firmcast.db.port import Transaction
from firmcast.devices import use_cases as devices
from firmcast.errors import NotFoundError
from firmcast.groups import store
from firmcast.groups.merge import Merge
from firmcast.groups.model import (
    LARGEST_ADDITION,
    DeviceGroup,
    GroupFullError,
    GroupNameTakenError,
    TooManyDevicesError,
    TooManyGroupsError,
    UnknownDevicesError,
)
from firmcast.ids import ApplicationId, DeviceId, GroupId, new_uuid

FIRST = DeviceId("")
EVERYTHING = Page()


async def create(
    tx: Transaction,
    application_id: ApplicationId,
    name: str,
    now: datetime,
    *,
    description: str = "",
    max_devices: int = 0,
    device_ids: Sequence[DeviceId] = (),
    group_limit: int = 0,
) -> DeviceGroup:
    """Make a group, with its first members.

    `max_devices` limits the group, `group_limit` the groups of the application; 0 is no limit.

    Raises:
        GroupNameTakenError: the application has a group of this name.
        TooManyGroupsError: it has `group_limit` groups.
        TooManyDevicesError: `device_ids` are more than one call, or this group, takes.
        UnknownDevicesError: one of them is no device of the application.
    """
    if await store.by_names(tx, application_id, [name]):
        message = f"a group {name!r} exists"
        raise GroupNameTakenError(message)
    if group_limit and await store.count(tx, application_id) >= group_limit:
        message = f"there are {group_limit} groups, and more are not allowed"
        raise TooManyGroupsError(message)
    if max_devices and len(set(device_ids)) > max_devices:
        raise TooManyDevicesError("devices", f"the group takes {max_devices}")
    group = DeviceGroup(
        group_id=GroupId(new_uuid()),
        application_id=application_id,
        name=name,
        description=description,
        max_devices=max_devices,
        device_count=0,
        created_at=now,
    )
    await store.insert(tx, group)
    return await _joined(tx, group, device_ids) if device_ids else group


async def find(tx: Transaction, application_id: ApplicationId, group_id: GroupId) -> DeviceGroup:
    """Return the group.

    Raises:
        NotFoundError: the application has no such group.
    """
    group = await store.find(tx, application_id, group_id)
    if group is None:
        raise NotFoundError("device group", group_id)
    return group


async def by_names(tx: Transaction, application_id: ApplicationId, names: Sequence[str]) -> dict[str, DeviceGroup]:
    """Return the application's groups of these names; unknown names are absent."""
    return {group.name: group for group in await store.by_names(tx, application_id, names)}


async def listed(
    tx: Transaction, application_id: ApplicationId, page: Page = EVERYTHING, *, name: str = ""
) -> tuple[list[DeviceGroup], int]:
    """Return a page of the application's groups, the oldest first, and how many there are on all pages.

    With `name` the list holds the group of this name only.
    """
    if name:
        named = await store.by_names(tx, application_id, [name])
        return named[page.offset : page.offset + page.limit], len(named)
    return await store.listed(tx, application_id, page), await store.count(tx, application_id)


async def modify(
    tx: Transaction,
    application_id: ApplicationId,
    group_id: GroupId,
    *,
    name: str | None = None,
    description: str | None = None,
    max_devices: int | None = None,
) -> DeviceGroup:
    """Change what is said of a group; what is None stays.

    Raises:
        NotFoundError: the application has no such group.
        GroupNameTakenError: another of its groups has this name.
        GroupFullError: there are more than `max_devices` in it.
    """
    group = await find(tx, application_id, group_id)
    changed = replace(
        group,
        name=group.name if name is None else name,
        description=group.description if description is None else description,
        max_devices=group.max_devices if max_devices is None else max_devices,
    )
    if changed.name != group.name and await store.by_names(tx, application_id, [changed.name]):
        message = f"a group {changed.name!r} exists"
        raise GroupNameTakenError(message)
    _require_room(changed)
    await store.update(tx, changed)
    return changed


async def delete(tx: Transaction, application_id: ApplicationId, group_id: GroupId) -> DeviceGroup:
    """Forget a group. What is left of its members nobody sees any more; `purge_members` removes it.

    Raises:
        NotFoundError: the application has no such group.
    """
    group = await find(tx, application_id, group_id)
    await store.delete(tx, group_id)
    return group


async def purge_members(tx: Transaction, group_id: GroupId, limit: int) -> int:
    """Remove `limit` members, at the most, of a group that is gone; return how many, 0 when none is left."""
    return await store.purge(tx, group_id, limit)


async def add_members(
    tx: Transaction, application_id: ApplicationId, group_id: GroupId, device_ids: Sequence[DeviceId]
) -> DeviceGroup:
    """Let devices be in a group, all of them or none; who is in it already stays in it.

    Raises:
        NotFoundError: the application has no such group.
        TooManyDevicesError: more than LARGEST_ADDITION devices are named.
        UnknownDevicesError: one of them is no device of the application.
        GroupFullError: there would be more in the group than it takes.
    """
    return await _joined(tx, await find(tx, application_id, group_id), device_ids)


async def remove_members(
    tx: Transaction, application_id: ApplicationId, group_id: GroupId, device_ids: Sequence[DeviceId]
) -> DeviceGroup:
    """Let devices be in a group no longer; who is not in it is passed over.

    Raises:
        NotFoundError: the application has no such group.
        TooManyDevicesError: more than LARGEST_ADDITION devices are named.
        UnknownDevicesError: one of them is no device of the application.
    """
    group = await find(tx, application_id, group_id)
    await _require_known(tx, application_id, device_ids)
    removed = await store.delete_members(tx, group_id, device_ids)
    return replace(group, device_count=group.device_count - removed)


async def members(
    tx: Transaction, application_id: ApplicationId, group_id: GroupId, page: Page = EVERYTHING
) -> tuple[list[DeviceId], int]:
    """Return a page of a group's devices in the order of their ids, and how many there are on all pages.

    Raises:
        NotFoundError: the application has no such group.
    """
    group = await find(tx, application_id, group_id)
    return await store.members(tx, group_id, page), group.device_count


async def member_page(
    tx: Transaction, group_ids: Sequence[GroupId], after: DeviceId = FIRST, limit: int = 1000
) -> list[DeviceId]:
    """Return the next `limit` devices after `after` that are in any of these groups: each once, ascending.

    Fewer than `limit` are the last ones. About as much is read as is returned, however large the groups are.
    """
    if limit < 1:
        return []
    merge = Merge(group_ids, after, limit)
    asked, number = merge.wanted()
    while asked:
        merge.take(asked, number, await store.next_members(tx, asked, number))
        asked, number = merge.wanted()
    return merge.page()


async def forget_device(tx: Transaction, device_id: DeviceId) -> None:
    """Take a device that is about to be deleted out of every group."""
    await store.delete_device(tx, device_id)


async def forget_application(tx: Transaction, application_id: ApplicationId, limit: int = 1000) -> int:
    """Remove some of what an application has here: `limit` members, or a group that has none left.

    Returns how much was removed; 0 when nothing is left.
    """
    groups = await store.listed(tx, application_id, Page(0, 1))
    if not groups:
        return 0
    group = groups[0]
    removed = await store.purge(tx, group.group_id, limit)
    if removed < limit:
        await store.delete(tx, group.group_id)
        removed += 1
    return removed


async def _joined(tx: Transaction, group: DeviceGroup, device_ids: Sequence[DeviceId]) -> DeviceGroup:
    await _require_known(tx, group.application_id, device_ids)
    added = await store.insert_members(tx, group.group_id, device_ids)
    joined = replace(group, device_count=group.device_count + added)
    _require_room(joined)
    return joined


async def _require_known(tx: Transaction, application_id: ApplicationId, device_ids: Sequence[DeviceId]) -> None:
    if len(device_ids) > LARGEST_ADDITION:
        raise TooManyDevicesError("devices", f"one call takes {LARGEST_ADDITION}")
    known = await devices.by_ids(tx, application_id, device_ids)
    unknown = [device_id for device_id in device_ids if device_id not in known]
    if unknown:
        raise UnknownDevicesError(unknown[0], len(unknown))


def _require_room(group: DeviceGroup) -> None:
    if group.max_devices and group.device_count > group.max_devices:
        message = f"the group takes {group.max_devices} devices, not {group.device_count}"
        raise GroupFullError(message)
