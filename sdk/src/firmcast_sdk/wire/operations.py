"""Upgrade tasks ("operations") and their share of one device ("sub-operations"). Contract page, section 6.

A decoded request holds what the client said and no more: that exactly one of `devices` and `device_groups` is given,
that a window lies in the future and the like are the platform's rules, each with its own code in the table of errors.
"""

from datetime import datetime
from typing import Annotated, Final, Self

import msgspec

from firmcast_sdk.wire.decoding import Hints, Required, Short, WireEnum

OPERATIONS_PATH: Final = "/iodm/northbound/v1.5.0/operations"
OPERATION_PATH: Final = "/iodm/northbound/v1.5.0/operations/{operation_id}"
SUB_OPERATIONS_PATH: Final = "/iodm/northbound/v1.5.0/operations/{operation_id}/subOperations"
FIRMWARE_UPGRADE_PATH: Final = "/iodm/northbound/v1.5.0/operations/firmwareUpgrade"
SOFTWARE_UPGRADE_PATH: Final = "/iodm/northbound/v1.5.0/operations/softwareUpgrade"
TARGET_LIMIT: Final = 256  # devices or groups in one task
DEFAULT_PAGE_SIZE: Final = 10
LARGEST_PAGE_SIZE: Final = 100


class ExecuteType(WireEnum):
    """When a task may start; `now` is the default, `custom` is a window."""

    NOW = "now"
    DEVICE_ONLINE = "device_online"
    CUSTOM = "custom"


class OperateType(WireEnum):
    """What a task installs."""

    FIRMWARE = "firmware_upgrade"
    SOFTWARE = "software_upgrade"


class OperationStatus(WireEnum):
    """Status of a task; here the word is `failed`, `fail` is accepted."""

    WAIT = "wait"
    PROCESSING = "processing"
    FAILED = "failed"
    SUCCESS = "success"
    STOP = "stop"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        fail = isinstance(value, str) and value.strip().casefold() == "fail"
        return super()._missing_("failed" if fail else value)


class SubOperationStatus(WireEnum):
    """Status of one device's share; here the word is `fail`, `failed` is accepted."""

    WAIT = "wait"
    PROCESSING = "processing"
    FAIL = "fail"
    SUCCESS = "success"
    STOP = "stop"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        failed = isinstance(value, str) and value.strip().casefold() == "failed"
        return super()._missing_("fail" if failed else value)


class Targets(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who is to be upgraded: groups by NAME together with a device type, or devices by id.

    A list longer than 256 is let through, so that the platform can answer `TARGETS_TOO_MANY`.
    """

    device_groups: tuple[str, ...] | None = None
    device_type: Short | None = None
    model: Short | None = None
    manufacturer_name: Annotated[str, Hints(limit=256, other_names=("manufactureName",))] | None = None
    devices: tuple[str, ...] | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """When and how often to try; times go over the wire in the contract's form. An empty text counts as absent.

    `retry_times` (1 to 5) means nothing unless `retry_type` is true; what it may be is the platform's to check.
    """

    execute_type: ExecuteType | None = None
    start_time: Annotated[datetime, Hints(filled=True)] | None = None
    end_time: Annotated[datetime, Hints(filled=True)] | None = None
    retry_type: Annotated[bool, Hints(filled=True)] = False
    retry_times: Annotated[int, Hints(filled=True)] | None = None


class CreateUpgradeRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body that creates a firmware or a software upgrade task; a null policy is none.

    Fields that a refusal may name: fileId, targets, targets.devices[n], targets.model …, policy.executeType,
    policy.startTime, policy.endTime, policy.retryType, policy.retryTimes.
    """

    file_id: Required
    targets: Targets
    policy: Policy | None = None


class CreateUpgradeResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The id of the new task."""

    operation_id: Required


class StageResult(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices of the task are where; every one a number."""

    total: int = 0
    wait: int = 0
    processing: int = 0
    success: int = 0
    fail: int = 0
    stop: int = 0
    timeout: int = 0


class Operation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One task. `extend_para` is an object such as {"fileVersion": "V1.1.10"}, although a table calls it a string.

    The status of a task that went wrong is written `failed`; `fail` and `FAIL` are read.
    """

    operation_id: Required
    create_time: datetime
    start_time: datetime | None = None
    stop_time: datetime | None = None
    operate_type: OperateType
    targets: Targets
    policy: Policy | None = None
    status: OperationStatus
    sta_result: StageResult
    extend_para: dict[str, str] | None = None


class OperationList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of tasks and the number of all, which clients read under two names: both are written, alike."""

    data: Annotated[tuple[Operation, ...], Hints(other_names=("date",))]
    page_no: int = 0
    page_size: int = DEFAULT_PAGE_SIZE
    total_count: Annotated[int, Hints(other_names=("totalSize",))]
    total_size: Annotated[int, Hints(other_names=("totalCount",))]


class ExtendInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Facts of one device's upgrade: times in seconds as digits, and versions."""

    upgrade_time: str | None = None
    source_version: str | None = None
    cur_version: str | None = None
    download_time: str | None = None
    target_version: str | None = None


class SubOperation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One device's share of a task; `detail_info` says why it failed."""

    sub_operation_id: Required
    create_time: datetime
    start_time: datetime | None = None
    stop_time: datetime | None = None
    operate_type: OperateType
    device_id: Required
    status: SubOperationStatus
    detail_info: str | None = None
    extend_info: ExtendInfo | None = None


class SubOperationList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of sub-operations and the number of all; the vendor's example misprints `data` as `date`."""

    data: Annotated[tuple[SubOperation, ...], Hints(other_names=("date",))]
    page_no: int = 0
    page_size: int = DEFAULT_PAGE_SIZE
    total_count: Annotated[int, Hints(other_names=("totalSize",))]


class OperationQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The filters of the task list, all optional; page limits are the caller's to check."""

    operation_type: OperateType | None = None
    operation_status: OperationStatus | None = None
    device_type: Short | None = None
    model: Short | None = None
    manufacturer_name: Annotated[str, Hints(limit=256, other_names=("manufactureName",))] | None = None
    device_id: Short | None = None
    page_no: int | None = None
    page_size: int | None = None


class SubOperationQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The filter of a task's sub-operations; page limits are the caller's to check."""

    sub_operation_status: SubOperationStatus | None = None
    page_no: int | None = None
    page_size: int | None = None
