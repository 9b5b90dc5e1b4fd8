"""Device groups and who is in them. Contract page, section 7; page limits are those of the 2022 edition and later.

Creating, reading and changing a group answers 200 with the group; deleting one, and taking devices out of one, answers
200 with a JSON content type and no body at all. A group is called by its id here, and by its name in an upgrade task.
"""

from typing import Annotated, Final

import msgspec

from firmcast_sdk.wire.decoding import Hints, Required, Short

DEVICE_GROUPS_PATH: Final = "/iocm/app/devgroup/v1.3.0/devGroups"
DEVICE_GROUP_PATH: Final = "/iocm/app/devgroup/v1.3.0/devGroups/{group_id}"
DEVICE_GROUP_MEMBERS_PATH: Final = "/iocm/app/dm/v1.2.0/devices/ids"
ADD_MEMBERS_PATH: Final = "/iocm/app/dm/v1.1.0/devices/addDevGroupTagToDevices"
REMOVE_MEMBERS_PATH: Final = "/iocm/app/dm/v1.1.0/devices/deleteDevGroupTagFromDevices"

NAME_LIMIT: Final = 50  # characters
DESCRIPTION_LIMIT: Final = 1024  # characters
LARGEST_ADDITION: Final = 1000  # devices that one call adds or takes away
DEFAULT_PAGE_SIZE: Final = 1  # groups; the contract's own, odd as it is
LARGEST_PAGE_SIZE: Final = 500
DEFAULT_MEMBER_PAGE_SIZE: Final = 10
LARGEST_MEMBER_PAGE_SIZE: Final = 1000

GroupName = Annotated[str, Hints(limit=NAME_LIMIT, filled=True)]
Description = Annotated[str, Hints(limit=DESCRIPTION_LIMIT)]
DeviceLimit = Annotated[int, Hints(least=0, most=2**31 - 1)]


class CreateDeviceGroupRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body that makes a group; `max_dev_num` 0 or None takes any number of devices.

    A name is of 1 to 50 letters and digits, which the platform checks. One client sends an `id` too: it is passed over.
    """

    name: GroupName
    description: Description | None = None
    app_id: Short | None = None
    max_dev_num: DeviceLimit | None = None
    device_ids: tuple[Short, ...] | None = None


class ModifyDeviceGroupRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body that changes a group; None leaves a value as it is."""

    name: Annotated[str, Hints(limit=NAME_LIMIT)] | None = None
    description: Description | None = None
    max_dev_num: DeviceLimit | None = None


class DeviceGroup(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A group as creating and changing it give it; both numbers go out as numbers, `max_dev_num` 0 is no limit."""

    name: str
    description: str | None = None
    id: Required
    app_id: str | None = None
    max_dev_num: int = 0
    cur_dev_num: int = 0


class DeviceGroupDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A group as the queries give it: the same, and who made it."""

    name: str
    description: str | None = None
    id: Required
    app_id: str | None = None
    max_dev_num: int = 0
    cur_dev_num: int = 0
    creator: str | None = None


class DeviceGroupList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of groups, under the key `list`, and the number of all."""

    total_count: Annotated[int, Hints(other_names=("totalSize",))]
    page_no: int = 0
    page_size: int = DEFAULT_PAGE_SIZE
    groups: tuple[DeviceGroupDetails, ...] = msgspec.field(name="list")


class DeviceGroupAddress(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The query of the calls on one group: whose it is; the contract's pages write both names."""

    access_app_id: Annotated[str, Hints(limit=256, other_names=("appId",))] | None = None


class DeviceGroupQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The filters of the list of groups; without `page_no` there is no paging at all."""

    access_app_id: Annotated[str, Hints(limit=256, other_names=("appId",))] | None = None
    page_no: int | None = None
    page_size: int | None = None
    name: Short | None = None


class DeviceGroupMembersQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which members of a group are wanted; without `page_no` there is no paging at all."""

    dev_group_id: Required
    app_id: Annotated[str, Hints(limit=256, other_names=("accessAppId",))] | None = None
    page_no: int | None = None
    page_size: int | None = None


class DeviceGroupMembers(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of the ids of a group's devices and the number of all."""

    total_count: Annotated[int, Hints(other_names=("totalSize",))]
    page_no: int = 0
    page_size: int = DEFAULT_MEMBER_PAGE_SIZE
    device_ids: tuple[str, ...]


class DeviceGroupWithDevices(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body that adds devices to a group or takes them out of it, 1000 at the most; adding answers the same."""

    dev_group_id: Required
    device_ids: tuple[Short, ...]
