"""The table of audit entries: written once, never changed, removed when they are old."""

from datetime import datetime
from typing import Final

import msgspec

from firmcast.audit.model import Actor, ActorKind, AuditEntry, AuditFilter
from firmcast.db.columns import from_column, to_column, to_optional_column
from firmcast.db.page import Page
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import portable

# One change.
_INSERT = portable(
    "INSERT INTO audit_entry (made_at, actor_kind, actor, action, subject, details) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
)

_COLUMNS = "SELECT entry_id, made_at, actor_kind, actor, action, subject, details"

_MATCHES = (
    " FROM audit_entry WHERE (?1 = '' OR actor = ?1) AND (?2 = '' OR action = ?2"
    " OR (substr(?2, length(?2)) = '.' AND substr(action, 1, length(?2)) = ?2))"
    " AND (CAST(?4 AS BIGINT) IS NULL OR made_at >= ?4) AND (CAST(?5 AS BIGINT) IS NULL OR made_at < ?5)"
)
_ANY_SUBJECT = " AND ?3 = ''"
_ONE_SUBJECT = " AND subject = ?3"
_PAGE = " ORDER BY entry_id DESC LIMIT ?6 OFFSET ?7"

# A page of what was changed, the newest first; what was done to one thing is found by its index.
LIST: Final = portable(_COLUMNS + _MATCHES + _ANY_SUBJECT + _PAGE)
LIST_OF_SUBJECT: Final = portable(_COLUMNS + _MATCHES + _ONE_SUBJECT + _PAGE)

# How many entries those lists have on all pages.
COUNT: Final = portable("SELECT count(*)" + _MATCHES + _ANY_SUBJECT)
COUNT_OF_SUBJECT: Final = portable("SELECT count(*)" + _MATCHES + _ONE_SUBJECT)


# The oldest entries, as far as they are too old.
DELETE_OLD: Final = portable(
    "DELETE FROM audit_entry WHERE entry_id IN (SELECT entry_id FROM audit_entry ORDER BY entry_id LIMIT ?2)"
    " AND made_at < ?1"
)


async def forget(tx: Transaction, before: datetime, limit: int) -> int:
    """Remove those of the oldest `limit` entries that are from before a time, and return how many those were."""
    return await tx.execute(DELETE_OLD, to_column(before), limit)


async def insert(tx: Transaction, entry: AuditEntry) -> None:
    """Write an entry; its id is given by the store."""
    details = msgspec.json.encode(dict(entry.details)).decode()
    await tx.execute(
        _INSERT,
        to_column(entry.made_at),
        entry.actor.kind.value,
        entry.actor.name,
        entry.action,
        entry.subject,
        details,
    )


async def listed(tx: Transaction, wanted: AuditFilter, page: Page) -> tuple[list[AuditEntry], int]:
    """Return a page of entries, the newest first, and how many there are on all pages."""
    given = (
        wanted.actor,
        wanted.action,
        wanted.subject,
        to_optional_column(wanted.made_from),
        to_optional_column(wanted.made_until),
    )
    count, page_of = (COUNT_OF_SUBJECT, LIST_OF_SUBJECT) if wanted.subject else (COUNT, LIST)
    total = await tx.fetch_row(count, *given)
    rows = await tx.fetch(page_of, *given, page.limit, page.offset)
    return [_entry(row) for row in rows], 0 if total is None else total[0]


def _entry(row: Row) -> AuditEntry:
    return AuditEntry(
        entry_id=row[0],
        made_at=from_column(row[1]),
        actor=Actor(kind=ActorKind(row[2]), name=row[3]),
        action=row[4],
        subject=row[5],
        details=msgspec.json.decode(row[6], type=dict[str, str]),
    )
