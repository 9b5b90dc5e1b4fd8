"""The tables of applications and their tokens; what is secret enters as a hash or sealed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from firmcast.applications.model import Application, SecretHash, TokenKind
from firmcast.db.columns import from_column, from_optional_column, to_column, to_optional_column
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import differing, portable
from firmcast.ids import ApplicationId

_COLUMNS = (
    "a.application_id, a.name, a.created_at, a.frozen, a.deleting, a.callback_ca, a.client_certificate,"
    " a.verification_key, a.former_secret_ends_at, a.former_signing_secret_ends_at, a.signing_public_key,"
    " a.former_signing_key_ends_at, a.callback_header_names"
)

# A new application, with everything that it will prove itself and be signed to with.
_INSERT = portable(
    "INSERT INTO application (application_id, name, secret_hash, signing_secret_sealed, callback_ca, frozen,"
    " created_at) VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)"
)

# One application by its id.
_FIND = portable(f"SELECT {_COLUMNS} FROM application a WHERE a.application_id = ?1")

# All of them, for an operator; there are few.
_LIST = portable(f"SELECT {_COLUMNS} FROM application a ORDER BY a.created_at, a.application_id")

# Called something else.
_SET_NAME = portable("UPDATE application SET name = ?2 WHERE application_id = ?1")

# Refused, or let in again.
_SET_FROZEN = portable("UPDATE application SET frozen = ?2 WHERE application_id = ?1")

# Its end has begun.
_SET_DELETING = portable("UPDATE application SET frozen = 1, deleting = 1 WHERE application_id = ?1")

# It has ended.
_DELETE = portable("DELETE FROM application WHERE application_id = ?1")

# A login compares hashes.
_SECRET_HASHES = portable(
    "SELECT secret_hash, former_secret_hash, former_secret_ends_at FROM application WHERE application_id = ?1"
)

# The new secret logs in from now on, the one before it until a certain time.
_ROTATE_SECRET = portable(
    "UPDATE application SET secret_hash = ?2, former_secret_ends_at = ?3,"
    " former_secret_hash = CASE WHEN CAST(?3 AS BIGINT) IS NULL THEN NULL ELSE secret_hash END"
    " WHERE application_id = ?1"
)

# The same of the secret that pushes are signed with.
_ROTATE_SIGNING_SECRET = portable(
    "UPDATE application SET signing_secret_sealed = ?2, former_signing_secret_ends_at = ?3,"
    " former_signing_secret_sealed = CASE WHEN CAST(?3 AS BIGINT) IS NULL THEN NULL ELSE signing_secret_sealed END"
    " WHERE application_id = ?1"
)

# The same of the key that they are signed with too.
_ROTATE_SIGNING_KEY = portable(
    "UPDATE application SET signing_key_sealed = ?2, signing_public_key = ?3, former_signing_key_ends_at = ?4,"
    " former_signing_key_sealed = CASE WHEN CAST(?4 AS BIGINT) IS NULL THEN NULL ELSE signing_key_sealed END"
    " WHERE application_id = ?1"
)

# No key, of which the former one has no overlap either.
_REMOVE_SIGNING_KEY = portable(
    "UPDATE application SET signing_key_sealed = NULL, signing_public_key = '', former_signing_key_sealed = NULL,"
    " former_signing_key_ends_at = NULL WHERE application_id = ?1"
)

# The authorities that callbacks are checked against.
_SET_CALLBACK_CA = portable("UPDATE application SET callback_ca = ?2 WHERE application_id = ?1")

# Whom pushes come as.
_SET_CLIENT_CERTIFICATE = portable(
    "UPDATE application SET client_certificate = ?2, client_key_sealed = ?3 WHERE application_id = ?1"
)

# What pushes carry beside the headers of every push.
_SET_CALLBACK_HEADERS = portable(
    "UPDATE application SET callback_header_names = ?2, callback_headers_sealed = ?3 WHERE application_id = ?1"
)

# What packages are signed for.
_SET_VERIFICATION_KEY = portable("UPDATE application SET verification_key = ?2 WHERE application_id = ?1")

_SIGNING_COLUMNS = (
    "SELECT application_id, signing_secret_sealed, former_signing_secret_sealed, former_signing_secret_ends_at,"
    " callback_ca, client_certificate, client_key_sealed, signing_key_sealed, former_signing_key_sealed,"
    " former_signing_key_ends_at, callback_headers_sealed FROM application"
)

# What the pushes of a batch of applications are signed with, and whom they trust and come as.
_SIGNING = differing(
    sqlite=f"{_SIGNING_COLUMNS} WHERE application_id IN (SELECT value FROM json_each(?1))",
    postgres=f"{_SIGNING_COLUMNS} WHERE application_id = ANY(?1)",
)

# Everything that is sealed, for a new key: a page of all applications.
SEALED_AFTER: Final = portable(
    "SELECT application_id, signing_secret_sealed, former_signing_secret_sealed, signing_key_sealed,"
    " former_signing_key_sealed, client_key_sealed, callback_headers_sealed FROM application"
    " WHERE application_id > ?1 ORDER BY application_id LIMIT ?2"
)

# The same, sealed with the new key.
SET_SEALED: Final = portable(
    "UPDATE application SET signing_secret_sealed = ?2, former_signing_secret_sealed = ?3, signing_key_sealed = ?4,"
    " former_signing_key_sealed = ?5, client_key_sealed = ?6, callback_headers_sealed = ?7 WHERE application_id = ?1"
)

# A token handed out.
_INSERT_TOKEN = portable("INSERT INTO token (token_hash, application_id, kind, expires_at) VALUES (?1, ?2, ?3, ?4)")

# Every call proves its token with this one look-up.
_BY_TOKEN = portable(
    f"SELECT {_COLUMNS} FROM token t JOIN application a ON a.application_id = t.application_id"
    " WHERE t.token_hash = ?1 AND t.application_id = ?2 AND t.kind = ?3 AND t.expires_at > ?4"
)

# A newer token ends the older ones of its kind, after a grace.
_SHORTEN_TOKENS = portable(
    "UPDATE token SET expires_at = ?3 WHERE application_id = ?1 AND kind = ?2 AND expires_at > ?3"
)

# What the former secret gave ends with it.
_SHORTEN_ALL_TOKENS = portable("UPDATE token SET expires_at = ?2 WHERE application_id = ?1 AND expires_at > ?2")

# What the secret before the former one may have given. Which secret gave a token is not kept, but none of that secret
# outlives the overlap.
_DELETE_TOKENS_OF_OVERLAP = portable(
    "DELETE FROM token WHERE application_id = ?1"
    " AND expires_at <= (SELECT a.former_secret_ends_at FROM application a WHERE a.application_id = ?1)"
)

# One token ends early, after a grace.
_SHORTEN_TOKEN = portable("UPDATE token SET expires_at = ?2 WHERE token_hash = ?1 AND expires_at > ?2")

# Whoever holds a token may end it.
_DELETE_TOKEN = portable("DELETE FROM token WHERE token_hash = ?1")

# What has ended is of no use to anybody; removed whenever its application asks for a new token.
_DELETE_ENDED = portable("DELETE FROM token WHERE application_id = ?1 AND expires_at <= ?2")

# A new secret ends everything that the old one gave.
_DELETE_TOKENS = portable("DELETE FROM token WHERE application_id = ?1")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningRow:
    """What the store has of a signing identity: secrets and key sealed."""

    application_id: ApplicationId
    sealed: bytes
    former_sealed: bytes
    """Empty for none."""
    former_ends_at: datetime | None
    callback_ca: str
    client_certificate: str
    client_key_sealed: bytes
    """Empty for none."""
    key_sealed: bytes
    """Empty for none."""
    former_key_sealed: bytes
    """Empty for none."""
    former_key_ends_at: datetime | None
    headers_sealed: bytes
    """Empty for none."""


def _application(row: Row) -> Application:
    return Application(
        application_id=ApplicationId(row[0]),
        name=row[1],
        created_at=from_column(row[2]),
        frozen=bool(row[3]),
        deleting=bool(row[4]),
        callback_ca=row[5],
        client_certificate=row[6],
        verification_key=row[7],
        secret_overlap_ends_at=from_optional_column(row[8]),
        signing_overlap_ends_at=from_optional_column(row[9]),
        signing_public_key=row[10],
        signing_key_overlap_ends_at=from_optional_column(row[11]),
        callback_headers=tuple(row[12].split()),
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


async def set_name(tx: Transaction, application_id: ApplicationId, name: str) -> None:
    """Replace the name."""
    await tx.execute(_SET_NAME, application_id, name)


async def set_frozen(tx: Transaction, application_id: ApplicationId, *, frozen: bool) -> None:
    """Note whether the application may call us."""
    await tx.execute(_SET_FROZEN, application_id, int(frozen))


async def set_deleting(tx: Transaction, application_id: ApplicationId) -> None:
    """Note that the application ends; it is frozen by that."""
    await tx.execute(_SET_DELETING, application_id)


async def delete(tx: Transaction, application_id: ApplicationId) -> None:
    """Forget the application."""
    await tx.execute(_DELETE, application_id)


async def secret_hashes(tx: Transaction, application_id: ApplicationId) -> list[SecretHash]:
    """Return the hashes of the secrets that log in, the present one first; none when there is no such application."""
    row = await tx.fetch_row(_SECRET_HASHES, application_id)
    if row is None:
        return []
    present = SecretHash(secret_hash=bytes(row[0]), ends_at=None)
    if row[1] is None or row[2] is None:
        return [present]
    return [present, SecretHash(secret_hash=bytes(row[1]), ends_at=from_column(row[2]))]


async def rotate_secret(
    tx: Transaction, application_id: ApplicationId, new_hash: bytes, former_ends_at: datetime | None
) -> bool:
    """Replace the hash of the secret, None ending the former at once; False when there is no such application."""
    return await tx.execute(_ROTATE_SECRET, application_id, new_hash, to_optional_column(former_ends_at)) > 0


async def rotate_signing_secret(
    tx: Transaction, application_id: ApplicationId, sealed: bytes, former_ends_at: datetime | None
) -> bool:
    """Replace the signing secret in the same way."""
    return await tx.execute(_ROTATE_SIGNING_SECRET, application_id, sealed, to_optional_column(former_ends_at)) > 0


async def rotate_signing_key(
    tx: Transaction, application_id: ApplicationId, sealed: bytes, public_key: str, former_ends_at: datetime | None
) -> None:
    """Replace the key, None ending the former at once."""
    await tx.execute(_ROTATE_SIGNING_KEY, application_id, sealed, public_key, to_optional_column(former_ends_at))


async def remove_signing_key(tx: Transaction, application_id: ApplicationId) -> None:
    """Forget the key, and the one before it."""
    await tx.execute(_REMOVE_SIGNING_KEY, application_id)


async def set_callback_ca(tx: Transaction, application_id: ApplicationId, pem: str) -> None:
    """Replace the authorities."""
    await tx.execute(_SET_CALLBACK_CA, application_id, pem)


async def set_client_certificate(tx: Transaction, application_id: ApplicationId, chain: str, key_sealed: bytes) -> None:
    """Replace the client certificate; empty for none."""
    await tx.execute(_SET_CLIENT_CERTIFICATE, application_id, chain, key_sealed)


async def set_callback_headers(
    tx: Transaction, application_id: ApplicationId, names: Sequence[str], sealed: bytes
) -> None:
    """Replace the headers that pushes carry beside those of every push; none, and nothing sealed, for no such ones."""
    await tx.execute(_SET_CALLBACK_HEADERS, application_id, " ".join(names), sealed)


async def set_verification_key(tx: Transaction, application_id: ApplicationId, pem: str) -> None:
    """Replace the key of packages; empty for none."""
    await tx.execute(_SET_VERIFICATION_KEY, application_id, pem)


async def signing(tx: Transaction, application_ids: Sequence[ApplicationId]) -> list[SigningRow]:
    """Return the signing identities of those that exist."""
    return [
        SigningRow(
            application_id=ApplicationId(row[0]),
            sealed=bytes(row[1]),
            former_sealed=bytes(row[2] or b""),
            former_ends_at=from_optional_column(row[3]),
            callback_ca=row[4],
            client_certificate=row[5],
            client_key_sealed=bytes(row[6]),
            key_sealed=bytes(row[7] or b""),
            former_key_sealed=bytes(row[8] or b""),
            former_key_ends_at=from_optional_column(row[9]),
            headers_sealed=bytes(row[10] or b""),
        )
        for row in await tx.fetch(_SIGNING, list(application_ids))
    ]


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


async def shorten_all_tokens(tx: Transaction, application_id: ApplicationId, until: datetime) -> None:
    """Let all tokens of the application end at `until` at the latest."""
    await tx.execute(_SHORTEN_ALL_TOKENS, application_id, to_column(until))


async def delete_tokens_of_overlap(tx: Transaction, application_id: ApplicationId) -> None:
    """Forget the tokens that end with the overlap which is under way; none where there is none."""
    await tx.execute(_DELETE_TOKENS_OF_OVERLAP, application_id)


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
