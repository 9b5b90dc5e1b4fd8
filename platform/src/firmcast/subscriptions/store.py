"""The table of subscriptions: one row for each application and type of event."""

from collections.abc import Sequence

from firmcast.db.columns import from_column, to_column
from firmcast.db.page import Page
from firmcast.db.port import Row, Transaction, Value
from firmcast.db.statement import differing, portable
from firmcast.events.model import EventType
from firmcast.ids import ApplicationId, SubscriptionId
from firmcast.subscriptions.model import Subscription

# A subscription; the same application and type again is the same subscription with another callback.
_UPSERT = portable(
    "INSERT INTO subscription (subscription_id, application_id, event_type, callback_url, created_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5)"
    " ON CONFLICT (application_id, event_type) DO UPDATE SET callback_url = excluded.callback_url,"
    " generation = subscription.generation + 1"
    " RETURNING subscription_id, application_id, event_type, callback_url, created_at, generation"
)

# A subscription, unless the application has one of this type.
_INSERT = portable(
    "INSERT INTO subscription (subscription_id, application_id, event_type, callback_url, created_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (application_id, event_type) DO NOTHING RETURNING subscription_id"
)

# An application wants to be called at a callback: so it is, for all that it wants to be told there.
_RENEW = portable(
    "UPDATE subscription SET generation = generation + 1 WHERE application_id = ?1 AND callback_url = ?2"
    " RETURNING subscription_id"
)

# One subscription of an application.
_FIND = portable(
    "SELECT subscription_id, application_id, event_type, callback_url, created_at, generation FROM subscription"
    " WHERE application_id = ?1 AND subscription_id = ?2"
)

# Who of these applications wants anything: asked once for each batch of events.
_OF_APPLICATIONS = differing(
    sqlite="SELECT subscription_id, application_id, event_type FROM subscription"
    " WHERE application_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT subscription_id, application_id, event_type FROM subscription WHERE application_id = ANY(?1)",
)

# Callbacks of a batch of deliveries.
_BY_IDS = differing(
    sqlite="SELECT subscription_id, application_id, event_type, callback_url, created_at, generation FROM subscription"
    " WHERE subscription_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT subscription_id, application_id, event_type, callback_url, created_at, generation"
    " FROM subscription WHERE subscription_id = ANY(?1)",
)

# The sender's start: who there is at all.
_ALL = portable(
    "SELECT subscription_id, application_id, event_type, callback_url, created_at, generation FROM subscription"
    " ORDER BY subscription_id"
)

# What one application has subscribed to, the oldest first; an empty filter matches everything.
_LIST = portable(
    "SELECT subscription_id, application_id, event_type, callback_url, created_at, generation FROM subscription"
    " WHERE application_id = ?1 AND (?2 = '' OR event_type = ?2)"
    " ORDER BY created_at, subscription_id LIMIT ?3 OFFSET ?4"
)

# How many the list above would hold without its page.
_COUNT = portable("SELECT count(*) FROM subscription WHERE application_id = ?1 AND (?2 = '' OR event_type = ?2)")

# What everybody has subscribed to, the oldest first: of one application, and of these ids, or without them, if wanted.
_LIST_ALL = differing(
    sqlite="SELECT subscription_id, application_id, event_type, callback_url, created_at, generation FROM subscription"
    " WHERE (?1 = '' OR application_id = ?1)"
    " AND (?2 = 0 OR (subscription_id IN (SELECT value FROM json_each(?3))) = (?2 = 1))"
    " ORDER BY created_at, subscription_id LIMIT ?4 OFFSET ?5",
    postgres="SELECT subscription_id, application_id, event_type, callback_url, created_at, generation"
    " FROM subscription WHERE (?1 = '' OR application_id = ?1) AND (?2 = 0 OR (subscription_id = ANY(?3)) = (?2 = 1))"
    " ORDER BY created_at, subscription_id LIMIT ?4 OFFSET ?5",
)
_COUNT_ALL = differing(
    sqlite="SELECT count(*) FROM subscription WHERE (?1 = '' OR application_id = ?1)"
    " AND (?2 = 0 OR (subscription_id IN (SELECT value FROM json_each(?3))) = (?2 = 1))",
    postgres="SELECT count(*) FROM subscription WHERE (?1 = '' OR application_id = ?1)"
    " AND (?2 = 0 OR (subscription_id = ANY(?3)) = (?2 = 1))",
)

# The wish is withdrawn; another application's subscription is left alone.
_DELETE = differing(
    sqlite="DELETE FROM subscription WHERE application_id = ?1"
    " AND subscription_id IN (SELECT value FROM json_each(?2)) RETURNING subscription_id",
    postgres="DELETE FROM subscription WHERE application_id = ?1 AND subscription_id = ANY(?2)"
    " RETURNING subscription_id",
)

# Every wish of an application that fits, an empty filter all of them.
_DELETE_MATCHING = portable(
    "DELETE FROM subscription WHERE application_id = ?1 AND (?2 = '' OR event_type = ?2)"
    " AND (?3 = '' OR callback_url = ?3) RETURNING subscription_id"
)


def _subscription(row: Row) -> Subscription:
    subscription_id, application_id, event_type, callback_url, created_at, generation = row
    return Subscription(
        subscription_id=SubscriptionId(subscription_id),
        application_id=ApplicationId(application_id),
        event_type=EventType(event_type),
        callback_url=callback_url,
        created_at=from_column(created_at),
        generation=generation,
    )


async def upsert(tx: Transaction, subscription: Subscription) -> Subscription:
    """Store a subscription, or give the one of the same application and type the new callback; return what stands."""
    row = await tx.fetch_row(_UPSERT, *_columns(subscription))
    assert row is not None, "an upsert returns its row"
    return _subscription(row)


async def insert(tx: Transaction, subscription: Subscription) -> bool:
    """Store a subscription; return False, and store nothing, when the application has one of its type."""
    return await tx.fetch_row(_INSERT, *_columns(subscription)) is not None


async def renew(tx: Transaction, application_id: ApplicationId, callback_url: str) -> list[SubscriptionId]:
    """Begin a new generation of the application's subscriptions at a callback, and return their ids."""
    return [SubscriptionId(row[0]) for row in await tx.fetch(_RENEW, application_id, callback_url)]


async def find(tx: Transaction, application_id: ApplicationId, subscription_id: SubscriptionId) -> Subscription | None:
    """Return the application's subscription, None when it has none of this id."""
    row = await tx.fetch_row(_FIND, application_id, subscription_id)
    return None if row is None else _subscription(row)


def _columns(subscription: Subscription) -> tuple[Value, ...]:
    return (
        subscription.subscription_id,
        subscription.application_id,
        subscription.event_type,
        subscription.callback_url,
        to_column(subscription.created_at),
    )


async def of_applications(
    tx: Transaction, application_ids: Sequence[ApplicationId]
) -> list[tuple[SubscriptionId, ApplicationId, EventType]]:
    """Return what these applications have subscribed to."""
    rows = await tx.fetch(_OF_APPLICATIONS, list(application_ids))
    return [(SubscriptionId(row[0]), ApplicationId(row[1]), EventType(row[2])) for row in rows]


async def by_ids(tx: Transaction, subscription_ids: Sequence[SubscriptionId]) -> list[Subscription]:
    """Return those that exist."""
    return [_subscription(row) for row in await tx.fetch(_BY_IDS, list(subscription_ids))]


async def all_subscriptions(tx: Transaction) -> list[Subscription]:
    """Return every subscription of every application."""
    return [_subscription(row) for row in await tx.fetch(_ALL)]


async def listed(
    tx: Transaction, application_id: ApplicationId, event_type: EventType | None, page: Page
) -> tuple[list[Subscription], int]:
    """Return a page of an application's subscriptions and how many there are on all pages."""
    wanted = "" if event_type is None else event_type.value
    rows = await tx.fetch(_LIST, application_id, wanted, page.limit, page.offset)
    total = await tx.fetch_row(_COUNT, application_id, wanted)
    return [_subscription(row) for row in rows], 0 if total is None else total[0]


async def listed_of_all(
    tx: Transaction,
    application_id: ApplicationId | None,
    page: Page,
    *,
    named: Sequence[SubscriptionId] | None,
    wanted: bool,
) -> tuple[list[Subscription], int]:
    """Return a page of everybody's subscriptions, of those `named` or (not `wanted`) the others, and how many."""
    how = 0 if named is None else 1 if wanted else 2
    filters = (application_id or "", how, list(named or ()))
    rows = await tx.fetch(_LIST_ALL, *filters, page.limit, page.offset)
    total = await tx.fetch_row(_COUNT_ALL, *filters)
    return [_subscription(row) for row in rows], 0 if total is None else total[0]


async def delete(
    tx: Transaction, application_id: ApplicationId, subscription_ids: Sequence[SubscriptionId]
) -> list[SubscriptionId]:
    """Delete those that are the application's and return their ids."""
    return [SubscriptionId(row[0]) for row in await tx.fetch(_DELETE, application_id, list(subscription_ids))]


async def delete_matching(
    tx: Transaction, application_id: ApplicationId, event_type: EventType | None, callback_url: str
) -> list[SubscriptionId]:
    """Delete the application's subscriptions that fit both filters and return their ids; an empty filter fits all."""
    wanted = "" if event_type is None else event_type.value
    return [SubscriptionId(row[0]) for row in await tx.fetch(_DELETE_MATCHING, application_id, wanted, callback_url)]
