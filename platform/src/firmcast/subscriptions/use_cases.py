"""An application has one subscription for each type of event.

There are two ways to it: `subscribe` moves the callback of the one that there is, and `create` refuses a second one.

Whether a callback may be called at all is the sender's to judge, before it gets here.
"""

from collections.abc import Sequence
from datetime import datetime

from firmcast.db.page import Page
from firmcast.db.port import Channel, Transaction
from firmcast.errors import ConflictError, NotFoundError
from firmcast.events.model import EventType
from firmcast.ids import ApplicationId, SubscriptionId, new_uuid
from firmcast.subscriptions import store
from firmcast.subscriptions.model import Subscription, callback_host

SUBSCRIPTIONS_CHANGED = Channel("subscriptions")
"""Announced with the ids of subscriptions that were created, changed or removed."""

EVERYTHING = Page()


class AlreadySubscribedError(ConflictError):
    """The application has a subscription of this type."""


class CallbackHostError(ConflictError):
    """The application's other callbacks are at another host or port."""


async def subscribe(
    tx: Transaction, application_id: ApplicationId, event_type: EventType, callback_url: str, now: datetime
) -> Subscription:
    """Have events of a type told to `callback_url` from this transaction on; one there is keeps its id and moves."""
    await renew(tx, application_id, callback_url)
    subscription = await store.upsert(tx, _new(application_id, event_type, callback_url, now))
    tx.announce(SUBSCRIPTIONS_CHANGED, [subscription.subscription_id])
    return subscription


async def renew(tx: Transaction, application_id: ApplicationId, callback_url: str) -> None:
    """Take the application's word that it is to be called at a URL, for every subscription that it has there already.

    What push found out about a callback, such as that it is gone, holds for the generation that it found it out about.
    """
    tx.announce(SUBSCRIPTIONS_CHANGED, await store.renew(tx, application_id, callback_url))


async def create(
    tx: Transaction,
    application_id: ApplicationId,
    event_type: EventType,
    callback_url: str,
    now: datetime,
    *,
    one_host: bool = False,
) -> Subscription:
    """Have events of a type, which the application has not subscribed to yet, told to `callback_url` from now on.

    With `one_host` all callbacks of an application must be at one host and port.

    Raises:
        AlreadySubscribedError: the application has a subscription of this type.
        CallbackHostError: its other callbacks are elsewhere.
    """
    await renew(tx, application_id, callback_url)
    subscription = _new(application_id, event_type, callback_url, now)
    if not await store.insert(tx, subscription):
        message = f"events of the type {event_type.value} are subscribed to already"
        raise AlreadySubscribedError(message)
    if one_host:
        every, _ = await store.listed(tx, application_id, None, EVERYTHING)
        hosts = sorted({callback_host(one.callback_url) for one in every})
        if len(hosts) > 1:
            message = f"the callbacks of one application are at one host and port, here at {', '.join(hosts)}"
            raise CallbackHostError(message)
    tx.announce(SUBSCRIPTIONS_CHANGED, [subscription.subscription_id])
    return subscription


def _new(application_id: ApplicationId, event_type: EventType, callback_url: str, now: datetime) -> Subscription:
    return Subscription(
        subscription_id=SubscriptionId(new_uuid()),
        application_id=application_id,
        event_type=event_type,
        callback_url=callback_url,
        created_at=now,
    )


async def find(tx: Transaction, application_id: ApplicationId, subscription_id: SubscriptionId) -> Subscription:
    """Return the subscription.

    Raises:
        NotFoundError: the application has no such subscription.
    """
    subscription = await store.find(tx, application_id, subscription_id)
    if subscription is None:
        raise NotFoundError("subscription", subscription_id)
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


async def listed_of_all(
    tx: Transaction,
    application_id: ApplicationId | None = None,
    page: Page = EVERYTHING,
    *,
    named: Sequence[SubscriptionId] | None = None,
    wanted: bool = True,
) -> tuple[list[Subscription], int]:
    """Return a page of everybody's subscriptions, the oldest first, and how many there are on all pages.

    With `named` only those of these ids, or, when they are not `wanted`, only the others.
    """
    return await store.listed_of_all(tx, application_id, page, named=named, wanted=wanted)


async def remove(
    tx: Transaction, application_id: ApplicationId, subscription_ids: Sequence[SubscriptionId]
) -> list[SubscriptionId]:
    """End subscriptions of the application; return the ids of those that it had."""
    removed = await store.delete(tx, application_id, subscription_ids)
    if removed:
        tx.announce(SUBSCRIPTIONS_CHANGED, removed)
    return removed


async def remove_matching(
    tx: Transaction,
    application_id: ApplicationId,
    *,
    event_type: EventType | None = None,
    callback_url: str = "",
) -> list[SubscriptionId]:
    """End the application's subscriptions that fit every filter, all of them without one; return their ids."""
    removed = sorted(await store.delete_matching(tx, application_id, event_type, callback_url))
    if removed:
        tx.announce(SUBSCRIPTIONS_CHANGED, removed)
    return removed


async def forget_application(tx: Transaction, application_id: ApplicationId) -> None:
    """End every subscription of an application that is deleted."""
    await remove_matching(tx, application_id)
