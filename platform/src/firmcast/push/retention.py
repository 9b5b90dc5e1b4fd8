"""What push keeps for a time only: the log of attempts, and dead letters that nobody decided about."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from firmcast.db.columns import to_column
from firmcast.db.port import Transaction
from firmcast.db.statement import differing, portable
from firmcast.ids import EventId, SubscriptionId
from firmcast.push.model import Position

# The oldest attempts, as far as they are too old: the next part of the table and no more is looked at, beside what a
# clock that was wrong has put into the future.
DELETE_ATTEMPTS: Final = portable(
    "DELETE FROM attempt WHERE attempt_id IN"
    " (SELECT attempt_id FROM attempt WHERE attempted_at <= ?3 ORDER BY attempt_id LIMIT ?2) AND attempted_at < ?1"
)

# The next dead letters, and when they died.
SELECT_DEATHS: Final = portable(
    "SELECT event_id, subscription_id, died_at FROM dead_letter WHERE (event_id, subscription_id) > (?1, ?2)"
    " ORDER BY event_id, subscription_id LIMIT ?3"
)

# They are too old; but one whose lane stands for it, or that is being sent again, has a delivery and stays:
# [[event, subscription], …].
DELETE_OLD_DEAD_LETTERS: Final = differing(
    sqlite="DELETE FROM dead_letter WHERE (event_id, subscription_id) IN"
    " (SELECT value ->> 0, value ->> 1 FROM json_each(?1)) AND NOT EXISTS (SELECT 1 FROM delivery d"
    " WHERE d.event_id = dead_letter.event_id AND d.subscription_id = dead_letter.subscription_id)",
    postgres="DELETE FROM dead_letter WHERE (event_id, subscription_id) IN"
    " (SELECT (row ->> 0)::bigint, row ->> 1 FROM jsonb_array_elements(?1::jsonb) row) AND NOT EXISTS"
    " (SELECT 1 FROM delivery d"
    " WHERE d.event_id = dead_letter.event_id AND d.subscription_id = dead_letter.subscription_id)",
)

# Which of these events are still to be delivered, or are dead letters.
SELECT_NEEDED: Final = differing(
    sqlite="SELECT event_id FROM delivery WHERE event_id IN (SELECT value FROM json_each(?1))"
    " UNION SELECT event_id FROM dead_letter WHERE event_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT event_id FROM delivery WHERE event_id = ANY(?1::bigint[])"
    " UNION SELECT event_id FROM dead_letter WHERE event_id = ANY(?1::bigint[])",
)


async def forget_attempts(tx: Transaction, before: datetime, limit: int, *, now: datetime) -> int:
    """Remove those of the oldest `limit` attempts that are from before a time, and return how many those were.

    What is from after `now` is passed by.
    """
    return await tx.execute(DELETE_ATTEMPTS, to_column(before), limit, to_column(now))


async def forget_dead_letters(
    tx: Transaction, before: datetime, after: Position, limit: int
) -> tuple[int, Position | None]:
    """Look at the next `limit` dead letters behind a position, and remove those from before a time.

    Returns:
        How many were removed, and the position to go on behind; None when there are no more.
    """
    found = await tx.fetch(SELECT_DEATHS, after.event_id, after.subscription_id, limit)
    oldest = to_column(before)
    old = [(row[0], row[1]) for row in found if row[2] < oldest]
    removed = await tx.execute(DELETE_OLD_DEAD_LETTERS, msgspec.json.encode(old).decode()) if old else 0
    if len(found) < limit:
        return removed, None
    return removed, Position(event_id=EventId(found[-1][0]), subscription_id=SubscriptionId(found[-1][1]))


async def needed_events(tx: Transaction, event_ids: Sequence[EventId]) -> set[EventId]:
    """Return which of these events are still to be delivered, or are dead letters."""
    return {EventId(row[0]) for row in await tx.fetch(SELECT_NEEDED, list(event_ids))}
