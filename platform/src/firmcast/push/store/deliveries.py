"""The rows of deliveries come and go here, and nowhere else; each that does is counted in the same transaction.

A row is of an edition: 0 for what is told live, which comes into being once, else a number that no other row of the
same event and subscription ever has. Who writes what became of an attempt names the edition that he has sent, so he
cannot take away a row that was made since.

PostgreSQL counts in the very statements of the hot paths. It adds a row for each transaction (`undelivered.part`):
with one row for a subscription, every node that tells it anything would wait for the others.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from firmcast.db.columns import rows_as_json
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import differing, portable
from firmcast.ids import DeviceId, EventId, ReplayId, SubscriptionId, new_number, partition_of
from firmcast.push.model import RESENT, DeliveryKey

LIVE: Final = 0
"""The edition of what is told live."""

# Events are to be delivered to subscriptions: [[event, subscription, device, sequence, partition], …].
INSERT_DELIVERIES: Final = differing(
    sqlite="INSERT INTO delivery (event_id, subscription_id, device_id, sequence, partition)"
    " SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?1)",
    postgres="WITH made AS ("
    " INSERT INTO delivery (event_id, subscription_id, device_id, sequence, partition)"
    " SELECT (row ->> 0)::bigint, row ->> 1, row ->> 2, (row ->> 3)::bigint, (row ->> 4)::bigint"
    " FROM jsonb_array_elements(?1::jsonb) row RETURNING subscription_id"
    ") INSERT INTO undelivered (subscription_id, deliveries)"
    " SELECT subscription_id, COUNT(*) FROM made GROUP BY subscription_id",
)

# Events are to be delivered once more, save what is on its way:
# [[event, subscription, device, sequence, partition, replay, edition], …].
INSERT_AGAIN: Final = differing(
    sqlite="INSERT INTO delivery (event_id, subscription_id, device_id, sequence, partition, replay, edition)"
    " SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6"
    " FROM json_each(?1) WHERE true ON CONFLICT (event_id, subscription_id) DO NOTHING"
    " RETURNING event_id, subscription_id",
    postgres="INSERT INTO delivery (event_id, subscription_id, device_id, sequence, partition, replay, edition)"
    " SELECT (row ->> 0)::bigint, row ->> 1, row ->> 2, (row ->> 3)::bigint, (row ->> 4)::bigint, (row ->> 5)::bigint,"
    " (row ->> 6)::bigint FROM jsonb_array_elements(?1::jsonb) row"
    " ON CONFLICT (event_id, subscription_id) DO NOTHING RETURNING event_id, subscription_id",
)

# What a person sends again is his, and no longer of a replay: [[event, subscription], …].
TAKE_OVER: Final = differing(
    sqlite="UPDATE delivery SET replay = ?2 WHERE (event_id, subscription_id) IN"
    " (SELECT value ->> 0, value ->> 1 FROM json_each(?1))",
    postgres="UPDATE delivery SET replay = ?2 WHERE (event_id, subscription_id) IN"
    " (SELECT (row ->> 0)::bigint, row ->> 1 FROM jsonb_array_elements(?1::jsonb) row)",
)

# They were delivered, or given up: [[event, subscription, edition], …].
DELETE_DELIVERIES: Final = differing(
    sqlite="DELETE FROM delivery WHERE (event_id, subscription_id, edition) IN"
    " (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))",
    postgres="WITH gone AS ("
    " DELETE FROM delivery WHERE (event_id, subscription_id, edition) IN"
    " (SELECT (row ->> 0)::bigint, row ->> 1, (row ->> 2)::bigint FROM jsonb_array_elements(?1::jsonb) row)"
    " RETURNING event_id, subscription_id"
    "), counted AS ("
    " INSERT INTO undelivered (subscription_id, deliveries)"
    " SELECT subscription_id, -COUNT(*) FROM gone GROUP BY subscription_id"
    ") SELECT 1 FROM gone",
)

# Which of these are there, of whatever edition: [[event, subscription], …].
SELECT_PRESENT: Final = differing(
    sqlite="SELECT event_id, subscription_id, replay, edition FROM delivery WHERE (event_id, subscription_id) IN"
    " (SELECT value ->> 0, value ->> 1 FROM json_each(?1))",
    postgres="SELECT event_id, subscription_id, replay, edition FROM delivery WHERE (event_id, subscription_id) IN"
    " (SELECT (row ->> 0)::bigint, row ->> 1 FROM jsonb_array_elements(?1::jsonb) row)",
)

# Nobody is to be told it any more.
DISCARD_DELIVERY: Final = portable("DELETE FROM delivery WHERE event_id = ?1 AND subscription_id = ?2")

# What a deleted subscription leaves behind goes a part at a time.
PURGE_DELIVERIES: Final = portable(
    "DELETE FROM delivery WHERE (event_id, subscription_id) IN (SELECT event_id, subscription_id FROM delivery"
    " WHERE subscription_id >= ?1 AND subscription_id <= ?1 ORDER BY subscription_id, event_id LIMIT ?2)"
)

# A replay is cancelled: what it has not delivered is not to be delivered.
WITHDRAW: Final = portable(
    "DELETE FROM delivery WHERE replay = ?1 AND replay > 0 RETURNING event_id, subscription_id, device_id, sequence"
)

# Subscriptions have more to be told, or less: [[subscription, by how much], …].
COUNT: Final = differing(
    sqlite="INSERT INTO undelivered (subscription_id, part, deliveries)"
    " SELECT value ->> 0, 0, value ->> 1 FROM json_each(?1) WHERE true"
    " ON CONFLICT (subscription_id, part) DO UPDATE SET deliveries = deliveries + excluded.deliveries",
    postgres="INSERT INTO undelivered (subscription_id, deliveries)"
    " SELECT row ->> 0, (row ->> 1)::bigint FROM jsonb_array_elements(?1::jsonb) row",
)

# The same after what PostgreSQL has counted already.
COUNT_UNLESS_COUNTED: Final = differing(sqlite=COUNT.sqlite, postgres="")

# How much these subscriptions have to be told is counted anew.
RECOUNT: Final = differing(
    sqlite="INSERT INTO undelivered (subscription_id, part, deliveries)"
    " SELECT value, 0, (SELECT COUNT(*) FROM delivery d WHERE d.subscription_id = value) FROM json_each(?1) WHERE true"
    " ON CONFLICT (subscription_id, part) DO UPDATE SET deliveries = excluded.deliveries",
    postgres="",  # has counted already
)

Key = tuple[EventId, SubscriptionId]


async def insert_deliveries(tx: Transaction, keys: Sequence[tuple[EventId, SubscriptionId, DeviceId, int]]) -> None:
    """Store that these events (id, subscription, device, sequence) are to be delivered."""
    await tx.execute(INSERT_DELIVERIES, rows_as_json((*key, partition_of(key[2])) for key in keys))
    await count(tx, Counter(key[1] for key in keys), counted=True)


async def insert_again(tx: Transaction, told: Iterable[DeliveryKey], *, replay: int) -> dict[Key, int]:
    """Store that events are to be delivered once more, unless they are on their way.

    Returns:
        Those that were not on their way, each with its edition.
    """
    editions = {(it.event_id, it.subscription_id): new_number() for it in told}
    rows = [
        (
            it.event_id,
            it.subscription_id,
            it.device_id,
            it.sequence,
            partition_of(it.device_id),
            replay,
            editions[it.event_id, it.subscription_id],
        )
        for it in told
    ]
    if not rows:
        return {}
    if replay == RESENT:
        await tx.execute(TAKE_OVER, rows_as_json(editions), RESENT)
    made = sorted(_key(row) for row in await tx.fetch(INSERT_AGAIN, rows_as_json(rows)))
    await count(tx, Counter(subscription_id for _, subscription_id in made))
    return {key: editions[key] for key in made}


async def delete_deliveries(tx: Transaction, keys: Sequence[tuple[EventId, SubscriptionId, int]]) -> bool:
    """Forget deliveries (event, subscription, edition) that were made or given up; return whether all were there."""
    if not keys:
        return True
    counts = Counter(key[1] for key in keys)
    if await tx.execute(DELETE_DELIVERIES, rows_as_json(keys)) == len(keys):
        await count(tx, counts, sign=-1, counted=True)
        return True
    await tx.execute(RECOUNT, sorted(counts))
    return False


async def present(tx: Transaction, keys: Sequence[Key]) -> list[tuple[EventId, SubscriptionId, int, int]]:
    """Return (event, subscription, replay, edition) of those of these deliveries that are still to be made."""
    rows = await tx.fetch(SELECT_PRESENT, rows_as_json(keys))
    return sorted((EventId(row[0]), SubscriptionId(row[1]), row[2], row[3]) for row in rows)


async def discard(tx: Transaction, event_id: EventId, subscription_id: SubscriptionId) -> None:
    """Forget a delivery, of whatever edition."""
    await count(tx, {subscription_id: await tx.execute(DISCARD_DELIVERY, event_id, subscription_id)}, sign=-1)


async def purge(tx: Transaction, subscription_id: SubscriptionId, limit: int) -> int:
    """Remove the oldest `limit` deliveries of a subscription, and return how many there were."""
    removed = await tx.execute(PURGE_DELIVERIES, subscription_id, limit)
    await count(tx, {subscription_id: removed}, sign=-1)
    return removed


async def withdraw(tx: Transaction, replay_id: ReplayId) -> list[tuple[EventId, SubscriptionId, DeviceId, int]]:
    """Remove what a replay has still to tell; return (event, subscription, device, sequence) of each."""
    rows = await tx.fetch(WITHDRAW, replay_id)
    await count(tx, Counter(SubscriptionId(row[1]) for row in rows), sign=-1)
    return [(EventId(row[0]), SubscriptionId(row[1]), DeviceId(row[2]), row[3]) for row in rows]


async def count(
    tx: Transaction, changes: Mapping[SubscriptionId, int], *, sign: int = 1, counted: bool = False
) -> None:
    """Note how many more each subscription has to be told; `counted` where PostgreSQL has done so already."""
    rows = sorted((key, sign * change) for key, change in changes.items() if change)
    if rows:
        await tx.execute(COUNT_UNLESS_COUNTED if counted else COUNT, rows_as_json(rows))


def _key(row: Row) -> Key:
    return EventId(row[0]), SubscriptionId(row[1])
