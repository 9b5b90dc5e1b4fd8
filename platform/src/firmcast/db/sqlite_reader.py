"""A few threads read, each on a connection that cannot write, and each use case on one consistent view."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from firmcast.db.sqlite_connection import reading_connection
from firmcast.db.sqlite_transaction import SqliteTransaction, run_to_end, translated
from firmcast.errors import StoreError

_Job = tuple[Callable[[SqliteTransaction], Coroutine[Any, Any, Any]], "asyncio.Future[Any]"]


class SqliteReaders:
    """The reading threads and the queue that they share."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop, threads: int) -> None:
        self._path = path
        self._loop = loop
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"firmcast-reader-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, run: Callable[[SqliteTransaction], Coroutine[Any, Any, Any]]) -> "asyncio.Future[Any]":
        """Queue a use case that reads.

        Raises:
            StoreError: the store is closed.
        """
        if self._closed:
            message = "the store is closed"
            raise StoreError(message)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put((run, future))
        return future

    async def close(self) -> None:
        """Finish what is queued and end the threads."""
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _run(self) -> None:
        connection = reading_connection(self._path)
        while (job := self._queue.get()) is not None:
            run, future = job
            result: Any = None
            failure: BaseException | None = None
            try:
                result = self._read(connection, run)
            except Exception as error:
                failure = translated(error) if isinstance(error, sqlite3.Error) else error
            self._loop.call_soon_threadsafe(_tell, future, result, failure)
        connection.close()

    def _read(
        self, connection: sqlite3.Connection, run: Callable[[SqliteTransaction], Coroutine[Any, Any, Any]]
    ) -> Any:
        tx = SqliteTransaction(connection)
        connection.execute("BEGIN")
        try:
            result = run_to_end(run(tx))
        finally:
            connection.execute("ROLLBACK")
        if tx.announced:
            message = "only what is written can be announced"
            raise StoreError(message)
        return result


def _tell(future: "asyncio.Future[Any]", result: Any, failure: BaseException | None) -> None:
    if future.cancelled():
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)
