"""The table of the journal: a row for what one transaction noted of one device."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from firmcast.db.columns import from_column, to_column
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import Statement, differing, portable
from firmcast.ids import DeviceId, DeviceUpgradeId
from firmcast.journal.model import Note, Noted
from firmcast.journal.pages import Page

# A new page.
INSERT_PAGE: Final = portable(
    "INSERT INTO journal_page (device_id, device_upgrade_id, began_at, notes) VALUES (?1, ?2, ?3, ?4)"
)

# What is beyond the latest ?2 pages of these devices.
DELETE_BEYOND: Final = differing(
    sqlite="DELETE FROM journal_page WHERE page_id IN (SELECT old.page_id FROM json_each(?1) AS each"
    " JOIN journal_page AS old ON old.device_id = each.value WHERE old.began_at < (SELECT kept.began_at"
    " FROM journal_page AS kept WHERE kept.device_id = each.value ORDER BY kept.began_at DESC LIMIT 1 OFFSET ?2))",
    postgres="DELETE FROM journal_page WHERE page_id IN (SELECT old.page_id FROM unnest(?1::text[]) AS each (device_id)"
    " CROSS JOIN LATERAL (SELECT kept.began_at FROM journal_page AS kept WHERE kept.device_id = each.device_id"
    " ORDER BY kept.began_at DESC LIMIT 1 OFFSET ?2::bigint) AS edge"
    " JOIN journal_page AS old ON old.device_id = each.device_id AND old.began_at < edge.began_at)",
)

# The oldest pages, as far as they are too old: the next part of the table and no more is looked at.
DELETE_OLD: Final = portable(
    "DELETE FROM journal_page WHERE page_id IN (SELECT page_id FROM journal_page ORDER BY page_id LIMIT ?2)"
    " AND began_at < ?1"
)

# The journals of devices that are forgotten.
DELETE_OF_DEVICES: Final = differing(
    sqlite="DELETE FROM journal_page WHERE device_id IN (SELECT value FROM json_each(?1))",
    postgres="DELETE FROM journal_page WHERE device_id = ANY(?1)",
)

# Pages of a device that began in [?2, ?3), of one upgrade or of all ('').
SELECT_NEWEST: Final = portable(
    "SELECT device_upgrade_id, began_at, notes FROM journal_page WHERE device_id = ?1 AND began_at >= ?2"
    " AND began_at < ?3 AND (?4 = '' OR device_upgrade_id = ?4) ORDER BY began_at DESC, page_id DESC LIMIT ?5"
)
SELECT_OLDEST: Final = portable(
    "SELECT device_upgrade_id, began_at, notes FROM journal_page WHERE device_id = ?1 AND began_at >= ?2"
    " AND began_at < ?3 AND (?4 = '' OR device_upgrade_id = ?4) ORDER BY began_at, page_id LIMIT ?5"
)

_notes = msgspec.json.Decoder(list[tuple[int, Noted]])


async def insert(tx: Transaction, pages: Sequence[Page]) -> None:
    """Write pages."""
    rows = [(page.device_id, page.device_upgrade_id or "", to_column(page.began_at), _text(page)) for page in pages]
    await tx.execute_many(INSERT_PAGE, rows)


async def delete_beyond(tx: Transaction, device_ids: Sequence[DeviceId], limit: int) -> None:
    """Remove what is beyond the latest `limit` + 1 pages of each of these devices."""
    await tx.execute(DELETE_BEYOND, list(device_ids), limit)


async def delete_old(tx: Transaction, before: datetime, limit: int) -> int:
    """Remove those of the oldest `limit` pages that began before a time, and return how many those were."""
    return await tx.execute(DELETE_OLD, to_column(before), limit)


async def delete_of_devices(tx: Transaction, device_ids: Sequence[DeviceId]) -> None:
    """Remove the journals of devices."""
    await tx.execute(DELETE_OF_DEVICES, list(device_ids))


async def between(
    tx: Transaction,
    device_id: DeviceId,
    begin: datetime,
    end: datetime,
    device_upgrade_id: DeviceUpgradeId | None,
    limit: int,
    *,
    newest_first: bool,
) -> list[Page]:
    """Return pages of a device that began in a stretch of time, `end` excluded, in the order asked for."""
    statement: Statement = SELECT_NEWEST if newest_first else SELECT_OLDEST
    rows = await tx.fetch(statement, device_id, to_column(begin), to_column(end), device_upgrade_id or "", limit)
    return [_page(device_id, row) for row in rows]


def _text(page: Page) -> str:
    return msgspec.json.encode([(to_column(note.occurred_at), note.what) for note in page.notes]).decode()


def _page(device_id: DeviceId, row: Row) -> Page:
    upgrade = DeviceUpgradeId(row[0]) if row[0] else None
    notes = tuple(
        Note(occurred_at=from_column(at), what=what, device_upgrade_id=upgrade) for at, what in _notes.decode(row[2])
    )
    return Page(device_id=device_id, device_upgrade_id=upgrade, notes=notes)
