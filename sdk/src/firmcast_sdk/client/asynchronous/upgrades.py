"""The calls of the client of an event loop on upgrades; written by `scripts/client_methods.py`, not by hand."""

from collections.abc import Sequence

from firmcast_sdk.client.async_sender import AsyncSender
from firmcast_sdk.client.calls import upgrades as calls
from firmcast_sdk.client.listing import AsyncListing
from firmcast_sdk.wire.operations import (
    OperateType,
    Operation,
    OperationStatus,
    Policy,
    SubOperation,
    SubOperationStatus,
)


class Upgrades(AsyncSender):
    """The calls on upgrades."""

    async def create_firmware_upgrade(
        self,
        file_id: str,
        *,
        devices: Sequence[str] | None = None,
        device_groups: Sequence[str] | None = None,
        device_type: str | None = None,
        model: str | None = None,
        manufacturer_name: str | None = None,
        policy: Policy | None = None,
        idempotency_key: str | None = None,
    ) -> str:
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
        return await self._call(
            calls.create_firmware_upgrade(
                file_id,
                devices=devices,
                device_groups=device_groups,
                device_type=device_type,
                model=model,
                manufacturer_name=manufacturer_name,
                policy=policy,
                idempotency_key=idempotency_key,
            )
        )

    async def create_software_upgrade(
        self,
        file_id: str,
        *,
        devices: Sequence[str] | None = None,
        device_groups: Sequence[str] | None = None,
        device_type: str | None = None,
        model: str | None = None,
        manufacturer_name: str | None = None,
        policy: Policy | None = None,
    ) -> str:
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
        return await self._call(
            calls.create_software_upgrade(
                file_id,
                devices=devices,
                device_groups=device_groups,
                device_type=device_type,
                model=model,
                manufacturer_name=manufacturer_name,
                policy=policy,
            )
        )

    async def operation(self, operation_id: str) -> Operation:
        """Read one upgrade task: its status, and how many of its devices are where.

        Args:
            operation_id: the task's id.

        Raises:
            NotFoundError: there is none of this id.

        Source: contract page, section 6.
        """
        return await self._call(calls.operation(operation_id))

    def sub_operations(
        self, operation_id: str, *, status: SubOperationStatus | None = None, page_size: int = 100
    ) -> AsyncListing[SubOperation]:
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
        return self._listing(calls.sub_operations(operation_id, status=status, page_size=page_size))

    def operations(
        self,
        *,
        operation_type: OperateType | None = None,
        operation_status: OperationStatus | None = None,
        device_type: str | None = None,
        model: str | None = None,
        manufacturer_name: str | None = None,
        device_id: str | None = None,
        page_size: int = 100,
    ) -> AsyncListing[Operation]:
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
        return self._listing(
            calls.operations(
                operation_type=operation_type,
                operation_status=operation_status,
                device_type=device_type,
                model=model,
                manufacturer_name=manufacturer_name,
                device_id=device_id,
                page_size=page_size,
            )
        )
