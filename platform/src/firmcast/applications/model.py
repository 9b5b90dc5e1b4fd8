"""An application is a program that calls our API and receives pushes."""

from dataclasses import dataclass
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
    frozen: bool
    callback_ca: str
    """PEM of the authorities that its callbacks' certificates are checked against; empty for the system's."""


class TokenKind(StrEnum):
    """What a token is good for."""

    ACCESS = "access"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What an application is shown once, when it is created or its secret is rotated."""

    application_id: ApplicationId
    secret: str
    signing_secret: str
    """`whsec_` and base64, as Standard Webhooks spells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningIdentity:
    """What a push to an application is signed with, and what its callback's certificate is checked against."""

    secrets: tuple[str, ...]
    """Each `whsec_` and base64; a push carries one signature for each."""
    callback_ca: str
    """PEM; empty for the authorities of the system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedTokens:
    """What a login gives; opaque strings, kept as hashes only."""

    access_token: str
    refresh_token: str
    expires_in: int
    """Seconds until the access token ends."""
