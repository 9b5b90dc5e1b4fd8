"""Pure: the calls on device groups and on who is in them. Contract page, section 7."""

from collections.abc import Sequence

from firmcast_sdk.client.call import (
    Call,
    Page,
    Paging,
    delete,
    fill,
    get,
    nothing,
    page_of,
    page_reader,
    post,
    put,
    reader,
)
from firmcast_sdk.wire import device_groups as wire
from firmcast_sdk.wire.device_groups import DeviceGroup, DeviceGroupDetails
from firmcast_sdk.wire.errors import DEVICE_GROUP_NOT_FOUND

_GONE = frozenset({DEVICE_GROUP_NOT_FOUND.code})


def create_device_group(
    name: str,
    *,
    description: str | None = None,
    max_dev_num: int | None = None,
    device_ids: Sequence[str] | None = None,
    app_id: str | None = None,
) -> Call[DeviceGroup]:
    """Make a device group. Upgrade tasks call it by its name, the calls on groups by its id.

    Args:
        name: 1 to 50 letters and digits.
        description: 1024 characters at most.
        max_dev_num: how many devices it takes; 0 or None for any number.
        device_ids: whom to put into it at once.
        app_id: the application that owns it; None for the caller itself.

    Returns:
        The group with its id.

    Raises:
        ConflictError: the name is used.
        LimitReachedError: there are too many groups, or it takes fewer devices than were given.
        InvalidRequestError: a value is not allowed.

    Source: contract page, section 7.
    """
    body = wire.CreateDeviceGroupRequest(
        name=name,
        description=description,
        app_id=app_id,
        max_dev_num=max_dev_num,
        device_ids=None if device_ids is None else _ids(device_ids),
    )
    return post(wire.DEVICE_GROUPS_PATH, body, reader(DeviceGroup))


def device_group(group_id: str, *, access_app_id: str | None = None) -> Call[DeviceGroupDetails]:
    """Read one device group.

    Args:
        group_id: its id.
        access_app_id: the application that owns it; None for the caller itself.

    Raises:
        NotFoundError: there is none of this id.

    Source: contract page, section 7.
    """
    path = fill(wire.DEVICE_GROUP_PATH, group_id=group_id)
    return get(path, reader(DeviceGroupDetails), wire.DeviceGroupAddress(access_app_id=access_app_id))


def device_groups(
    *, name: str | None = None, access_app_id: str | None = None, page_size: int = 100
) -> Paging[DeviceGroupDetails]:
    """Go through the device groups, page by page.

    Args:
        name: only the one of this name.
        access_app_id: the application that owns them; None for the caller itself.
        page_size: how many are read at a time, 1 to 500.

    Raises:
        InvalidRequestError: the page size is out of its range.

    Source: contract page, section 7.
    """

    def call(page_no: int) -> Call[Page[DeviceGroupDetails]]:
        query = wire.DeviceGroupQuery(access_app_id=access_app_id, page_no=page_no, page_size=page_size, name=name)
        read = page_reader(wire.DeviceGroupList, lambda page: page_of(page, page.groups))
        return get(wire.DEVICE_GROUPS_PATH, read, query)

    return Paging(page_size=page_size, call=call, identify=lambda one: one.id)


def modify_device_group(
    group_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    max_dev_num: int | None = None,
    access_app_id: str | None = None,
) -> Call[DeviceGroup]:
    """Change a device group; None leaves a value as it is.

    Args:
        group_id: its id.
        name: 1 to 50 letters and digits.
        description: 1024 characters at most.
        max_dev_num: how many devices it takes; 0 for any number.
        access_app_id: the application that owns it; None for the caller itself.

    Returns:
        The group as it is now.

    Raises:
        NotFoundError: there is none of this id.
        ConflictError: the name is used.
        InvalidRequestError: a value is not allowed.

    Source: contract page, section 7.
    """
    path = fill(wire.DEVICE_GROUP_PATH, group_id=group_id)
    body = wire.ModifyDeviceGroupRequest(name=name, description=description, max_dev_num=max_dev_num)
    return put(path, body, reader(DeviceGroup), query=wire.DeviceGroupAddress(access_app_id=access_app_id))


def delete_device_group(group_id: str, *, access_app_id: str | None = None) -> Call[None]:
    """Delete a device group; its devices stay.

    Args:
        group_id: its id.
        access_app_id: the application that owns it; None for the caller itself.

    Raises:
        NotFoundError: there is none of this id.

    Source: contract page, section 7.
    """
    path = fill(wire.DEVICE_GROUP_PATH, group_id=group_id)
    return delete(path, gone=_GONE, query=wire.DeviceGroupAddress(access_app_id=access_app_id))


def device_group_members(group_id: str, *, app_id: str | None = None, page_size: int = 1000) -> Paging[str]:
    """Go through the ids of a group's devices, page by page.

    Args:
        group_id: the group's id.
        app_id: the application that owns it; None for the caller itself.
        page_size: how many are read at a time, 1 to 1000.

    Raises:
        NotFoundError: there is no such group.
        InvalidRequestError: the page size is out of its range.

    Source: contract page, section 7.
    """

    def call(page_no: int) -> Call[Page[str]]:
        query = wire.DeviceGroupMembersQuery(dev_group_id=group_id, app_id=app_id, page_no=page_no, page_size=page_size)
        read = page_reader(wire.DeviceGroupMembers, lambda page: page_of(page, page.device_ids))
        return get(wire.DEVICE_GROUP_MEMBERS_PATH, read, query)

    return Paging(page_size=page_size, call=call, identify=lambda one: one)


def add_to_device_group(group_id: str, device_ids: Sequence[str], *, access_app_id: str | None = None) -> Call[None]:
    """Put devices into a group.

    Args:
        group_id: the group's id.
        device_ids: 1000 at most; those in it already stay.
        access_app_id: the application that owns it; None for the caller itself.

    Raises:
        NotFoundError: there is no such group.
        LimitReachedError: it does not take so many.
        InvalidRequestError: too many at once, or a device is not the application's.

    Source: contract page, section 7.
    """
    body = wire.DeviceGroupWithDevices(dev_group_id=group_id, device_ids=_ids(device_ids))
    query = wire.DeviceGroupAddress(access_app_id=access_app_id)
    return post(wire.ADD_MEMBERS_PATH, body, nothing, query=query)


def remove_from_device_group(
    group_id: str, device_ids: Sequence[str], *, access_app_id: str | None = None
) -> Call[None]:
    """Take devices out of a group.

    Args:
        group_id: the group's id.
        device_ids: 1000 at most.
        access_app_id: the application that owns it; None for the caller itself.

    Raises:
        NotFoundError: there is no such group.
        InvalidRequestError: too many at once, or a device is not in it.

    Source: contract page, section 7.
    """
    body = wire.DeviceGroupWithDevices(dev_group_id=group_id, device_ids=_ids(device_ids))
    query = wire.DeviceGroupAddress(access_app_id=access_app_id)
    return post(wire.REMOVE_MEMBERS_PATH, body, nothing, query=query)


def _ids(device_ids: Sequence[str]) -> tuple[str, ...]:
    if isinstance(device_ids, str):
        raise TypeError("device_ids is a list, not one text")
    return tuple(device_ids)
