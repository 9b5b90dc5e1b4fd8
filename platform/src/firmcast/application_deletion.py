"""An application ends in bounded batches, and what a crash leaves of it ends at the next start.

First it is frozen and marked in one transaction with the audit entry, so nothing new of it comes. Its subscriptions go
first: nothing is told of the rest. It goes itself in the transaction that finds nothing of it left.
"""

from datetime import datetime

from firmcast.applications import use_cases as applications
from firmcast.audit import use_cases as audit
from firmcast.audit.model import Actor
from firmcast.db.port import Database, Transaction
from firmcast.firmware import use_cases as firmware
from firmcast.firmware.files import FirmwareFiles
from firmcast.firmware.model import Unneeded
from firmcast.groups import use_cases as groups
from firmcast.ids import ApplicationId
from firmcast.subscriptions import use_cases as subscriptions

_ROWS_AT_ONCE = 1000


class ApplicationDeletion:
    """Deletes applications with everything that is their own."""

    def __init__(self, database: Database, files: FirmwareFiles) -> None:
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
            if await applications.begin_deletion(tx, application_id):
                await audit.record(tx, actor, "application.delete", application_id, now, {"name": application.name})

        await self._database.write(begin)
        await self._complete(application_id)

    async def resume(self) -> None:
        """Complete what an earlier process had begun."""
        for application in await self._database.read(applications.listed):
            if application.deleting:
                await self._complete(application.application_id)

    async def _complete(self, application_id: ApplicationId) -> None:
        while await self._database.write(self._forget_some, application_id):
            pass
        async with self._files.naming:
            await self._files.remove_unneeded(await self._database.write(self._forget_rest, application_id))

    async def _forget_some(self, tx: Transaction, application_id: ApplicationId) -> int:
        """Remove a part of what an application has; return how much, 0 when nothing of that is left."""
        await subscriptions.forget_application(tx, application_id)
        return await groups.forget_application(tx, application_id, _ROWS_AT_ONCE)

    async def _forget_rest(self, tx: Transaction, application_id: ApplicationId) -> Unneeded:
        """Remove what is left, which is little, and the application."""
        while await self._forget_some(tx, application_id):
            pass
        unneeded = await firmware.forget_application(tx, application_id)
        await applications.complete_deletion(tx, application_id)
        return unneeded
