"""What an operator can set of the HTTPS port: the northbound and the management API."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from firmcast.settings.values import Duration, PositiveDuration, Section


class RestSettings(Section):
    """The northbound and the management API, on one HTTPS port."""

    host: str = Field(default="127.0.0.1", description="address to listen on; 0.0.0.0 for every one")
    port: int = Field(default=8743, ge=0, le=65535, description="0 for any free one")
    certificate_file: Path | None = Field(default=None, description="PEM chain; without it one is made at the start")
    key_file: Path | None = Field(default=None, description="PEM key of the certificate")
    handshakes: int = Field(
        default=1024, ge=4, description="TLS handshakes at one time; the oldest of the host that has most gives way"
    )
    handshake_patience: PositiveDuration = Field(
        default=timedelta(seconds=30), description="a TLS handshake that has not ended for so long is given up"
    )
    ask_client_certificate: bool = Field(
        default=True, description="ask clients for a certificate: none is needed, and any will do"
    )
    publish_descriptions: bool = Field(
        default=True, description="serve /v1/docs and the descriptions of the interfaces, without a token"
    )
    body_limit: int = Field(default=1 << 20, ge=1024, description="bytes of a request's body, uploads aside")
    access_token_life: Duration = Field(default=timedelta(hours=1), description="of what a login gives")
    refresh_token_life: Duration = Field(default=timedelta(days=30), description="of what a login gives beside it")
    token_grace: Duration = Field(
        default=timedelta(seconds=10), description="an access token outlives a new login by this"
    )
    throttle_calls: int = Field(
        default=100, ge=0, description="calls of one application in any throttle_period; 0 for no limit"
    )
    throttle_period: PositiveDuration = Field(default=timedelta(seconds=60), description="see throttle_calls")
    feed_calls: int = Field(
        default=600, ge=0, description="the same for calls that read events, which throttle_calls does not count"
    )
    feed_receivers: int = Field(
        default=10, ge=0, description="calls of one application that wait for events at one time; 0 for no limit"
    )
    one_callback_host: bool = Field(
        default=False, description="refuse a business subscription whose callback's host or port is not the others'"
    )
