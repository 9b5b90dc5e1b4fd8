"""The tables of applications and their tokens; what is secret enters as a hash or sealed."""

from collections.abc import Sequence
from datetime import datetime

from firmcast.applications.model import Application, TokenKind
from firmcast.db.columns import from_column, to_column
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import differing, portable
from firmcast.ids import ApplicationId

# A new application, with everything that it will prove itself and be signed to with.
_INSERT = portable(
    "INSERT INTO application (application_id, name, secret_hash, signing_secret_sealed, callback_ca, frozen,"
    " created_at) VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)"
)

# One application by its id.
_FIND = portable(
    "SELECT application_id, name, callback_ca, frozen, created_at FROM application WHERE application_id = ?1"
)

# All of them, for an operator; there are few.
_LIST = portable(
    "SELECT application_id, name, callback_ca, frozen, created_at FROM application ORDER BY created_at, application_id"
)

# A login compares hashes.
_SECRET_HASH = portable("SELECT secret_hash FROM application WHERE application_id = ?1")

# From now on only the new secret logs in.
_SET_SECRET_HASH = portable("UPDATE application SET secret_hash = ?2 WHERE application_id = ?1")

# The authorities that callbacks are checked against.
_SET_CALLBACK_CA = portable("UPDATE application SET callback_ca = ?2 WHERE application_id = ?1")

# What the pushes of a batch of applications are signed with.
_SIGNING = differing(
    sqlite="SELECT application_id, signing_secret_sealed, callback_ca FROM application"
    " WHERE application_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT application_id, signing_secret_sealed, callback_ca FROM application"
    " WHERE application_id = ANY(?1)",
)

# A token handed out.
_INSERT_TOKEN = portable("INSERT INTO token (token_hash, application_id, kind, expires_at) VALUES (?1, ?2, ?3, ?4)")

# Every call proves its token with this one look-up.
_BY_TOKEN = portable(
    "SELECT a.application_id, a.name, a.callback_ca, a.frozen, a.created_at FROM token t"
    " JOIN application a ON a.application_id = t.application_id"
    " WHERE t.token_hash = ?1 AND t.application_id = ?2 AND t.kind = ?3 AND t.expires_at > ?4"
)

# A newer token ends the older ones of its kind, after a grace.
_SHORTEN_TOKENS = portable(
    "UPDATE token SET expires_at = ?3 WHERE application_id = ?1 AND kind = ?2 AND expires_at > ?3"
)

# One token ends early, after a grace.
_SHORTEN_TOKEN = portable("UPDATE token SET expires_at = ?2 WHERE token_hash = ?1 AND expires_at > ?2")

# Whoever holds a token may end it.
_DELETE_TOKEN = portable("DELETE FROM token WHERE token_hash = ?1")

# What has ended is of no use to anybody; removed whenever its application asks for a new token.
_DELETE_ENDED = portable("DELETE FROM token WHERE application_id = ?1 AND expires_at <= ?2")

# A new secret ends everything that the old one gave.
_DELETE_TOKENS = portable("DELETE FROM token WHERE application_id = ?1")


def _application(row: Row) -> Application:
    application_id, name, callback_ca, frozen, created_at = row
    return Application(
        application_id=ApplicationId(application_id),
        name=name,
        callback_ca=callback_ca,
        frozen=bool(frozen),
        created_at=from_column(created_at),
    )


async def insert(
    tx: Transaction, application: Application, *, secret_hash: bytes, signing_secret_sealed: bytes
) -> None:
    """Store a new application."""
    await tx.execute(
        _INSERT,
        application.application_id,
        application.name,
        secret_hash,
        signing_secret_sealed,
        application.callback_ca,
        to_column(application.created_at),
    )


async def find(tx: Transaction, application_id: ApplicationId) -> Application | None:
    """Return the application, None when there is none."""
    row = await tx.fetch_row(_FIND, application_id)
    return None if row is None else _application(row)


async def all_applications(tx: Transaction) -> list[Application]:
    """Return every application, the oldest first."""
    return [_application(row) for row in await tx.fetch(_LIST)]


async def secret_hash(tx: Transaction, application_id: ApplicationId) -> bytes | None:
    """Return the hash of the secret, None when there is no such application."""
    row = await tx.fetch_row(_SECRET_HASH, application_id)
    return None if row is None else bytes(row[0])


async def set_secret_hash(tx: Transaction, application_id: ApplicationId, new_hash: bytes) -> bool:
    """Replace the hash of the secret; False when there is no such application."""
    return await tx.execute(_SET_SECRET_HASH, application_id, new_hash) > 0


async def set_callback_ca(tx: Transaction, application_id: ApplicationId, pem: str) -> bool:
    """Replace the authorities; False when there is no such application."""
    return await tx.execute(_SET_CALLBACK_CA, application_id, pem) > 0


async def signing(tx: Transaction, application_ids: Sequence[ApplicationId]) -> list[tuple[ApplicationId, bytes, str]]:
    """Return (id, sealed signing secret, callback CA) of those that exist."""
    rows = await tx.fetch(_SIGNING, list(application_ids))
    return [(ApplicationId(row[0]), bytes(row[1]), row[2]) for row in rows]


async def insert_token(
    tx: Transaction, token_hash: bytes, application_id: ApplicationId, kind: TokenKind, expires_at: datetime
) -> None:
    """Store a token that was handed out."""
    await tx.execute(_INSERT_TOKEN, token_hash, application_id, kind, to_column(expires_at))


async def by_token(
    tx: Transaction, token_hash: bytes, application_id: ApplicationId, kind: TokenKind, now: datetime
) -> Application | None:
    """Return the application when the token is its own, of this kind, and has not ended."""
    row = await tx.fetch_row(_BY_TOKEN, token_hash, application_id, kind, to_column(now))
    return None if row is None else _application(row)


async def shorten_tokens(tx: Transaction, application_id: ApplicationId, kind: TokenKind, until: datetime) -> None:
    """Let all tokens of the kind end at `until` at the latest."""
    await tx.execute(_SHORTEN_TOKENS, application_id, kind, to_column(until))


async def shorten_token(tx: Transaction, token_hash: bytes, until: datetime) -> None:
    """Let one token end at `until` at the latest."""
    await tx.execute(_SHORTEN_TOKEN, token_hash, to_column(until))


async def delete_token(tx: Transaction, token_hash: bytes) -> None:
    """Forget one token."""
    await tx.execute(_DELETE_TOKEN, token_hash)


async def delete_ended(tx: Transaction, application_id: ApplicationId, now: datetime) -> None:
    """Forget the tokens of the application that have ended."""
    await tx.execute(_DELETE_ENDED, application_id, to_column(now))


async def delete_tokens(tx: Transaction, application_id: ApplicationId) -> None:
    """Forget every token of the application."""
    await tx.execute(_DELETE_TOKENS, application_id)
