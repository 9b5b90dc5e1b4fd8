"""The table of attempts: each that was made, and what was answered.

Those that delivered go in one statement for a whole batch, their rows in one JSON text: the store then works through
them without taking turns with the event loop for each row.
"""

from collections.abc import Sequence
from typing import Final

from firmcast.db.columns import rows_as_json, to_column
from firmcast.db.port import Transaction
from firmcast.db.statement import differing, portable
from firmcast.ids import DeviceId, EventId, SubscriptionId
from firmcast.push.model import Settlement

# The log of attempts, one at a time.
INSERT_ATTEMPT: Final = portable(
    "INSERT INTO attempt (event_id, subscription_id, device_id, number, attempted_at, duration, status, failure,"
    " detail, address, answer) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
)

# The log of attempts that delivered:
# [[event, subscription, device, number, attempted at, duration, status, address, answer], …].
INSERT_DELIVERED_ATTEMPTS: Final = differing(
    sqlite="INSERT INTO attempt (event_id, subscription_id, device_id, number, attempted_at, duration, status,"
    " failure, detail, address, answer)"
    " SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, '', '',"
    " value ->> 7, CAST(value ->> 8 AS BLOB) FROM json_each(?1)",
    postgres="INSERT INTO attempt (event_id, subscription_id, device_id, number, attempted_at, duration, status,"
    " failure, detail, address, answer)"
    " SELECT (row ->> 0)::bigint, row ->> 1, row ->> 2, (row ->> 3)::bigint, (row ->> 4)::bigint,"
    " (row ->> 5)::bigint, (row ->> 6)::bigint, '', '', row ->> 7, convert_to(row ->> 8, 'UTF8')"
    " FROM jsonb_array_elements(?1::jsonb) row",
)

# Was an event ever sent to a subscription?
SELECT_ATTEMPTED: Final = portable("SELECT device_id FROM attempt WHERE event_id = ?1 AND subscription_id = ?2 LIMIT 1")

_MOST_TEXT: Final = 128
"""Bytes of an answer that are logged along with others; a row with more is cheaper by itself."""


async def insert_delivered(tx: Transaction, delivered: Sequence[Settlement]) -> None:
    """Log attempts that delivered."""
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

    The stores read a row's text once for each of its columns, and PostgreSQL has no NUL in a text.
    """
    try:
        return None if len(answer) > _MOST_TEXT or b"\0" in answer else answer.decode()
    except UnicodeDecodeError:
        return None


async def insert(tx: Transaction, rows: Sequence[tuple[Settlement, str]]) -> None:
    """Log attempts, each by itself; beside each why it failed, empty where it did not."""
    await tx.execute_many(
        INSERT_ATTEMPT,
        [
            (
                item.delivery.event_id,
                item.delivery.subscription_id,
                item.delivery.device_id,
                item.attempt,
                to_column(item.attempted_at),
                int(item.answer.duration * 1_000_000),
                item.answer.status,
                failure,
                item.answer.detail,
                item.answer.address or "",
                item.answer.snippet,
            )
            for item, failure in rows
        ],
    )


async def attempted_device(tx: Transaction, event_id: EventId, subscription_id: SubscriptionId) -> DeviceId | None:
    """Return the device of an event that was sent to the subscription; None when the log knows of no attempt."""
    row = await tx.fetch_row(SELECT_ATTEMPTED, event_id, subscription_id)
    return None if row is None else DeviceId(row[0])
