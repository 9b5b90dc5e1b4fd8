"""A few threads read, each on a connection that cannot write, and each use case on one consistent view."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from firmcast.db.sqlite_transaction import SqliteTransaction, run_use_case, translated
from firmcast.errors import StoreBrokenError, StoreError

_QUEUED_LIMIT: Final = 256
"""Reads that are queued or run; callers beyond wait in the order in which they came, and can leave unserved."""

_Read = Callable[[SqliteTransaction], Coroutine[Any, Any, Any]]


class SqliteReaders:
    """The reading threads and the queue that they share."""

    def __init__(self, connections: Sequence[sqlite3.Connection], loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: queue.SimpleQueue[tuple[_Read, asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(_QUEUED_LIMIT)
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, args=(connection,), name=f"firmcast-reader-{number}", daemon=True)
            for number, connection in enumerate(connections)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, use_case: _Read) -> Any:
        """Run a use case that only reads and return what it returns.

        Raises:
            StoreError: the store is closed, or could not be read.
        """
        async with self._room:
            if self._closed:
                message = "the store is closed"
                raise StoreError(message)
            future: asyncio.Future[Any] = self._loop.create_future()
            self._queue.put((use_case, future))
            return await future

    async def close(self) -> None:
        """Finish what is queued and end the threads."""
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _run(self, connection: sqlite3.Connection) -> None:
        while (job := self._queue.get()) is not None:
            use_case, future = job
            if future.cancelled():
                continue
            result: Any = None
            failure: Exception | None = None
            try:
                result = _read(connection, use_case)
            except Exception as error:
                failure = translated(error)
            with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
                self._loop.call_soon_threadsafe(_tell, future, result, failure)
        connection.close()


def _read(connection: sqlite3.Connection, use_case: _Read) -> Any:
    connection.execute("BEGIN")
    try:
        result, announced = run_use_case(connection, use_case)
    except StoreBrokenError as error:
        # Nothing was to be made durable, so nothing is in doubt; the writer judges for itself.
        message = f"the store could not be read: {error}"
        raise StoreError(message) from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    if announced:
        message = "only what is written can be announced"
        raise StoreError(message)
    return result


def _tell(future: "asyncio.Future[Any]", result: Any, failure: Exception | None) -> None:
    if future.done():
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)
