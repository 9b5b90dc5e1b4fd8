"""The table of administrators' tokens; a token itself enters as a hash only."""

from datetime import datetime

from firmcast.administrators.model import AdministratorToken
from firmcast.db.columns import from_column, from_optional_column, to_column, to_optional_column
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import portable
from firmcast.ids import AdministratorTokenId
from firmcast.rest.authentication import Scope

_COLUMNS = "token_id, name, scopes, created_at, created_by, expires_at, last_used_at"

# A token handed out.
_INSERT = portable(
    "INSERT INTO administrator_token (token_id, name, token_hash, scopes, created_at, created_by, expires_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
)

# Every call proves its token with this one look-up.
_BY_HASH = portable(f"SELECT {_COLUMNS} FROM administrator_token WHERE token_hash = ?1")

# One token by its id.
_FIND = portable(f"SELECT {_COLUMNS} FROM administrator_token WHERE token_id = ?1")

# Is the name of a new token taken?
_BY_NAME = portable(f"SELECT {_COLUMNS} FROM administrator_token WHERE name = ?1")

# All of them; there are few.
_LIST = portable(f"SELECT {_COLUMNS} FROM administrator_token ORDER BY created_at, token_id")

# It was used; written once in a while.
_SET_LAST_USED = portable("UPDATE administrator_token SET last_used_at = ?2 WHERE token_id = ?1")

# It is no longer good for anything.
_DELETE = portable("DELETE FROM administrator_token WHERE token_id = ?1")


def _token(row: Row) -> AdministratorToken:
    return AdministratorToken(
        token_id=AdministratorTokenId(row[0]),
        name=row[1],
        scopes=frozenset(Scope(word) for word in row[2].split()),
        created_at=from_column(row[3]),
        created_by=row[4],
        expires_at=from_optional_column(row[5]),
        last_used_at=from_optional_column(row[6]),
    )


async def insert(tx: Transaction, token: AdministratorToken, token_hash: bytes) -> None:
    """Store a new token."""
    await tx.execute(
        _INSERT,
        token.token_id,
        token.name,
        token_hash,
        " ".join(sorted(token.scopes)),
        to_column(token.created_at),
        token.created_by,
        to_optional_column(token.expires_at),
    )


async def by_hash(tx: Transaction, token_hash: bytes) -> AdministratorToken | None:
    """Return the token with this hash, ended or not."""
    row = await tx.fetch_row(_BY_HASH, token_hash)
    return None if row is None else _token(row)


async def find(tx: Transaction, token_id: AdministratorTokenId) -> AdministratorToken | None:
    """Return one token."""
    row = await tx.fetch_row(_FIND, token_id)
    return None if row is None else _token(row)


async def by_name(tx: Transaction, name: str) -> AdministratorToken | None:
    """Return the token with this name."""
    row = await tx.fetch_row(_BY_NAME, name)
    return None if row is None else _token(row)


async def all_tokens(tx: Transaction) -> list[AdministratorToken]:
    """Return every token, the oldest first."""
    return [_token(row) for row in await tx.fetch(_LIST)]


async def set_last_used(tx: Transaction, token_id: AdministratorTokenId, now: datetime) -> None:
    """Note when a token was used."""
    await tx.execute(_SET_LAST_USED, token_id, to_column(now))


async def delete(tx: Transaction, token_id: AdministratorTokenId) -> bool:
    """Forget a token; False when there is none."""
    return await tx.execute(_DELETE, token_id) > 0
