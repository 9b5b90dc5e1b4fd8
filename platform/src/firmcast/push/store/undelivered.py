"""What is counted of the deliveries still to be made: read, summed up, and put right where it is wrong."""

from collections.abc import Mapping, Sequence
from typing import Final

from firmcast.db.port import Transaction
from firmcast.db.statement import differing, portable
from firmcast.ids import SubscriptionId
from firmcast.push.store import deliveries

# How much these subscriptions have still to be told.
SELECT_SUMS_OF: Final = differing(
    sqlite="SELECT subscription_id, CAST(SUM(deliveries) AS BIGINT) FROM undelivered"
    " WHERE subscription_id IN (SELECT value FROM json_each(?1)) GROUP BY subscription_id",
    postgres="SELECT subscription_id, CAST(SUM(deliveries) AS BIGINT) FROM undelivered"
    " WHERE subscription_id = ANY(?1) GROUP BY subscription_id",
)

# How much all have.
SELECT_SUMS: Final = portable(
    "SELECT subscription_id, CAST(SUM(deliveries) AS BIGINT) FROM undelivered GROUP BY subscription_id"
)

# Are there more rows than subscriptions?
COUNT_PARTS: Final = portable("SELECT COUNT(*) - COUNT(DISTINCT subscription_id) FROM undelivered")

# The rows that transactions have added become one for each subscription; those that are added meanwhile stay.
FOLD: Final = differing(
    sqlite="",  # has one row for each
    postgres="WITH parts AS (DELETE FROM undelivered RETURNING subscription_id, deliveries)"
    " INSERT INTO undelivered (subscription_id, deliveries) SELECT subscription_id, SUM(deliveries) FROM parts"
    " GROUP BY subscription_id HAVING SUM(deliveries) <> 0",
)

# A subscription is no more; elsewhere its row goes when it is summed up, since one may be added at this very moment.
FORGET: Final = differing(sqlite="DELETE FROM undelivered WHERE subscription_id = ?1", postgres="")

# By how much what is counted is wrong: there is always a difference where a release that does not count has written.
SELECT_DIFFERENCES: Final = portable(
    "SELECT subscription_id, CAST(SUM(difference) AS BIGINT) FROM ("
    " SELECT subscription_id, COUNT(*) AS difference FROM delivery GROUP BY subscription_id"
    " UNION ALL"
    " SELECT subscription_id, -deliveries AS difference FROM undelivered"
    ") found GROUP BY subscription_id HAVING SUM(difference) <> 0"
)


async def sums_of(tx: Transaction, subscription_ids: Sequence[SubscriptionId]) -> dict[SubscriptionId, int]:
    """Return how much each of these has still to be told."""
    return {SubscriptionId(row[0]): row[1] for row in await tx.fetch(SELECT_SUMS_OF, list(subscription_ids))}


async def sums(tx: Transaction) -> dict[SubscriptionId, int]:
    """Return how much each subscription has still to be told, of those that have anything."""
    return {SubscriptionId(row[0]): row[1] for row in await tx.fetch(SELECT_SUMS) if row[1] > 0}


async def has_parts(tx: Transaction) -> bool:
    """Say whether there is anything to sum up."""
    row = await tx.fetch_row(COUNT_PARTS)
    return row is not None and row[0] > 0


async def fold(tx: Transaction) -> None:
    """Sum up what transactions have added."""
    await tx.execute(FOLD)


async def forget(tx: Transaction, subscription_id: SubscriptionId) -> None:
    """Forget a subscription that has nothing to be told any more, and never will."""
    await tx.execute(FORGET, subscription_id)


async def differences(tx: Transaction) -> dict[SubscriptionId, int]:
    """Return by how much more each subscription has to be told than is counted, where it is not the same."""
    return {SubscriptionId(row[0]): row[1] for row in await tx.fetch(SELECT_DIFFERENCES)}


async def correct(tx: Transaction, by: Mapping[SubscriptionId, int]) -> None:
    """Count so many more for these subscriptions, though nothing was written."""
    await deliveries.count(tx, by)
