"""The bodies of `/v1/subscriptions`, as they are asked for and answered; the keys are ours, times are RFC 3339."""

from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from firmcast.errors import InvalidValueError
from firmcast.push.retry import RetryPolicy, WhenGivenUp
from firmcast.push.standing import DeliveryPolicy, SubscriptionState
from firmcast.push.standings import Served
from firmcast.subscriptions.api import EVENT_TYPES
from firmcast_sdk.wire.decoding import Hints, Short
from firmcast_sdk.wire.subscriptions import SubscribableType

_NOTIFY_TYPES: Final = MappingProxyType({event_type: name for name, event_type in EVENT_TYPES.items()})
_MOST_DELAYS: Final = 50
_LONGEST_DELAY_SECONDS: Final = 24 * 3600
_LONGEST_AGE_SECONDS: Final = 366 * 24 * 3600

DelaySeconds = Annotated[int, Hints(least=1, most=_LONGEST_DELAY_SECONDS)]


class SubscriptionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which subscriptions are wanted."""

    application_id: Short = ""
    state: SubscriptionState | None = None
    page: int | None = None
    page_size: int | None = None


class PolicyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that says how the deliveries of a subscription are retried; what is left out is as the settings say."""

    retry_delay_seconds: Annotated[tuple[DelaySeconds, ...] | None, Hints(limit=_MOST_DELAYS)] = None
    """The wait after the first failure, the second, …; the last one repeats."""
    age_limit_seconds: Annotated[int | None, Hints(least=1, most=_LONGEST_AGE_SECONDS)] = None
    """How long after its first attempt a delivery is still tried."""
    when_given_up: WhenGivenUp | None = None
    """Whether the events of a device that follow one that was given up go on, or wait until somebody decides on it."""


class PolicyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How the deliveries of a subscription are retried."""

    retry_delay_seconds: tuple[float, ...]
    age_limit_seconds: float
    when_given_up: WhenGivenUp
    own: tuple[str, ...]
    """The names of those that were set for this subscription; the others are as the settings say."""


class SubscriptionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription and how it stands."""

    subscription_id: str
    application_id: str
    notify_type: SubscribableType
    callback_url: str
    created_at: datetime
    state: SubscriptionState
    stopped_at: datetime | None
    """Since when it is paused or disabled."""
    policy: PolicyAnswer


class ManagedSubscriptionList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of subscriptions, the oldest first."""

    subscriptions: tuple[SubscriptionAnswer, ...]
    page: int
    page_size: int
    total: int


def policy_of(said: PolicyRequest) -> DeliveryPolicy:
    """Return the rules that were asked for.

    Raises:
        InvalidValueError: a list of waits without a wait.
    """
    delays, age = said.retry_delay_seconds, said.age_limit_seconds
    if delays is not None and not delays:
        raise InvalidValueError("retry_delay_seconds", "give at least one wait")
    return DeliveryPolicy(
        retry_delays=None if delays is None else tuple(timedelta(seconds=each) for each in delays),
        age_limit=None if age is None else timedelta(seconds=age),
        when_given_up=said.when_given_up,
    )


def shown(served: Served, usual: RetryPolicy) -> SubscriptionAnswer:
    """Return what is told of a subscription; `usual` are the rules of those that have none of their own."""
    subscription = served.subscription
    return SubscriptionAnswer(
        subscription_id=subscription.subscription_id,
        application_id=subscription.application_id,
        notify_type=_NOTIFY_TYPES[subscription.event_type],
        callback_url=subscription.callback_url,
        created_at=subscription.created_at,
        state=served.state,
        stopped_at=served.stopped_at,
        policy=_policy_shown(served.standing.policy, usual),
    )


def _policy_shown(own: DeliveryPolicy, usual: RetryPolicy) -> PolicyAnswer:
    rules = own.over(usual)
    names = {
        "retry_delay_seconds": own.retry_delays,
        "age_limit_seconds": own.age_limit,
        "when_given_up": own.when_given_up,
    }
    return PolicyAnswer(
        retry_delay_seconds=tuple(delay.total_seconds() for delay in rules.delays),
        age_limit_seconds=rules.age_limit.total_seconds(),
        when_given_up=rules.when_given_up,
        own=tuple(name for name, value in names.items() if value is not None),
    )
