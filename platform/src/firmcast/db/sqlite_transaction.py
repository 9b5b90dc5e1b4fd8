"""One SQLite connection, seen as a transaction; use cases are run to their end on the thread that owns it.

Its methods are coroutines that never suspend, so a use case needs no event loop there (ADR 3).
"""

import json
import sqlite3
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from firmcast.db.port import Channel, Row, Value
from firmcast.db.statement import Statement
from firmcast.errors import StoreBrokenError, StoreError, StoreFullError

Result = TypeVar("Result")


class ForeignAwaitError(StoreError):
    """A use case awaited something other than its transaction."""


def run_to_end(use_case: Coroutine[Any, Any, Result]) -> Result:
    """Return what a use case returns, without an event loop.

    Raises:
        ForeignAwaitError: it awaited something that only a loop could wait for.
    """
    try:
        use_case.send(None)
    except StopIteration as ended:
        result: Result = ended.value
        return result
    use_case.close()
    message = "a use case may await its transaction only"
    raise ForeignAwaitError(message)


def translated(error: sqlite3.Error) -> Exception:
    """Return the error of ours that tells what the caller must do; one that is a mistake of ours stays as it is."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return error
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return StoreFullError("the disk is full")
    if primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreBrokenError(str(error))
    return error


class SqliteTransaction:
    """The port's Transaction on one connection; the owner of the connection begins and ends it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.announced: list[tuple[Channel, Sequence[object]]] = []

    async def fetch(self, statement: Statement, *arguments: Value) -> list[Row]:
        return self._connection.execute(statement.sqlite, _bound(arguments)).fetchall()

    async def fetch_row(self, statement: Statement, *arguments: Value) -> Row | None:
        row: Row | None = self._connection.execute(statement.sqlite, _bound(arguments)).fetchone()
        return row

    async def execute(self, statement: Statement, *arguments: Value) -> int:
        return self._connection.execute(statement.sqlite, _bound(arguments)).rowcount

    async def execute_many(self, statement: Statement, rows: Sequence[Sequence[Value]]) -> None:
        self._connection.executemany(statement.sqlite, [_bound(row) for row in rows])

    def announce(self, channel: Channel, items: Sequence[object]) -> None:
        if items:
            self.announced.append((channel, items))


def _bound(arguments: Sequence[Value]) -> Sequence[str | bytes | int | float | None]:
    if not any(isinstance(argument, list | tuple) for argument in arguments):
        return arguments  # type: ignore[return-value]  # no sets among them, so they are SQLite's own
    return [
        json.dumps(argument) if isinstance(argument, list | tuple) else argument  # type: ignore[misc]  # as above
        for argument in arguments
    ]
