"""One SQLite connection, seen as a transaction; use cases are run to their end on the thread that owns it.

Its methods are coroutines that never suspend, so a use case needs no event loop there (ADR 3). A statement that fails
ends the transaction, as it would on PostgreSQL: a use case that goes on regardless is refused, and nothing is written.
"""

import json
import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from firmcast.db.port import Channel, Row, Value
from firmcast.db.statement import Columns, Statement
from firmcast.db.transaction_errors import ForeignAwaitError, TransactionOverError
from firmcast.errors import StoreBrokenError, StoreError, StoreFullError

Result = TypeVar("Result")

_unpacked: Final = msgspec.json.Decoder(list[tuple[Any, ...]]).decode
_SETS: Final = frozenset({list, tuple})
_BROKEN: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class SqliteTransaction:
    """The port's Transaction on one connection; the owner of the connection begins and ends it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._over = ""
        self.announced: list[tuple[Channel, Sequence[object]]] = []
        self.failure: Exception | None = None
        """Why a statement failed; what was written before it may be gone already, so nothing may be kept."""

    async def fetch(self, statement: Statement, *arguments: Value) -> list[Row]:
        self._check()
        if not statement.sqlite:
            return []
        try:
            found = self._connection.execute(statement.sqlite, _bound(arguments))
            return _unpacked(found.fetchone()[0]) if statement.is_packed else found.fetchall()
        except Exception as error:
            raise self._failed(error) from error

    async def fetch_row(self, statement: Statement, *arguments: Value) -> Row | None:
        self._check()
        if not statement.sqlite:
            return None
        try:
            row: Row | None = self._connection.execute(statement.sqlite, _bound(arguments)).fetchone()
        except Exception as error:
            raise self._failed(error) from error
        return row

    async def execute(self, statement: Statement, *arguments: Value) -> int:
        self._check()
        if not statement.sqlite:
            return 0
        try:
            return self._connection.execute(statement.sqlite, _bound(arguments)).rowcount
        except Exception as error:
            raise self._failed(error) from error

    async def execute_many(self, statement: Statement, rows: Sequence[Sequence[Value]]) -> None:
        self._check()
        try:
            self._connection.executemany(statement.sqlite, map(_bound, rows))
        except Exception as error:
            raise self._failed(error) from error

    async def copy(self, into: Columns, rows: Iterable[Sequence[Value]]) -> bool:
        del into, rows
        return False

    def announce(self, channel: Channel, items: Sequence[object]) -> None:
        self._check()
        if items:
            self.announced.append((channel, items))

    def end(self) -> None:
        """Let nobody use it any more; another transaction owns the connection from now on."""
        self._over = "the transaction has ended"

    def _check(self) -> None:
        if self._over:
            raise TransactionOverError(self._over)

    def _failed(self, error: Exception) -> Exception:
        self.failure = translated(error)
        self._over = "a statement of this transaction has failed"
        return self.failure


def run_use_case(
    connection: sqlite3.Connection, use_case: Callable[[SqliteTransaction], Coroutine[Any, Any, Result]]
) -> tuple[Result, list[tuple[Channel, Sequence[object]]]]:
    """Return what a use case returns and what it announced, without an event loop.

    Raises:
        ForeignAwaitError: it awaited something that only a loop could wait for.
        StoreFullError, StoreBrokenError: a statement failed, whatever the use case made of that.
        sqlite3.Error: a statement failed, and the use case raised nothing else.
        StoreError: it ended with something that is no Exception, such as a cancellation.
    """
    tx = SqliteTransaction(connection)
    try:
        result = _run_to_end(use_case(tx))
    except Exception:
        if isinstance(tx.failure, StoreError):
            raise tx.failure from None  # whatever the use case made of it
        raise
    except BaseException as error:
        # On this thread nobody but the use case itself can raise one, and it must not end the thread.
        message = f"a use case ended with {error!r}"
        raise StoreError(message) from error
    finally:
        tx.end()
    if tx.failure is not None:
        raise tx.failure
    return result, tx.announced


def _run_to_end(use_case: Coroutine[Any, Any, Result]) -> Result:
    try:
        use_case.send(None)
    except StopIteration as ended:
        result: Result = ended.value
        return result
    use_case.close()
    message = "a use case may await its transaction only"
    raise ForeignAwaitError(message)


def translated(error: Exception) -> Exception:
    """Return the error of ours that tells what the caller must do; one that is a mistake of ours stays as it is."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return error
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return StoreFullError("no space is left for the store")
    if primary == sqlite3.SQLITE_READONLY:
        return StoreError("what was asked for as a read has tried to write")
    if primary in _BROKEN:
        return StoreBrokenError(f"{error} ({getattr(error, 'sqlite_errorname', code)})")
    return error


def _bound(arguments: Sequence[Value]) -> Sequence[Any]:
    # Nearly always there is no set among them, and this runs for every row: so one look at the types, in C.
    if _SETS.isdisjoint(map(type, arguments)):
        return arguments
    return [json.dumps(argument) if type(argument) in _SETS else argument for argument in arguments]
