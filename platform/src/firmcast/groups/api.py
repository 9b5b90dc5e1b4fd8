"""Device groups as applications make, read, change and fill them. Contract page, section 7.

Most refusals leave with status 200, as the contract has it. A name is of letters and digits there; underscores and
hyphens are taken too, since names that applications already have are made with them, and they need no encoding in a
URL.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import application
from firmcast.clock import Clock
from firmcast.db.page import Page
from firmcast.db.port import Database, Transaction
from firmcast.errors import NotFoundError, RefusedError
from firmcast.groups import use_cases
from firmcast.groups.model import (
    DeviceGroup,
    GroupFullError,
    GroupNameTakenError,
    TooManyDevicesError,
    TooManyGroupsError,
    UnknownDevicesError,
)
from firmcast.ids import ApplicationId, DeviceId, GroupId
from firmcast.rest.answers import empty_answer, wire_answer
from firmcast.rest.authentication import Authenticate, require_own
from firmcast.rest.endpoints import Answer, Endpoint
from firmcast.rest.errors import ApiError
from firmcast.rest.paging import RequestedPage, requested_page
from firmcast.rest.requests import DEFAULT_BODY_LIMIT, decode_body, decode_parameters, path_identifier, read_body
from firmcast_sdk.wire import device_groups as wire_groups
from firmcast_sdk.wire import errors as wire

Result = TypeVar("Result")

_TAG: Final = "device groups"
_NAME_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,50}")
_PURGED_AT_ONCE: Final = 5000
_INVALID: Final = wire.REGISTRATION_INPUT_INVALID
_ANY: Final = (_INVALID, wire.APPLICATION_NOT_AUTHORISED)
_NAMED: Final = (*_ANY, wire.DEVICE_GROUP_NOT_FOUND)
_BODY: Final = (wire.BAD_REQUEST_MESSAGE,)


def endpoints(
    *,
    database: Database,
    clock: Clock,
    authenticate: Authenticate,
    group_limit: int = 0,
    body_limit: int = DEFAULT_BODY_LIMIT,
) -> list[Endpoint]:
    """Return the calls on device groups; an application may have `group_limit` of them, 0 for no limit.

    They go before those on devices, one of whose older paths would take `devices/ids` for a device.
    """
    calls = _GroupCalls(database, clock, authenticate, group_limit, body_limit)
    return [*_group_endpoints(calls), *_member_endpoints(calls)]


def _group_endpoints(calls: "_GroupCalls") -> list[Endpoint]:
    return [
        Endpoint(
            method="POST",
            path=wire_groups.DEVICE_GROUPS_PATH,
            handler=calls.create,
            summary="Make a device group, with its first devices",
            tag=_TAG,
            description="A name is of 1 to 50 of the characters A-Z a-z 0-9 _ - and names one group of an application.",
            body=wire_groups.CreateDeviceGroupRequest,
            answers=(Answer(body=wire_groups.DeviceGroup),),
            errors=(
                *_ANY,
                *_BODY,
                wire.DEVICE_GROUP_NAME_USED,
                wire.DEVICE_GROUP_LIMIT_REACHED,
                wire.DEVICE_GROUP_INPUT_INVALID,
            ),
        ),
        Endpoint(
            method="GET",
            path=wire_groups.DEVICE_GROUPS_PATH,
            handler=calls.listed,
            summary="List the application's device groups, the oldest first",
            tag=_TAG,
            query=wire_groups.DeviceGroupQuery,
            answers=(Answer(body=wire_groups.DeviceGroupList),),
            errors=_ANY,
        ),
        Endpoint(
            method="GET",
            path=wire_groups.DEVICE_GROUP_PATH,
            handler=calls.find,
            summary="Read a device group",
            tag=_TAG,
            query=wire_groups.DeviceGroupAddress,
            answers=(Answer(body=wire_groups.DeviceGroupDetails),),
            errors=_NAMED,
        ),
        Endpoint(
            method="PUT",
            path=wire_groups.DEVICE_GROUP_PATH,
            handler=calls.modify,
            summary="Change a device group",
            tag=_TAG,
            query=wire_groups.DeviceGroupAddress,
            body=wire_groups.ModifyDeviceGroupRequest,
            answers=(Answer(body=wire_groups.DeviceGroup),),
            errors=(*_NAMED, *_BODY, wire.DEVICE_GROUP_NAME_USED, wire.DEVICE_GROUP_FULL),
        ),
        Endpoint(
            method="DELETE",
            path=wire_groups.DEVICE_GROUP_PATH,
            handler=calls.delete,
            summary="Delete a device group; its devices stay",
            tag=_TAG,
            query=wire_groups.DeviceGroupAddress,
            errors=_NAMED,
        ),
    ]


def _member_endpoints(calls: "_GroupCalls") -> list[Endpoint]:
    return [
        Endpoint(
            method="GET",
            path=wire_groups.DEVICE_GROUP_MEMBERS_PATH,
            handler=calls.members,
            summary="List the ids of a group's devices",
            tag=_TAG,
            query=wire_groups.DeviceGroupMembersQuery,
            answers=(Answer(body=wire_groups.DeviceGroupMembers),),
            errors=_NAMED,
        ),
        Endpoint(
            method="POST",
            path=wire_groups.ADD_MEMBERS_PATH,
            handler=calls.add_members,
            summary="Add devices to a group, all of them or none",
            tag=_TAG,
            query=wire_groups.DeviceGroupAddress,
            body=wire_groups.DeviceGroupWithDevices,
            answers=(Answer(body=wire_groups.DeviceGroupWithDevices),),
            errors=(*_NAMED, *_BODY, wire.DEVICE_GROUP_DEVICE_INVALID, wire.DEVICE_GROUP_FULL),
        ),
        Endpoint(
            method="POST",
            path=wire_groups.REMOVE_MEMBERS_PATH,
            handler=calls.remove_members,
            summary="Take devices out of a group",
            tag=_TAG,
            query=wire_groups.DeviceGroupAddress,
            body=wire_groups.DeviceGroupWithDevices,
            errors=(*_NAMED, *_BODY, wire.DEVICE_GROUP_DEVICE_INVALID),
        ),
    ]


class _GroupCalls:
    def __init__(
        self, database: Database, clock: Clock, authenticate: Authenticate, group_limit: int, body_limit: int
    ) -> None:
        self._database = database
        self._clock = clock
        self._authenticate = authenticate
        self._group_limit = group_limit
        self._body_limit = body_limit

    async def create(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        said = decode_body(
            wire_groups.CreateDeviceGroupRequest, await read_body(request, self._body_limit), invalid=_INVALID
        )
        require_own(application_id, said.app_id)
        _require_name(said.name)
        now = self._clock.now()

        async def change(tx: Transaction) -> DeviceGroup:
            group = await use_cases.create(
                tx,
                application_id,
                said.name,
                now,
                description=said.description or "",
                max_devices=said.max_dev_num or 0,
                device_ids=[DeviceId(device_id) for device_id in said.device_ids or ()],
                group_limit=self._group_limit,
            )
            details = {"name": group.name, "devices": str(group.device_count)}
            await audit.record(tx, application(application_id), "group.create", group.group_id, now, details)
            return group

        group = await _told(
            self._database.write(change),
            too_many=wire.DEVICE_GROUP_INPUT_INVALID,
            unknown=_INVALID,
        )
        return wire_answer(_shown(group))

    async def listed(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        said = decode_parameters(wire_groups.DeviceGroupQuery, request, invalid=_INVALID)
        require_own(application_id, said.access_app_id)
        page = _page(said.page_no, said.page_size, wire_groups.DEFAULT_PAGE_SIZE, wire_groups.LARGEST_PAGE_SIZE)
        groups, total = await self._database.read(use_cases.listed, application_id, _rows(page), name=said.name or "")
        return wire_answer(
            wire_groups.DeviceGroupList(
                total_count=total,
                page_no=0 if page is None else page.number,
                page_size=len(groups) if page is None else page.size,
                groups=tuple(_detailed(group) for group in groups),
            )
        )

    async def find(self, request: Request) -> Response:
        application_id = await self._caller(request)
        return wire_answer(
            _detailed(await _told(self._database.read(use_cases.find, application_id, _group_id(request))))
        )

    async def modify(self, request: Request) -> Response:
        application_id = await self._caller(request)
        said = decode_body(
            wire_groups.ModifyDeviceGroupRequest, await read_body(request, self._body_limit), invalid=_INVALID
        )
        if said.name is not None:
            _require_name(said.name)
        group_id, now = _group_id(request), self._clock.now()

        async def change(tx: Transaction) -> DeviceGroup:
            group = await use_cases.modify(
                tx,
                application_id,
                group_id,
                name=said.name,
                description=said.description,
                max_devices=said.max_dev_num,
            )
            await audit.record(tx, application(application_id), "group.modify", group_id, now)
            return group

        return wire_answer(_shown(await _told(self._database.write(change))))

    async def delete(self, request: Request) -> Response:
        application_id = await self._caller(request)
        group_id, now = _group_id(request), self._clock.now()

        async def change(tx: Transaction) -> None:
            group = await use_cases.delete(tx, application_id, group_id)
            details = {"name": group.name, "devices": str(group.device_count)}
            await audit.record(tx, application(application_id), "group.delete", group_id, now, details)

        await _told(self._database.write(change))
        # In batches: other writes go in between, however many members there were.
        while await self._database.write_behind(use_cases.purge_members, group_id, _PURGED_AT_ONCE) == _PURGED_AT_ONCE:
            pass
        return empty_answer()

    async def members(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        said = decode_parameters(wire_groups.DeviceGroupMembersQuery, request, invalid=_INVALID)
        require_own(application_id, said.app_id)
        page = _page(
            said.page_no,
            said.page_size,
            wire_groups.DEFAULT_MEMBER_PAGE_SIZE,
            wire_groups.LARGEST_MEMBER_PAGE_SIZE,
        )
        device_ids, total = await _told(
            self._database.read(use_cases.members, application_id, GroupId(said.dev_group_id), _rows(page))
        )
        return wire_answer(
            wire_groups.DeviceGroupMembers(
                total_count=total,
                page_no=0 if page is None else page.number,
                page_size=len(device_ids) if page is None else page.size,
                device_ids=tuple(device_ids),
            )
        )

    async def add_members(self, request: Request) -> Response:
        said = await self._move(request, "group.add_devices", use_cases.add_members)
        return wire_answer(said)

    async def remove_members(self, request: Request) -> Response:
        await self._move(request, "group.remove_devices", use_cases.remove_members)
        return empty_answer()

    async def _move(
        self,
        request: Request,
        action: str,
        move: Callable[[Transaction, ApplicationId, GroupId, list[DeviceId]], Awaitable[DeviceGroup]],
    ) -> wire_groups.DeviceGroupWithDevices:
        application_id = await self._caller(request)
        said = decode_body(
            wire_groups.DeviceGroupWithDevices, await read_body(request, self._body_limit), invalid=_INVALID
        )
        now = self._clock.now()

        async def change(tx: Transaction) -> None:
            device_ids = [DeviceId(device_id) for device_id in said.device_ids]
            group = await move(tx, application_id, GroupId(said.dev_group_id), device_ids)
            details = {"named": str(len(device_ids)), "devices": str(group.device_count)}
            await audit.record(tx, application(application_id), action, group.group_id, now, details)

        await _told(self._database.write(change))
        return said

    async def _caller(self, request: Request) -> ApplicationId:
        application_id = await self._authenticate(request)
        said = decode_parameters(wire_groups.DeviceGroupAddress, request, invalid=_INVALID)
        require_own(application_id, said.access_app_id)
        return application_id


async def _told(
    asked: Awaitable[Result],
    *,
    too_many: wire.ErrorCode = wire.DEVICE_GROUP_DEVICE_INVALID,
    unknown: wire.ErrorCode = wire.DEVICE_GROUP_DEVICE_INVALID,
) -> Result:
    try:
        return await asked
    except RefusedError as error:
        match error:
            case NotFoundError():
                code = wire.DEVICE_GROUP_NOT_FOUND
            case GroupNameTakenError():
                code = wire.DEVICE_GROUP_NAME_USED
            case TooManyGroupsError():
                code = wire.DEVICE_GROUP_LIMIT_REACHED
            case GroupFullError():
                code = wire.DEVICE_GROUP_FULL
            case TooManyDevicesError():
                code = too_many
            case UnknownDevicesError():
                code = unknown
            case _:
                raise
        raise ApiError(code, str(error)) from None


def _group_id(request: Request) -> GroupId:
    return GroupId(path_identifier(request, "group_id"))


def _require_name(name: str) -> None:
    if _NAME_FORM.fullmatch(name) is None:
        raise ApiError(_INVALID, "name must be of 1 to 50 of the characters A-Z a-z 0-9 _ -")


def _page(number: int | None, size: int | None, default_size: int, largest_size: int) -> RequestedPage | None:
    """Return the page that is wanted; None for everything, which no page number asks for (contract page, section 1)."""
    if number is None:
        return None
    return requested_page(number, size, default_size=default_size, largest_size=largest_size, beyond=_INVALID)


def _rows(page: RequestedPage | None) -> Page:
    return use_cases.EVERYTHING if page is None else Page(page.offset, page.size)


def _shown(group: DeviceGroup) -> wire_groups.DeviceGroup:
    return wire_groups.DeviceGroup(
        name=group.name,
        description=group.description or None,
        id=group.group_id,
        app_id=group.application_id,
        max_dev_num=group.max_devices,
        cur_dev_num=group.device_count,
    )


def _detailed(group: DeviceGroup) -> wire_groups.DeviceGroupDetails:
    return wire_groups.DeviceGroupDetails(
        name=group.name,
        description=group.description or None,
        id=group.group_id,
        app_id=group.application_id,
        max_dev_num=group.max_devices,
        cur_dev_num=group.device_count,
        creator=group.application_id,
    )
