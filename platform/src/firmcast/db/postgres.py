"""The store for many nodes: one PostgreSQL database, on each node one connection that writes and a few that read."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import asyncpg

from firmcast.db.announcements import Announcements
from firmcast.db.migrate import migrations_of
from firmcast.db.port import Channel, Listener, Transaction
from firmcast.db.postgres_migrate import migrate
from firmcast.db.postgres_transaction import Connection, ConnectionLostError, run_use_case
from firmcast.db.postgres_writer import PostgresWriter
from firmcast.errors import StartError, StoreError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_READERS: Final = 4
_CONNECT_SECONDS: Final = 5.0
_STATEMENT_SECONDS: Final = 30.0
_PATIENCE_SECONDS: Final = 30.0
_STATEMENT_CACHE: Final = 1000


class PostgresDatabase:
    """The port's Database on PostgreSQL; it belongs to the loop on which it was opened."""

    def __init__(self, url: str, readers: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._readers = readers
        self._listeners = Announcements()
        self._closed = False
        self.broken = asyncio.Event()
        """Never set: whether a commit came through is asked of the database, however often."""
        self._writer = PostgresWriter(lambda: _connect(url), self._listeners.tell, patience=_PATIENCE_SECONDS)

    @classmethod
    async def open(cls, url: str, now: datetime) -> "PostgresDatabase":
        """Open the store at `url` (`postgresql://…`), migrating it as needed; `now` is noted with a migration.

        Raises:
            StartError: the database cannot be reached, or the store in it is of a later release.
        """
        try:
            connection = await _connect(url)
            try:
                await migrate(connection, migrations_of("postgres"), now)
            finally:
                await connection.close()
            readers = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=_READERS,
                timeout=_CONNECT_SECONDS,
                command_timeout=_STATEMENT_SECONDS,
                statement_cache_size=_STATEMENT_CACHE,
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            message = f"the database cannot be used: {error}"
            raise StartError(message) from error
        return cls(url, readers)

    @property
    def commits(self) -> int:
        """How many commits there have been on this node."""
        return self._writer.commits

    async def write(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        result: Result = await self._writer.submit(lambda tx: use_case(tx, *args, **kwargs))
        return result

    async def read(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        if self._closed:
            message = "the store is closed"
            raise StoreError(message)
        try:
            async with (
                self._readers.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                result, _announced = await run_use_case(connection, lambda tx: use_case(tx, *args, **kwargs))
        except ConnectionLostError as error:
            raise StoreError(str(error)) from error
        except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as error:
            raise StoreError(str(error) or type(error).__name__) from error
        return result

    def listen(self, channel: Channel, listener: Listener) -> None:
        self._listeners.listen(channel, listener)

    async def close(self) -> None:
        self._closed = True
        await self._writer.close()
        await self._readers.close()


async def _connect(url: str) -> Connection:
    return await asyncpg.connect(
        url, timeout=_CONNECT_SECONDS, command_timeout=_STATEMENT_SECONDS, statement_cache_size=_STATEMENT_CACHE
    )
