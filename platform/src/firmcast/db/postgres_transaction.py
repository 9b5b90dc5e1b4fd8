"""A use case on PostgreSQL is driven statement by statement: it asks, the owner of the connection carries out.

So the rule of the port holds here as on SQLite: what a use case awaits that is not its transaction is refused. A
statement that fails ends the transaction, and a use case that goes on regardless is refused too.
"""

import re
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import asyncpg

from firmcast.db.port import Channel, Row, Value
from firmcast.db.postgres_errors import translated
from firmcast.db.statement import Columns, Statement
from firmcast.db.transaction_errors import ForeignAwaitError, TransactionOverError
from firmcast.errors import StoreError

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Result = TypeVar("Result")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_PARAMETER: Final = re.compile(r"\?(\d+)")


@lru_cache(maxsize=2048)
def spelt(sql: str) -> str:
    """Return a statement with its parameters as PostgreSQL numbers them."""
    return _PARAMETER.sub(r"$\1", sql)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a use case asks of the connection; awaiting it hands it to whoever drives the use case."""

    carry_out: Callable[[Connection], Coroutine[Any, Any, Any]]

    def __await__(self) -> Generator["_Asked", Any, Any]:
        return (yield self)


class PostgresTransaction:
    """The port's Transaction; the owner of the connection begins and ends it."""

    def __init__(self) -> None:
        self._over = ""
        self.announced: list[tuple[Channel, Sequence[object]]] = []
        self.failure: Exception | None = None
        """Why a statement failed; nothing of the use case may be kept then."""

    async def fetch(self, statement: Statement, *arguments: Value) -> list[Row]:
        self._check()
        if not statement.postgres:
            return []
        sql = spelt(statement.postgres)
        rows = await _Asked(lambda connection: connection.fetch(sql, *arguments))
        return list(map(tuple, rows))

    async def fetch_row(self, statement: Statement, *arguments: Value) -> Row | None:
        self._check()
        if not statement.postgres:
            return None
        sql = spelt(statement.postgres)
        row = await _Asked(lambda connection: connection.fetchrow(sql, *arguments))
        return None if row is None else tuple(row)

    async def execute(self, statement: Statement, *arguments: Value) -> int:
        self._check()
        if not statement.postgres:
            return 0
        sql = spelt(statement.postgres)
        status: str = await _Asked(lambda connection: _execute(connection, sql, arguments))
        changed = status.rpartition(" ")[2]
        return int(changed) if changed.isdigit() else 0

    async def execute_many(self, statement: Statement, rows: Sequence[Sequence[Value]]) -> None:
        self._check()
        sql = spelt(statement.postgres)
        if rows:
            await _Asked(lambda connection: connection.executemany(sql, rows))

    async def copy(self, into: Columns, rows: Iterable[Sequence[Value]]) -> bool:
        self._check()
        table, columns = into.table, into.names.split(", ")
        await _Asked(lambda connection: connection.copy_records_to_table(table, columns=columns, records=rows))
        return True

    def announce(self, channel: Channel, items: Sequence[object]) -> None:
        self._check()
        if items:
            self.announced.append((channel, items))

    def end(self) -> None:
        """Let nobody use it any more."""
        self._over = "the transaction has ended"

    def failed(self, error: Exception, connection: Connection) -> Exception:
        """Note that a statement failed, and return what the use case is told."""
        self.failure = translated(error, is_closed=connection.is_closed())
        self._over = "a statement of this transaction has failed"
        return self.failure

    def _check(self) -> None:
        if self._over:
            raise TransactionOverError(self._over)


async def _execute(connection: Connection, sql: str, arguments: Sequence[Value]) -> str:
    # Prepared also without arguments, so that it is parsed once however often it is run.
    prepared = await connection.prepare(sql) if not arguments else None
    if prepared is not None:
        await prepared.fetch()
        return str(prepared.get_statusmsg())
    return str(await connection.execute(sql, *arguments))


async def run_use_case(
    connection: Connection, use_case: Callable[[PostgresTransaction], Coroutine[Any, Any, Result]]
) -> tuple[Result, list[tuple[Channel, Sequence[object]]]]:
    """Return what a use case returns and what it announced.

    Raises:
        ForeignAwaitError: it awaited something other than its transaction.
        StatementConflictError, ConnectionLostError: it must be run again from its beginning.
        StoreFullError, ReadOnlyError: a statement failed, whatever the use case made of that.
        asyncpg.PostgresError: a statement failed, and the use case raised nothing else.
        StoreError: it ended with something that is no Exception, such as a cancellation.
    """
    tx = PostgresTransaction()
    try:
        result = await _drive(connection, tx, use_case(tx))
    except Exception:
        if isinstance(tx.failure, StoreError):
            raise tx.failure from None  # whatever the use case made of it
        raise
    finally:
        tx.end()
    if tx.failure is not None:
        raise tx.failure
    return result, tx.announced


async def _drive(connection: Connection, tx: PostgresTransaction, course: Coroutine[Any, Any, Result]) -> Result:
    answer: Any = None
    error: Exception | None = None
    try:
        while True:
            asked = _next(course, answer, error)
            if isinstance(asked, _Ended):
                result: Result = asked.result
                return result
            if not isinstance(asked, _Asked):
                message = "a use case may await its transaction only"
                raise ForeignAwaitError(message)
            answer, error = None, None
            try:
                answer = await asked.carry_out(connection)
            except Exception as failure:
                error = tx.failed(failure, connection)
    finally:
        course.close()


@dataclass(frozen=True, slots=True)
class _Ended:
    result: Any


def _next(course: Coroutine[Any, Any, Any], answer: Any, error: Exception | None) -> object:
    try:
        return course.send(answer) if error is None else course.throw(error)
    except StopIteration as ended:
        return _Ended(ended.value)
    except Exception:
        raise
    except BaseException as ended:
        # Nobody but the use case itself can raise one here, and it must not end the writer.
        message = f"a use case ended with {ended!r}"
        raise StoreError(message) from ended
