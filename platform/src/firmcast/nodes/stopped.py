"""A database that no node serves: all that is done to it is one transaction, and no node begins to live meanwhile."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

import asyncpg

from firmcast.db import postgres_transaction
from firmcast.db.inspection import lasting_connection, lasting_transaction
from firmcast.db.migrate import migrations_of
from firmcast.db.port import Transaction
from firmcast.db.postgres_transaction import Connection
from firmcast.db.schema_level import postgres_level
from firmcast.errors import StartError, StoreError, StoreInUseError
from firmcast.nodes import use_cases

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_REFUSED: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class StoppedDatabase:
    """The open transaction, which alone may say that nodes are alive."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator[Self]:
        """Take the database; at the end without an error all that was done is durable, else nothing was done.

        Raises:
            StartError: it cannot be reached, or is not of this release.
            StoreInUseError: a node is alive, or the database is being changed by somebody else.
            StoreError: it does not take what is done. When its answer to the commit was lost, it may have taken it.
        """
        connection = await lasting_connection(url)
        try:
            if (await postgres_level(connection, migrations_of("postgres"))).missing:
                message = "the store is of an older release: run `firmcast db migrate` on it first"
                raise StartError(message)
            async with lasting_transaction(connection):
                self = cls(connection)
                # Those that are alive are found without standing in their way; then nobody else may become so.
                await self.write(_require_nobody)
                await connection.execute("SET LOCAL lock_timeout = '5s'")
                await connection.execute("LOCK TABLE node IN SHARE ROW EXCLUSIVE MODE")
                await self.write(_require_nobody)
                yield self
        except asyncpg.LockNotAvailableError:
            message = "the database is in use: another command or node holds what is needed"
            raise StoreInUseError(message) from None
        except _REFUSED as error:
            message = f"the database does not take it: {str(error) or type(error).__name__}"
            raise StoreError(message) from error
        finally:
            await connection.close()

    async def write(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run a use case in the transaction."""
        result, _announced = await postgres_transaction.run_use_case(
            self._connection, lambda tx: use_case(tx, *args, **kwargs)
        )
        return result


async def _require_nobody(tx: Transaction) -> None:
    standing, _given_up = await use_cases.look(tx)
    if standing.nodes:
        names = ", ".join(sorted(node.name for node in standing.nodes.values()))
        message = f"nodes are alive: {names}; stop them, or wait until the time of dead ones is over"
        raise StoreInUseError(message)
