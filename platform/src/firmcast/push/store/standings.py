"""The table of subscriptions that are not served in the usual way."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from firmcast.db.columns import from_optional_column, to_column
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import differing, portable
from firmcast.ids import SubscriptionId
from firmcast.push.retry import WhenGivenUp
from firmcast.push.standing import DeliveryPolicy, Standing

_MICROSECOND = timedelta(microseconds=1)

# How some subscriptions stand.
SELECT_STANDINGS: Final = differing(
    sqlite="SELECT subscription_id, retry_delays, age_limit, when_given_up, paused_at, disabled_at, disabled_generation"
    " FROM standing WHERE subscription_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT subscription_id, retry_delays, age_limit, when_given_up, paused_at, disabled_at,"
    " disabled_generation FROM standing WHERE subscription_id = ANY(?1)",
)

# Which are, or were until they were wanted anew, not called: few of all that there are.
SELECT_STOPPED: Final = portable(
    "SELECT subscription_id, retry_delays, age_limit, when_given_up, paused_at, disabled_at, disabled_generation"
    " FROM standing WHERE paused_at IS NOT NULL OR disabled_generation IS NOT NULL"
)

# Whose subscription may have ended while no process cared for it.
SELECT_EVERYBODY: Final = portable("SELECT subscription_id FROM standing")

# An operator sets the rules of a subscription.
UPSERT_POLICY: Final = portable(
    "INSERT INTO standing (subscription_id, retry_delays, age_limit, when_given_up) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (subscription_id) DO UPDATE SET retry_delays = excluded.retry_delays, age_limit = excluded.age_limit,"
    " when_given_up = excluded.when_given_up"
)

# An operator pauses one; the time of one that is paused stays.
UPSERT_PAUSED: Final = portable(
    "INSERT INTO standing (subscription_id, paused_at) VALUES (?1, ?2)"
    " ON CONFLICT (subscription_id) DO UPDATE SET paused_at = excluded.paused_at WHERE standing.paused_at IS NULL"
)

# A callback is gone; what was found out about a later generation stays.
UPSERT_DISABLED: Final = portable(
    "INSERT INTO standing (subscription_id, disabled_generation, disabled_at) VALUES (?1, ?2, ?3)"
    " ON CONFLICT (subscription_id) DO UPDATE SET disabled_generation = excluded.disabled_generation,"
    " disabled_at = excluded.disabled_at"
    " WHERE COALESCE(standing.disabled_generation, 0) < excluded.disabled_generation"
)

# An operator has one called again, whoever stopped it.
UPDATE_RESUMED: Final = portable(
    "UPDATE standing SET paused_at = NULL, disabled_at = NULL, disabled_generation = NULL WHERE subscription_id = ?1"
)

# The subscription is no more.
DELETE_STANDING: Final = portable("DELETE FROM standing WHERE subscription_id = ?1")


async def of(tx: Transaction, subscription_ids: Sequence[SubscriptionId]) -> dict[SubscriptionId, Standing]:
    """Return how these stand; those that are served in the usual way are absent."""
    return _standings(await tx.fetch(SELECT_STANDINGS, list(subscription_ids)))


async def stopped(tx: Transaction) -> dict[SubscriptionId, Standing]:
    """Return all that were stopped, those that have been wanted anew since included."""
    return _standings(await tx.fetch(SELECT_STOPPED))


async def everybody(tx: Transaction) -> list[SubscriptionId]:
    """Return all subscriptions that something is kept of here."""
    return [SubscriptionId(row[0]) for row in await tx.fetch(SELECT_EVERYBODY)]


async def set_policy(tx: Transaction, subscription_id: SubscriptionId, policy: DeliveryPolicy) -> None:
    """Store the rules of a subscription."""
    delays = policy.retry_delays
    await tx.execute(
        UPSERT_POLICY,
        subscription_id,
        None if delays is None else msgspec.json.encode([delay // _MICROSECOND for delay in delays]).decode(),
        None if policy.age_limit is None else policy.age_limit // _MICROSECOND,
        None if policy.when_given_up is None else policy.when_given_up.value,
    )


async def pause(tx: Transaction, subscription_id: SubscriptionId, now: datetime) -> None:
    """Store that a subscription is paused, since now unless it is so already."""
    await tx.execute(UPSERT_PAUSED, subscription_id, to_column(now))


async def disable(tx: Transaction, generations: Mapping[SubscriptionId, int], now: datetime) -> None:
    """Store that the callbacks of these generations of subscriptions are gone."""
    rows = [(subscription_id, generations[subscription_id], to_column(now)) for subscription_id in sorted(generations)]
    await tx.execute_many(UPSERT_DISABLED, rows)


async def resume(tx: Transaction, subscription_id: SubscriptionId) -> None:
    """Store that a subscription is neither paused nor disabled."""
    await tx.execute(UPDATE_RESUMED, subscription_id)


async def forget(tx: Transaction, subscription_id: SubscriptionId) -> None:
    """Remove what is kept of a subscription."""
    await tx.execute(DELETE_STANDING, subscription_id)


def _standings(rows: Sequence[Row]) -> dict[SubscriptionId, Standing]:
    return {SubscriptionId(row[0]): _standing(row) for row in rows}


def _standing(row: Row) -> Standing:
    _, delays, age_limit, when_given_up, paused_at, disabled_at, disabled_generation = row
    return Standing(
        policy=DeliveryPolicy(
            retry_delays=None if delays is None else tuple(each * _MICROSECOND for each in msgspec.json.decode(delays)),
            age_limit=None if age_limit is None else age_limit * _MICROSECOND,
            when_given_up=None if when_given_up is None else WhenGivenUp(when_given_up),
        ),
        paused_at=from_optional_column(paused_at),
        disabled_at=from_optional_column(disabled_at),
        disabled_generation=disabled_generation,
    )
