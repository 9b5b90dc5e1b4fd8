"""What is read of deliveries still to be made; how their rows come and go says `deliveries.py`.

What is read of one subscription in order is spelt for PostgreSQL as a range of (subscription, event). With an equality
it may prefer to walk the whole table in the order of events, which the limit makes look short: among a million rows of
a callback that is down, in search of a few of another's.
"""

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Final

from firmcast.db.columns import from_column
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import differing, packed, portable
from firmcast.ids import DeviceId, EventId, Partition, SubscriptionId
from firmcast.push.model import Trouble

# Is an event still on its way to a subscription?
SELECT_DELIVERY: Final = portable("SELECT 1 FROM delivery WHERE event_id = ?1 AND subscription_id = ?2")

# Which subscriptions have anything left: from one to the next in the index, however many rows each has.
SELECT_SUBSCRIPTIONS: Final = portable(
    "WITH RECURSIVE present (subscription_id) AS ("
    " SELECT MIN(subscription_id) FROM delivery"
    " UNION ALL"
    " SELECT (SELECT MIN(d.subscription_id) FROM delivery d WHERE d.subscription_id > present.subscription_id)"
    " FROM present WHERE present.subscription_id IS NOT NULL"
    ") SELECT subscription_id FROM present WHERE subscription_id IS NOT NULL"
)

# The oldest that each subscription still waits for, and whether it was tried: found as the subscriptions are.
SELECT_OLDEST: Final = portable(
    "WITH RECURSIVE present (subscription_id) AS ("
    " SELECT MIN(subscription_id) FROM delivery"
    " UNION ALL"
    " SELECT (SELECT MIN(d.subscription_id) FROM delivery d WHERE d.subscription_id > present.subscription_id)"
    " FROM present WHERE present.subscription_id IS NOT NULL"
    "), oldest (subscription_id, event_id) AS ("
    " SELECT subscription_id,"
    " (SELECT MIN(d.event_id) FROM delivery d WHERE d.subscription_id = present.subscription_id)"
    " FROM present WHERE subscription_id IS NOT NULL"
    ") SELECT d.subscription_id, d.event_id, d.device_id, l.event_id IS NOT NULL FROM oldest o"
    " JOIN delivery d ON d.event_id = o.event_id AND d.subscription_id = o.subscription_id"
    " LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
)

# What is read in the order of an index is not to be sorted, for the rest of a transaction. Of a table that it has not
# looked at yet, PostgreSQL takes a part of a backlog for most of it: it would read all that there is, and sort it.
READ_IN_ORDER: Final = differing(sqlite="", postgres="SELECT set_config('enable_sort', 'off', true)")

# The next part of a subscription's backlog, with what is known of failed attempts.
SELECT_BACKLOG: Final = packed(
    sqlite="SELECT json_group_array(json_array(event_id, replay, edition, attempts, first_attempted_at,"
    " next_attempt_at, blocked)) FROM ("
    "SELECT d.event_id, d.replay, d.edition, l.attempts, l.first_attempted_at, l.next_attempt_at, l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE d.subscription_id = ?1 AND d.event_id > ?2 ORDER BY d.event_id LIMIT ?3)",
    postgres="SELECT d.event_id, d.replay, d.edition, l.attempts, l.first_attempted_at, l.next_attempt_at, l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE (d.subscription_id, d.event_id) > (?1, ?2) AND d.subscription_id <= ?1"
    " ORDER BY d.subscription_id, d.event_id LIMIT ?3",
)

# The same for a node that has some partitions only: it passes the others' rows by.
SELECT_BACKLOG_OF_PARTITIONS: Final = packed(
    sqlite="SELECT json_group_array(json_array(event_id, replay, edition, attempts, first_attempted_at,"
    " next_attempt_at, blocked)) FROM ("
    "SELECT d.event_id, d.replay, d.edition, l.attempts, l.first_attempted_at, l.next_attempt_at, l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE d.subscription_id = ?1 AND d.event_id > ?2 AND d.partition IN (SELECT value FROM json_each(?4))"
    " ORDER BY d.event_id LIMIT ?3)",
    postgres="SELECT d.event_id, d.replay, d.edition, l.attempts, l.first_attempted_at, l.next_attempt_at, l.blocked"
    " FROM delivery d LEFT JOIN lane l ON l.subscription_id = d.subscription_id AND l.device_id = d.device_id"
    " AND l.event_id = d.event_id"
    " WHERE (d.subscription_id, d.event_id) > (?1, ?2) AND d.subscription_id <= ?1"
    " AND d.partition = ANY(?4::bigint[]) ORDER BY d.subscription_id, d.event_id LIMIT ?3",
)

# What another node has just written, for the node that delivers it.
SELECT_DELIVERIES_OF: Final = differing(
    sqlite="SELECT event_id, subscription_id, replay, edition FROM delivery"
    " WHERE event_id IN (SELECT value FROM json_each(?1)) AND partition IN (SELECT value FROM json_each(?2))"
    " ORDER BY event_id, subscription_id",
    postgres="SELECT event_id, subscription_id, replay, edition FROM delivery WHERE event_id = ANY(?1::bigint[])"
    " AND partition = ANY(?2::bigint[]) ORDER BY event_id, subscription_id",
)


async def is_pending(tx: Transaction, event_id: EventId, subscription_id: SubscriptionId) -> bool:
    """Say whether the delivery is still to be made."""
    return await tx.fetch_row(SELECT_DELIVERY, event_id, subscription_id) is not None


async def subscriptions_with_deliveries(tx: Transaction) -> list[SubscriptionId]:
    """Return the subscriptions that have deliveries to be made, in the order of their ids."""
    return [SubscriptionId(row[0]) for row in await tx.fetch(SELECT_SUBSCRIPTIONS)]


async def oldest(tx: Transaction) -> list[tuple[SubscriptionId, EventId, DeviceId, bool]]:
    """Return (subscription, event, device, tried) of the oldest delivery of each subscription that has any."""
    rows = await tx.fetch(SELECT_OLDEST)
    return [(SubscriptionId(row[0]), EventId(row[1]), DeviceId(row[2]), bool(row[3])) for row in rows]


async def read_in_order(tx: Transaction) -> None:
    """Have `backlog` read no more than it returns, in this transaction, whatever the store knows of its tables."""
    await tx.execute(READ_IN_ORDER)


async def backlog(
    tx: Transaction,
    subscription_id: SubscriptionId,
    after: EventId,
    limit: int,
    partitions: Collection[Partition] | None = None,
) -> list[tuple[EventId, SubscriptionId, int, int, Trouble | None]]:
    """Return (event, subscription, replay, edition, trouble) of the deliveries after an event, the oldest first.

    Of some partitions, or of all when none are named.
    """
    if partitions is None:
        rows = await tx.fetch(SELECT_BACKLOG, subscription_id, after, limit)
    else:
        rows = await tx.fetch(SELECT_BACKLOG_OF_PARTITIONS, subscription_id, after, limit, sorted(partitions))
    rows.sort(key=itemgetter(0))
    # Of very many rows hardly any is in trouble.
    return [(row[0], subscription_id, row[1], row[2], None if row[3] is None else _trouble(row[3:])) for row in rows]


async def of(
    tx: Transaction, event_ids: Sequence[EventId], partitions: Collection[Partition]
) -> list[tuple[EventId, SubscriptionId, int, int]]:
    """Return (event, subscription, replay, edition) of these events' deliveries that are of these partitions."""
    rows = await tx.fetch(SELECT_DELIVERIES_OF, list(event_ids), sorted(partitions))
    return [(EventId(row[0]), SubscriptionId(row[1]), row[2], row[3]) for row in rows]


def _trouble(row: Row) -> Trouble:
    return Trouble(
        attempts=row[0],
        first_attempted_at=from_column(row[1]),
        due_at=from_column(row[2]),
        blocked=bool(row[3]),
    )
