"""What somebody wishes, made an order: to which subscriptions of which application."""

from dataclasses import dataclass
from datetime import datetime

from firmcast.applications import use_cases as applications
from firmcast.db.port import Transaction
from firmcast.errors import NotFoundError
from firmcast.events.model import EventType
from firmcast.ids import ApplicationId, DeviceId, SubscriptionId
from firmcast.push.replay.model import ReplayOrder
from firmcast.subscriptions import use_cases as subscriptions
from firmcast.subscriptions.model import Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayWish:
    """What a caller says: a subscription, or an application and types, empty for all of them."""

    subscription_id: SubscriptionId | None
    application_id: ApplicationId | None
    event_types: frozenset[EventType]
    device_id: DeviceId | None
    since: datetime | None
    until: datetime | None
    rate: int


async def order_of(tx: Transaction, wish: ReplayWish) -> ReplayOrder:
    """Return the order.

    Raises:
        NotFoundError: there is no such subscription, or no such application, or it has none of these types.
    """
    found = await _subscriptions(tx, wish)
    return ReplayOrder(
        application_id=found[0].application_id,
        subscription_ids=tuple(sorted(one.subscription_id for one in found)),
        device_id=wish.device_id,
        since=wish.since,
        until=wish.until,
        rate=wish.rate,
    )


async def _subscriptions(tx: Transaction, wish: ReplayWish) -> list[Subscription]:
    if wish.subscription_id is not None:
        found = list((await subscriptions.by_ids(tx, [wish.subscription_id])).values())
        if not found:
            raise NotFoundError("subscription", wish.subscription_id)
        return found
    assert wish.application_id is not None, "a wish names a subscription or an application"
    await applications.find(tx, wish.application_id)
    every, _ = await subscriptions.listed(tx, wish.application_id)
    wanted = [one for one in every if not wish.event_types or one.event_type in wish.event_types]
    if not wanted:
        raise NotFoundError("subscription of the application", wish.application_id)
    return wanted
