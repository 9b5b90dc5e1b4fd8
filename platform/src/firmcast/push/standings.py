"""What may be asked of how subscriptions stand. Each of these runs in the caller's transaction; none commits.

Every change is announced as one of the subscription, so that whoever sends reads it anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from firmcast.db.page import Page
from firmcast.db.port import Transaction
from firmcast.errors import NotFoundError
from firmcast.ids import ApplicationId, SubscriptionId
from firmcast.push.standing import USUAL, DeliveryPolicy, Standing, SubscriptionState
from firmcast.push.store import lanes as lane_store
from firmcast.push.store import standings as standing_store
from firmcast.subscriptions import use_cases as subscriptions
from firmcast.subscriptions.model import Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A subscription and how it stands."""

    subscription: Subscription
    standing: Standing

    @property
    def state(self) -> SubscriptionState:
        """Whether it is called."""
        return self.standing.state(self.subscription.generation)

    @property
    def stopped_at(self) -> datetime | None:
        """Since when it is not called; None when it is."""
        return self.standing.stopped_at(self.subscription.generation)


async def find(tx: Transaction, subscription_id: SubscriptionId) -> Served:
    """Return a subscription of whichever application.

    Raises:
        NotFoundError: there is none of this id.
    """
    found = await subscriptions.by_ids(tx, [subscription_id])
    if subscription_id not in found:
        raise NotFoundError("subscription", subscription_id)
    standings = await standing_store.of(tx, [subscription_id])
    return Served(subscription=found[subscription_id], standing=standings.get(subscription_id, USUAL))


async def listed(
    tx: Transaction, application_id: ApplicationId | None, state: SubscriptionState | None, page: Page
) -> tuple[list[Served], int]:
    """Return a page of the subscriptions, the oldest first, and how many there are on all pages; None is any."""
    named = None if state is None else await _in_another_state_or_in(tx, state)
    found, total = await subscriptions.listed_of_all(
        tx, application_id, page, named=named, wanted=state is not SubscriptionState.ACTIVE
    )
    standings = await standing_store.of(tx, [each.subscription_id for each in found])
    served = [Served(subscription=each, standing=standings.get(each.subscription_id, USUAL)) for each in found]
    return served, total


async def pause(tx: Transaction, subscription_id: SubscriptionId, now: datetime) -> Served:
    """Call a subscription no more, until it is resumed; return it as it was.

    Raises:
        NotFoundError: there is none of this id.
    """
    before = await find(tx, subscription_id)
    await standing_store.pause(tx, subscription_id, now)
    tx.announce(subscriptions.SUBSCRIPTIONS_CHANGED, [subscription_id])
    return before


async def resume(tx: Transaction, subscription_id: SubscriptionId) -> Served:
    """Call a subscription again, paused or disabled, as if nothing had failed yet; return it as it was.

    Raises:
        NotFoundError: there is none of this id.
    """
    before = await find(tx, subscription_id)
    if before.state is not SubscriptionState.ACTIVE:
        await standing_store.resume(tx, subscription_id)
        await lane_store.forget_troubles(tx, subscription_id)
        tx.announce(subscriptions.SUBSCRIPTIONS_CHANGED, [subscription_id])
    return before


async def disable(tx: Transaction, generations: Mapping[SubscriptionId, int], now: datetime) -> None:
    """Call these generations of subscriptions no more: their callback is gone.

    What has failed so far is forgotten: when they are wanted anew, their deliveries are no older than that.
    """
    await standing_store.disable(tx, generations, now)
    for subscription_id in sorted(generations):
        await lane_store.forget_troubles(tx, subscription_id)
    tx.announce(subscriptions.SUBSCRIPTIONS_CHANGED, sorted(generations))


async def set_policy(tx: Transaction, subscription_id: SubscriptionId, policy: DeliveryPolicy) -> None:
    """Have the deliveries of a subscription retried by these rules from their next attempt on.

    Raises:
        NotFoundError: there is none of this id.
    """
    await find(tx, subscription_id)
    await standing_store.set_policy(tx, subscription_id, policy)
    tx.announce(subscriptions.SUBSCRIPTIONS_CHANGED, [subscription_id])


async def _in_another_state_or_in(tx: Transaction, state: SubscriptionState) -> list[SubscriptionId]:
    """Return the subscriptions in a state; for the usual one those that are in another, since they are the fewer."""
    standings = await standing_store.stopped(tx)
    found = await subscriptions.by_ids(tx, sorted(standings))
    states = {key: standings[key].state(each.generation) for key, each in found.items()}
    active = SubscriptionState.ACTIVE
    return sorted(key for key, it in states.items() if (it is not active if state is active else it is state))
