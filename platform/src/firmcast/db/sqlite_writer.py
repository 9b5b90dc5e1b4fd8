"""One thread writes: it runs the writes that wait one after another and commits them with one sync.

Who goes first is the queue's to say (`write_queue.py`). Each write stands in a savepoint of its own, so a use case that
fails undoes only itself. Nothing is answered before the commit has returned. A commit that fails for any reason but a
full disk ends the store: what is on disk is unknown until the next start, and a sync must not be tried again.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from firmcast.clock import SystemClock
from firmcast.db.metrics import StoreMetrics
from firmcast.db.port import Channel
from firmcast.db.sqlite_checkpoint import Checkpoints
from firmcast.db.sqlite_transaction import SqliteTransaction, run_use_case, translated
from firmcast.db.write_queue import Rank, WriteQueue
from firmcast.errors import StoreBrokenError, StoreError, StoreFullError

_WRITES_LIMIT: Final = 1000
_ROWS_LIMIT: Final = 20_000
_LONGEST_GROUP: Final = 0.01
"""After so many changed rows, or seconds for what joins it, a group is committed: its first waits for its last."""

Announcements = Sequence[tuple[Channel, Sequence[object]]]


@dataclass(slots=True)
class Write:
    """A use case that waits for its turn, and what became of it."""

    use_case: Callable[[SqliteTransaction], Coroutine[Any, Any, Any]]
    future: "asyncio.Future[Any]"
    rank: Rank
    asked_at: float
    result: Any = None
    error: Exception | None = None

    def waited(self, began: float) -> float | None:
        """Return how long somebody waited for its turn, which came when it `began`; None where nobody waits."""
        return began - self.asked_at if self.rank is Rank.PROMPT else None


class SqliteWriter:
    """The writing thread and its queue."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        loop: asyncio.AbstractEventLoop,
        announce: Callable[[Announcements], None],
        on_broken: Callable[[], None],
        metrics: StoreMetrics | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self._connection = connection
        self._monotonic = monotonic or SystemClock().monotonic
        self._metrics = metrics
        self._loop = loop
        self._announce = announce
        self._on_broken = on_broken
        self._checkpoints = Checkpoints(connection)
        self._asked: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._queue: WriteQueue[Write] = WriteQueue()  # the writing thread's own
        self._ends = False
        self._closed = False
        self._broken = ""
        self._thread = threading.Thread(target=self._run, name="firmcast-writer", daemon=True)
        self.commits = 0
        """How many commits there were; fewer than writes, when many come at a time."""
        self._thread.start()

    def submit(
        self, use_case: Callable[[SqliteTransaction], Coroutine[Any, Any, Any]], rank: Rank = Rank.PROMPT
    ) -> "asyncio.Future[Any]":
        """Queue a use case; the future has its result when it is durable.

        Raises:
            StoreError: the store is closed, or broken.
        """
        if self._broken:
            raise StoreBrokenError(self._broken)
        if self._closed:
            message = "the store is closed"
            raise StoreError(message)
        write = Write(use_case, self._loop.create_future(), rank, self._monotonic())
        self._asked.put(write)
        return write.future

    async def close(self) -> None:
        """Finish what is queued and end the thread."""
        if not self._closed:
            self._closed = True
            self._asked.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while self._take_in():
            before = self._connection.total_changes
            group = [self._queue.first(self._monotonic())[0]]
            announced = self._commit(group)
            self._post(self._tell, group, announced, self._monotonic())
            if not self._broken:
                self._checkpoint(self._connection.total_changes - before)
        with suppress(sqlite3.Error):  # all is committed; what is not moved out of the log is read from it next time
            self._connection.close()

    def _commit(self, group: list[Write]) -> Announcements:
        """Write the first of `group` and those that wait behind it, which join the group; return what is announced."""
        if self._broken:
            _refuse(group, StoreBrokenError, self._broken)
            return ()
        announced: list[tuple[Channel, Sequence[object]]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in self._joining(group):
                began = self._monotonic()
                announced += self._run_one(write)
                if self._metrics is not None:
                    self._metrics.ran(self._monotonic() - began, write.waited(began))
            self._end(len(group))
        except Exception as error:
            self._undo(group, translated(error))
            return ()
        self.commits += 1
        return announced

    def _end(self, writes: int) -> None:
        metrics = self._metrics
        began = 0.0 if metrics is None else metrics.monotonic()
        self._connection.execute("COMMIT")
        if metrics is not None:
            metrics.committed(writes, began)

    @property
    def waiting(self) -> int:
        """How many writes wait for their turn."""
        return self._asked.qsize() + len(self._queue)

    def _take_in(self, *, waits: bool = True) -> int:
        """Let what was asked for wait in its line; return how many wait, and none only at the end."""
        asked = self._asked
        while not self._ends and (not asked.empty() or (waits and not self._queue)):
            write = asked.get()
            if write is None:
                self._ends = True  # nothing is asked behind it
            else:
                self._queue.put(write, write.rank, write.asked_at)
        return len(self._queue)

    def _joining(self, group: list[Write]) -> Iterator[Write]:
        """Yield the first of `group`, then each that waits by the time the one before it is done."""
        rows_limit = self._connection.total_changes + _ROWS_LIMIT
        yield group[0]
        ends = self._monotonic() + _LONGEST_GROUP
        while len(group) < _WRITES_LIMIT and self._connection.total_changes < rows_limit and self._monotonic() < ends:
            self._take_in(waits=False)
            write = self._queue.joining()
            if write is None:
                return
            group.append(write)
            yield write

    def _run_one(self, write: Write) -> Announcements:
        connection = self._connection
        connection.execute("SAVEPOINT one")
        try:
            write.result, announced = run_use_case(connection, write.use_case)
            connection.execute("RELEASE one")
        except Exception as error:
            write.error = translated(error)
            # A full disk and a failed sync can end the whole transaction, not the savepoint alone.
            if not connection.in_transaction or isinstance(write.error, StoreBrokenError):
                raise
            connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")
            return ()
        return announced

    def _undo(self, group: list[Write], reason: Exception) -> None:
        if isinstance(reason, StoreFullError):
            if self._metrics is not None:
                self._metrics.refused_full.value += len(group)
            _refuse(group, StoreFullError, str(reason))
        else:
            self._break(reason)
            _refuse(group, StoreBrokenError, self._broken)
        with suppress(sqlite3.Error):  # the error may have undone the transaction already
            self._connection.execute("ROLLBACK")

    def _break(self, reason: Exception) -> None:
        self._broken = str(reason) or repr(reason)
        self._post(self._on_broken)

    def _tell(self, group: list[Write], announced: Announcements, committed_at: float) -> None:
        if self._metrics is not None:
            self._metrics.answer_seconds.observe(self._monotonic() - committed_at)
        for write in group:
            if write.future.done():
                continue
            if write.error is not None:
                write.future.set_exception(write.error)
            else:
                write.future.set_result(write.result)
        if announced:
            self._announce(announced)

    def _checkpoint(self, changes: int) -> None:
        try:
            self._checkpoints.after(changes)
        except sqlite3.Error as error:
            self._break(translated(error))

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            self._loop.call_soon_threadsafe(callback, *arguments)


def _refuse(group: list[Write], kind: type[StoreError], reason: str) -> None:
    for write in group:
        write.error = kind(reason)  # one for each, since whoever raises an error writes his traceback into it
