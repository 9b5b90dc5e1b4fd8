"""The settings are one frozen tree, read once at the start; nobody else reads the environment.

Every field can be set by an environment variable, `FIRMCAST_` and the path of the field with two underscores between
(`FIRMCAST_REST__PORT=8743`), or in a TOML file named to the command. Secrets are of a type that does not print.
"""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


def _seconds(given: object) -> object:
    """Take digits as seconds: the environment knows text only, and pydantic reads text as ISO 8601."""
    try:
        return float(given) if isinstance(given, str) else given
    except ValueError:
        return given


Duration = Annotated[timedelta, BeforeValidator(_seconds)]
PositiveDuration = Annotated[Duration, Field(gt=timedelta(0))]


class Role(StrEnum):
    """What a node does."""

    REST = "rest"
    GATEWAY = "gateway"
    PUSHER = "pusher"


def _words(given: object) -> object:
    """Take names with commas between them: the environment knows text only."""
    if isinstance(given, str):
        return [word for word in given.strip("[]").replace('"', "").replace(",", " ").split() if word]
    return given


Roles = Annotated[frozenset[Role], NoDecode, BeforeValidator(_words), Field(min_length=1)]

Protocols = Annotated[
    tuple[Literal["coap", "coaps", "http", "https"], ...], NoDecode, BeforeValidator(_words), Field(min_length=1)
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RestSettings(_Part):
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


class GatewaySettings(_Part):
    """The devices' side."""

    host: str = Field(default="127.0.0.1", description="address to listen on for devices, UDP")
    port: int = Field(
        default=5683, ge=0, le=65535, description="for devices that speak in clear, see nosec; 0 for any free one"
    )
    nosec: Literal["local", "always", "never"] = Field(
        default="local",
        description="whether devices without a key are served: never, always, or if host is an address of this machine"
        " that others do not reach",
    )
    secure: bool = Field(default=True, description="serve devices with a key, over DTLS 1.2")
    secure_port: int | None = Field(
        default=None, ge=0, le=65535, description="for DTLS, 0 for any free one; without it the one after port"
    )
    handshake_limit: PositiveDuration = Field(
        default=timedelta(seconds=30), description="for a DTLS handshake, after which one with a wrong key is given up"
    )
    half_open_limit: int = Field(
        default=1024,
        ge=8,
        description="DTLS handshakes under way at one time; beyond that the oldest of the host that has most of them is"
        " given up",
    )
    session_limit: int = Field(
        default=10_000,
        ge=1,
        description="DTLS sessions at one time, some 4 KiB each; the longest silent one gives way",
    )
    session_idle_limit: PositiveDuration = Field(
        default=timedelta(hours=24), description="a DTLS session of which nothing is heard for so long ends"
    )
    share_ports: bool = Field(
        default=False,
        description="let other gateway processes of this platform listen on the same ports of this machine; needs"
        " PostgreSQL, and has to be so for all of them",
    )
    site: str = Field(
        default="",
        pattern="^[^/]*$",
        max_length=128,
        description="a name of the address at which devices reach this gateway, the same for gateways behind one"
        " balancer, which take up each other's devices; empty for this machine's name and ports",
    )
    public_host: str = Field(
        default="", description="host in package URIs; empty for the address a device reached us at"
    )
    package_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="let devices fetch packages by HTTP, in clear, on this TCP port of host; 0 for any free one",
    )
    package_secure_port: int | None = Field(
        default=None, ge=0, le=65535, description="the same by HTTPS, see package_certificate_file"
    )
    package_certificate_file: Path | None = Field(
        default=None,
        description="PEM chain for package_secure_port; without it that of rest, or else one is made at the start",
    )
    package_key_file: Path | None = Field(default=None, description="PEM key of package_certificate_file")
    package_url: str = Field(
        default="",
        pattern=r"^(https?://[!-~]+)?$",
        max_length=200,
        description="what package URIs of HTTP or HTTPS begin with where a proxy stands before the port, such as"
        " https://packages.example.org; empty for this node's own address",
    )
    package_connections: int = Field(
        default=1000, ge=1, description="connections at one time at which packages are fetched by HTTP and HTTPS"
    )
    package_patience: PositiveDuration = Field(
        default=timedelta(minutes=2), description="a connection whose device takes nothing for so long ends"
    )
    package_handshakes: int = Field(
        default=256,
        ge=4,
        description="TLS handshakes under way at package_secure_port at one time; beyond that the oldest of the host"
        " that has most of them is given up",
    )
    package_handshake_patience: PositiveDuration = Field(
        default=timedelta(seconds=30), description="a TLS handshake that has not ended for so long is given up"
    )
    byte_rate: int = Field(
        default=0,
        ge=0,
        description="bytes of packages that leave a node in a second, to all devices and whichever way; 0 for no limit",
    )
    device_byte_rate: int = Field(default=0, ge=0, description="the same to one device")
    progress_interval: PositiveDuration = Field(
        default=timedelta(seconds=5), description="between notes in the store of how far packages are"
    )
    transfer_limit: int = Field(default=1000, ge=1, description="packages that are written to devices at one time")
    fetch_limit: int = Field(
        default=0,
        ge=0,
        description="devices that fetch packages at one time, by whichever protocol; the others are given their"
        " addresses when it is their turn. 0 for no limit",
    )
    order_limit: int = Field(
        default=1000,
        ge=1,
        description="orders to devices that are carried out at one time; one that takes longer than ten acknowledgement"
        " timeouts makes room for the next",
    )
    block_exponent: int = Field(default=6, ge=0, le=6, description="SZX we offer: block size is 2**(SZX+4) bytes")
    acknowledgement_timeout: float = Field(default=2.0, gt=0, description="seconds; ACK_TIMEOUT of RFC 7252 4.8")
    slow_block_timeout: float = Field(
        default=15.0,
        ge=0,
        le=90,
        description="seconds; in its place for the first and the last block of a package that is written: a device may"
        " erase its flash before it answers the one, and check the package before it answers the other",
    )

    @property
    def secure_port_number(self) -> int:
        """The port for DTLS, 0 for any free one."""
        if self.secure_port is not None:
            return self.secure_port
        return self.port + 1 if 0 < self.port < 65535 else 0


class DeviceSettings(_Part):
    """What applications may have."""

    group_limit: int = Field(default=1000, ge=0, description="device groups of one application; 0 for no limit")


class UpgradeSettings(_Part):
    """How long each phase of a device's upgrade may take before the device is probed, and then judged."""

    waiting_limit: Duration = Field(default=timedelta(hours=24), description="for the device to come online")
    inspecting_limit: Duration = Field(
        default=timedelta(minutes=3), description="for the device to tell its state and versions"
    )
    transferring_limit: Duration = Field(
        default=timedelta(minutes=60), description="for the package to reach the device"
    )
    fetching_limit: Duration = Field(
        default=timedelta(minutes=5),
        description="for a device that has taken the address of its package to ask for the first byte, before it is"
        " sent the package in another way that it has",
    )
    ways_remembered: Duration = Field(
        default=timedelta(days=30),
        ge=timedelta(0),
        le=timedelta(days=36_500),
        description="how long a way for packages that a device did not take is tried last; 0 to try each as if it were"
        " new",
    )
    executing_limit: Duration = Field(
        default=timedelta(minutes=30), description="for the device to install it and come back"
    )
    verifying_limit: Duration = Field(
        default=timedelta(minutes=10), description="for evidence that it runs what it was given"
    )
    probe_limit: Duration = Field(
        default=timedelta(minutes=2), description="for the answer to the probe before a verdict"
    )
    deferral_pause: Duration = Field(
        default=timedelta(minutes=15),
        description="until a device that puts the installation off is told again to install",
    )
    deferral_limit: Duration = Field(
        default=timedelta(hours=24),
        description="how long a device may put the installation off, from the first time on",
    )
    awake_window: Duration = Field(
        default=timedelta(seconds=93),
        description="how long a device in queue mode listens after it was heard, unless that is set for it or its"
        " model: MAX_TRANSMIT_WAIT of RFC 7252 4.8, while many clients listen for some 20 s",
    )
    sleeping_limit: Duration = Field(
        default=timedelta(days=7),
        description="how long in all a device in queue mode may sleep within a phase before its time runs on",
    )
    prefer_write: bool = Field(default=False, description="push block-wise to devices that support both methods")
    protocols: Protocols = Field(
        default=("https", "http", "coaps", "coap"),
        description="by which devices fetch packages, the most wanted first; none that is not listed",
    )
    http_from: int = Field(
        default=0,
        ge=0,
        description="bytes: a smaller package is fetched by CoAP where its device takes that, whatever the order",
    )
    http_in_clear: bool = Field(
        default=False,
        description="offer packages by HTTP, which everybody on the way can read and change, to devices with a secure"
        " session that list no secure way; they must check signatures themselves",
    )
    new_version_required: bool = Field(
        default=False,
        description="count an upgrade as failed whose device tells success and the version that it had before: right"
        " for devices that can fall back to it, wrong for clients whose version never changes",
    )


class PushSettings(_Part):
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


class MetricsSettings(_Part):
    """What the platform tells of itself, beside `/metrics` of the management API."""

    host: str = Field(default="127.0.0.1", description="address on which metrics and health are told, see metrics.port")
    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="tell metrics and health in clear and without a token on this port too; 0 for any free one",
    )


class NodeSettings(_Part):
    """Of one node of several that share a PostgreSQL database."""

    name: str = Field(default="", description="for people; empty for the host's name and the number of the process")
    lease_life: PositiveDuration = Field(
        default=timedelta(seconds=5), description="a node that is not heard of for so long is given up by the others"
    )


class IntakeSettings(_Part):
    """When new work is refused, so that work under way can end."""

    free_floor: int = Field(
        default=256 << 20,
        ge=0,
        description="bytes to keep free on the disk of the data folder: with less, no upgrade, device, package or"
        " registration is taken in; 0 for none",
    )
    database_limit: int = Field(
        default=0,
        ge=0,
        description="bytes that a PostgreSQL database may have for the same, with what is free inside its files; 0 for"
        " any size",
    )
    waiting_limit: int = Field(default=5_000, ge=1, description="writes that may wait for the store, for the same")


class RetentionSettings(_Part):
    """How long history is kept. What is older goes in small parts; nothing that is still needed does."""

    attempts: PositiveDuration = Field(default=timedelta(days=7), description="of the log of attempts to deliver")
    events: PositiveDuration = Field(
        default=timedelta(days=14),
        description="of events: for so long they can be replayed; one that is still to be delivered, is a dead letter,"
        " or is of an upgrade that has not ended stays",
    )
    dead_letters: PositiveDuration = Field(
        default=timedelta(days=90), description="of deliveries that were given up; then they are gone for good"
    )
    journal: PositiveDuration = Field(
        default=timedelta(days=7),
        description="of the journal: what passed between the gateway and each device, and what was decided about it",
    )
    replays: PositiveDuration = Field(default=timedelta(days=90), description="of replays that have ended")
    audit: PositiveDuration = Field(default=timedelta(days=365), description="of the audit")
    interval: PositiveDuration = Field(default=timedelta(minutes=15), description="between looks for what is too old")


class FirmwareSettings(_Part):
    """Packages."""

    size_limit: int = Field(default=64 << 20, ge=1, description="bytes of one package")
    upload_limit: int = Field(default=100, ge=1, description="uploads in pieces that may be open at one time")
    partial_limit: int = Field(
        default=1 << 30, ge=1, description="bytes that the uploads in pieces may announce together"
    )
    cache_limit: int = Field(
        default=4 << 30, ge=0, description="bytes of packages that a node of PostgreSQL keeps on its disk to serve them"
    )
    upload_life: PositiveDuration = Field(
        default=timedelta(hours=24), description="an upload in pieces that nobody adds to for this long is removed"
    )


class Settings(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix="FIRMCAST_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    data: Path = Field(default=Path("firmcast-data"), description="folder of the store, the packages and the keys")
    database_url: SecretStr | None = Field(
        default=None,
        description="postgresql://…; without it the store is an SQLite file in the folder, and there is one node",
    )
    migrate_at_start: bool = Field(
        default=True,
        description="bring the store to this release when it is served; else `firmcast db migrate` does, or no start",
    )
    roles: Roles = Field(
        default=frozenset(Role),
        description="what this node does, such as `rest,pusher`; less than all of it needs a database_url",
    )
    sealing_key_file: Path | None = Field(
        default=None,
        description="32 bytes that seal stored secrets, the same on all nodes; made in the folder if unset",
    )
    admin_token: SecretStr | None = Field(
        default=None, description="opens /v1; without it one is made and kept in the folder"
    )
    rest: RestSettings = RestSettings()
    gateway: GatewaySettings = GatewaySettings()
    devices: DeviceSettings = DeviceSettings()
    upgrades: UpgradeSettings = UpgradeSettings()
    push: PushSettings = PushSettings()
    firmware: FirmwareSettings = FirmwareSettings()
    metrics: MetricsSettings = MetricsSettings()
    intake: IntakeSettings = IntakeSettings()
    retention: RetentionSettings = RetentionSettings()
    nodes: NodeSettings = NodeSettings()


def load_settings(file: Path | None = None) -> Settings:
    """Return the settings of the environment over those of the TOML `file`.

    Raises:
        pydantic.ValidationError: a value is missing, unknown or outside its range.
    """
    if file is None:
        return Settings()

    class _FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    return _FromFile()
