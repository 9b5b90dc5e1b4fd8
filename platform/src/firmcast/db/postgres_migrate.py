"""A PostgreSQL store is brought to this release by the first node that comes; the others wait for it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg

from firmcast.db.columns import to_column
from firmcast.db.migrate import Migration, missing_steps
from firmcast.db.postgres_transaction import Connection
from firmcast.db.schema_level import refuse_unfinished_copy
from firmcast.errors import StartError

_LOCK: Final = 0x6669726D
"""Any number, as long as every node takes the same."""

_CREATE: Final = """CREATE TABLE IF NOT EXISTS schema_version (
    number integer PRIMARY KEY, name text NOT NULL, digest text NOT NULL, applied_at bigint NOT NULL
)"""


async def migrate(connection: Connection, migrations: Sequence[Migration], now: datetime) -> int:
    """Apply what has not been applied, all or nothing, and return how many steps that was.

    Raises:
        StartError: the store is of a later release, an applied step has another text than ours, a step failed, or what
            is there is an unfinished copy.
    """
    await refuse_unfinished_copy(connection)  # before the lock, which a copy has until its end
    async with connection.transaction():
        # Ends with the transaction, so that it holds behind a pooler too.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await refuse_unfinished_copy(connection)
        await connection.execute(_CREATE)
        rows = await connection.fetch("SELECT number, digest FROM schema_version")
        missing = missing_steps({row[0]: row[1] for row in rows}, migrations)
        for migration in missing:
            try:
                await connection.execute(migration.sql)
            except asyncpg.PostgresError as error:
                message = f"{migration.name} cannot be applied to the store: {error}"
                raise StartError(message) from error
            await connection.execute(
                "INSERT INTO schema_version (number, name, digest, applied_at) VALUES ($1, $2, $3, $4)",
                migration.number,
                migration.name,
                migration.digest,
                to_column(now),
            )
    return len(missing)
