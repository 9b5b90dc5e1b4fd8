"""One thread writes: it gathers the writes that wait, runs them one after another and commits them with one sync.

Each write stands in a savepoint of its own, so a use case that fails undoes only itself. Nothing is answered before
the commit has returned. A commit that fails for any reason but a full disk ends the store: what is on disk is unknown
until the next start, and a sync must not be tried again.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from firmcast.db.port import Channel
from firmcast.db.sqlite_transaction import SqliteTransaction, run_to_end, translated
from firmcast.errors import StoreBrokenError, StoreError, StoreFullError

_BATCH_LIMIT = 1000
_CHECKPOINT_WRITES = 4000
Announcements = Sequence[tuple[Channel, Sequence[object]]]


@dataclass(slots=True)
class Write:
    """A use case that waits for its turn, and what became of it."""

    run: Callable[[SqliteTransaction], Coroutine[Any, Any, Any]]
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None


class SqliteWriter:
    """The writing thread and its queue."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        loop: asyncio.AbstractEventLoop,
        announce: Callable[[Announcements], None],
        on_broken: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._announce = announce
        self._on_broken = on_broken
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._closed = False
        self._broken: StoreBrokenError | None = None
        self._unmoved = 0
        self._thread = threading.Thread(target=self._run, name="firmcast-writer", daemon=True)
        self.commits = 0
        """How many commits there were; fewer than writes, when many come at a time."""
        self._thread.start()

    def submit(self, run: Callable[[SqliteTransaction], Coroutine[Any, Any, Any]]) -> "asyncio.Future[Any]":
        """Queue a use case; the future has its result when it is durable.

        Raises:
            StoreError: the store is closed, or broken.
        """
        if self._broken is not None:
            raise self._broken
        if self._closed:
            message = "the store is closed"
            raise StoreError(message)
        write = Write(run, self._loop.create_future())
        self._queue.put(write)
        return write.future

    async def close(self) -> None:
        """Finish what is queued and end the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._gather()
            if batch:
                self._commit(batch)
        self._connection.close()

    def _gather(self) -> tuple[list[Write], bool]:
        first = self._queue.get()
        if first is None:
            return [], False
        batch = [first]
        while len(batch) < _BATCH_LIMIT:
            try:
                write = self._queue.get_nowait()
            except queue.Empty:
                break
            if write is None:
                return batch, False
            batch.append(write)
        return batch, True

    def _commit(self, batch: list[Write]) -> None:
        announced: list[tuple[Channel, Sequence[object]]] = []
        if self._broken is not None:
            self._loop.call_soon_threadsafe(self._tell, self._refused(batch, self._broken), announced)
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in batch:
                announced += self._run_one(write)
            self._connection.execute("COMMIT")
            self.commits += 1
        except Exception as error:
            self._undo(batch, error)
            announced = []
        self._loop.call_soon_threadsafe(self._tell, batch, announced)
        if self._broken is None:
            self._checkpoint(len(batch))

    def _run_one(self, write: Write) -> Announcements:
        tx = SqliteTransaction(self._connection)
        self._connection.execute("SAVEPOINT one")
        try:
            write.result = run_to_end(write.run(tx))
            self._connection.execute("RELEASE one")
        except Exception as error:
            write.error = translated(error) if isinstance(error, sqlite3.Error) else error
            if not self._connection.in_transaction:
                # A full disk and a failed sync end the whole transaction, not the savepoint alone.
                raise write.error from error
            self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
            if isinstance(write.error, StoreBrokenError):
                raise write.error from error
            return []
        return tx.announced

    def _undo(self, batch: list[Write], error: Exception) -> None:
        reason = translated(error) if isinstance(error, sqlite3.Error) else error
        if not isinstance(reason, StoreFullError):
            self._broken = reason if isinstance(reason, StoreBrokenError) else StoreBrokenError(str(reason))
            reason = self._broken
            self._loop.call_soon_threadsafe(self._on_broken)
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._refused(batch, reason)

    @staticmethod
    def _refused(batch: list[Write], reason: Exception) -> list[Write]:
        for write in batch:
            write.error = reason
        return batch

    def _tell(self, batch: list[Write], announced: Announcements) -> None:
        for write in batch:
            if write.future.cancelled():
                continue
            if write.error is not None:
                write.future.set_exception(write.error)
            else:
                write.future.set_result(write.result)
        if announced:
            self._announce(announced)

    def _checkpoint(self, written: int) -> None:
        """Move what the log holds into the store now and then; the log's file is kept and used again."""
        self._unmoved += written
        if self._unmoved >= _CHECKPOINT_WRITES:
            self._unmoved = 0
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
