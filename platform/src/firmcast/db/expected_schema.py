"""A store has the tables, columns and indexes that the steps of this release make, no more and no less.

What they make is found by applying them: on SQLite to a store in memory, on PostgreSQL in a schema of their own, in a
transaction that is undone.
"""

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from firmcast.db.migrate import Migration, statements
from firmcast.db.postgres_transaction import Connection

_EXPECTED: Final = "firmcast_expected"

# What a person would call the schema: each table's columns, and the indexes.
_COLUMNS: Final = """
    SELECT table_name || '.' || column_name, data_type || ' ' || is_nullable
           || ' ' || coalesce(replace(column_default, $1 || '.', ''), '')
    FROM information_schema.columns WHERE table_schema = $1
"""
_INDEXES: Final = "SELECT indexname, replace(indexdef, $1 || '.', '') FROM pg_indexes WHERE schemaname = $1"


def sqlite_differences(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> list[str]:
    """Return a line for each thing that is missing, additional or otherwise."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as expected:
        for migration in migrations:
            for statement in statements(migration.sql):
                expected.execute(statement)
        return _differences(_sqlite_schema(expected), _sqlite_schema(connection))


def _sqlite_schema(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute(
        "SELECT type || ' ' || name, sql FROM sqlite_schema"
        " WHERE name NOT LIKE 'sqlite%' AND name <> 'schema_version' AND sql IS NOT NULL"
    )
    return {row[0]: " ".join(row[1].split()) for row in rows}


async def postgres_differences(connection: Connection, migrations: Sequence[Migration]) -> list[str]:
    """Return a line for each thing that is missing, additional or otherwise.

    Raises:
        asyncpg.InsufficientPrivilegeError: the user may not make a schema.
    """
    here = await connection.fetchval("SELECT current_schema()")
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"CREATE SCHEMA {_EXPECTED}; SET LOCAL search_path = {_EXPECTED}")
        for migration in migrations:
            await connection.execute(migration.sql)
        return _differences(await _postgres_schema(connection, _EXPECTED), await _postgres_schema(connection, here))
    finally:
        await transaction.rollback()


async def _postgres_schema(connection: Connection, schema: str) -> dict[str, str]:
    columns = {f"column {name}": text for name, text in await connection.fetch(_COLUMNS, schema)}
    indexes = {f"index {name}": text for name, text in await connection.fetch(_INDEXES, schema)}
    found = {**columns, **indexes}
    return {name: text for name, text in found.items() if not re.match(r"\w+ schema_version(\.|_pkey)", name)}


def _differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    missing = [f"{name} is missing" for name in expected if name not in found]
    additional = [f"{name} is not of this release" for name in found if name not in expected]
    other = [
        f"{name} is `{found[name]}` instead of `{text}`"
        for name, text in expected.items()
        if name in found and found[name] != text
    ]
    return sorted(missing + additional + other)
