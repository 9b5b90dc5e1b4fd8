"""What an operator can set of pushes: attempts, retries, and which addresses may be reached."""

from datetime import timedelta
from typing import Literal

from pydantic import Field, SecretStr

from firmcast.settings.values import Duration, PositiveDuration, Section


class PushSettings(Section):
    """The applications' side."""

    attempt_timeout: Duration = Field(
        default=timedelta(seconds=15), description="for a whole attempt, name look-up included"
    )
    connect_timeout: Duration = Field(default=timedelta(seconds=5), description="of the connection, TLS included")
    concurrency: int = Field(default=512, ge=1, description="attempts under way at one time")
    subscription_concurrency: int = Field(
        default=256,
        ge=1,
        description="the same for one callback at most; how many it bears is found out, from 16 on",
    )
    retry_delays: tuple[PositiveDuration, ...] = Field(
        default=tuple(timedelta(seconds=each) for each in (1, 2, 5, 15, 60, 120, 300, 600, 1800)),
        min_length=1,
        description="waits after the first failure of a delivery, the second, …; the last one repeats",
    )
    age_limit: Duration = Field(
        default=timedelta(days=7), description="a delivery older than this becomes a dead letter"
    )
    when_given_up: Literal["skip", "block"] = Field(
        default="skip",
        description="whether the events of a device go on behind a dead letter, or wait until somebody decides",
    )
    allowed_networks: tuple[str, ...] = Field(
        default=(), description="private networks that callbacks may be in, as CIDR"
    )
    nat64_networks: tuple[str, ...] = Field(
        default=("64:ff9b::/96",),
        description="where your translator makes IPv4 addresses of IPv6 ones; judged by the address inside",
    )
    proxy_url: SecretStr | None = Field(
        default=None, description="http://user:password@host:port; callbacks are reached through its tunnels"
    )
    proxy_bypass: tuple[str, ...] = Field(
        default=(), description="hosts, .domains and CIDR networks that are dialled without the proxy"
    )
    http2: bool = Field(default=True, description="offer HTTP/2 to callbacks over TLS")
    window: int = Field(default=10_000, ge=100, description="undelivered rows of one subscription held in memory")
    probe_interval: Duration = Field(
        default=timedelta(seconds=15), description="between tries of a callback that is down"
    )
    stall_limit: PositiveDuration = Field(
        default=timedelta(minutes=5),
        description="the platform is not ready when an event is not tried for this long and nothing explains it",
    )
    undelivered_limit: int = Field(
        default=1_000_000,
        ge=0,
        description="deliveries that may wait for one application: with as many, its new upgrade tasks are refused"
        " until it has taken some; 0 for any number",
    )
    replay_rate: int = Field(
        default=500, ge=1, le=10_000, description="deliveries a second of a replay that names no rate"
    )
