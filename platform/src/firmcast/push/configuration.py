"""What the operator sets becomes the rules and limits of push here, and nowhere else."""

from datetime import timedelta
from ipaddress import IPv6Network, ip_network

from firmcast.errors import StartError
from firmcast.push.destination import DestinationRules
from firmcast.push.http_sender import SenderLimits
from firmcast.push.retry import RetryPolicy, WhenGivenUp
from firmcast.push.scheduling.breaker import BreakerPolicy
from firmcast.push.scheduling.concurrency import ConcurrencyPolicy
from firmcast.push.scheduling.lane_limits import LaneLimits
from firmcast.push.sending.proxy import Proxy, parse_proxy
from firmcast.settings import PushSettings

_PROBE_SECONDS = (1, 2, 5, 10)
_RESERVED_SHARE = 10
_TRIALS_SHARE = 4
_TOTAL_ROWS = 50_000


def destination_rules(settings: PushSettings) -> DestinationRules:
    """Return what may be dialled.

    Raises:
        StartError: a network is not one.
    """
    try:
        networks = tuple(ip_network(network) for network in settings.allowed_networks)
    except ValueError as error:
        message = f"push.allowed_networks: {error}"
        raise StartError(message) from None
    try:
        translators = tuple(IPv6Network(network) for network in settings.nat64_networks)
        return DestinationRules(allowed_networks=networks, nat64_networks=translators)
    except ValueError as error:
        message = f"push.nat64_networks: {error}"
        raise StartError(message) from None


def proxy_of(settings: PushSettings) -> Proxy | None:
    """Return the proxy that callbacks are reached through, None for none.

    Raises:
        StartError: it is none, or what is reached without it is neither a network nor a host.
    """
    if settings.proxy_url is None:
        return None
    try:
        return parse_proxy(settings.proxy_url.get_secret_value(), settings.proxy_bypass)
    except ValueError as error:
        message = f"push.proxy_url, push.proxy_bypass: {error}"
        raise StartError(message) from None


def sender_limits(settings: PushSettings) -> SenderLimits:
    """Return the bounds of attempts."""
    return SenderLimits(
        attempt_timeout=settings.attempt_timeout,
        connect_timeout=settings.connect_timeout,
        connections=2 * settings.concurrency,
        http2=settings.http2,
    )


def lane_limits(settings: PushSettings) -> LaneLimits:
    """Return the bounds of the scheduler."""
    return LaneLimits(
        in_flight=settings.concurrency,
        reserved=settings.concurrency // _RESERVED_SHARE,
        trials=max(1, settings.concurrency // _TRIALS_SHARE),
        window_rows=settings.window,
        total_rows=max(_TOTAL_ROWS, settings.window),
        load_rows=min(1_000, settings.window),
    )


def breaker_policy(settings: PushSettings) -> BreakerPolicy:
    """Return when a callback counts as down, and how it is probed: soon at first, then at the operator's interval."""
    longest = settings.probe_interval
    soon = tuple(delay for seconds in _PROBE_SECONDS if (delay := timedelta(seconds=seconds)) < longest)
    return BreakerPolicy(probe_delays=(*soon, longest))


def concurrency_policy(settings: PushSettings) -> ConcurrencyPolicy:
    """Return how many attempts one callback is tried with at one time."""
    return ConcurrencyPolicy(most=settings.subscription_concurrency)


def retry_policy(settings: PushSettings) -> RetryPolicy:
    """Return when failed deliveries are tried again."""
    return RetryPolicy(
        delays=settings.retry_delays,
        age_limit=settings.age_limit,
        when_given_up=WhenGivenUp(settings.when_given_up),
    )


def most_waiting(settings: PushSettings) -> int:
    """Return how many deliveries may wait for a subscription while a replay still adds to them.

    It is a part of the window, which they never fill: so what is live always has its place in memory.
    """
    return min(1_000, settings.window // 4)
