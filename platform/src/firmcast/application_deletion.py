"""An application ends in bounded batches, and what a crash leaves of it ends at the next start.

First it is frozen and marked in one transaction with the audit entry, so nothing new of it comes; only a call that had
proven itself just before can still add something. Its subscriptions go first: nothing is told of the rest. It goes
itself in the transaction that finds nothing of it left. What happened with it stays in the log and in the audit.
"""

from datetime import datetime

import structlog

from firmcast.applications import use_cases as applications
from firmcast.audit import use_cases as audit
from firmcast.audit.model import Actor
from firmcast.db.port import Database, Transaction
from firmcast.devices import use_cases as devices
from firmcast.errors import ConflictError
from firmcast.firmware import use_cases as firmware
from firmcast.firmware.model import Unneeded
from firmcast.firmware.package_files import PackageFiles
from firmcast.groups import use_cases as groups
from firmcast.ids import ApplicationId
from firmcast.journal import use_cases as journal
from firmcast.profiles import use_cases as profiles
from firmcast.subscriptions import use_cases as subscriptions
from firmcast.upgrades import use_cases as upgrades

_log = structlog.get_logger()

_ROWS_AT_ONCE = 1000


class ApplicationDeletion:
    """Deletes applications with everything that is their own."""

    def __init__(self, database: Database, files: PackageFiles) -> None:
        self._database = database
        self._files = files

    async def delete(self, application_id: ApplicationId, actor: Actor, now: datetime) -> None:
        """Delete an application; return when nothing of it is left but its history.

        Raises:
            NotFoundError: there is no such application.
            ConflictError: one of its upgrade tasks is open.
        """

        async def begin(tx: Transaction) -> None:
            application = await applications.find(tx, application_id)
            await _require_no_open_task(tx, application_id)
            if await applications.begin_deletion(tx, application_id):
                await audit.record(tx, actor, "application.delete", application_id, now, {"name": application.name})

        await self._database.write(begin)
        await self._complete(application_id)

    async def resume(self) -> None:
        """Complete what an earlier process had begun."""
        for application in await self._database.read(applications.listed):
            if application.deleting:
                try:
                    await self._complete(application.application_id)
                except ConflictError as error:  # it is the operator's to stop the task, and to delete once more
                    _log.warning(
                        "application.not_deleted", application_id=application.application_id, reason=str(error)
                    )

    async def _complete(self, application_id: ApplicationId) -> None:
        while await self._database.write_behind(_forget_some, application_id, _ROWS_AT_ONCE):
            pass
        await self._files.release(lambda tx: _forget_rest(tx, application_id))


async def _require_no_open_task(tx: Transaction, application_id: ApplicationId) -> None:
    if await upgrades.has_open_tasks(tx, application_id):
        message = f"application {application_id} has an upgrade task that has not ended; stop it first"
        raise ConflictError(message)


async def _forget_some(tx: Transaction, application_id: ApplicationId, limit: int) -> int:
    """Remove a part of what an application has; return how much, 0 when nothing of that is left."""
    await _require_no_open_task(tx, application_id)
    await subscriptions.forget_application(tx, application_id)
    return (
        await upgrades.forget_application(tx, application_id, limit)
        or await groups.forget_application(tx, application_id, limit)
        or await _forget_devices(tx, application_id, limit)
    )


async def _forget_devices(tx: Transaction, application_id: ApplicationId, limit: int) -> int:
    device_ids = await devices.next_forgotten(tx, application_id, limit)
    await journal.forget_devices(tx, device_ids)
    await profiles.forget_devices(tx, device_ids)
    return await devices.forget_application(tx, application_id, limit)


async def _forget_rest(tx: Transaction, application_id: ApplicationId) -> Unneeded:
    """Remove what is left, which is little, and the application."""
    while await _forget_some(tx, application_id, _ROWS_AT_ONCE):
        pass
    unneeded = await firmware.forget_application(tx, application_id)
    await applications.complete_deletion(tx, application_id)
    return unneeded
