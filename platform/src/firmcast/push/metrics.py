"""What push tells of itself. An attempt that delivers costs three additions here, and two looks for a bound."""

from collections.abc import Callable
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from firmcast.metrics import Metrics
from firmcast.push.lanes import Lanes
from firmcast.push.retry import Blocked, Dead, DeadReason, Delivered, FailureReason, RetryAt, Verdict
from firmcast.push.scheduling.breaker import BreakerState
from firmcast.push.scheduling.census import Census, take_census

_NO_REASON: Final = ""


class PushMetrics:
    """The counts and gauges of one dispatcher."""

    def __init__(self, metrics: Metrics) -> None:
        """Declare them."""
        self.metrics = metrics
        attempts = metrics.counts(
            "firmcast_push_attempts",
            "Attempts that ended, by outcome (delivered, again, dead) and why they failed",
            "outcome",
            "reason",
        )
        self._delivered = attempts.of("delivered", _NO_REASON)
        self._again = MappingProxyType({reason: attempts.of("again", reason.value) for reason in FailureReason})
        self._dead = MappingProxyType({reason: attempts.of("dead", reason.value) for reason in FailureReason})
        letters = metrics.counts("firmcast_push_dead_letters", "Deliveries that were given up, by reason", "reason")
        self._dead_letters = MappingProxyType({reason: letters.of(reason.value) for reason in DeadReason})
        self._latency = metrics.histogram(
            "firmcast_push_edge_to_acknowledgement_seconds",
            "From when an event happened until its receiver took it",
        )
        self._duration = metrics.histogram(
            "firmcast_push_attempt_seconds", "How long the attempts that delivered were under way"
        )
        self._declare_backlog(metrics)
        self.refused = metrics.count(
            "firmcast_push_refused_outcomes",
            "Outcomes of attempts that could not be written, because the partition was another node's by then",
        )
        self.in_flight = metrics.gauge("firmcast_push_in_flight", "Attempts under way")
        self.unwritten = metrics.gauge("firmcast_push_unwritten", "Attempts that ended and are not yet in the store")
        self.queued = metrics.gauge("firmcast_push_queued", "Deliveries in memory, those under way included")
        self.lanes = metrics.gauges(
            "firmcast_push_lanes", "Lanes in memory, by state (ready, in_flight, waiting, blocked)", "state"
        )
        self.breakers = metrics.gauges(
            "firmcast_push_breakers", f"Callbacks by the state of their breaker ({_states()})", "state"
        )

    def _declare_backlog(self, metrics: Metrics) -> None:
        self.oldest = metrics.gauge(
            "firmcast_push_oldest_undelivered_seconds", "Age of the oldest event that is still to be delivered"
        )
        self.oldest_of = metrics.gauges(
            "firmcast_push_subscription_oldest_undelivered_seconds",
            "The same for each subscription that has any; of more than a thousand, the oldest",
            "subscription_id",
        )
        self.behind = metrics.gauge(
            "firmcast_push_subscriptions_behind", "Subscriptions that have anything still to be delivered"
        )
        self.undelivered = metrics.gauge("firmcast_push_undelivered", "Deliveries that are still to be made")
        self.undelivered_of = metrics.gauges(
            "firmcast_push_subscription_undelivered",
            "The same for each subscription that has any; of more than a thousand, those with the most",
            "subscription_id",
        )
        self.at_limit = metrics.gauge(
            "firmcast_push_applications_at_limit",
            "Applications whose new upgrade tasks are refused, since too many deliveries wait for them",
        )
        self.stalled = metrics.gauge(
            "firmcast_push_subscriptions_stalled",
            "Subscriptions whose oldest event nobody tries, and nothing explains it; 0 unless something is broken",
        )
        self.replays = metrics.gauges(
            "firmcast_push_replays",
            "Replays that are kept, by state (running, waiting, finished, cancelled, failed)",
            "state",
        )
        self.replay_rate = metrics.gauge(
            "firmcast_push_replay_rate", "Deliveries a second that the replays which run may make together"
        )
        self.replay_deliveries = metrics.count(
            "firmcast_push_replay_deliveries", "Deliveries that this node has made of replays"
        )
        self.replayed = metrics.gauge(
            "firmcast_push_replay_backlog", "Deliveries of replays that are still to be made, counted up to 100000"
        )

    def show(self, lanes: Lanes[Any], *, in_flight: Callable[[], int], unwritten: Callable[[], int]) -> None:
        """Have what a dispatcher holds read when somebody asks."""
        census = Census()

        async def count() -> None:
            nonlocal census
            census = take_census(lanes.groups.values())

        self.metrics.before_telling(count)
        self.lanes.read = lambda: census.lanes
        self.breakers.read = lambda: census.breakers
        self.in_flight.read = in_flight
        self.unwritten.read = unwritten
        self.queued.read = lambda: lanes.queued

    def settled(self, verdict: Verdict, occurred_at: datetime, now: datetime, duration: float) -> None:
        """Count an attempt on an event of `occurred_at` that took `duration` seconds."""
        match verdict:
            case Delivered():
                self._delivered.value += 1
                self._latency.observe((now - occurred_at).total_seconds())
                self._duration.observe(duration)
            case RetryAt():
                self._again[verdict.reason].value += 1
            case Dead() | Blocked():
                self._dead[verdict.failure].value += 1
                self._dead_letters[verdict.reason].value += 1


def _states() -> str:
    return ", ".join(state.value for state in BreakerState)
