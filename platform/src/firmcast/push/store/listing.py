"""The tables of push as an operator looks at them; nothing here changes anything.

Each list is read in one of three ways, and each finds its rows by an index however large the table is: all of it, what
is of a subscription, and what is of some events. A device has no index here, since one would cost four times what the
rest of a logged attempt does: its events are found in the log, and what is of them here.

What is of a subscription is spelt as a range, for the reason told in `backlog.py`. A page begins behind a position, so
that a far one costs no more than the first. How many rows there are is counted up to a bound.
"""

from datetime import timedelta
from typing import Final

from firmcast.db.columns import from_column, from_optional_column
from firmcast.db.page import Page
from firmcast.db.port import Row, Transaction, Value
from firmcast.db.statement import Statement, differing, portable
from firmcast.events import use_cases as events
from firmcast.ids import DeviceId, EventId, SubscriptionId
from firmcast.push.model import Attempt, DeadLetter, DeliveryFilter, Listed, PendingDelivery, Position
from firmcast.push.retry import DeadReason, FailureReason

COUNTED: Final = 100_000
"""More rows than this are not counted."""

EVENTS_OF_DEVICE: Final = 20_000
"""The latest events of a device that are looked at."""

_FIRST: Final = Position(event_id=EventId(0), subscription_id=SubscriptionId(""))

# What is still to be delivered, the oldest first, behind a position (?1, ?2).
SELECT_PENDING: Final = portable(
    "SELECT d.event_id, d.subscription_id, d.device_id, d.sequence, l.attempts, l.next_attempt_at, l.reason,"
    " l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE (d.event_id, d.subscription_id) > (?1, ?2) ORDER BY d.event_id, d.subscription_id LIMIT ?3 OFFSET ?4"
)
COUNT_PENDING: Final = portable("SELECT COUNT(*) FROM (SELECT 1 FROM delivery LIMIT ?1) found")
SELECT_PENDING_OF_SUBSCRIPTION: Final = portable(
    "SELECT d.event_id, d.subscription_id, d.device_id, d.sequence, l.attempts, l.next_attempt_at, l.reason,"
    " l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE (d.subscription_id, d.event_id) > (?1, ?2) AND d.subscription_id <= ?1"
    " ORDER BY d.subscription_id, d.event_id LIMIT ?3 OFFSET ?4"
)
COUNT_PENDING_OF_SUBSCRIPTION: Final = portable(
    "SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE subscription_id = ?2 LIMIT ?1) found"
)
SELECT_PENDING_OF_EVENTS: Final = differing(
    sqlite="SELECT d.event_id, d.subscription_id, d.device_id, d.sequence, l.attempts, l.next_attempt_at, l.reason,"
    " l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE d.event_id IN (SELECT value FROM json_each(?5)) AND (?6 IS NULL OR d.subscription_id = ?6)"
    " AND (d.event_id > ?1 OR (d.event_id = ?1 AND d.subscription_id > ?2))"
    " ORDER BY d.event_id, d.subscription_id LIMIT ?3 OFFSET ?4",
    postgres="SELECT d.event_id, d.subscription_id, d.device_id, d.sequence, l.attempts, l.next_attempt_at, l.reason,"
    " l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE d.event_id = ANY(?5::bigint[]) AND (?6::text IS NULL OR d.subscription_id = ?6)"
    " AND (d.event_id > ?1 OR (d.event_id = ?1 AND d.subscription_id > ?2))"
    " ORDER BY d.event_id, d.subscription_id LIMIT ?3 OFFSET ?4",
)
COUNT_PENDING_OF_EVENTS: Final = differing(
    sqlite="SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE event_id IN (SELECT value FROM json_each(?2))"
    " AND (?3 IS NULL OR subscription_id = ?3) LIMIT ?1) found",
    postgres="SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE event_id = ANY(?2::bigint[])"
    " AND (?3::text IS NULL OR subscription_id = ?3) LIMIT ?1) found",
)

# What was given up, the oldest first, behind a position (?1, ?2).
SELECT_DEAD: Final = portable(
    "SELECT event_id, subscription_id, device_id, sequence, attempts, reason, failure, died_at FROM dead_letter"
    " WHERE (event_id, subscription_id) > (?1, ?2) ORDER BY event_id, subscription_id LIMIT ?3 OFFSET ?4"
)
COUNT_DEAD: Final = portable("SELECT COUNT(*) FROM (SELECT 1 FROM dead_letter LIMIT ?1) found")
SELECT_DEAD_OF_SUBSCRIPTION: Final = portable(
    "SELECT event_id, subscription_id, device_id, sequence, attempts, reason, failure, died_at FROM dead_letter"
    " WHERE (subscription_id, event_id) > (?1, ?2) AND subscription_id <= ?1"
    " ORDER BY subscription_id, event_id LIMIT ?3 OFFSET ?4"
)
COUNT_DEAD_OF_SUBSCRIPTION: Final = portable(
    "SELECT COUNT(*) FROM (SELECT 1 FROM dead_letter WHERE subscription_id = ?2 LIMIT ?1) found"
)
SELECT_DEAD_OF_EVENTS: Final = differing(
    sqlite="SELECT event_id, subscription_id, device_id, sequence, attempts, reason, failure, died_at"
    " FROM dead_letter WHERE event_id IN (SELECT value FROM json_each(?5))"
    " AND (?6 IS NULL OR subscription_id = ?6) AND (event_id > ?1 OR (event_id = ?1 AND subscription_id > ?2))"
    " ORDER BY event_id, subscription_id LIMIT ?3 OFFSET ?4",
    postgres="SELECT event_id, subscription_id, device_id, sequence, attempts, reason, failure, died_at"
    " FROM dead_letter WHERE event_id = ANY(?5::bigint[])"
    " AND (?6::text IS NULL OR subscription_id = ?6) AND (event_id > ?1 OR (event_id = ?1 AND subscription_id > ?2))"
    " ORDER BY event_id, subscription_id LIMIT ?3 OFFSET ?4",
)
COUNT_DEAD_OF_EVENTS: Final = differing(
    sqlite="SELECT COUNT(*) FROM (SELECT 1 FROM dead_letter WHERE event_id IN (SELECT value FROM json_each(?2))"
    " AND (?3 IS NULL OR subscription_id = ?3) LIMIT ?1) found",
    postgres="SELECT COUNT(*) FROM (SELECT 1 FROM dead_letter WHERE event_id = ANY(?2::bigint[])"
    " AND (?3::text IS NULL OR subscription_id = ?3) LIMIT ?1) found",
)

# What was tried, the latest first, before the attempt ?1.
SELECT_ATTEMPTS: Final = portable(
    "SELECT attempt_id, event_id, subscription_id, device_id, number, attempted_at, duration, status, failure,"
    " detail, address, answer FROM attempt WHERE attempt_id < ?1 ORDER BY attempt_id DESC LIMIT ?2 OFFSET ?3"
)
COUNT_ATTEMPTS: Final = portable("SELECT COUNT(*) FROM (SELECT 1 FROM attempt LIMIT ?1) found")
SELECT_ATTEMPTS_OF_SUBSCRIPTION: Final = portable(
    "SELECT attempt_id, event_id, subscription_id, device_id, number, attempted_at, duration, status, failure,"
    " detail, address, answer FROM attempt WHERE (subscription_id, attempt_id) < (?4, ?1) AND subscription_id >= ?4"
    " ORDER BY subscription_id DESC, attempt_id DESC LIMIT ?2 OFFSET ?3"
)
COUNT_ATTEMPTS_OF_SUBSCRIPTION: Final = portable(
    "SELECT COUNT(*) FROM (SELECT 1 FROM attempt WHERE subscription_id = ?2 LIMIT ?1) found"
)
# The sign keeps the store from walking all attempts, in the order that is wanted, in search of these few.
SELECT_ATTEMPTS_OF_EVENTS: Final = differing(
    sqlite="SELECT attempt_id, event_id, subscription_id, device_id, number, attempted_at, duration, status, failure,"
    " detail, address, answer FROM attempt WHERE event_id IN (SELECT value FROM json_each(?4))"
    " AND (?5 IS NULL OR subscription_id = ?5) AND +attempt_id < ?1"
    " ORDER BY +attempt_id DESC LIMIT ?2 OFFSET ?3",
    postgres="SELECT attempt_id, event_id, subscription_id, device_id, number, attempted_at, duration, status, failure,"
    " detail, address, answer FROM attempt WHERE event_id = ANY(?4::bigint[])"
    " AND (?5::text IS NULL OR subscription_id = ?5) AND +attempt_id < ?1"
    " ORDER BY +attempt_id DESC LIMIT ?2 OFFSET ?3",
)
COUNT_ATTEMPTS_OF_EVENTS: Final = differing(
    sqlite="SELECT COUNT(*) FROM (SELECT 1 FROM attempt WHERE event_id IN (SELECT value FROM json_each(?2))"
    " AND (?3 IS NULL OR subscription_id = ?3) LIMIT ?1) found",
    postgres="SELECT COUNT(*) FROM (SELECT 1 FROM attempt WHERE event_id = ANY(?2::bigint[])"
    " AND (?3::text IS NULL OR subscription_id = ?3) LIMIT ?1) found",
)


async def pending(
    tx: Transaction, wanted: DeliveryFilter, page: Page, after: Position | None = None
) -> Listed[PendingDelivery]:
    """Return a page of the deliveries still to be made, and how many there are on all pages."""
    ways = (
        (SELECT_PENDING, COUNT_PENDING),
        (SELECT_PENDING_OF_SUBSCRIPTION, COUNT_PENDING_OF_SUBSCRIPTION),
        (SELECT_PENDING_OF_EVENTS, COUNT_PENDING_OF_EVENTS),
    )
    rows, total = await _oldest_first(tx, ways, wanted, page, after)
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
    return deliveries, total


async def dead_letters(
    tx: Transaction, wanted: DeliveryFilter, page: Page, after: Position | None = None
) -> Listed[DeadLetter]:
    """Return a page of the dead letters, and how many there are on all pages."""
    ways = (
        (SELECT_DEAD, COUNT_DEAD),
        (SELECT_DEAD_OF_SUBSCRIPTION, COUNT_DEAD_OF_SUBSCRIPTION),
        (SELECT_DEAD_OF_EVENTS, COUNT_DEAD_OF_EVENTS),
    )
    rows, total = await _oldest_first(tx, ways, wanted, page, after)
    return [dead_letter_of(row) for row in rows], total


async def attempts(tx: Transaction, wanted: DeliveryFilter, page: Page, before: int | None = None) -> Listed[Attempt]:
    """Return a page of the log of attempts, the latest first, and how many there are on all pages."""
    part = (before or 1 << 62, page.limit, page.offset)
    subscription_id = wanted.subscription_id
    event_ids = await _events_of(tx, wanted)
    if event_ids is not None:
        rows = await tx.fetch(SELECT_ATTEMPTS_OF_EVENTS, *part, event_ids, subscription_id)
        total = await _count(tx, COUNT_ATTEMPTS_OF_EVENTS, event_ids, subscription_id)
    elif subscription_id is not None:
        rows = await tx.fetch(SELECT_ATTEMPTS_OF_SUBSCRIPTION, *part, subscription_id)
        total = await _count(tx, COUNT_ATTEMPTS_OF_SUBSCRIPTION, subscription_id)
    else:
        rows = await tx.fetch(SELECT_ATTEMPTS, *part)
        total = await _count(tx, COUNT_ATTEMPTS)
    return [attempt_of(row) for row in rows], total


def dead_letter_of(row: Row) -> DeadLetter:
    """Return the dead letter of a row."""
    return DeadLetter(
        event_id=EventId(row[0]),
        subscription_id=SubscriptionId(row[1]),
        device_id=DeviceId(row[2]),
        sequence=row[3],
        attempts=row[4],
        reason=DeadReason(row[5]),
        failure=FailureReason(row[6]),
        died_at=from_column(row[7]),
    )


def attempt_of(row: Row) -> Attempt:
    """Return the attempt of a row."""
    return Attempt(
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


_Ways = tuple[tuple[Statement, Statement], tuple[Statement, Statement], tuple[Statement, Statement]]
"""How all rows, those of a subscription and those of some events are read, and how each are counted."""


async def _oldest_first(
    tx: Transaction, ways: _Ways, wanted: DeliveryFilter, page: Page, after: Position | None
) -> tuple[list[Row], int]:
    everything, of_subscription, of_events = ways
    begin = after or _FIRST
    part = (page.limit, page.offset)
    subscription_id = wanted.subscription_id
    event_ids = await _events_of(tx, wanted)
    if event_ids is not None:
        key = (begin.event_id, begin.subscription_id)
        rows = await tx.fetch(of_events[0], *key, *part, event_ids, subscription_id)
        return rows, await _count(tx, of_events[1], event_ids, subscription_id)
    if subscription_id is not None:
        rows = await tx.fetch(of_subscription[0], subscription_id, begin.event_id, *part)
        return rows, await _count(tx, of_subscription[1], subscription_id)
    rows = await tx.fetch(everything[0], begin.event_id, begin.subscription_id, *part)
    return rows, await _count(tx, everything[1])


async def _events_of(tx: Transaction, wanted: DeliveryFilter) -> list[int] | None:
    """Return the events that are wanted, None for those of all devices."""
    if wanted.device_id is None:
        return None if wanted.event_id is None else [wanted.event_id]
    found = await events.latest_of_device(tx, wanted.device_id, EVENTS_OF_DEVICE)
    return [event_id for event_id in found if wanted.event_id in (None, event_id)]


async def _count(tx: Transaction, statement: Statement, *wanted: Value) -> int:
    row = await tx.fetch_row(statement, COUNTED, *wanted)
    assert row is not None
    return int(row[0])
