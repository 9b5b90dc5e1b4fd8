"""How far a store has been brought: which steps of its schema were applied, and which are missing."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from firmcast.db.migrate import Migration, missing_steps
from firmcast.db.postgres_transaction import Connection
from firmcast.errors import StartError

COPY_MARK: Final = "copy_under_way"
"""A table that stands in a PostgreSQL database from the beginning of a copy into it until the copy is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaLevel:
    """What was applied to a store, and what was not yet."""

    applied: int
    """Number of the newest step; 0 for a store that is new."""
    missing: tuple[str, ...]
    """Names of the steps that this release has and the store has not, in order."""

    @property
    def target(self) -> int:
        """Number of the newest step of this release."""
        return self.applied + len(self.missing)


def level_of(applied: Mapping[int, str], migrations: Sequence[Migration]) -> SchemaLevel:
    """Return how far a store is that has steps of these numbers and digests.

    Raises:
        StartError: the store is of a later release, or an applied step has another text than ours.
    """
    missing = missing_steps(applied, migrations)
    return SchemaLevel(applied=max(applied, default=0), missing=tuple(step.name for step in missing))


def sqlite_level(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> SchemaLevel:
    """Return how far the store behind a connection is; nothing is written. Raises as `level_of` does."""
    made = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'").fetchone()
    rows = connection.execute("SELECT number, digest FROM schema_version").fetchall() if made else []
    return level_of(dict(rows), migrations)


async def postgres_level(connection: Connection, migrations: Sequence[Migration]) -> SchemaLevel:
    """Return how far the store behind a connection is; nothing is written.

    Raises:
        StartError: see `level_of`; or a copy into the database was begun and never finished.
    """
    await refuse_unfinished_copy(connection)
    made = await connection.fetchval("SELECT to_regclass('schema_version')::text")
    rows = await connection.fetch("SELECT number, digest FROM schema_version") if made else []
    return level_of({row[0]: row[1] for row in rows}, migrations)


async def refuse_unfinished_copy(connection: Connection) -> None:
    """Let nobody take for a store what a copy has left behind.

    Raises:
        StartError: a copy into the database was begun and never finished.
    """
    if await connection.fetchval("SELECT to_regclass($1)::text", COPY_MARK):
        message = (
            "a copy into this database was begun and is not finished: wait for it, or run `firmcast db copy` again"
        )
        raise StartError(message)


def require_current(level: SchemaLevel) -> None:
    """Let nobody work on a store of another release.

    Raises:
        StartError: steps are missing.
    """
    if level.missing:
        what = (
            f"the store is of an older release (schema {level.applied}; this one needs {level.target})"
            if level.applied
            else "there is no store yet"
        )
        message = f"{what} and migrate_at_start is off: run `firmcast db migrate`"
        raise StartError(message)
