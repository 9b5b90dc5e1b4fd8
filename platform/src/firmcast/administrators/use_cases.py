"""Nobody hands out more than he has: not a scope that his own token lacks, nor a token that outlives it.

A token is shown once, when it is made; what is kept of it is its SHA-256. It carries 192 bits of the system's
randomness, so a plain hash cannot be searched.
"""

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from firmcast.administrators import store
from firmcast.administrators.model import AdministratorToken
from firmcast.db.port import Transaction
from firmcast.errors import ConflictError, InvalidValueError, NotAllowedError, NotFoundError
from firmcast.ids import AdministratorTokenId, new_hex, new_secret
from firmcast.rest.authentication import OPERATOR, Administrator, Scope

USE_NOTED_EVERY: Final = timedelta(minutes=1)

_NAME_LIMIT = 64
_PREFIX = "fca_"  # so that a token that has leaked is recognised as one
_LONGEST_TOKEN = 256


async def create(
    tx: Transaction,
    *,
    name: str,
    scopes: Collection[Scope],
    expires_at: datetime | None,
    maker: Administrator,
    now: datetime,
) -> tuple[AdministratorToken, str]:
    """Make a token; return what is kept of it, and itself, which is shown this once.

    Raises:
        InvalidValueError: the name is empty, over 64 characters, unprintable, padded or the operator's; there is no
            scope; or the token would have ended already.
        NotAllowedError: its maker lacks one of the scopes, or ends earlier.
        ConflictError: another token has the name.
    """
    _check_name(name)
    if not scopes:
        raise InvalidValueError("scopes", "at least one")
    if expires_at is not None and expires_at <= now:
        raise InvalidValueError("expires_at", "must be in the future")
    if beyond := sorted(set(scopes) - maker.scopes):
        message = f"the token that makes it does not have {', '.join(beyond)}"
        raise NotAllowedError(message)
    if maker.expires_at is not None and (expires_at is None or expires_at > maker.expires_at):
        message = f"the token that makes it ends at {maker.expires_at.isoformat()}; give an expires_at before that"
        raise NotAllowedError(message)
    if await store.by_name(tx, name) is not None:
        message = f"there is a token {name!r} already"
        raise ConflictError(message)
    made = AdministratorToken(
        token_id=AdministratorTokenId(new_hex()),
        name=name,
        scopes=frozenset(scopes),
        created_at=now,
        created_by=maker.name,
        expires_at=expires_at,
        last_used_at=None,
    )
    token = _PREFIX + new_secret()
    await store.insert(tx, made, _hash(token))
    return made, token


async def holder(tx: Transaction, token: str, now: datetime) -> AdministratorToken | None:
    """Return what is kept of a token that is live; None for any other text."""
    if len(token) > _LONGEST_TOKEN:
        return None
    found = await store.by_hash(tx, _hash(token))
    if found is None or (found.expires_at is not None and found.expires_at <= now):
        return None
    return found


def use_is_to_be_noted(token: AdministratorToken, now: datetime) -> bool:
    """Say whether the last use that is known lies back so far that this one is written."""
    return token.last_used_at is None or now - token.last_used_at >= USE_NOTED_EVERY


async def note_use(tx: Transaction, token_id: AdministratorTokenId, now: datetime) -> None:
    """Note that a token was used; one that is gone meanwhile is no matter."""
    await store.set_last_used(tx, token_id, now)


async def find(tx: Transaction, token_id: AdministratorTokenId) -> AdministratorToken:
    """Return what is kept of a token.

    Raises:
        NotFoundError: there is none.
    """
    found = await store.find(tx, token_id)
    if found is None:
        raise NotFoundError("administrator token", token_id)
    return found


async def listed(tx: Transaction) -> list[AdministratorToken]:
    """Return every token but the operator's own, the oldest first, those that have ended included."""
    return await store.all_tokens(tx)


async def delete(tx: Transaction, token_id: AdministratorTokenId) -> AdministratorToken:
    """End a token at once, and return what was kept of it. What it made stays.

    Raises:
        ConflictError: it is the operator's own, which the settings hold.
        NotFoundError: there is none.
    """
    if token_id == OPERATOR.token_id:
        message = "the operator's own token comes from the settings; it cannot be deleted"
        raise ConflictError(message)
    found = await find(tx, token_id)
    await store.delete(tx, token_id)
    return found


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _check_name(name: str) -> None:
    if name != name.strip() or not name or len(name) > _NAME_LIMIT or not name.isprintable():
        raise InvalidValueError("name", f"1 to {_NAME_LIMIT} printable characters, no blank at either end")
    if name.casefold() == OPERATOR.name:  # in the audit nobody is to be taken for him
        raise InvalidValueError("name", "this is the name of the operator's own token")
