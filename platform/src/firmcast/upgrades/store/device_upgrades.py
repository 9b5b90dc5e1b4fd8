"""The SQL of the upgrades of single devices."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from firmcast.db.columns import to_column
from firmcast.db.page import Page
from firmcast.db.port import Transaction
from firmcast.db.statement import Statement, differing, portable
from firmcast.ids import DeviceId, DeviceUpgradeId, TaskId
from firmcast.upgrades.model import DeviceUpgrade, Tally
from firmcast.upgrades.rows import changed_row, device_upgrade_of, device_upgrade_row

_COLUMNS: Final = (
    "u.device_upgrade_id, u.task_id, u.application_id, u.device_id, u.package_id, u.position, u.attempt, u.phase,"
    " u.tally, u.retryable, u.published_state, u.command_id, u.command_kind, u.probed, u.evidence, u.transfer_token,"
    " u.source_version, u.target_version, u.current_version, u.bytes_total, u.created_at, u.started_at, u.window_end,"
    " u.waiting_ends_at, u.phase_ends_at, u.deadline_at, u.ended_at, u.outcome, u.description"
)
_ALL: Final = "SELECT " + _COLUMNS + " FROM device_upgrade u"

# One device of a task.
INSERT_UPGRADE: Final = portable(
    "INSERT INTO device_upgrade (" + _COLUMNS.replace("u.", "") + ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
    " ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)"
)

_CHANGED: Final = (
    "UPDATE device_upgrade SET phase = ?2, tally = ?3, published_state = ?4, command_id = ?5, command_kind = ?6,"
    " probed = ?7, evidence = ?8, source_version = ?9, current_version = ?10, started_at = ?11, waiting_ends_at = ?12,"
    " phase_ends_at = ?13, deadline_at = ?14, ended_at = ?15, outcome = ?16, description = ?17, retryable = ?18"
)

# What an input changed of a device's upgrade.
UPDATE_UPGRADE: Final = portable(_CHANGED + " WHERE device_upgrade_id = ?1")

# Another attempt takes the place of the one before; what was sent to the device for that one is not asked for again.
RENEW_UPGRADE: Final = portable(_CHANGED + ", attempt = ?19, transfer_token = ?20 WHERE device_upgrade_id = ?1")

# The upgrades that reports of these devices are about: begun and not ended, one for each device.
SELECT_BEGUN: Final = differing(
    sqlite=_ALL + " WHERE u.phase NOT IN ('scheduled', 'closed') AND u.device_id IN (SELECT value FROM json_each(?1))",
    postgres=_ALL + " WHERE u.phase NOT IN ('scheduled', 'closed') AND u.device_id = ANY(?1)"
    " ORDER BY u.device_id FOR UPDATE",
)

# Which of these devices are in an upgrade that has begun and has not ended.
SELECT_BUSY: Final = differing(
    sqlite="SELECT device_id FROM device_upgrade WHERE phase NOT IN ('scheduled', 'closed')"
    " AND device_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT device_id FROM device_upgrade WHERE phase NOT IN ('scheduled', 'closed') AND device_id = ANY(?1)",
)

# Which of these have not ended.
SELECT_NOT_ENDED: Final = differing(
    sqlite="SELECT device_upgrade_id FROM device_upgrade"
    " WHERE device_upgrade_id IN (SELECT value FROM json_each(?1)) AND ended_at IS NULL",
    postgres="SELECT device_upgrade_id FROM device_upgrade"
    " WHERE device_upgrade_id = ANY(?1::text[]) AND ended_at IS NULL",
)

# Everything of a device that has not ended, begun or not: when the device goes.
SELECT_OPEN_OF_DEVICE: Final = portable(_ALL + " WHERE u.device_id = ?1 AND u.ended_at IS NULL")

# Every upgrade that a device is in, or was.
SELECT_OF_DEVICE: Final = portable(_ALL + " WHERE u.device_id = ?1 ORDER BY u.task_id LIMIT ?2")

# A device that goes is not tried again.
GIVE_UP_RETRIES: Final = portable("UPDATE device_upgrade SET retryable = 0 WHERE device_id = ?1 AND retryable = 1")

# The devices of a task that failed in one of its rounds and may end better.
SELECT_RETRYABLE: Final = portable(
    _ALL + " WHERE u.task_id = ?1 AND u.attempt = ?2 AND u.retryable = 1 ORDER BY u.position LIMIT ?3"
)

# Whose time has come, the earliest first.
SELECT_DUE: Final = portable(
    _ALL + " WHERE u.deadline_at IS NOT NULL AND u.deadline_at <= ?1 ORDER BY u.deadline_at LIMIT ?2"
)

# When there is something to do next.
SELECT_NEXT_DEADLINE: Final = portable("SELECT min(deadline_at) FROM device_upgrade WHERE deadline_at IS NOT NULL")

# The transfer that a token in a package address names; a closed one has ended.
SELECT_TRANSFER: Final = portable(_ALL + " WHERE u.transfer_token = ?1 AND u.ended_at IS NULL")

# A task's devices by their place in it: a page of all of them, however far.
SELECT_BETWEEN: Final = portable(
    _ALL + " WHERE u.task_id = ?1 AND u.position >= ?2 AND u.position < ?3 ORDER BY u.position"
)

# Those that count as one tally, after a place: to be worked through.
SELECT_OF_TALLY: Final = portable(
    _ALL + " WHERE u.task_id = ?1 AND u.tally = ?2 AND u.position > ?3 ORDER BY u.position LIMIT ?4"
)


def _page_of_tally(direction: str) -> Statement:
    """Return a page whose place is found in an index alone, before any row of a device is read."""
    found = (
        "SELECT device_upgrade_id FROM device_upgrade WHERE task_id = ?1 AND tally = ?2 ORDER BY position "
        + direction
        + " LIMIT ?3 OFFSET ?4"
    )
    return portable(
        "SELECT " + _COLUMNS + " FROM (" + found + ") page"
        " JOIN device_upgrade u ON u.device_upgrade_id = page.device_upgrade_id ORDER BY u.position"
    )


# A page of those that count as one tally, counted from the first of them, or from the last.
SELECT_TALLY_PAGE: Final = _page_of_tally("ASC")
SELECT_TALLY_PAGE_FROM_END: Final = _page_of_tally("DESC")

# The first devices of a task that is forgotten.
DELETE_SOME: Final = portable(
    "DELETE FROM device_upgrade WHERE device_upgrade_id IN"
    " (SELECT device_upgrade_id FROM device_upgrade WHERE task_id = ?1 ORDER BY position LIMIT ?2)"
)


async def insert(tx: Transaction, upgrades: Sequence[DeviceUpgrade]) -> None:
    """Write new device upgrades."""
    await tx.execute_many(INSERT_UPGRADE, [device_upgrade_row(upgrade) for upgrade in upgrades])


async def update(tx: Transaction, upgrades: Sequence[DeviceUpgrade]) -> None:
    """Write what changed of device upgrades."""
    await tx.execute_many(UPDATE_UPGRADE, [changed_row(upgrade) for upgrade in upgrades])


async def renew(tx: Transaction, upgrades: Sequence[DeviceUpgrade]) -> None:
    """Write what another attempt changed of device upgrades."""
    rows = [(*changed_row(upgrade), upgrade.attempt, upgrade.transfer_token) for upgrade in upgrades]
    await tx.execute_many(RENEW_UPGRADE, rows)


async def begun(tx: Transaction, device_ids: Iterable[DeviceId]) -> dict[DeviceId, DeviceUpgrade]:
    """Return the upgrade that is under way with each of these devices."""
    found = await _upgrades(tx, SELECT_BEGUN, sorted(set(device_ids)))
    return {upgrade.device_id: upgrade for upgrade in found}


async def busy(tx: Transaction, device_ids: Iterable[DeviceId]) -> set[DeviceId]:
    """Return those of these devices that an upgrade is under way with."""
    return {DeviceId(row[0]) for row in await tx.fetch(SELECT_BUSY, sorted(set(device_ids)))}


async def not_ended(tx: Transaction, device_upgrade_ids: Sequence[DeviceUpgradeId]) -> set[DeviceUpgradeId]:
    """Return which of these device upgrades have not ended."""
    return {DeviceUpgradeId(row[0]) for row in await tx.fetch(SELECT_NOT_ENDED, list(device_upgrade_ids))}


async def open_of_device(tx: Transaction, device_id: DeviceId) -> list[DeviceUpgrade]:
    """Return what has not ended of a device."""
    return await _upgrades(tx, SELECT_OPEN_OF_DEVICE, device_id)


async def of_device(tx: Transaction, device_id: DeviceId, limit: int) -> list[DeviceUpgrade]:
    """Return the upgrades of a device, `limit` at the most."""
    return await _upgrades(tx, SELECT_OF_DEVICE, device_id, limit)


async def give_up_retries(tx: Transaction, device_id: DeviceId) -> None:
    """Have no failed upgrade of a device tried again."""
    await tx.execute(GIVE_UP_RETRIES, device_id)


async def retryable(tx: Transaction, task_id: TaskId, attempt: int, limit: int) -> list[DeviceUpgrade]:
    """Return devices of a task that failed at this attempt and may end better, in the order of the task."""
    return await _upgrades(tx, SELECT_RETRYABLE, task_id, attempt, limit)


async def due(tx: Transaction, now: datetime, limit: int) -> list[DeviceUpgrade]:
    """Return upgrades whose deadline has come, the earliest first."""
    return await _upgrades(tx, SELECT_DUE, to_column(now), limit)


async def next_deadline(tx: Transaction) -> int | None:
    """Return the earliest deadline in its stored form, None for none."""
    row = await tx.fetch_row(SELECT_NEXT_DEADLINE)
    assert row is not None
    found: int | None = row[0]
    return found


async def by_token(tx: Transaction, token: str) -> DeviceUpgrade | None:
    """Return the open upgrade whose transfer has this token."""
    found = await _upgrades(tx, SELECT_TRANSFER, token)
    return found[0] if found else None


async def of_task(tx: Transaction, task_id: TaskId, page: Page) -> list[DeviceUpgrade]:
    """Return a page of a task's devices in the order of the task."""
    return await _upgrades(tx, SELECT_BETWEEN, task_id, page.offset, page.offset + page.limit)


async def of_tally(tx: Transaction, task_id: TaskId, tally: Tally, after: int, limit: int) -> list[DeviceUpgrade]:
    """Return devices of a task that count as `tally`, behind the place `after`, in the order of the task."""
    return await _upgrades(tx, SELECT_OF_TALLY, task_id, tally.value, after, limit)


async def page_of_tally(tx: Transaction, task_id: TaskId, tally: Tally, page: Page, total: int) -> list[DeviceUpgrade]:
    """Return a page of the `total` devices of a task that count as `tally`, in the order of the task.

    It is looked for from the nearer end: so the last pages are as near as the first ones.
    """
    limit = min(page.limit, total - page.offset)
    if limit <= 0:
        return []
    from_end = total - page.offset - limit
    if from_end < page.offset:
        return await _upgrades(tx, SELECT_TALLY_PAGE_FROM_END, task_id, tally.value, limit, from_end)
    return await _upgrades(tx, SELECT_TALLY_PAGE, task_id, tally.value, limit, page.offset)


async def delete_some(tx: Transaction, task_id: TaskId, limit: int) -> int:
    """Forget devices of a task, `limit` at the most, and return how many there were."""
    return await tx.execute(DELETE_SOME, task_id, limit)


async def _upgrades(
    tx: Transaction, statement: Statement, *arguments: str | int | Sequence[str]
) -> list[DeviceUpgrade]:
    return [device_upgrade_of(row) for row in await tx.fetch(statement, *arguments)]
