"""A change and its audit entry are one transaction: neither is ever seen without the other."""

from collections.abc import Mapping
from datetime import datetime

from firmcast.audit import store
from firmcast.audit.model import Actor, AuditEntry, AuditFilter
from firmcast.db.page import Page
from firmcast.db.port import Transaction

NOTHING_MORE: Mapping[str, str] = {}


async def record(
    tx: Transaction,
    actor: Actor,
    action: str,
    subject: str,
    now: datetime,
    details: Mapping[str, str] = NOTHING_MORE,
) -> None:
    """Note that `actor` did `action` (thing and verb, `application.create`) to `subject`; `details` hold no secret."""
    await store.insert(
        tx,
        AuditEntry(entry_id=0, made_at=now, actor=actor, action=action, subject=subject, details=details),
    )


async def listed(tx: Transaction, wanted: AuditFilter, page: Page) -> tuple[list[AuditEntry], int]:
    """Return a page of what was changed, the newest first, and how many entries there are on all pages."""
    return await store.listed(tx, wanted, page)


async def forget(tx: Transaction, before: datetime, limit: int) -> int:
    """Remove those of the oldest `limit` entries that are from before a time, and return how many those were."""
    return await store.forget(tx, before, limit)
