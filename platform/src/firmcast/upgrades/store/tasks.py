"""The SQL of upgrade tasks, of their courses, and of what their devices count as."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from firmcast.db.columns import to_column
from firmcast.db.page import Page
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import Statement, differing, portable
from firmcast.ids import ApplicationId, PackageId, TaskId
from firmcast.upgrades.model import Tally, TaskCourse, TaskFilter, UpgradePolicy, UpgradeTask
from firmcast.upgrades.rows import course_of, course_row, policy_of, task_of, task_row

_COLUMNS: Final = (
    "t.task_id, t.application_id, t.package_id, t.target_version, t.device_type, t.model, t.manufacturer_name,"
    " t.targets, t.created_at, t.idempotency_key, t.request_digest, t.start_mode, t.window_start, t.window_end,"
    " t.retry_limit, t.status, t.round, t.work, t.work_at, t.work_cursor, t.stop_requested_at, t.started_at,"
    " t.ended_at, t.description"
)
_ALL: Final = "SELECT " + _COLUMNS + " FROM upgrade_task t"

# A new task.
INSERT_TASK: Final = portable(
    "INSERT INTO upgrade_task (" + _COLUMNS.replace("t.", "") + ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
    " ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)"
)

# How far a task is; the rest of it never changes.
UPDATE_COURSE: Final = portable(
    "UPDATE upgrade_task SET status = ?2, round = ?3, work = ?4, work_at = ?5, work_cursor = ?6,"
    " stop_requested_at = ?7, started_at = ?8, ended_at = ?9, description = ?10 WHERE task_id = ?1"
)

# One task of an application.
SELECT_TASK: Final = portable(_ALL + " WHERE t.task_id = ?1 AND t.application_id = ?2")

# One task, whoever's it is: for an operator.
SELECT_TASK_OF_ANY: Final = portable(_ALL + " WHERE t.task_id = ?1")

# The task that a request of this name has created.
SELECT_BY_KEY: Final = portable(
    _ALL + " WHERE t.application_id = ?1 AND t.idempotency_key = ?2 AND t.idempotency_key <> ''"
)

# Tasks whose next batch of work is due, who has waited longest first; nobody else may do it at the same time.
SELECT_DUE_WORK: Final = differing(
    sqlite=_ALL + " WHERE t.work_at IS NOT NULL AND t.work_at <= ?1 ORDER BY t.work_at LIMIT ?2",
    postgres=_ALL + " WHERE t.work_at IS NOT NULL AND t.work_at <= ?1 ORDER BY t.work_at LIMIT ?2 FOR UPDATE",
)

# When there is work to do next.
SELECT_NEXT_WORK: Final = portable("SELECT min(work_at) FROM upgrade_task WHERE work_at IS NOT NULL")

# How far these tasks are, and what they were told to be; locked, since what their devices did changes it.
SELECT_COURSES: Final = differing(
    sqlite="SELECT task_id, start_mode, window_start, window_end, retry_limit, status, round, work, work_at,"
    " work_cursor, stop_requested_at, started_at, ended_at, description FROM upgrade_task"
    " WHERE task_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT task_id, start_mode, window_start, window_end, retry_limit, status, round, work, work_at,"
    " work_cursor, stop_requested_at, started_at, ended_at, description FROM upgrade_task"
    " WHERE task_id = ANY(?1) ORDER BY task_id FOR UPDATE",
)

# Whether an open task needs a package; one between two rounds is open.
SELECT_NEEDED: Final = portable("SELECT 1 FROM upgrade_task WHERE package_id = ?1 AND ended_at IS NULL LIMIT 1")

# Whether an application has an open task.
SELECT_OPEN: Final = portable("SELECT 1 FROM upgrade_task WHERE application_id = ?1 AND ended_at IS NULL LIMIT 1")

# A task of an application, any: for one that goes.
SELECT_ANY: Final = portable("SELECT task_id FROM upgrade_task WHERE application_id = ?1 LIMIT 1")

# A task without devices is forgotten, and what they counted as.
DELETE_TASK: Final = portable("DELETE FROM upgrade_task WHERE task_id = ?1")
DELETE_TALLIES: Final = portable("DELETE FROM upgrade_task_tally WHERE task_id = ?1")

_OF_APPLICATION: Final = (
    " FROM upgrade_task t WHERE t.application_id = ?1 AND (?2 = '' OR t.status = ?2)"
    " AND (?3 = '' OR t.device_type = ?3) AND (?4 = '' OR t.model = ?4) AND (?5 = '' OR t.manufacturer_name = ?5)"
)
_OF_DEVICE: Final = (
    " FROM device_upgrade d JOIN upgrade_task t ON t.task_id = d.task_id WHERE d.device_id = ?6"
    " AND (?1 = '' OR t.application_id = ?1) AND (?2 = '' OR t.status = ?2)"
    " AND (?3 = '' OR t.device_type = ?3) AND (?4 = '' OR t.model = ?4) AND (?5 = '' OR t.manufacturer_name = ?5)"
)
_OF_ANY: Final = (
    " FROM upgrade_task t WHERE (?1 = '' OR t.status = ?1)"
    " AND (?2 = '' OR t.device_type = ?2) AND (?3 = '' OR t.model = ?3) AND (?4 = '' OR t.manufacturer_name = ?4)"
)
_NEWEST_FIRST: Final = " ORDER BY t.created_at DESC, t.task_id DESC"


def _page(matches: str, limit: str) -> Statement:
    """Return a list whose page is found in an index alone: a task can name many devices, so its row is long."""
    found = "SELECT t.task_id AS task_id" + matches + _NEWEST_FIRST + limit
    return portable(
        "SELECT " + _COLUMNS + " FROM (" + found + ") page JOIN upgrade_task t ON t.task_id = page.task_id"
        " ORDER BY t.created_at DESC, t.task_id DESC"
    )


# A page of an application's tasks, the newest first, and how many there are on all pages.
SELECT_TASKS: Final = _page(_OF_APPLICATION, " LIMIT ?6 OFFSET ?7")
COUNT_TASKS: Final = portable("SELECT count(*)" + _OF_APPLICATION)

# The same of the tasks that one device is in.
SELECT_TASKS_OF_DEVICE: Final = _page(_OF_DEVICE, " LIMIT ?7 OFFSET ?8")
COUNT_TASKS_OF_DEVICE: Final = portable("SELECT count(*)" + _OF_DEVICE)

# The same of all tasks, for an operator.
SELECT_TASKS_OF_ANY: Final = _page(_OF_ANY, " LIMIT ?5 OFFSET ?6")
COUNT_TASKS_OF_ANY: Final = portable("SELECT count(*)" + _OF_ANY)

# What the devices of these tasks count as.
SELECT_TALLIES: Final = differing(
    sqlite="SELECT task_id, tally, devices FROM upgrade_task_tally WHERE task_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT task_id, tally, devices FROM upgrade_task_tally WHERE task_id = ANY(?1)",
)

# Devices of a task went from one count to another.
MOVE_TALLY: Final = portable(
    "INSERT INTO upgrade_task_tally (task_id, tally, devices) VALUES (?1, ?2, ?3)"
    " ON CONFLICT (task_id, tally) DO UPDATE SET devices = upgrade_task_tally.devices + excluded.devices"
)


async def insert(tx: Transaction, task: UpgradeTask) -> None:
    """Write a new task, without its devices."""
    await tx.execute(INSERT_TASK, *task_row(task))


async def update_course(tx: Transaction, task_id: TaskId, course: TaskCourse) -> None:
    """Write how far a task is."""
    await tx.execute(UPDATE_COURSE, task_id, *course_row(course))


async def find(tx: Transaction, task_id: TaskId, application_id: ApplicationId | None) -> UpgradeTask | None:
    """Return a task of the application; of any for None."""
    if application_id is None:
        rows = await tx.fetch(SELECT_TASK_OF_ANY, task_id)
    else:
        rows = await tx.fetch(SELECT_TASK, task_id, application_id)
    tasks = await _with_tallies(tx, rows)
    return tasks[0] if tasks else None


async def by_key(tx: Transaction, application_id: ApplicationId, idempotency_key: str) -> UpgradeTask | None:
    """Return the task that a request of this name has created."""
    tasks = await _with_tallies(tx, await tx.fetch(SELECT_BY_KEY, application_id, idempotency_key))
    return tasks[0] if tasks else None


async def due_work(tx: Transaction, now: datetime, limit: int) -> list[UpgradeTask]:
    """Return tasks with work on their devices that is due, who has waited longest first."""
    return await _with_tallies(tx, await tx.fetch(SELECT_DUE_WORK, to_column(now), limit))


async def next_work(tx: Transaction) -> int | None:
    """Return when work is due next in its stored form, None for never."""
    row = await tx.fetch_row(SELECT_NEXT_WORK)
    assert row is not None
    found: int | None = row[0]
    return found


async def courses(tx: Transaction, task_ids: Iterable[TaskId]) -> dict[TaskId, tuple[TaskCourse, UpgradePolicy]]:
    """Return how far these tasks are, and when and how hard they try."""
    rows = await tx.fetch(SELECT_COURSES, sorted(set(task_ids)))
    return {TaskId(row[0]): (course_of(row[5:14]), policy_of(row[1:5])) for row in rows}


async def is_needed(tx: Transaction, package_id: PackageId) -> bool:
    """Return whether an open task needs a package."""
    return await tx.fetch_row(SELECT_NEEDED, package_id) is not None


async def has_open(tx: Transaction, application_id: ApplicationId) -> bool:
    """Return whether an application has a task that has not ended."""
    return await tx.fetch_row(SELECT_OPEN, application_id) is not None


async def any_of(tx: Transaction, application_id: ApplicationId) -> TaskId | None:
    """Return some task of an application."""
    row = await tx.fetch_row(SELECT_ANY, application_id)
    return None if row is None else TaskId(row[0])


async def delete(tx: Transaction, task_id: TaskId) -> None:
    """Forget a task that has no devices any more."""
    await tx.execute(DELETE_TALLIES, task_id)
    await tx.execute(DELETE_TASK, task_id)


async def listed(
    tx: Transaction, application_id: ApplicationId | None, wanted: TaskFilter, page: Page
) -> tuple[list[UpgradeTask], int]:
    """Return a page of the application's tasks (of all for None), the newest first, and how many there are."""
    words = (wanted.status or "", wanted.device_type, wanted.model, wanted.manufacturer_name)
    if wanted.device_id:
        count, select = COUNT_TASKS_OF_DEVICE, SELECT_TASKS_OF_DEVICE
        given: tuple[str, ...] = (application_id or "", *words, wanted.device_id)
    elif application_id is None:
        count, select, given = COUNT_TASKS_OF_ANY, SELECT_TASKS_OF_ANY, words
    else:
        count, select, given = COUNT_TASKS, SELECT_TASKS, (application_id, *words)
    total = await tx.fetch_row(count, *given)
    assert total is not None
    return await _with_tallies(tx, await tx.fetch(select, *given, page.limit, page.offset)), total[0]


async def tallies(tx: Transaction, task_ids: Iterable[TaskId]) -> dict[TaskId, dict[Tally, int]]:
    """Return what the devices of these tasks count as; what nobody counts as is absent."""
    wanted = sorted(set(task_ids))
    counted: dict[TaskId, dict[Tally, int]] = {task_id: {} for task_id in wanted}
    for task_id, tally, devices in await tx.fetch(SELECT_TALLIES, wanted):
        if devices:
            counted[TaskId(task_id)][Tally(tally)] = devices
    return counted


async def move_tallies(tx: Transaction, moves: Mapping[tuple[TaskId, Tally], int]) -> None:
    """Add to the counts of tasks, or take away."""
    rows = [(task_id, tally.value, count) for (task_id, tally), count in sorted(moves.items()) if count]
    await tx.execute_many(MOVE_TALLY, rows)


async def _with_tallies(tx: Transaction, rows: list[Row]) -> list[UpgradeTask]:
    counted = await tallies(tx, [TaskId(row[0]) for row in rows])
    return [task_of(row, counted[TaskId(row[0])]) for row in rows]
