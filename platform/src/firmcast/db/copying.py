"""A copy of an embedded store into an empty PostgreSQL database is there as a whole, compared, or not at all.

Everything is written, read back and compared in one transaction. Before it a table is made that marks the database, and
no node starts on one that is marked; the transaction removes it. So a copy that was killed leaves the mark and nothing
else, and can be begun anew.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import asyncpg
import msgspec

from firmcast.db import postgres_transaction, sqlite_transaction
from firmcast.db.inspection import lasting_connection, lasting_transaction
from firmcast.db.migrate import migrations_of
from firmcast.db.port import Row, Transaction
from firmcast.db.postgres_migrate import migrate
from firmcast.db.postgres_transaction import Connection
from firmcast.db.schema_level import COPY_MARK, sqlite_level
from firmcast.db.sqlite_connection import reading_connection
from firmcast.db.store_lock import StoreLock
from firmcast.errors import StartError, StoreError
from firmcast.ids import DeviceId, partition_of

Result = TypeVar("Result")

ROWS_AT_ONCE: Final = 10_000
NOT_COPIED: Final = frozenset({"schema_version", "node", "lease", "announcement", "firmware_content", "firmware_chunk"})
"""What a new database has of its own; the bytes of packages are copied by who knows them."""
_DIGEST_BYTES: Final = 16
_REFUSED: Final = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that ended unnoticed
)


class CopyError(StoreError):
    """The copy cannot be made; the original is as it was, and the database holds nothing but the mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the store that is copied."""

    name: str
    columns: tuple[str, ...]
    rows: int
    highest: int
    """The highest number that was ever given to a row whose key is counted up, 0 for none."""


class RowDigest:
    """A digest over the rows of a table, whatever their order."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, row: Iterable[Any]) -> None:
        """Take in a row."""
        digest = blake2b(msgspec.msgpack.encode(tuple(row)), digest_size=_DIGEST_BYTES)
        self._sum = (self._sum + int.from_bytes(digest.digest(), "big")) % (1 << (8 * _DIGEST_BYTES))
        self.count += 1

    @property
    def value(self) -> tuple[int, int]:
        """How many rows there were, and their digest."""
        return self.count, self._sum


class Source:
    """An embedded store that nobody else may have meanwhile; all is read on one view of it."""

    def __init__(self, path: Path) -> None:
        """Take the store in `path`.

        Raises:
            StoreInUseError: a platform has it.
            StartError: it is no store of this release.
        """
        if not path.exists():
            message = f"there is no store {path}"
            raise StartError(message)
        self._lock = StoreLock(path)
        try:
            self._connection = reading_connection(path)
            self._connection.execute("BEGIN")
            level = sqlite_level(self._connection, migrations_of("sqlite"))
        except sqlite3.Error as error:
            self._lock.release()
            message = f"the store {path} cannot be opened: {error}"
            raise StartError(message) from error
        except BaseException:
            self._lock.release()
            raise
        if level.missing:
            self.close()
            message = "the store is of an older release: run `firmcast db migrate` on it first"
            raise StartError(message)

    def tables(self) -> list[Table]:
        """Return every table that the store has, in the order in which they were made."""
        names = self._connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY rowid"
        )
        return [self._table(row[0]) for row in names.fetchall() if row[0] not in NOT_COPIED]

    def batches(self, table: Table) -> Iterator[list[Row]]:
        """Yield the rows of a table as they are to be copied.

        Raises:
            CopyError: PostgreSQL cannot hold one of them.
        """
        columns = ", ".join(f'"{column}"' for column in table.columns)
        cursor = self._connection.execute(f'SELECT {columns} FROM "{table.name}"')  # noqa: S608 -- names of our own
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield [_copied(table, row) for row in rows]

    async def read(self, use_case: Callable[[Transaction], Coroutine[Any, Any, Result]]) -> Result:
        """Run a use case on the view that is copied."""
        result, _announced = sqlite_transaction.run_use_case(self._connection, use_case)
        return result

    def close(self) -> None:
        """Let the store go."""
        self._connection.close()
        self._lock.release()

    def _table(self, name: str) -> Table:
        columns = tuple(row[1] for row in self._connection.execute(f'PRAGMA table_info("{name}")'))
        rows: int = self._connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608 -- as above
        given = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?1", (name,)).fetchone()
        return Table(name=name, columns=columns, rows=rows, highest=given[0] if given else 0)


def _copied(table: Table, row: Row) -> Row:
    if table.name == "delivery":
        # One process has all partitions, so what a row says of its own may be of before there were any.
        named = dict(zip(table.columns, row, strict=True))
        row = tuple({**named, "partition": int(partition_of(DeviceId(named["device_id"])))}.values())
    for column, value in zip(table.columns, row, strict=True):
        if isinstance(value, str) and "\0" in value:
            message = f"{table.name} {row[0]!r}: {column} has a NUL character, which PostgreSQL cannot hold"
            raise CopyError(message)
    return row


class Target:
    """The transaction that fills an empty database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, now: datetime) -> AsyncIterator[Self]:
        """Mark an empty database and begin to fill it; at the end without an error all of it counts.

        Raises:
            CopyError: it is not empty, is served or copied into by somebody else, or does not take it.
            StartError: it cannot be reached.
        """
        connection = await lasting_connection(url)
        try:
            await _require_empty(connection)
            await connection.execute(f"CREATE TABLE IF NOT EXISTS {COPY_MARK} (begun_at BIGINT)")
            async with lasting_transaction(connection):
                await connection.execute(f"LOCK TABLE {COPY_MARK} IN ACCESS EXCLUSIVE MODE NOWAIT")
                # Whoever else was quicker has finished: then there is a store now.
                await _require_empty(connection)
                await connection.execute(f"DROP TABLE {COPY_MARK}")
                await migrate(connection, migrations_of("postgres"), now)
                yield cls(connection)
            async with lasting_transaction(connection):
                await connection.execute("ANALYZE")
        except asyncpg.LockNotAvailableError:
            message = "another copy into this database is under way"
            raise CopyError(message) from None
        except _REFUSED as error:
            message = f"the database does not take the copy: {str(error) or type(error).__name__}"
            raise CopyError(message) from error
        finally:
            await connection.close()

    async def write(self, table: Table, rows: list[Row]) -> None:
        """Add rows to a table."""
        await self._connection.copy_records_to_table(table.name, columns=list(table.columns), records=rows)

    async def read_back(self, table: Table) -> RowDigest:
        """Return the digest of what is in a table."""
        digest = RowDigest()
        columns = ", ".join(f'"{column}"' for column in table.columns)
        query = f'SELECT {columns} FROM "{table.name}"'  # noqa: S608 -- names of our own
        async for row in self._connection.cursor(query, prefetch=ROWS_AT_ONCE):
            digest.add(row)
        return digest

    async def count_on(self, numbers: Mapping[str, int]) -> None:
        """Have the next row of each table get a number that was never given: see `Table.highest`."""
        columns = await self._connection.fetch(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND is_identity = 'YES'"
        )
        for table, column in columns:
            if table in numbers:
                query = f'SELECT coalesce(max("{column}"), 0) FROM "{table}"'  # noqa: S608 -- names of our own
                highest = max(numbers[table], await self._connection.fetchval(query))
                await self._connection.execute(
                    "SELECT setval(pg_get_serial_sequence($1, $2), greatest($3, 1), $3 > 0)", table, column, highest
                )

    async def run(self, use_case: Callable[[Transaction], Coroutine[Any, Any, Result]]) -> Result:
        """Run a use case within the copy."""
        result, _announced = await postgres_transaction.run_use_case(self._connection, use_case)
        return result

    async def read(self, use_case: Callable[..., Coroutine[Any, Any, Result]], /, *args: Any, **kwargs: Any) -> Result:
        """Do the same; so what is read back is read as from any store."""
        return await self.run(lambda tx: use_case(tx, *args, **kwargs))


async def _require_empty(connection: Connection) -> None:
    tables = await connection.fetch(
        "SELECT tablename FROM pg_tables"
        " WHERE schemaname = current_schema() AND tablename NOT IN ($1, 'schema_version')",
        COPY_MARK,
    )
    for (name,) in tables:
        if await connection.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{name}")'):  # noqa: S608 -- named by the database
            message = f"the database is not empty: table {name} has rows"
            raise CopyError(message)


async def copy_table(source: Source, target: Target, table: Table, progress: Callable[[int], None]) -> None:
    """Copy a table and compare it; `progress` is told how many rows were written more.

    Raises:
        CopyError: it cannot be held, or what was read back is something else.
    """
    digest = RowDigest()
    for rows in source.batches(table):
        for row in rows:
            digest.add(row)
        await target.write(table, rows)
        progress(len(rows))
    if (await target.read_back(table)).value != digest.value or digest.count != table.rows:
        message = f"table {table.name} was not copied as it is"
        raise CopyError(message)
