"""An application has one subscription for each type of event; subscribing again moves its callback and keeps its id.

Whether a callback may be called at all is the sender's to judge, before it gets here.
"""

from collections.abc import Sequence
from datetime import datetime

from firmcast.db.page import Page
from firmcast.db.port import Channel, Transaction
from firmcast.events.model import EventType
from firmcast.ids import ApplicationId, SubscriptionId, new_uuid
from firmcast.subscriptions import store
from firmcast.subscriptions.model import Subscription

SUBSCRIPTIONS_CHANGED = Channel("subscriptions")
"""Announced with the ids of subscriptions that were created, changed or removed."""

EVERYTHING = Page()


async def subscribe(
    tx: Transaction, application_id: ApplicationId, event_type: EventType, callback_url: str, now: datetime
) -> Subscription:
    """Have events of a type told to `callback_url` from this transaction on."""
    subscription = await store.upsert(
        tx,
        Subscription(
            subscription_id=SubscriptionId(new_uuid()),
            application_id=application_id,
            event_type=event_type,
            callback_url=callback_url,
            created_at=now,
        ),
    )
    tx.announce(SUBSCRIPTIONS_CHANGED, [subscription.subscription_id])
    return subscription


async def matching(
    tx: Transaction, pairs: Sequence[tuple[ApplicationId, EventType]]
) -> dict[tuple[ApplicationId, EventType], list[SubscriptionId]]:
    """Return for each pair who wants it; every pair has a list, which may be empty."""
    found: dict[tuple[ApplicationId, EventType], list[SubscriptionId]] = {pair: [] for pair in pairs}
    application_ids = sorted({application_id for application_id, _ in pairs})
    for subscription_id, application_id, event_type in await store.of_applications(tx, application_ids):
        wanted = found.get((application_id, event_type))
        if wanted is not None:
            wanted.append(subscription_id)
    return found


async def by_ids(tx: Transaction, subscription_ids: Sequence[SubscriptionId]) -> dict[SubscriptionId, Subscription]:
    """Return the subscriptions that exist, by id."""
    return {subscription.subscription_id: subscription for subscription in await store.by_ids(tx, subscription_ids)}


async def all_subscriptions(tx: Transaction) -> list[Subscription]:
    """Return every subscription of every application."""
    return await store.all_subscriptions(tx)


async def listed(
    tx: Transaction,
    application_id: ApplicationId,
    *,
    event_type: EventType | None = None,
    page: Page = EVERYTHING,
) -> tuple[list[Subscription], int]:
    """Return a page of an application's subscriptions, the oldest first, and how many there are on all pages."""
    return await store.listed(tx, application_id, event_type, page)


async def remove(
    tx: Transaction, application_id: ApplicationId, subscription_ids: Sequence[SubscriptionId]
) -> list[SubscriptionId]:
    """End subscriptions of the application; return the ids of those that it had."""
    removed = await store.delete(tx, application_id, subscription_ids)
    if removed:
        tx.announce(SUBSCRIPTIONS_CHANGED, removed)
    return removed
