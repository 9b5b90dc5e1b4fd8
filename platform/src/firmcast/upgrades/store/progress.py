"""The SQL of how far packages have come."""

from collections.abc import Sequence
from typing import Final

from firmcast.db.columns import from_column, to_column
from firmcast.db.port import Transaction
from firmcast.db.statement import differing, portable
from firmcast.ids import DeviceUpgradeId, TaskId
from firmcast.upgrades.model import Progress

# How far one package has come by now.
NOTE_PROGRESS: Final = portable(
    "INSERT INTO transfer_progress (device_upgrade_id, bytes_done, bytes_per_second, noted_at) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (device_upgrade_id) DO UPDATE SET bytes_done = excluded.bytes_done,"
    " bytes_per_second = excluded.bytes_per_second, noted_at = excluded.noted_at"
)

# What is known of the devices of a page.
SELECT_PROGRESS: Final = differing(
    sqlite="SELECT device_upgrade_id, bytes_done, bytes_per_second, noted_at FROM transfer_progress"
    " WHERE device_upgrade_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT device_upgrade_id, bytes_done, bytes_per_second, noted_at FROM transfer_progress"
    " WHERE device_upgrade_id = ANY(?1::text[])",
)

# That of the devices of a task which are forgotten next.
FORGET_PROGRESS: Final = portable(
    "DELETE FROM transfer_progress WHERE device_upgrade_id IN"
    " (SELECT device_upgrade_id FROM device_upgrade WHERE task_id = ?1 ORDER BY position LIMIT ?2)"
)


async def note(tx: Transaction, progress: Sequence[Progress]) -> None:
    """Write how far packages have come."""
    rows = [
        (each.device_upgrade_id, each.bytes_done, each.bytes_per_second, to_column(each.noted_at))
        # In one order on every node, so that none waits for another that waits for it.
        for each in sorted(progress, key=lambda each: each.device_upgrade_id)
    ]
    await tx.execute_many(NOTE_PROGRESS, rows)


async def of(tx: Transaction, device_upgrade_ids: Sequence[DeviceUpgradeId]) -> dict[DeviceUpgradeId, Progress]:
    """Return what is known of these."""
    return {
        DeviceUpgradeId(row[0]): Progress(
            device_upgrade_id=DeviceUpgradeId(row[0]),
            bytes_done=row[1],
            bytes_per_second=row[2],
            noted_at=from_column(row[3]),
        )
        for row in await tx.fetch(SELECT_PROGRESS, list(device_upgrade_ids))
    }


async def forget_some(tx: Transaction, task_id: TaskId, limit: int) -> None:
    """Forget what is known of the first devices of a task."""
    await tx.execute(FORGET_PROGRESS, task_id, limit)
