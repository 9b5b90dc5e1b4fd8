"""A store is brought to this release by numbered SQL files, each applied once, in order, in one transaction.

A file that was applied may not change afterwards, and a store of a later release is not opened.
"""

import hashlib
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources

from firmcast.db.columns import to_column
from firmcast.errors import StartError

_FILE_NAME = re.compile(r"^(\d{4})_\w+\.sql$")

_CREATE = """CREATE TABLE IF NOT EXISTS schema_version (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL, applied_at INTEGER NOT NULL
) STRICT"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered step of the schema."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations_of(store: str) -> list[Migration]:
    """Return the steps for `store` ("sqlite" or "postgres"), in order.

    Raises:
        StartError: two have one number, or a number is missing.
    """
    found = [
        Migration(number=int(matched[1]), name=file.name, sql=file.read_text())
        for file in resources.files("firmcast.db").joinpath("migrations", store).iterdir()
        if (matched := _FILE_NAME.match(file.name))
    ]
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        message = "the numbers of the migrations have a gap or a double"
        raise StartError(message)
    return found


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration], now: datetime) -> int:
    """Apply what has not been applied and return how many steps that was.

    Raises:
        StartError: the store is of a later release, an applied step has another text than ours, or a step failed.
    """
    connection.execute(_CREATE)
    missing = missing_steps(dict(connection.execute("SELECT number, digest FROM schema_version")), migrations)
    for migration in missing:
        try:
            _apply(connection, migration, now)
        except sqlite3.Error as error:
            message = f"{migration.name} cannot be applied to the store: {error}"
            raise StartError(message) from error
    return len(missing)


def missing_steps(applied: Mapping[int, str], migrations: Sequence[Migration]) -> Sequence[Migration]:
    """Return what is still to be applied to a store that has steps of these numbers and digests.

    Raises:
        StartError: the store is of a later release, or an applied step has another text than ours.
    """
    newest = max(applied, default=0)
    if newest > len(migrations):
        message = f"the store is of a later release (schema {newest}; this one knows {len(migrations)})"
        raise StartError(message)
    for migration in migrations[:newest]:
        if applied.get(migration.number) != migration.digest:
            message = f"the store was made by another text of {migration.name}; it cannot be trusted with this release"
            raise StartError(message)
    return migrations[newest:]


def _apply(connection: sqlite3.Connection, migration: Migration, now: datetime) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements(migration.sql):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO schema_version (number, name, digest, applied_at) VALUES (?1, ?2, ?3, ?4)",
            (migration.number, migration.name, migration.digest, to_column(now)),
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def statements(sql: str) -> list[str]:
    """Return the single statements of a file; `executescript` would commit the transaction that holds them."""
    found: list[str] = []
    held = ""
    for line in sql.splitlines(keepends=True):
        held += line
        if sqlite3.complete_statement(held):
            found.append(held.strip())
            held = ""
    if held.strip():
        found.append(held.strip())
    return found
