"""The table of attempts: each that was made, and what was answered.

A whole batch goes in at once: PostgreSQL copies the rows in, and SQLite takes those that delivered from one JSON text,
so that it works through them without taking turns with the event loop for each row.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from firmcast.db.columns import rows_as_json, to_column
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import Columns, differing, portable
from firmcast.ids import DeviceId, EventId, SubscriptionId
from firmcast.push.model import Settlement

# The log of attempts, one at a time.
INSERT_ATTEMPT: Final = portable(
    "INSERT INTO attempt (event_id, subscription_id, device_id, number, attempted_at, duration, status, failure,"
    " detail, address, answer) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
)

# The log of attempts that delivered, where rows cannot be copied:
# [[event, subscription, device, number, attempted at, duration, status, address, answer], …].
INSERT_DELIVERED_ATTEMPTS: Final = differing(
    sqlite="INSERT INTO attempt (event_id, subscription_id, device_id, number, attempted_at, duration, status,"
    " failure, detail, address, answer)"
    " SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, '', '',"
    " value ->> 7, CAST(value ->> 8 AS BLOB) FROM json_each(?1)",
    postgres="",
)

# The log of attempts, where they can.
_INTO_ATTEMPT: Final = Columns(
    "attempt",
    "event_id, subscription_id, device_id, number, attempted_at, duration, status, failure, detail, address, answer",
)

# Was an event ever sent to a subscription?
SELECT_ATTEMPTED: Final = portable("SELECT device_id FROM attempt WHERE event_id = ?1 AND subscription_id = ?2 LIMIT 1")

_MOST_TEXT: Final = 128
"""Bytes of an answer that are logged along with others; a row with more is cheaper by itself."""


async def insert_delivered(tx: Transaction, delivered: Sequence[Settlement]) -> None:
    """Log attempts that delivered."""
    if not delivered or await tx.copy(_INTO_ATTEMPT, _rows((item, "") for item in delivered)):
        return
    rows, others = [], []
    for item in delivered:
        answer = _as_text(item.answer.snippet)
        if answer is None:
            others.append((item, ""))
            continue
        rows.append(
            (
                item.delivery.event_id,
                item.delivery.subscription_id,
                item.delivery.device_id,
                item.attempt,
                to_column(item.attempted_at),
                int(item.answer.duration * 1_000_000),
                item.answer.status,
                item.answer.address or "",
                answer,
            )
        )
    if rows:
        await tx.execute(INSERT_DELIVERED_ATTEMPTS, rows_as_json(rows))
    await insert(tx, others)


def _as_text(answer: bytes) -> str | None:
    """Return a short answer as the text of which it is the UTF-8; None for a long one, or when it is of none.

    A row's text is read once for each of its columns, and there is no NUL in a text of a store.
    """
    try:
        return None if len(answer) > _MOST_TEXT or b"\0" in answer else answer.decode()
    except UnicodeDecodeError:
        return None


async def insert(tx: Transaction, rows: Sequence[tuple[Settlement, str]]) -> None:
    """Log attempts; beside each why it failed, empty where it did not."""
    if rows and not await tx.copy(_INTO_ATTEMPT, _rows(rows)):
        await tx.execute_many(INSERT_ATTEMPT, list(_rows(rows)))


def _rows(attempts: Iterable[tuple[Settlement, str]]) -> Iterator[Row]:
    moment, attempted_at = None, 0
    for item, failure in attempts:
        delivery, answer = item.delivery, item.answer
        if item.attempted_at is not moment:  # those that began together have one
            moment = item.attempted_at
            attempted_at = to_column(moment)
        yield (
            delivery.event_id,
            delivery.subscription_id,
            delivery.device_id,
            item.attempt,
            attempted_at,
            int(answer.duration * 1_000_000),
            answer.status,
            failure,
            answer.detail if failure else "",
            answer.address or "",
            answer.snippet,
        )


async def attempted_device(tx: Transaction, event_id: EventId, subscription_id: SubscriptionId) -> DeviceId | None:
    """Return the device of an event that was sent to the subscription; None when the log knows of no attempt."""
    row = await tx.fetch_row(SELECT_ATTEMPTED, event_id, subscription_id)
    return None if row is None else DeviceId(row[0])
