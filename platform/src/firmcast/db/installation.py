"""A store knows the key that its secrets are sealed with, so that no node begins with another one."""

from typing import Final

from firmcast.db.port import Transaction
from firmcast.db.statement import portable

_NAME: Final = "sealing-key"

# What this installation has noted of itself under a name.
SELECT: Final = portable("SELECT value FROM installation WHERE name = ?1")

# It is noted once, by whoever comes first.
INSERT: Final = portable("INSERT INTO installation (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING")


async def noted_key_check(tx: Transaction, value: bytes) -> bytes:
    """Return what was sealed with the first key that came; that is `value` when there was none before."""
    await tx.execute(INSERT, _NAME, value)
    row = await tx.fetch_row(SELECT, _NAME)
    assert row is not None, "it was inserted, or was there"
    return bytes(row[0])
