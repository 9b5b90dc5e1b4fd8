"""Pure: the calls on upgrade tasks and on what becomes of each device in one. Contract page, section 6."""

from collections.abc import Sequence

from firmcast_sdk.client.call import Call, Page, Paging, Parse, Repeat, fill, get, page_of, page_reader, post, reader
from firmcast_sdk.wire import headers
from firmcast_sdk.wire import operations as wire
from firmcast_sdk.wire.operations import (
    OperateType,
    Operation,
    OperationStatus,
    Policy,
    SubOperation,
    SubOperationStatus,
)


def create_firmware_upgrade(
    file_id: str,
    *,
    devices: Sequence[str] | None = None,
    device_groups: Sequence[str] | None = None,
    device_type: str | None = None,
    model: str | None = None,
    manufacturer_name: str | None = None,
    policy: Policy | None = None,
    idempotency_key: str | None = None,
) -> Call[str]:
    """Create a firmware upgrade task; its targets are either devices or groups.

    The call is repeated when its answer is lost: it carries a key under which the platform creates one task only.

    Args:
        file_id: the version package to install.
        devices: ids of devices, 256 at most.
        device_groups: NAMES of device groups, 256 at most; the three that follow must be given with them.
        device_type: of the groups' devices.
        model: of the groups' devices.
        manufacturer_name: of the groups' devices.
        policy: when to start, and how often to try; None: at once, one try.
        idempotency_key: 1 to 128 printable ASCII characters. Give one, and keep it, to create the task once even if
            your program ends before the answer comes; without it each call of this method has one of its own.

    Returns:
        The task's id.

    Raises:
        NotFoundError: no such package, or no group of such a name.
        InvalidRequestError: targets or policy are wrong; `code` says in what way.

    Source: contract page, section 6.
    """
    body = wire.CreateUpgradeRequest(
        file_id=file_id,
        targets=_targets(devices, device_groups, device_type, model, manufacturer_name),
        policy=policy,
    )
    call = post(wire.FIRMWARE_UPGRADE_PATH, body, _created(), repeat=Repeat.WITH_KEY)
    return call if idempotency_key is None else call.with_headers({headers.IDEMPOTENCY_KEY: idempotency_key})


def create_software_upgrade(
    file_id: str,
    *,
    devices: Sequence[str] | None = None,
    device_groups: Sequence[str] | None = None,
    device_type: str | None = None,
    model: str | None = None,
    manufacturer_name: str | None = None,
    policy: Policy | None = None,
) -> Call[str]:
    """Create a software upgrade task: the contract has the call, Firmcast upgrades firmware only and refuses it.

    Args:
        file_id: the version package to install.
        devices: ids of devices, 256 at most.
        device_groups: NAMES of device groups, 256 at most; the three that follow must be given with them.
        device_type: of the groups' devices.
        model: of the groups' devices.
        manufacturer_name: of the groups' devices.
        policy: when to start, and how often to try; None: at once, one try.

    Returns:
        The task's id, from a platform that offers software upgrades.

    Raises:
        InvalidRequestError: always, from Firmcast; code 120015.

    Source: contract page, section 6.
    """
    body = wire.CreateUpgradeRequest(
        file_id=file_id,
        targets=_targets(devices, device_groups, device_type, model, manufacturer_name),
        policy=policy,
    )
    return post(wire.SOFTWARE_UPGRADE_PATH, body, _created())


def operation(operation_id: str) -> Call[Operation]:
    """Read one upgrade task: its status, and how many of its devices are where.

    Args:
        operation_id: the task's id.

    Raises:
        NotFoundError: there is none of this id.

    Source: contract page, section 6.
    """
    return get(fill(wire.OPERATION_PATH, operation_id=operation_id), reader(Operation))


def sub_operations(
    operation_id: str, *, status: SubOperationStatus | None = None, page_size: int = 100
) -> Paging[SubOperation]:
    """Go through a task's devices, page by page: one sub-operation for each.

    Args:
        operation_id: the task's id.
        status: only those of this status.
        page_size: how many are read at a time, 1 to 100.

    Raises:
        NotFoundError: there is no such task.
        InvalidRequestError: the page size is out of its range.

    Source: contract page, section 6.
    """
    path = fill(wire.SUB_OPERATIONS_PATH, operation_id=operation_id)

    def call(page_no: int) -> Call[Page[SubOperation]]:
        query = wire.SubOperationQuery(sub_operation_status=status, page_no=page_no, page_size=page_size)
        return get(path, page_reader(wire.SubOperationList, lambda page: page_of(page, page.data)), query)

    return Paging(page_size=page_size, call=call, identify=lambda one: one.sub_operation_id)


def operations(
    *,
    operation_type: OperateType | None = None,
    operation_status: OperationStatus | None = None,
    device_type: str | None = None,
    model: str | None = None,
    manufacturer_name: str | None = None,
    device_id: str | None = None,
    page_size: int = 100,
) -> Paging[Operation]:
    """Go through the upgrade tasks, page by page.

    Args:
        operation_type: only firmware upgrades, or only software upgrades.
        operation_status: only those of this status.
        device_type: only those for this type of device.
        model: only those for this model.
        manufacturer_name: only those for this maker's devices.
        device_id: only those that this device is in.
        page_size: how many are read at a time, 1 to 100.

    Raises:
        InvalidRequestError: the page size is out of its range.

    Source: contract page, section 6.
    """

    def call(page_no: int) -> Call[Page[Operation]]:
        query = wire.OperationQuery(
            operation_type=operation_type,
            operation_status=operation_status,
            device_type=device_type,
            model=model,
            manufacturer_name=manufacturer_name,
            device_id=device_id,
            page_no=page_no,
            page_size=page_size,
        )
        return get(wire.OPERATIONS_PATH, page_reader(wire.OperationList, lambda page: page_of(page, page.data)), query)

    return Paging(page_size=page_size, call=call, identify=lambda one: one.operation_id)


def _targets(
    devices: Sequence[str] | None,
    device_groups: Sequence[str] | None,
    device_type: str | None,
    model: str | None,
    manufacturer_name: str | None,
) -> wire.Targets:
    if isinstance(devices, str) or isinstance(device_groups, str):
        raise TypeError("devices and device_groups are lists, not one text")
    return wire.Targets(
        device_groups=None if device_groups is None else tuple(device_groups),
        device_type=device_type,
        model=model,
        manufacturer_name=manufacturer_name,
        devices=None if devices is None else tuple(devices),
    )


def _created() -> Parse[str]:
    read = reader(wire.CreateUpgradeResponse)
    return lambda reply: read(reply).operation_id
