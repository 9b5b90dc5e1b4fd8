"""`/v1/upgrades`: an operator sees the tasks of all applications and stops them; the stop is written to the audit."""

from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import administrator
from firmcast.clock import Clock
from firmcast.db.page import Page
from firmcast.db.port import Database, Transaction
from firmcast.events.log import EventLog
from firmcast.ids import ApplicationId, TaskId
from firmcast.rest.answers import plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import INVALID_REQUEST, NOT_FOUND
from firmcast.rest.paging import RequestedPage, requested_page
from firmcast.rest.requests import decode_parameters, path_identifier
from firmcast.upgrades import use_cases
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.management import bodies
from firmcast.upgrades.model import Tally, TaskFilter, UpgradeTask
from firmcast.upgrades.progress import view
from firmcast_sdk.wire import errors as wire

_PAGE_SIZE: Final = 100
_LARGEST_PAGE_SIZE: Final = 1000
_ALL: Final = "/v1/upgrades"
_ONE: Final = "/v1/upgrades/{task_id}"
_MANAGED: Final = partial(Endpoint, tag="upgrades", interface=Interface.MANAGEMENT, proof=Proof.ADMINISTRATOR)


def endpoints(
    *,
    database: Database,
    clock: Clock,
    authorise_administrator: AuthoriseAdministrator,
    log: EventLog,
    limits: Limits,
) -> list[Endpoint]:
    """Return the calls of `/v1/upgrades`."""
    calls = _Calls(database, clock, authorise_administrator, log, limits)
    read = partial(_MANAGED, method="GET", scope=Scope.UPGRADES_READ)
    return [
        read(
            path=_ALL,
            handler=calls.listed,
            summary="List the upgrade tasks of all applications, the newest first",
            query=bodies.TaskQuery,
            answers=(Answer(body=bodies.TaskList),),
            errors=(INVALID_REQUEST,),
        ),
        read(
            path=_ONE,
            handler=calls.find,
            summary="Show an upgrade task",
            answers=(Answer(body=bodies.TaskAnswer),),
            errors=(NOT_FOUND,),
        ),
        read(
            path=f"{_ONE}/devices",
            handler=calls.devices,
            summary="List the devices of an upgrade task",
            description=(
                "`transfer` tells how far the package is on its way to a device, as it was noted some seconds ago at"
                " the most while it moves, by whichever node sends it; null before its first byte."
            ),
            query=bodies.TaskDevicesQuery,
            answers=(Answer(body=bodies.TaskDeviceList),),
            errors=(INVALID_REQUEST, NOT_FOUND),
        ),
        _MANAGED(
            method="POST",
            path=f"{_ONE}/stop",
            handler=calls.stop,
            scope=Scope.UPGRADES_WRITE,
            summary="Stop an upgrade task",
            description=(
                "No retry follows. Devices that install already are not interrupted; a large task is still being"
                " stopped when the answer comes. A task that has ended stays as it is."
            ),
            answers=(Answer(body=bodies.TaskAnswer),),
            errors=(NOT_FOUND,),
        ),
    ]


class _Calls:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        authorise: AuthoriseAdministrator,
        log: EventLog,
        limits: Limits,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authorise = authorise
        self._log = log
        self._limits = limits

    async def listed(self, request: Request) -> Response:
        await self._authorise(request, Scope.UPGRADES_READ)
        said = decode_parameters(bodies.TaskQuery, request)
        page = _page(said.page, said.page_size)
        tasks, total = await self._database.read(
            use_cases.listed_tasks,
            ApplicationId(said.application_id) if said.application_id else None,
            TaskFilter(status=said.status, device_id=said.device_id),
            Page(page.offset, page.size),
        )
        shown = tuple(bodies.shown_task(task) for task in tasks)
        return plain_answer(bodies.TaskList(tasks=shown, page=page.number, page_size=page.size, total=total))

    async def find(self, request: Request) -> Response:
        await self._authorise(request, Scope.UPGRADES_READ)
        task = await self._database.read(use_cases.find_task, None, _task_id(request))
        return plain_answer(bodies.shown_task(task))

    async def devices(self, request: Request) -> Response:
        await self._authorise(request, Scope.UPGRADES_READ)
        said = decode_parameters(bodies.TaskDevicesQuery, request)
        page = _page(said.page, said.page_size)
        tallies = tuple(Tally) if said.counts_as is None else (said.counts_as,)
        found, total = await self._database.read(
            use_cases.device_upgrades, None, _task_id(request), tallies, Page(page.offset, page.size)
        )
        ids = [upgrade.device_upgrade_id for upgrade in found if upgrade.started_at is not None]
        noted = await self._database.read(use_cases.progress_of, ids)
        now = self._clock.now()
        shown = tuple(
            bodies.shown_device(upgrade, view(upgrade, noted.get(upgrade.device_upgrade_id), now)) for upgrade in found
        )
        return plain_answer(bodies.TaskDeviceList(devices=shown, page=page.number, page_size=page.size, total=total))

    async def stop(self, request: Request) -> Response:
        operator = await self._authorise(request, Scope.UPGRADES_WRITE)
        task_id, now = _task_id(request), self._clock.now()

        async def stop(tx: Transaction) -> UpgradeTask:
            before = await use_cases.find_task(tx, None, task_id)
            task = await use_cases.stop_task(tx, None, task_id, log=self._log, limits=self._limits, now=now)
            if before.ended_at is None:
                await audit.record(tx, administrator(operator.name), "upgrade.stop", task_id, now)
            return task

        return plain_answer(bodies.shown_task(await self._database.write(stop)))


def _page(number: int | None, size: int | None) -> RequestedPage:
    return requested_page(
        number, size, default_size=_PAGE_SIZE, largest_size=_LARGEST_PAGE_SIZE, beyond=wire.PAGE_BEYOND_LIMIT
    )


def _task_id(request: Request) -> TaskId:
    return TaskId(path_identifier(request, "task_id"))
