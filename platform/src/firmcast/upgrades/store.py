"""The SQL of upgrade tasks and of the upgrades of their devices."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from firmcast.db.columns import to_column, to_optional_column
from firmcast.db.page import Page
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import Statement, differing, portable
from firmcast.ids import ApplicationId, DeviceId, PackageId, TaskId
from firmcast.upgrades.model import DeviceUpgrade, Tally, TaskFilter, TaskStatus, UpgradeTask
from firmcast.upgrades.rows import (
    changed_row,
    device_upgrade_of,
    device_upgrade_row,
    task_of,
    task_row,
)

_UPGRADE_COLUMNS: Final = (
    "device_upgrade_id, task_id, application_id, device_id, package_id, phase, tally, published_state, command_id,"
    " command_kind, probed, evidence, transfer_token, source_version, target_version, current_version, bytes_total,"
    " created_at, started_at, window_end, waiting_ends_at, phase_ends_at, deadline_at, ended_at, outcome, description"
)
_TASK_COLUMNS: Final = (
    "task_id, application_id, package_id, target_version, device_type, model, manufacturer_name, targets, start_mode,"
    " window_start, window_end, retry_limit, status, created_at, started_at, ended_at"
)

# A new task.
INSERT_TASK: Final = portable(
    "INSERT INTO upgrade_task (" + _TASK_COLUMNS + ")"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
)

# One device of a new task.
INSERT_UPGRADE: Final = portable(
    "INSERT INTO device_upgrade (" + _UPGRADE_COLUMNS + ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
    " ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)"
)

# What an input changed of a device's upgrade.
UPDATE_UPGRADE: Final = portable(
    "UPDATE device_upgrade SET phase = ?2, tally = ?3, published_state = ?4, command_id = ?5, command_kind = ?6,"
    " probed = ?7, evidence = ?8, source_version = ?9, current_version = ?10, started_at = ?11, waiting_ends_at = ?12,"
    " phase_ends_at = ?13, deadline_at = ?14, ended_at = ?15, outcome = ?16, description = ?17"
    " WHERE device_upgrade_id = ?1"
)

# The upgrades that reports of these devices are about: begun and not ended, one for each device.
SELECT_BEGUN: Final = differing(
    sqlite="SELECT " + _UPGRADE_COLUMNS + " FROM device_upgrade WHERE phase NOT IN ('scheduled', 'closed')"
    " AND device_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT " + _UPGRADE_COLUMNS + " FROM device_upgrade WHERE phase NOT IN ('scheduled', 'closed')"
    " AND device_id = ANY(?1) ORDER BY device_id FOR UPDATE",
)

# Everything of a device that has not ended, begun or not: when the device goes.
SELECT_OPEN_OF_DEVICE: Final = portable(
    "SELECT " + _UPGRADE_COLUMNS + " FROM device_upgrade WHERE device_id = ?1 AND ended_at IS NULL"
)

# Everything of a task that has not ended: when the task is stopped.
SELECT_OPEN_OF_TASK: Final = portable(
    "SELECT " + _UPGRADE_COLUMNS + " FROM device_upgrade WHERE task_id = ?1 AND ended_at IS NULL"
)

# Whose time has come, the earliest first.
SELECT_DUE: Final = portable(
    "SELECT " + _UPGRADE_COLUMNS + " FROM device_upgrade WHERE deadline_at IS NOT NULL AND deadline_at <= ?1"
    " ORDER BY deadline_at LIMIT ?2"
)

# When there is something to do next.
SELECT_NEXT_DEADLINE: Final = portable("SELECT min(deadline_at) FROM device_upgrade WHERE deadline_at IS NOT NULL")

# Which tasks wait for their devices to come online.
SELECT_START_MODES: Final = differing(
    sqlite="SELECT task_id, start_mode FROM upgrade_task WHERE task_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT task_id, start_mode FROM upgrade_task WHERE task_id = ANY(?1)",
)

# The transfer that a token in a package address names; a closed one has ended.
SELECT_TRANSFER: Final = portable(
    "SELECT " + _UPGRADE_COLUMNS + " FROM device_upgrade WHERE transfer_token = ?1 AND ended_at IS NULL"
)

# Whether an open task needs a package.
SELECT_NEEDED: Final = portable("SELECT 1 FROM upgrade_task WHERE package_id = ?1 AND ended_at IS NULL LIMIT 1")

# One task of an application.
SELECT_TASK: Final = portable(
    "SELECT " + _TASK_COLUMNS + " FROM upgrade_task WHERE task_id = ?1 AND application_id = ?2"
)

_TASK_MATCHES: Final = (
    " FROM upgrade_task WHERE application_id = ?1 AND (?2 = '' OR status = ?2) AND (?3 = '' OR device_type = ?3)"
    " AND (?4 = '' OR model = ?4) AND (?5 = '' OR manufacturer_name = ?5) AND (?6 = '' OR EXISTS"
    " (SELECT 1 FROM device_upgrade WHERE device_id = ?6 AND device_upgrade.task_id = upgrade_task.task_id))"
)

# A page of an application's tasks, the newest first.
SELECT_TASKS: Final = portable(
    "SELECT " + _TASK_COLUMNS + _TASK_MATCHES + " ORDER BY created_at DESC, task_id LIMIT ?7 OFFSET ?8"
)

# How many tasks that list has on all pages.
COUNT_TASKS: Final = portable("SELECT count(*)" + _TASK_MATCHES)

# A page of a task's devices, in a fixed order.
SELECT_OF_TASK: Final = differing(
    sqlite="SELECT " + _UPGRADE_COLUMNS + " FROM device_upgrade WHERE task_id = ?1"
    " AND tally IN (SELECT value FROM json_each(?2)) ORDER BY device_upgrade_id LIMIT ?3 OFFSET ?4",
    postgres="SELECT " + _UPGRADE_COLUMNS + " FROM device_upgrade WHERE task_id = ?1 AND tally = ANY(?2)"
    " ORDER BY device_upgrade_id LIMIT ?3 OFFSET ?4",
)

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

# What follows for the task itself: it begins once and ends once.
UPDATE_TASK: Final = portable(
    "UPDATE upgrade_task SET status = ?2, started_at = coalesce(started_at, ?3), ended_at = ?4 WHERE task_id = ?1"
)


async def insert_task(tx: Transaction, task: UpgradeTask) -> None:
    """Write a new task, without its devices."""
    await tx.execute(INSERT_TASK, *task_row(task))


async def insert_upgrades(tx: Transaction, upgrades: Sequence[DeviceUpgrade]) -> None:
    """Write new device upgrades."""
    await tx.execute_many(INSERT_UPGRADE, [device_upgrade_row(upgrade) for upgrade in upgrades])


async def update_upgrades(tx: Transaction, upgrades: Sequence[DeviceUpgrade]) -> None:
    """Write what changed of device upgrades."""
    await tx.execute_many(UPDATE_UPGRADE, [changed_row(upgrade) for upgrade in upgrades])


async def begun(tx: Transaction, device_ids: Iterable[DeviceId]) -> dict[DeviceId, DeviceUpgrade]:
    """Return the upgrade that is under way with each of these devices."""
    found = await _upgrades(tx, SELECT_BEGUN, sorted(set(device_ids)))
    return {upgrade.device_id: upgrade for upgrade in found}


async def open_of_device(tx: Transaction, device_id: DeviceId) -> list[DeviceUpgrade]:
    """Return what has not ended of a device."""
    return await _upgrades(tx, SELECT_OPEN_OF_DEVICE, device_id)


async def open_of_task(tx: Transaction, task_id: TaskId) -> list[DeviceUpgrade]:
    """Return what has not ended of a task."""
    return await _upgrades(tx, SELECT_OPEN_OF_TASK, task_id)


async def due(tx: Transaction, now: datetime, limit: int) -> list[DeviceUpgrade]:
    """Return upgrades whose deadline has come, the earliest first."""
    return await _upgrades(tx, SELECT_DUE, to_column(now), limit)


async def next_deadline(tx: Transaction) -> int | None:
    """Return the earliest deadline in its stored form, None for none."""
    row = await tx.fetch_row(SELECT_NEXT_DEADLINE)
    assert row is not None
    found: int | None = row[0]
    return found


async def start_modes(tx: Transaction, task_ids: Iterable[TaskId]) -> dict[TaskId, str]:
    """Return when each of these tasks begins with a device."""
    return {TaskId(row[0]): row[1] for row in await tx.fetch(SELECT_START_MODES, sorted(set(task_ids)))}


async def by_token(tx: Transaction, token: str) -> DeviceUpgrade | None:
    """Return the open upgrade whose transfer has this token."""
    found = await _upgrades(tx, SELECT_TRANSFER, token)
    return found[0] if found else None


async def is_needed(tx: Transaction, package_id: PackageId) -> bool:
    """Return whether an open task needs a package."""
    return await tx.fetch_row(SELECT_NEEDED, package_id) is not None


async def find_task(tx: Transaction, application_id: ApplicationId, task_id: TaskId) -> UpgradeTask | None:
    """Return a task of the application."""
    found = await tx.fetch(SELECT_TASK, task_id, application_id)
    tasks = await _with_tallies(tx, found)
    return tasks[0] if tasks else None


async def tasks(
    tx: Transaction, application_id: ApplicationId, wanted: TaskFilter, page: Page
) -> tuple[list[UpgradeTask], int]:
    """Return a page of the application's tasks, and how many there are."""
    given = (
        application_id,
        wanted.status.value if wanted.status else "",
        wanted.device_type,
        wanted.model,
        wanted.manufacturer_name,
        wanted.device_id,
    )
    total = await tx.fetch_row(COUNT_TASKS, *given)
    assert total is not None
    return await _with_tallies(tx, await tx.fetch(SELECT_TASKS, *given, page.limit, page.offset)), total[0]


async def of_task(tx: Transaction, task_id: TaskId, tallies: Sequence[Tally], page: Page) -> list[DeviceUpgrade]:
    """Return a page of a task's devices that count as one of `tallies`."""
    return await _upgrades(tx, SELECT_OF_TASK, task_id, [tally.value for tally in tallies], page.limit, page.offset)


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


async def update_task(
    tx: Transaction, task_id: TaskId, status: TaskStatus, started_at: datetime | None, ended_at: datetime | None
) -> None:
    """Write what follows for a task from what its devices count as."""
    await tx.execute(UPDATE_TASK, task_id, status.value, to_optional_column(started_at), to_optional_column(ended_at))


async def _with_tallies(tx: Transaction, rows: list[Row]) -> list[UpgradeTask]:
    counted = await tallies(tx, [TaskId(row[0]) for row in rows])
    return [task_of(row, counted[TaskId(row[0])]) for row in rows]


async def _upgrades(
    tx: Transaction, statement: Statement, *arguments: str | int | Sequence[str]
) -> list[DeviceUpgrade]:
    return [device_upgrade_of(row) for row in await tx.fetch(statement, *arguments)]
