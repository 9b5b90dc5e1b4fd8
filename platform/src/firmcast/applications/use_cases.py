"""A secret or a token is shown once, when it is made; the store keeps its SHA-256, or, where we must sign, seals it.

Secrets and tokens carry 192 bits of the system's randomness, so a plain hash cannot be searched and costs no time.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509

from firmcast.applications import store
from firmcast.applications.model import (
    Application,
    Credentials,
    FrozenError,
    IssuedTokens,
    RefreshTokenError,
    SigningIdentity,
    TokenKind,
)
from firmcast.db.port import Channel, Transaction
from firmcast.errors import InvalidValueError, NotAllowedError, NotFoundError
from firmcast.ids import ApplicationId, new_hex, new_secret
from firmcast.sealing import Sealer

APPLICATIONS_CHANGED = Channel("applications")
"""Announced with the ids of applications whose signing identity may have changed."""

_NAME_LIMIT = 256
_SIGNING_PURPOSE = "application signing secret"


async def create(tx: Transaction, name: str, sealer: Sealer, now: datetime, *, callback_ca: str = "") -> Credentials:
    """Create an application and return what it proves itself with; shown this once.

    Raises:
        InvalidValueError: the name is empty or over 256 characters, or the CA is not PEM.
    """
    if not name.strip() or len(name) > _NAME_LIMIT:
        raise InvalidValueError("name", f"1 to {_NAME_LIMIT} characters")
    _check_authorities(callback_ca)
    application = Application(
        application_id=ApplicationId(new_hex()), name=name, created_at=now, frozen=False, callback_ca=callback_ca
    )
    credentials = Credentials(
        application_id=application.application_id,
        secret=new_secret(),
        signing_secret=f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
    )
    await store.insert(
        tx,
        application,
        secret_hash=_hash(credentials.secret),
        signing_secret_sealed=sealer.seal(credentials.signing_secret.encode(), _SIGNING_PURPOSE),
    )
    tx.announce(APPLICATIONS_CHANGED, [application.application_id])
    return credentials


async def rotate_secret(tx: Transaction, application_id: ApplicationId) -> str:
    """Return a new secret; the old one and every token that it gave end at once.

    Raises:
        NotFoundError: there is no such application.
    """
    secret = new_secret()
    if not await store.set_secret_hash(tx, application_id, _hash(secret)):
        raise NotFoundError("application", application_id)
    await store.delete_tokens(tx, application_id)
    return secret


async def set_callback_ca(tx: Transaction, application_id: ApplicationId, pem: str) -> None:
    """Have the application's callbacks checked against the authorities in `pem`; empty for the system's.

    Raises:
        InvalidValueError: `pem` holds no certificate, or what is not one.
        NotFoundError: there is no such application.
    """
    _check_authorities(pem)
    if not await store.set_callback_ca(tx, application_id, pem):
        raise NotFoundError("application", application_id)
    tx.announce(APPLICATIONS_CHANGED, [application_id])


async def find(tx: Transaction, application_id: ApplicationId) -> Application:
    """Return the application.

    Raises:
        NotFoundError: there is no such application.
    """
    application = await store.find(tx, application_id)
    if application is None:
        raise NotFoundError("application", application_id)
    return application


async def listed(tx: Transaction) -> list[Application]:
    """Return every application, the oldest first."""
    return await store.all_applications(tx)


async def prove(tx: Transaction, application_id: ApplicationId, secret: str, now: datetime) -> None:
    """Return when `secret` is the application's.

    Raises:
        NotAllowedError: no such application, or not its secret.
        FrozenError: the application is frozen.
    """
    del now
    await _prove_secret(tx, application_id, secret)


async def login(
    tx: Transaction,
    application_id: ApplicationId,
    secret: str,
    now: datetime,
    life: timedelta,
    refresh_life: timedelta,
    grace: timedelta,
) -> IssuedTokens:
    """Give tokens for a secret; access tokens of earlier logins end after `grace`.

    Raises:
        NotAllowedError: no such application, or not its secret.
        FrozenError: the application is frozen.
    """
    await _prove_secret(tx, application_id, secret)
    return await _issue(tx, application_id, now, life, refresh_life, grace)


async def refresh(
    tx: Transaction,
    application_id: ApplicationId,
    secret: str,
    refresh_token: str,
    now: datetime,
    life: timedelta,
    refresh_life: timedelta,
    grace: timedelta,
) -> IssuedTokens:
    """Give tokens for a secret and a refresh token, which ends after `grace`.

    Raises:
        NotAllowedError: no such application, or not its secret.
        FrozenError: the application is frozen.
        RefreshTokenError: the refresh token is not the application's, or has ended.
    """
    await _prove_secret(tx, application_id, secret)
    token_hash = _hash(refresh_token)
    if await store.by_token(tx, token_hash, application_id, TokenKind.REFRESH, now) is None:
        message = "the refresh token is not valid"
        raise RefreshTokenError(message)
    await store.shorten_token(tx, token_hash, now + grace)
    return await _issue(tx, application_id, now, life, refresh_life, grace)


async def logout(tx: Transaction, access_token: str) -> None:
    """End an access token; one that is not known has ended already."""
    await store.delete_token(tx, _hash(access_token))


async def authenticate(tx: Transaction, application_id: ApplicationId, access_token: str, now: datetime) -> Application:
    """Return the application that holds this access token.

    Raises:
        NotAllowedError: the token is not the application's, has ended, or the application is frozen.
    """
    application = await store.by_token(tx, _hash(access_token), application_id, TokenKind.ACCESS, now)
    if application is None:
        message = "the access token is not valid"
        raise NotAllowedError(message)
    if application.frozen:
        message = "the application is frozen"
        raise FrozenError(message)
    return application


async def signing_secrets(
    tx: Transaction, application_ids: Sequence[ApplicationId], sealer: Sealer
) -> dict[ApplicationId, SigningIdentity]:
    """Return what pushes to these applications are signed with; unknown ids are absent.

    Raises:
        StartError: the key file is not the one that sealed the secrets.
    """
    return {
        application_id: SigningIdentity(
            secrets=(sealer.open(sealed, _SIGNING_PURPOSE).decode(),), callback_ca=callback_ca
        )
        for application_id, sealed, callback_ca in await store.signing(tx, application_ids)
    }


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


async def _prove_secret(tx: Transaction, application_id: ApplicationId, secret: str) -> None:
    expected = await store.secret_hash(tx, application_id)
    if not hmac.compare_digest(_hash(secret), expected or b"\0" * 32):
        message = "no such application, or not its secret"
        raise NotAllowedError(message)
    if (await find(tx, application_id)).frozen:
        message = "the application is frozen"
        raise FrozenError(message)


async def _issue(
    tx: Transaction,
    application_id: ApplicationId,
    now: datetime,
    life: timedelta,
    refresh_life: timedelta,
    grace: timedelta,
) -> IssuedTokens:
    tokens = IssuedTokens(access_token=new_secret(), refresh_token=new_secret(), expires_in=int(life.total_seconds()))
    await store.delete_ended(tx, application_id, now)
    await store.shorten_tokens(tx, application_id, TokenKind.ACCESS, now + grace)
    # Some clients log in again exactly when the old token ends, with calls still under way: it lives a little longer.
    access_end = now + life + grace
    await store.insert_token(tx, _hash(tokens.access_token), application_id, TokenKind.ACCESS, access_end)
    await store.insert_token(tx, _hash(tokens.refresh_token), application_id, TokenKind.REFRESH, now + refresh_life)
    return tokens


def _check_authorities(pem: str) -> None:
    if not pem:
        return
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise InvalidValueError("callback_ca", str(error)) from None
