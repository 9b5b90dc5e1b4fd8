"""The two stores have the same tables, columns and indexes, step by step, but for those named here with a reason."""

import re
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime

import asyncpg
import pytest

from firmcast.db.migrate import migrate, migrations_of
from firmcast.db.postgres_migrate import migrate as migrate_postgres

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = {"INTEGER": "bigint", "TEXT": "text", "BLOB": "bytea"}
_ONE_PROCESS = "where there is one process only, there is nobody to share work with"
_FILES = "beside the embedded store the bytes of packages are files"
ONLY_POSTGRES = {
    "node": _ONE_PROCESS,
    "lease": _ONE_PROCESS,
    "announcement": _ONE_PROCESS,
    "firmware_content": _FILES,
    "firmware_chunk": _FILES,
}
"""Tables that SQLite lacks, and why."""
INDEX = re.compile(r"CREATE (UNIQUE )?INDEX (\w+) ON (?:public\.)?(\w+)(?: USING btree)? (.*)")


def columns_of_sqlite(connection: sqlite3.Connection) -> dict[str, dict[str, str]]:
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {
        table: {row[1]: KINDS[row[2]] for row in connection.execute(f"PRAGMA table_info({table})")}
        for table in tables
        if not table.startswith("sqlite_") and table != "schema_version"
    }


async def columns_of_postgres(connection: asyncpg.Connection) -> dict[str, dict[str, str]]:
    rows = await connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> 'schema_version' ORDER BY ordinal_position"
    )
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        if table not in ONLY_POSTGRES:
            found.setdefault(table, {})[column] = kind
    return found


def named_indexes(texts: list[str]) -> set[tuple[str, str, str]]:
    """Return name, table and columns of the indexes that we named; what each store says of the rest differs."""
    found = set()
    for text in texts:
        matched = INDEX.match(" ".join(text.replace('"', "").split()))
        if matched and matched[3] not in ONLY_POSTGRES and not matched[2].endswith(("_pkey", "_key")):
            columns = matched[4].split(" WHERE ")[0].strip()
            found.add((matched[2], matched[3], columns))
    return found


@pytest.mark.parametrize("number", range(1, len(migrations_of("sqlite")) + 1))
async def test_each_step_leaves_both_stores_alike(
    new_postgres_database: Callable[[], Awaitable[str]], number: int
) -> None:
    postgres = await asyncpg.connect(await new_postgres_database())
    await migrate_postgres(postgres, migrations_of("postgres")[:number], NOW)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as sqlite:
        migrate(sqlite, migrations_of("sqlite")[:number], NOW)
        assert await columns_of_postgres(postgres) == columns_of_sqlite(sqlite)
        ours = sqlite.execute("SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL").fetchall()
        theirs = await postgres.fetch("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'")
        assert named_indexes([row[0] for row in theirs]) == named_indexes([row[0] for row in ours])
    await postgres.close()


async def test_what_only_postgres_has_is_there(new_postgres_database: Callable[[], Awaitable[str]]) -> None:
    postgres = await asyncpg.connect(await new_postgres_database())
    await migrate_postgres(postgres, migrations_of("postgres"), NOW)
    tables = await postgres.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await postgres.close()
    assert set(ONLY_POSTGRES) <= {row[0] for row in tables}


def test_both_stores_have_the_same_steps() -> None:
    assert [step.name for step in migrations_of("postgres")] == [step.name for step in migrations_of("sqlite")]
