"""An application is a program that calls our API and receives pushes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from firmcast.errors import NotAllowedError
from firmcast.ids import ApplicationId


class FrozenError(NotAllowedError):
    """The application is frozen: what it proves does not help it."""


class RefreshTokenError(NotAllowedError):
    """The refresh token is not the application's, or has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A program that calls our API; its secret is kept as a hash only."""

    application_id: ApplicationId
    name: str
    created_at: datetime
    frozen: bool = False
    """It may not call us. What it has subscribed to is still pushed to it."""
    deleting: bool = False
    """Its deletion has begun and cannot be undone; it is frozen too."""
    callback_ca: str = ""
    """PEM of the authorities that its callbacks' certificates are checked against; empty for the system's."""
    client_certificate: str = ""
    """PEM chain that pushes to it present; empty for none."""
    verification_key: str = ""
    """PEM public key that its packages' signatures are checked with; empty for none."""
    callback_headers: tuple[str, ...] = ()
    """The names of the headers that pushes to it carry beside those of every push."""
    signing_public_key: str = ""
    """`whpk_` and base64: pushes to it carry a signature of this key too; empty for none."""
    secret_overlap_ends_at: datetime | None = None
    """Until then the secret before the present one logs in too."""
    signing_overlap_ends_at: datetime | None = None
    """Until then pushes are signed with the secret before the present one too."""
    signing_key_overlap_ends_at: datetime | None = None
    """The same of the key."""


class TokenKind(StrEnum):
    """What a token is good for."""

    ACCESS = "access"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What an application is shown once, when it is created."""

    application_id: ApplicationId
    secret: str
    signing_secret: str
    """`whsec_` and base64, as Standard Webhooks spells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretHash:
    """The hash of a secret that logs in."""

    secret_hash: bytes
    ends_at: datetime | None
    """When it stops doing so; None for the present secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSecret:
    """A secret that pushes are signed with."""

    secret: str
    """`whsec_` and base64."""
    ends_at: datetime | None
    """When it is no longer signed with; None for the present one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """An Ed25519 key that pushes are signed with."""

    seed: bytes = field(repr=False)
    """32 bytes: the private key."""
    ends_at: datetime | None
    """When it is no longer signed with; None for the present one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningIdentity:
    """What pushes to an application are signed with, whom they trust and as whom they come."""

    secrets: tuple[SigningSecret, ...]
    """The newest first; a push carries one signature for each that has not ended."""
    keys: tuple[SigningKey, ...]
    """The same; none for an application that has no key."""
    callback_ca: str
    """PEM; empty for the authorities of the system."""
    client_certificate: str
    """PEM chain; empty for none."""
    client_key: str
    """PEM of its private key."""
    headers: Mapping[str, str] = field(repr=False)
    """What pushes carry beside the headers of every push, by name; checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedTokens:
    """What a login gives; opaque strings, kept as hashes only."""

    access_token: str
    refresh_token: str
    expires_in: int
    """Seconds until the access token ends."""
