"""A store knows the key that its secrets are sealed with, so that no node begins with another one."""

from typing import Final

from firmcast.db.port import Transaction
from firmcast.db.statement import portable
from firmcast.errors import StartError
from firmcast.sealing import Sealer

_NAME: Final = "sealing-key"
_PURPOSE: Final = "key check"

# What this installation has noted of itself under a name.
SELECT: Final = portable("SELECT value FROM installation WHERE name = ?1")

# It is noted once, by whoever comes first.
INSERT: Final = portable("INSERT INTO installation (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING")

# It is noted anew, since every secret has been sealed with another key.
REPLACE: Final = portable(
    "INSERT INTO installation (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


async def key_check(tx: Transaction) -> bytes | None:
    """Return what was sealed with the key of the store; None where no key has come yet."""
    row = await tx.fetch_row(SELECT, _NAME)
    return None if row is None else bytes(row[0])


async def require_key(tx: Transaction, sealer: Sealer) -> None:
    """Note the first key that comes, and let nobody work with another one.

    Raises:
        StartError: the secrets in the store were sealed with another key.
    """
    await tx.execute(INSERT, _NAME, sealer.seal(b"", _PURPOSE))
    noted = await key_check(tx)
    assert noted is not None, "it was inserted, or was there"
    if not opens(noted, sealer):
        message = "the secrets in the store were sealed with another key"
        raise StartError(message)


async def replace_key(tx: Transaction, sealer: Sealer) -> None:
    """Note another key; everything is sealed with it in the same transaction."""
    await tx.execute(REPLACE, _NAME, sealer.seal(b"", _PURPOSE))


def opens(noted: bytes, sealer: Sealer) -> bool:
    """Say whether a key is the one that was noted."""
    try:
        sealer.open(noted, _PURPOSE)
    except StartError:
        return False
    return True
