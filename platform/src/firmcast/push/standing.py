"""How a subscription stands with push: whether it is called at present, and by which rules its deliveries are retried.

Its deliveries are made and kept whatever it stands; a subscription that is called again goes on with the first.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from firmcast.push.retry import RetryPolicy, WhenGivenUp


class SubscriptionState(StrEnum):
    """Whether a subscription is called."""

    ACTIVE = "active"
    PAUSED = "paused"
    """An operator wants it not to be."""

    DISABLED = "disabled"
    """Its callback says that it is gone (410)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """What an operator has set for one subscription; None for what the settings say."""

    retry_delays: tuple[timedelta, ...] | None = None
    """The wait after the first failure, the second, …; the last one repeats."""

    age_limit: timedelta | None = None
    when_given_up: WhenGivenUp | None = None

    def over(self, usual: RetryPolicy) -> RetryPolicy:
        """Return the usual rules with what is set here in their place."""
        if self == _NOTHING_SET:
            return usual
        return replace(
            usual,
            delays=usual.delays if self.retry_delays is None else self.retry_delays,
            age_limit=usual.age_limit if self.age_limit is None else self.age_limit,
            when_given_up=self.when_given_up or usual.when_given_up,
        )


_NOTHING_SET = DeliveryPolicy()


def rules_for(own: DeliveryPolicy | None, usual: RetryPolicy, *, again: bool) -> RetryPolicy:
    """Return the rules of a delivery by the policy of its own subscription, if that is still known.

    What is told `again`, as history or at somebody's wish, never blocks its lane.
    """
    rules = usual if own is None else own.over(usual)
    if again and rules.when_given_up is WhenGivenUp.BLOCK:
        return replace(rules, when_given_up=WhenGivenUp.SKIP)
    return rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is kept of a subscription that is not served in the usual way."""

    policy: DeliveryPolicy = _NOTHING_SET
    paused_at: datetime | None = None
    disabled_at: datetime | None = None
    disabled_generation: int | None = None
    """The generation of the subscription whose callback was gone; a later one is called again."""

    def state(self, generation: int) -> SubscriptionState:
        """Return whether a subscription of this generation is called."""
        if self.disabled_generation is not None and self.disabled_generation >= generation:
            return SubscriptionState.DISABLED
        return SubscriptionState.ACTIVE if self.paused_at is None else SubscriptionState.PAUSED

    def stopped_at(self, generation: int) -> datetime | None:
        """Return since when it is not called; None when it is."""
        match self.state(generation):
            case SubscriptionState.ACTIVE:
                return None
            case SubscriptionState.PAUSED:
                return self.paused_at
            case SubscriptionState.DISABLED:
                return self.disabled_at


USUAL = Standing()
