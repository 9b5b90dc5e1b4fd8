"""Upgrade tasks as applications create, read and list them. Contract page, section 6.

What a request must not be is judged here, since each way to be wrong has a code of its own; what becomes of a task is
the use cases' to decide.
"""

import hashlib
import re
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, assert_never

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import application
from firmcast.clock import Clock
from firmcast.db.page import Page
from firmcast.db.port import Database, Transaction
from firmcast.errors import NotFoundError, RefusedError
from firmcast.ids import ApplicationId, DeviceId, PackageId, TaskId
from firmcast.rest.answers import wire_answer
from firmcast.rest.authentication import Authenticate
from firmcast.rest.endpoints import Answer, Endpoint
from firmcast.rest.errors import ApiError
from firmcast.rest.paging import RequestedPage, requested_page
from firmcast.rest.requests import DEFAULT_BODY_LIMIT, decode_body, decode_parameters, path_identifier, read_body
from firmcast.upgrades import use_cases
from firmcast.upgrades.creation import RequireTaken
from firmcast.upgrades.model import (
    CreationKey,
    DeviceUpgrade,
    MismatchError,
    StartMode,
    Tally,
    TargetSelection,
    TaskFilter,
    TaskStatus,
    UnknownGroupError,
    UpgradePolicy,
    UpgradeTask,
)
from firmcast.upgrades.rules import wording
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire import headers as wire_headers
from firmcast_sdk.wire import operations as wire_operations
from firmcast_sdk.wire.operations import ExecuteType, OperateType, OperationStatus, SubOperationStatus

_TAG: Final = "upgrade tasks"
_KEY_FORM: Final = re.compile(r"[ -~]{1,128}")
_LEAST_WINDOW: Final = timedelta(minutes=5)
_RETRY_LIMIT: Final = 5
_BY_FIELD: Final = {
    "targets": wire.TARGETS_MISSING,
    "policy.executeType": wire.EXECUTE_TYPE_INVALID,
    "policy.startTime": wire.WINDOW_INVALID,
    "policy.endTime": wire.WINDOW_INVALID,
    "policy.retryTimes": wire.RETRY_TIMES_INVALID,
}
_READING_ERRORS_OF_A_BODY: Final = (
    wire.UPGRADE_BAD_REQUEST,
    wire.TARGETS_MISSING,
    wire.EXECUTE_TYPE_INVALID,
    wire.WINDOW_INVALID,
    wire.RETRY_TIMES_INVALID,
)
_CREATION_ERRORS: Final = (
    *_READING_ERRORS_OF_A_BODY,
    wire.PACKAGE_NOT_FOUND,
    wire.TARGET_VERSION_MISMATCH,
    wire.MANUFACTURER_NAME_NULL,
    wire.DEVICE_TYPE_NULL,
    wire.MODEL_NULL,
    wire.TARGETS_CONFLICT,
    wire.TARGETS_TOO_MANY,
    wire.DEVICE_GROUPS_NOT_FOUND,
    wire.WINDOW_REVERSED,
    wire.WINDOW_PAST,
    wire.WINDOW_TOO_SHORT,
)
_START_MODES: Final = MappingProxyType(
    {
        ExecuteType.NOW: StartMode.NOW,
        ExecuteType.DEVICE_ONLINE: StartMode.ON_REGISTRATION,
        ExecuteType.CUSTOM: StartMode.WINDOW,
    }
)
_STATUS_WORDS: Final = MappingProxyType(
    {
        TaskStatus.WAITING: OperationStatus.WAIT,
        TaskStatus.PROCESSING: OperationStatus.PROCESSING,
        TaskStatus.SUCCEEDED: OperationStatus.SUCCESS,
        TaskStatus.FAILED: OperationStatus.FAILED,
        TaskStatus.STOPPED: OperationStatus.STOP,
    }
)
_EXECUTE_TYPES: Final = MappingProxyType({mode: word for word, mode in _START_MODES.items()})


def endpoints(
    *,
    database: Database,
    clock: Clock,
    authenticate: Authenticate,
    require_taken: RequireTaken,
    body_limit: int = DEFAULT_BODY_LIMIT,
) -> list[Endpoint]:
    """Return the calls on upgrade tasks."""
    calls = _TaskCalls(database, clock, authenticate, require_taken, body_limit)
    return [*_creations(calls), *_readings(calls)]


def _creations(calls: "_TaskCalls") -> list[Endpoint]:
    return [
        Endpoint(
            method="POST",
            path=wire_operations.FIRMWARE_UPGRADE_PATH,
            handler=calls.create,
            summary="Create a firmware upgrade task",
            takes_room=True,
            tag=_TAG,
            description=(
                "For devices by id, or for groups by name together with deviceType, model and manufacturerName: who is"
                " in the groups, and is that, is found out when the task starts. Without a policy it starts now."
            ),
            body=wire_operations.CreateUpgradeRequest,
            headers=(wire_headers.IDEMPOTENCY_KEY,),
            answers=(Answer(body=wire_operations.CreateUpgradeResponse),),
            errors=_CREATION_ERRORS,
        ),
        Endpoint(
            method="POST",
            path=wire_operations.SOFTWARE_UPGRADE_PATH,
            handler=calls.create_for_software,
            summary="Create a software upgrade task, which is always refused",
            tag=_TAG,
            description="Software upgrades are not offered. The call is there so that its clients are told so.",
            body=wire_operations.CreateUpgradeRequest,
            answers=(),
            errors=_READING_ERRORS_OF_A_BODY,
        ),
    ]


def _readings(calls: "_TaskCalls") -> list[Endpoint]:
    lists = (wire.UPGRADE_BAD_REQUEST, wire.PAGE_BEYOND_LIMIT)
    return [
        Endpoint(
            method="GET",
            path=wire_operations.OPERATIONS_PATH,
            handler=calls.listed,
            summary="List the application's upgrade tasks, the newest first",
            tag=_TAG,
            query=wire_operations.OperationQuery,
            answers=(Answer(body=wire_operations.OperationList),),
            errors=lists,
        ),
        Endpoint(
            method="GET",
            path=wire_operations.OPERATION_PATH,
            handler=calls.find,
            summary="Read an upgrade task",
            tag=_TAG,
            description=(
                "While the members of its groups are taken into it, the total grows. While failed devices are tried"
                " again its status is processing, and they count as wait again."
            ),
            answers=(Answer(body=wire_operations.Operation),),
            errors=(wire.TASK_NOT_FOUND,),
        ),
        Endpoint(
            method="GET",
            path=wire_operations.SUB_OPERATIONS_PATH,
            handler=calls.device_upgrades,
            summary="List what became of the devices of an upgrade task",
            tag=_TAG,
            query=wire_operations.SubOperationQuery,
            answers=(Answer(body=wire_operations.SubOperationList),),
            errors=(*lists, wire.TASK_NOT_FOUND),
        ),
    ]


class _TaskCalls:
    def __init__(
        self, database: Database, clock: Clock, authenticate: Authenticate, require_taken: RequireTaken, body_limit: int
    ) -> None:
        self._database = database
        self._clock = clock
        self._authenticate = authenticate
        self._require_taken = require_taken
        self._body_limit = body_limit

    async def create(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        said = await self._read_request(request)
        key = _creation_key(request, said)
        try:
            task = await self._created_before(application_id, key)
            if task is None:
                await self._require_taken(application_id)
                task = await self._create(application_id, said, key)
        except RefusedError as refusal:
            raise _contract_error(refusal) from None
        return wire_answer(wire_operations.CreateUpgradeResponse(operation_id=task.task_id))

    async def _created_before(self, application_id: ApplicationId, key: CreationKey) -> UpgradeTask | None:
        """Look for it before the rest of the request is judged: a window may have begun since the first time."""
        return await self._database.read(use_cases.created_before, application_id, key) if key.name else None

    async def _create(
        self, application_id: ApplicationId, said: wire_operations.CreateUpgradeRequest, key: CreationKey
    ) -> UpgradeTask:
        now = self._clock.now()
        targets = _targets(said.targets)
        policy = _policy(said.policy or wire_operations.Policy(), now)

        async def create(tx: Transaction) -> UpgradeTask:
            former = await use_cases.created_before(tx, application_id, key)
            if former is not None:
                return former
            package_id = PackageId(said.file_id)
            task = await use_cases.create_task(tx, application_id, package_id, targets, policy, now, key)
            details = {"package": task.package_id, "version": task.target_version}
            await audit.record(tx, application(application_id), "upgrade.create", task.task_id, now, details)
            return task

        return await self._database.write(create)

    async def create_for_software(self, request: Request) -> Response:
        await self._authenticate(request)
        await self._read_request(request)
        raise ApiError(wire.UPGRADE_BAD_REQUEST, "software upgrades are not offered; firmware upgrades are")

    async def find(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        try:
            task = await self._database.read(use_cases.find_task, application_id, _task_id(request))
        except NotFoundError as error:
            raise ApiError(wire.TASK_NOT_FOUND, str(error)) from None
        return wire_answer(_wire_task(task))

    async def listed(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        said = decode_parameters(wire_operations.OperationQuery, request, invalid=wire.UPGRADE_BAD_REQUEST)
        page = _page(said.page_no, said.page_size)
        tasks: list[UpgradeTask] = []
        total = 0
        if said.operation_type is not OperateType.SOFTWARE:
            tasks, total = await self._database.read(
                use_cases.listed_tasks, application_id, _task_filter(said), Page(page.offset, page.size)
            )
        return wire_answer(
            wire_operations.OperationList(
                data=tuple(_wire_task(task) for task in tasks),
                page_no=page.number,
                page_size=page.size,
                total_count=total,
                total_size=total,
            )
        )

    async def device_upgrades(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        said = decode_parameters(wire_operations.SubOperationQuery, request, invalid=wire.UPGRADE_BAD_REQUEST)
        page = _page(said.page_no, said.page_size)
        try:
            found, total = await self._database.read(
                use_cases.device_upgrades,
                application_id,
                _task_id(request),
                _tallies(said.sub_operation_status),
                Page(page.offset, page.size),
            )
        except NotFoundError as error:
            raise ApiError(wire.TASK_NOT_FOUND, str(error)) from None
        return wire_answer(
            wire_operations.SubOperationList(
                data=tuple(_wire_device_upgrade(upgrade) for upgrade in found),
                page_no=page.number,
                page_size=page.size,
                total_count=total,
            )
        )

    async def _read_request(self, request: Request) -> wire_operations.CreateUpgradeRequest:
        return decode_body(
            wire_operations.CreateUpgradeRequest,
            await read_body(request, self._body_limit),
            invalid=wire.UPGRADE_BAD_REQUEST,
            unreadable=wire.UPGRADE_BAD_REQUEST,
            by_field=_BY_FIELD,
        )


def _creation_key(request: Request, said: wire_operations.CreateUpgradeRequest) -> CreationKey:
    """Return what the client calls its request; the digest is that of what was read, however it was spelt.

    Raises:
        ApiError: the name is too long, or no printable ASCII.
    """
    name = request.headers.get(wire_headers.IDEMPOTENCY_KEY, "").strip()
    if not name:
        return CreationKey()
    if not _KEY_FORM.fullmatch(name):
        raise ApiError(wire.UPGRADE_BAD_REQUEST, f"{wire_headers.IDEMPOTENCY_KEY}: 1 to 128 printable ASCII characters")
    return CreationKey(name=name, digest=hashlib.sha256(msgspec.json.encode(said)).hexdigest())


def _contract_error(refusal: RefusedError) -> ApiError:
    match refusal:
        case ApiError():
            return refusal
        case UnknownGroupError():
            return ApiError(wire.DEVICE_GROUPS_NOT_FOUND, str(refusal))
        case NotFoundError():
            return ApiError(wire.PACKAGE_NOT_FOUND, str(refusal))
        case MismatchError():
            return ApiError(wire.TARGET_VERSION_MISMATCH, str(refusal))
        case _:
            return ApiError(wire.UPGRADE_BAD_REQUEST, str(refusal))


def _targets(said: wire_operations.Targets) -> TargetSelection:
    """Return who is chosen; an empty list is as good as none.

    Raises:
        ApiError: devices and groups are both given, or neither, or too many, or a group without what it consists of.
    """
    groups, chosen = said.device_groups or (), said.devices or ()
    if not groups and not chosen:
        raise ApiError(wire.TARGETS_MISSING)
    if groups and chosen:
        raise ApiError(wire.TARGETS_CONFLICT)
    if max(len(groups), len(chosen)) > wire_operations.TARGET_LIMIT:
        raise ApiError(wire.TARGETS_TOO_MANY)
    if groups:
        for word, error in (
            (said.manufacturer_name, wire.MANUFACTURER_NAME_NULL),
            (said.device_type, wire.DEVICE_TYPE_NULL),
            (said.model, wire.MODEL_NULL),
        ):
            if not word:
                raise ApiError(error)
    return TargetSelection(
        devices=tuple(DeviceId(device_id) for device_id in dict.fromkeys(chosen)),
        device_groups=tuple(dict.fromkeys(groups)),
        device_type=said.device_type or "",
        model=said.model or "",
        manufacturer_name=said.manufacturer_name or "",
    )


def _policy(said: wire_operations.Policy, now: datetime) -> UpgradePolicy:
    """Return when and how hard to try; without a word about it at once, and once.

    Raises:
        ApiError: the window or the number of retries is not as it must be.
    """
    mode = _START_MODES[said.execute_type or ExecuteType.NOW]
    retry_limit = 0
    if said.retry_type:
        retry_limit = said.retry_times or 0
        if not 1 <= retry_limit <= _RETRY_LIMIT:
            raise ApiError(wire.RETRY_TIMES_INVALID)
    if mode is not StartMode.WINDOW:
        return UpgradePolicy(start_mode=mode, retry_limit=retry_limit)
    start, end = said.start_time, said.end_time
    if start is None or end is None:
        raise ApiError(wire.WINDOW_INVALID)
    if start > end:
        raise ApiError(wire.WINDOW_REVERSED)
    if start < now.replace(microsecond=0):  # the wire knows whole seconds only
        raise ApiError(wire.WINDOW_PAST)
    if end - start < _LEAST_WINDOW:
        raise ApiError(wire.WINDOW_TOO_SHORT)
    return UpgradePolicy(start_mode=mode, window_start=start, window_end=end, retry_limit=retry_limit)


def _page(number: int | None, size: int | None) -> RequestedPage:
    return requested_page(
        number,
        size,
        default_size=wire_operations.DEFAULT_PAGE_SIZE,
        largest_size=wire_operations.LARGEST_PAGE_SIZE,
        beyond=wire.PAGE_BEYOND_LIMIT,
    )


def _task_id(request: Request) -> TaskId:
    return TaskId(path_identifier(request, "operation_id"))


def _tallies(status: SubOperationStatus | None) -> tuple[Tally, ...]:
    """Return what devices of this status count as; all for None."""
    return tuple(tally for tally in Tally if status is None or _word_of(tally) is status)


def _word_of(tally: Tally) -> SubOperationStatus:
    match tally:
        case Tally.WAITING:
            return SubOperationStatus.WAIT
        case Tally.PROCESSING:
            return SubOperationStatus.PROCESSING
        case Tally.SUCCEEDED:
            return SubOperationStatus.SUCCESS
        case Tally.FAILED | Tally.TIMED_OUT:
            return SubOperationStatus.FAIL
        case Tally.STOPPED:
            return SubOperationStatus.STOP
        case _:
            assert_never(tally)


def _task_filter(said: wire_operations.OperationQuery) -> TaskFilter:
    words = {word: status for status, word in _STATUS_WORDS.items()}
    return TaskFilter(
        status=None if said.operation_status is None else words[said.operation_status],
        device_type=said.device_type or "",
        model=said.model or "",
        manufacturer_name=said.manufacturer_name or "",
        device_id=said.device_id or "",
    )


def _wire_task(task: UpgradeTask) -> wire_operations.Operation:
    count = task.tallies.get
    return wire_operations.Operation(
        operation_id=task.task_id,
        create_time=task.created_at,
        start_time=task.started_at,
        stop_time=task.ended_at,
        operate_type=OperateType.FIRMWARE,
        targets=wire_operations.Targets(
            device_groups=task.targets.device_groups or None,
            device_type=task.targets.device_type or None,
            model=task.targets.model or None,
            manufacturer_name=task.targets.manufacturer_name or None,
            devices=task.targets.devices or None,
        ),
        policy=wire_operations.Policy(
            execute_type=_EXECUTE_TYPES[task.policy.start_mode],
            start_time=task.policy.window_start,
            end_time=task.policy.window_end,
            retry_type=task.policy.retry_limit > 0,
            retry_times=task.policy.retry_limit or None,
        ),
        status=_STATUS_WORDS[task.status],
        sta_result=wire_operations.StageResult(
            total=sum(task.tallies.values()),
            wait=count(Tally.WAITING, 0),
            processing=count(Tally.PROCESSING, 0),
            success=count(Tally.SUCCEEDED, 0),
            fail=count(Tally.FAILED, 0),
            stop=count(Tally.STOPPED, 0),
            timeout=count(Tally.TIMED_OUT, 0),
        ),
        extend_para=_extend_para(task),
    )


def _extend_para(task: UpgradeTask) -> dict[str, str]:
    """Return the version, and why the task ended where no device of it tells: the contract has no place for that."""
    told = {"fileVersion": task.target_version}
    return {**told, "detailInfo": task.course.description} if task.course.description else told


def _detail_info(upgrade: DeviceUpgrade) -> str | None:
    """Return the reason; of a plain success there is none."""
    return None if upgrade.description in ("", wording.SUCCEEDED) else upgrade.description


def _wire_device_upgrade(upgrade: DeviceUpgrade) -> wire_operations.SubOperation:
    return wire_operations.SubOperation(
        sub_operation_id=upgrade.device_upgrade_id,
        create_time=upgrade.created_at,
        start_time=upgrade.started_at,
        stop_time=upgrade.ended_at,
        operate_type=OperateType.FIRMWARE,
        device_id=upgrade.device_id,
        status=_word_of(upgrade.tally),
        detail_info=_detail_info(upgrade),
        extend_info=wire_operations.ExtendInfo(
            upgrade_time=_seconds(upgrade.started_at, upgrade.ended_at),
            source_version=upgrade.source_version or None,
            cur_version=upgrade.current_version or None,
            download_time=_seconds(upgrade.evidence.download_began_at, upgrade.evidence.downloaded_at),
            target_version=upgrade.target_version or None,
        ),
    )


def _seconds(start: datetime | None, end: datetime | None) -> str | None:
    return None if start is None or end is None else str(int((end - start).total_seconds()))
