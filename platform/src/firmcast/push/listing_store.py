"""The tables of push as an operator looks at them; nothing here changes anything.

A filter that is not set is the null value; the subscription, when it is set, is found by an index.
"""

from datetime import timedelta
from typing import Final

from firmcast.db.columns import from_column, from_optional_column
from firmcast.db.page import Page
from firmcast.db.port import Transaction, Value
from firmcast.db.statement import Statement, portable
from firmcast.ids import DeviceId, EventId, SubscriptionId
from firmcast.push.model import Attempt, DeadLetter, DeliveryFilter, PendingDelivery
from firmcast.push.retry import DeadReason, FailureReason

# What is still to be delivered, the oldest first.
SELECT_PENDING: Final = portable(
    "SELECT d.event_id, d.subscription_id, d.device_id, d.sequence, l.attempts, l.next_attempt_at, l.reason,"
    " l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE (CAST(?1 AS TEXT) IS NULL OR d.subscription_id = ?1) AND (CAST(?2 AS TEXT) IS NULL OR d.device_id = ?2)"
    " AND (CAST(?3 AS BIGINT) IS NULL OR d.event_id = ?3) ORDER BY d.event_id, d.subscription_id LIMIT ?4 OFFSET ?5"
)
COUNT_PENDING: Final = portable(
    "SELECT COUNT(*) FROM delivery d WHERE (CAST(?1 AS TEXT) IS NULL OR d.subscription_id = ?1)"
    " AND (CAST(?2 AS TEXT) IS NULL OR d.device_id = ?2) AND (CAST(?3 AS BIGINT) IS NULL OR d.event_id = ?3)"
)

# What was given up, the oldest first.
SELECT_DEAD: Final = portable(
    "SELECT event_id, subscription_id, device_id, sequence, attempts, reason, failure, died_at FROM dead_letter"
    " WHERE (CAST(?1 AS TEXT) IS NULL OR subscription_id = ?1) AND (CAST(?2 AS TEXT) IS NULL OR device_id = ?2)"
    " AND (CAST(?3 AS BIGINT) IS NULL OR event_id = ?3) ORDER BY event_id, subscription_id LIMIT ?4 OFFSET ?5"
)
COUNT_DEAD: Final = portable(
    "SELECT COUNT(*) FROM dead_letter WHERE (CAST(?1 AS TEXT) IS NULL OR subscription_id = ?1)"
    " AND (CAST(?2 AS TEXT) IS NULL OR device_id = ?2) AND (CAST(?3 AS BIGINT) IS NULL OR event_id = ?3)"
)

# What was tried, the latest first.
SELECT_ATTEMPTS: Final = portable(
    "SELECT attempt_id, event_id, subscription_id, device_id, number, attempted_at, duration, status, failure,"
    " detail, address, answer FROM attempt WHERE (CAST(?1 AS TEXT) IS NULL OR subscription_id = ?1)"
    " AND (CAST(?2 AS TEXT) IS NULL OR device_id = ?2) AND (CAST(?3 AS BIGINT) IS NULL OR event_id = ?3)"
    " ORDER BY attempt_id DESC LIMIT ?4 OFFSET ?5"
)
COUNT_ATTEMPTS: Final = portable(
    "SELECT COUNT(*) FROM attempt WHERE (CAST(?1 AS TEXT) IS NULL OR subscription_id = ?1)"
    " AND (CAST(?2 AS TEXT) IS NULL OR device_id = ?2) AND (CAST(?3 AS BIGINT) IS NULL OR event_id = ?3)"
)


async def pending(tx: Transaction, wanted: DeliveryFilter, page: Page) -> tuple[list[PendingDelivery], int]:
    """Return a page of the deliveries still to be made, and how many there are on all pages."""
    rows = await tx.fetch(SELECT_PENDING, *_filters(wanted), page.limit, page.offset)
    deliveries = [
        PendingDelivery(
            event_id=EventId(row[0]),
            subscription_id=SubscriptionId(row[1]),
            device_id=DeviceId(row[2]),
            sequence=row[3],
            attempts=row[4] or 0,
            next_attempt_at=None if row[7] else from_optional_column(row[5]),
            reason=FailureReason(row[6]) if row[6] else None,
            blocked=bool(row[7]),
        )
        for row in rows
    ]
    return deliveries, await _count(tx, COUNT_PENDING, wanted)


async def dead_letters(tx: Transaction, wanted: DeliveryFilter, page: Page) -> tuple[list[DeadLetter], int]:
    """Return a page of the dead letters, and how many there are on all pages."""
    rows = await tx.fetch(SELECT_DEAD, *_filters(wanted), page.limit, page.offset)
    letters = [
        DeadLetter(
            event_id=EventId(row[0]),
            subscription_id=SubscriptionId(row[1]),
            device_id=DeviceId(row[2]),
            sequence=row[3],
            attempts=row[4],
            reason=DeadReason(row[5]),
            failure=FailureReason(row[6]),
            died_at=from_column(row[7]),
        )
        for row in rows
    ]
    return letters, await _count(tx, COUNT_DEAD, wanted)


async def attempts(tx: Transaction, wanted: DeliveryFilter, page: Page) -> tuple[list[Attempt], int]:
    """Return a page of the log of attempts, and how many there are on all pages."""
    rows = await tx.fetch(SELECT_ATTEMPTS, *_filters(wanted), page.limit, page.offset)
    entries = [
        Attempt(
            attempt_id=row[0],
            event_id=EventId(row[1]),
            subscription_id=SubscriptionId(row[2]),
            device_id=DeviceId(row[3]),
            number=row[4],
            attempted_at=from_column(row[5]),
            duration=timedelta(microseconds=row[6]),
            status=row[7],
            failure=FailureReason(row[8]) if row[8] else None,
            detail=row[9],
            address=row[10],
            answer=row[11],
        )
        for row in rows
    ]
    return entries, await _count(tx, COUNT_ATTEMPTS, wanted)


def _filters(wanted: DeliveryFilter) -> tuple[Value, Value, Value]:
    return wanted.subscription_id, wanted.device_id, wanted.event_id


async def _count(tx: Transaction, statement: Statement, wanted: DeliveryFilter) -> int:
    row = await tx.fetch_row(statement, *_filters(wanted))
    assert row is not None
    return int(row[0])
