"""A store is looked into as it is, also while it is served: nothing of it is changed, and no lock is taken."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Concatenate, Final, Literal, ParamSpec, Protocol, Self, TypeVar

import asyncpg

from firmcast.db import postgres_transaction, sqlite_transaction
from firmcast.db.expected_schema import postgres_differences, sqlite_differences
from firmcast.db.migrate import migrations_of
from firmcast.db.port import Reader, Transaction
from firmcast.db.postgres_connect import Connector
from firmcast.db.postgres_errors import CANNOT_CONNECT
from firmcast.db.postgres_transaction import Connection
from firmcast.db.schema_level import SchemaLevel, postgres_level, sqlite_level
from firmcast.db.sqlite_connection import reading_connection
from firmcast.errors import StartError, StoreError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_DAMAGES_SHOWN: Final = 10


class Inspection(Reader, Protocol):
    """A store that is looked into."""

    @property
    def kind(self) -> str:
        """What kind of store it is, in a word."""
        ...

    async def level(self) -> SchemaLevel:
        """Return how far it has been brought.

        Raises:
            StartError: it is no store that this release can work on.
        """
        ...

    async def differences(self) -> list[str] | None:
        """Return what its schema has otherwise than this release makes it; None where that cannot be found out."""
        ...

    async def damages(self) -> list[str] | None:
        """Return what the store itself finds damaged in its file; None where it has no way to tell."""
        ...

    async def close(self) -> None:
        """End."""
        ...


class SqliteInspection:
    """An embedded store."""

    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        """Look into the store in `path`.

        Raises:
            StartError: there is none.
        """
        try:
            self._connection = reading_connection(path)
            self._connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
        except sqlite3.Error as error:
            message = f"the store {path} cannot be opened: {error}"
            raise StartError(message) from error

    async def level(self) -> SchemaLevel:
        return sqlite_level(self._connection, migrations_of("sqlite"))

    async def differences(self) -> list[str] | None:
        return sqlite_differences(self._connection, migrations_of("sqlite"))

    async def damages(self) -> list[str] | None:
        try:
            found = await asyncio.to_thread(
                lambda: self._connection.execute(f"PRAGMA integrity_check({_DAMAGES_SHOWN})").fetchall()
            )
        except sqlite3.DatabaseError as error:
            return [str(error)]
        return [row[0] for row in found if row[0] != "ok"]

    async def read(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        return await asyncio.to_thread(self._read, lambda tx: use_case(tx, *args, **kwargs))

    async def close(self) -> None:
        self._connection.close()

    def _read(self, use_case: Callable[[Transaction], Coroutine[Any, Any, Result]]) -> Result:
        self._connection.execute("BEGIN")
        try:
            result, _announced = sqlite_transaction.run_use_case(self._connection, use_case)
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error
        finally:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
        return result


class PostgresInspection:
    """The database of many nodes."""

    kind = "postgresql"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: str) -> Self:
        """Look into the database at `url`.

        Raises:
            StartError: it cannot be reached.
        """
        return cls(await lasting_connection(url))

    async def level(self) -> SchemaLevel:
        return await postgres_level(self._connection, migrations_of("postgres"))

    async def differences(self) -> list[str] | None:
        try:
            return await postgres_differences(self._connection, migrations_of("postgres"))
        except asyncpg.InsufficientPrivilegeError:
            return None

    async def damages(self) -> list[str] | None:
        return None

    async def read(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        try:
            async with lasting_transaction(self._connection, isolation="repeatable_read", readonly=True):
                result, _announced = await postgres_transaction.run_use_case(
                    self._connection, lambda tx: use_case(tx, *args, **kwargs)
                )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreError(str(error) or type(error).__name__) from error
        return result

    async def close(self) -> None:
        await self._connection.close()


async def lasting_connection(url: str) -> Connection:
    """Connect to a database for work that may take hours.

    Raises:
        StartError: it cannot be reached.
    """
    try:
        return await Connector(url, statement_seconds=None)()
    except (*CANNOT_CONNECT, ValueError) as error:
        message = f"the database cannot be used: {str(error) or type(error).__name__}"
        raise StartError(message) from error


@asynccontextmanager
async def lasting_transaction(
    connection: Connection, *, isolation: Literal["repeatable_read"] | None = None, readonly: bool = False
) -> AsyncIterator[None]:
    """Open a transaction in which work may take hours, whatever the database has as its rule."""
    async with connection.transaction(isolation=isolation, readonly=readonly):
        # Of the transaction alone: behind a pooler a session is the next one's.
        await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
        yield
