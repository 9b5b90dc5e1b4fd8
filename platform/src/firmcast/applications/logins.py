"""A secret or a token is shown once, when it is made; the store keeps its SHA-256.

Secrets and tokens carry 192 bits of the system's randomness, so a plain hash cannot be searched and costs no time.
While a secret is being rotated, the one before it logs in too; what that gives ends with it at the latest.
"""

import hashlib
import hmac
from datetime import datetime, timedelta

from firmcast.applications import store
from firmcast.applications.model import Application, FrozenError, IssuedTokens, RefreshTokenError, TokenKind
from firmcast.db.port import Transaction
from firmcast.errors import NotAllowedError, NotFoundError
from firmcast.ids import ApplicationId, new_secret


async def prove(tx: Transaction, application_id: ApplicationId, secret: str, now: datetime) -> datetime | None:
    """Return until when `secret` is the application's; None for as long as it is not rotated.

    Raises:
        NotAllowedError: no such application, or not its secret.
        FrozenError: the application is frozen.
    """
    given = hash_of(secret)
    proven = None
    for known in await store.secret_hashes(tx, application_id):
        if hmac.compare_digest(given, known.secret_hash) and (known.ends_at is None or now < known.ends_at):
            proven = known
            break
    if proven is None:
        message = "no such application, or not its secret"
        raise NotAllowedError(message)
    application = await store.find(tx, application_id)
    if application is None or application.frozen:
        message = "the application is frozen"
        raise FrozenError(message)
    return proven.ends_at


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
    until = await prove(tx, application_id, secret, now)
    return await _issue(tx, application_id, now, life, refresh_life, grace, until)


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
    until = await prove(tx, application_id, secret, now)
    token_hash = hash_of(refresh_token)
    if await store.by_token(tx, token_hash, application_id, TokenKind.REFRESH, now) is None:
        message = "the refresh token is not valid"
        raise RefreshTokenError(message)
    await store.shorten_token(tx, token_hash, now + grace)
    return await _issue(tx, application_id, now, life, refresh_life, grace, until)


async def logout(tx: Transaction, access_token: str) -> None:
    """End an access token; one that is not known has ended already."""
    await store.delete_token(tx, hash_of(access_token))


async def authenticate(tx: Transaction, application_id: ApplicationId, access_token: str, now: datetime) -> Application:
    """Return the application that holds this access token.

    Raises:
        NotAllowedError: the token is not the application's, or has ended.
        FrozenError: the application is frozen.
    """
    application = await store.by_token(tx, hash_of(access_token), application_id, TokenKind.ACCESS, now)
    if application is None:
        message = "the access token is not valid"
        raise NotAllowedError(message)
    if application.frozen:
        message = "the application is frozen"
        raise FrozenError(message)
    return application


async def rotate_secret(
    tx: Transaction, application_id: ApplicationId, now: datetime, overlap: timedelta
) -> tuple[str, datetime | None]:
    """Return a new secret, and when the one before it and every token given so far end; None for at once.

    Only the last secret before the new one has an overlap: one that was still being phased out ends at once, and with
    it every token that it can have given.

    Raises:
        NotFoundError: there is no such application.
    """
    secret = new_secret()
    ends_at = now + overlap if overlap > timedelta(0) else None
    await store.delete_tokens_of_overlap(tx, application_id)  # before the overlap is another one
    if not await store.rotate_secret(tx, application_id, hash_of(secret), ends_at):
        raise NotFoundError("application", application_id)
    if ends_at is None:
        await store.delete_tokens(tx, application_id)
    else:
        await store.shorten_all_tokens(tx, application_id, ends_at)
    return secret, ends_at


def hash_of(secret: str) -> bytes:
    """Return what is kept of a secret or a token."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


async def _issue(
    tx: Transaction,
    application_id: ApplicationId,
    now: datetime,
    life: timedelta,
    refresh_life: timedelta,
    grace: timedelta,
    until: datetime | None,
) -> IssuedTokens:
    # Some clients log in again exactly when the old token ends, with calls still under way: it lives a little longer.
    access_end, refresh_end = now + life + grace, now + refresh_life
    if until is not None:
        life, access_end, refresh_end = min(life, until - now), min(access_end, until), min(refresh_end, until)
    tokens = IssuedTokens(
        access_token=new_secret(), refresh_token=new_secret(), expires_in=max(1, int(life.total_seconds()))
    )
    await store.delete_ended(tx, application_id, now)
    await store.shorten_tokens(tx, application_id, TokenKind.ACCESS, now + grace)
    await store.insert_token(tx, hash_of(tokens.access_token), application_id, TokenKind.ACCESS, access_end)
    await store.insert_token(tx, hash_of(tokens.refresh_token), application_id, TokenKind.REFRESH, refresh_end)
    return tokens
