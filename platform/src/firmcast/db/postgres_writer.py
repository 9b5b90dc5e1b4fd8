"""One connection writes: it runs the writes that wait one after another and commits them as one transaction.

Who goes first is the queue's to say (`write_queue.py`). Announcements come in the order of commits, as on SQLite, and
a burst of writes costs one sync. Transactions are serialisable unless it is said otherwise: what other nodes did
meanwhile is either wholly before one or makes its group be run again. What the other nodes are to hear is written
along, numbered.

A connection that is lost before the commit has written nothing, so the group is run again on a new one. One that is
lost while it commits may have written everything: the new connection asks the database what became of it. Where that
cannot be found out, what may be repeated is, and otherwise nothing more is written, and the process must end.

A server that shuts down, starts, or is a standby counts as away: another connection may find its successor.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import structlog

from firmcast.db.metrics import StoreMetrics
from firmcast.db.port import Channel
from firmcast.db.postgres_errors import (
    CANNOT_CONNECT,
    ConnectionLostError,
    ReadOnlyError,
    StatementConflictError,
    is_out_of_reach,
    translated,
)
from firmcast.db.postgres_outcome import CommitOutcome, is_there, outcome_of, timeline_of
from firmcast.db.postgres_transaction import Connection, PostgresTransaction, run_use_case
from firmcast.db.sharing import SharedChannels
from firmcast.db.write_queue import Rank, WriteQueue
from firmcast.errors import StoreBrokenError, StoreError, StoreFullError, StoreUnreachableError
from firmcast.ids import NodeId

_log = structlog.get_logger()
_WRITES_LIMIT: Final = 200
_GUARDED_WRITES: Final = 1000
"""Savepoints are two turns with the server of some six, so writes do without until one fails, and then for a while."""
_IDLE_LIMIT_MILLISECONDS: Final = 3000
"""A node that stands still within a transaction holds its locks no longer than this."""
_LONGEST_PAUSE: Final = 1.0

Announcements = Sequence[tuple[Channel, Sequence[object]]]
UseCase = Callable[[PostgresTransaction], Coroutine[Any, Any, Any]]

# What the other nodes are to hear of this commit.
_ANNOUNCE: Final = (
    "INSERT INTO announcement (node_id, number, channel, items) SELECT $1, * FROM"
    " unnest($2::bigint[], $3::text[], $4::text[]) RETURNING pg_current_xact_id()::text"
)
_ANNOUNCED: Final = "SELECT 1 FROM announcement WHERE node_id = $1 AND number = $2"
_TRANSACTION: Final = "SELECT pg_current_xact_id_if_assigned()::text"
_NOTHING: Final = (Channel(""), "[]")
"""What is announced on no channel: its row tells after a fail-over that the commit came through."""


class Isolation(StrEnum):
    """How transactions are kept from each other."""

    SERIALIZABLE = "SERIALIZABLE"
    READ_COMMITTED = "READ COMMITTED"
    """For rows that one node alone writes, and for statements that lock what they decide upon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """What other nodes are told of the writes of one."""

    node_id: NodeId
    channels: SharedChannels
    on_shared: Callable[[], None]
    """Called after a commit that announced something to them."""


class _FailedTogetherError(Exception):
    """One of a group has failed without a savepoint: all of it is undone, and run again with one for each."""


@dataclass(slots=True)
class _Write:
    """A use case that waits for its turn, and what became of it."""

    use_case: UseCase
    future: "asyncio.Future[Any]"
    rank: Rank
    asked_at: float
    waits_until: float
    result: Any = None
    error: Exception | None = None


class PostgresWriter:
    """The writing connection and its queue."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        announce: Callable[[Announcements], None],
        *,
        patience: float,
        isolation: Isolation = Isolation.SERIALIZABLE,
        sharing: Sharing | None = None,
        metrics: StoreMetrics | None = None,
        on_broken: Callable[[], None] = lambda: None,
        repeats: bool = False,
    ) -> None:
        """Have a write refused that the database does not take within `patience` seconds.

        `on_broken` is called when nobody can say what became of a commit; with `repeats` it is made again instead.
        """
        self._connect = connect
        self._announce = announce
        self._patience = patience
        self._begin = (
            f"BEGIN ISOLATION LEVEL {isolation};"
            f" SET LOCAL idle_in_transaction_session_timeout = {_IDLE_LIMIT_MILLISECONDS}"
        )
        self._sharing = sharing
        self._to_guard = 0  # writes that are run in savepoints, since one has failed a little while ago
        self._announced = 0  # the number of the last row that was committed
        self._metrics = metrics
        self._on_broken = on_broken
        self._repeats = repeats
        self._broken = ""
        self._timeline = ""
        self._loop = asyncio.get_running_loop()
        self._queue: WriteQueue[_Write] = WriteQueue()
        self._wake = asyncio.Event()
        self._closed = False
        self._connection: Connection | None = None
        self.commits = 0
        """How many commits there were; fewer than writes, when many come at a time."""
        self.conflicts = 0
        """How many transactions were run again because of another node."""
        self._task = asyncio.create_task(self._run(), name="postgres-writer")

    def submit(self, use_case: UseCase, rank: Rank = Rank.PROMPT) -> "asyncio.Future[Any]":
        """Queue a use case; the future has its result when it is durable.

        Raises:
            StoreError: the store is closed.
            StoreBrokenError: nobody knows what became of an earlier commit.
        """
        if self._broken:
            raise StoreBrokenError(self._broken)
        if self._closed:
            message = "the store is closed"
            raise StoreError(message)
        now = self._loop.time()
        write = _Write(use_case, self._loop.create_future(), rank, now, now + self._patience)
        self._queue.put(write, rank, now)
        self._wake.set()
        return write.future

    @property
    def waiting(self) -> int:
        """How many writes wait for their turn."""
        return len(self._queue)

    async def close(self) -> None:
        """Finish what is queued and end the connection."""
        self._closed = True
        self._wake.set()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while self._queue or not self._closed:
                if not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                group = self._next_group()
                self._tell(group, await self._write(group))
        finally:
            _refuse(self._queue.clear(), "the store is closed")
            await self._hang_up()

    def _next_group(self) -> list[_Write]:
        first, rank = self._queue.first(self._loop.time())
        group = [first]
        # One that goes behind takes its time: whoever is asked for meanwhile has the next transaction.
        while rank is Rank.PROMPT and len(group) < _WRITES_LIMIT and (write := self._queue.joining()) is not None:
            group.append(write)
        return group

    async def _write(self, group: list[_Write]) -> Announcements:
        """Commit a group, however often that has to be tried; return what is announced."""
        tries = 0
        while True:
            self._give_up(group)
            if not group:
                return ()
            try:
                return await self._try(group)
            except _FailedTogetherError:
                continue
            except StatementConflictError:
                self.conflicts += 1
                if self._metrics is not None:
                    self._metrics.conflicts.value += 1
            except (ConnectionLostError, ReadOnlyError):
                await self._hang_up()
            except StoreBrokenError as error:
                self._break(group, error)
                return ()
            except StoreFullError as error:
                if self._metrics is not None:
                    self._metrics.refused_full.value += len(group)
                _refuse(group, str(error), StoreFullError)
                return ()
            except (
                Exception
            ) as error:  # a mistake of ours, or trouble of the database: this group's, not the next one's
                _log.error("store.write_failed", error=repr(error), writes=len(group), exc_info=error)
                kind = StoreUnreachableError if is_out_of_reach(error) else StoreError
                _refuse(group, f"the database did not take it: {error}", kind)
                return ()
            tries += 1
            await asyncio.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.001 * 2**tries)))  # noqa: S311 -- no secret

    async def _try(self, group: list[_Write]) -> Announcements:
        connection = await self._connected()
        announced: list[tuple[Channel, Sequence[object]]] = []
        try:
            await connection.execute(self._begin)
            alone = len(group) == 1
            guarded = not alone and self._to_guard > 0
            if guarded:
                self._to_guard -= len(group)
            for write in group:
                write.result = write.error = None
                announced += await self._timed(connection, write, alone=alone, guarded=guarded)
            if len(group) == 1 and group[0].error is not None:
                await connection.execute("ROLLBACK")
                return ()
            shared, transaction = await self._share(connection, announced)
        except Exception as error:
            known = translated(error, is_closed=connection.is_closed())
            if isinstance(known, ConnectionLostError):
                # Not even asked to roll back: a server that is silent would be waited for once more.
                await self._hang_up()
            else:
                await self._undo(connection)
            raise known from error
        metrics = self._metrics
        began = 0.0 if metrics is None else metrics.monotonic()
        await self._commit(connection, transaction)
        self.commits += 1
        self._announced += shared
        if announced and shared and self._sharing is not None:
            self._sharing.on_shared()
        if metrics is not None:
            metrics.committed(len(group), began)
        return announced

    async def _share(self, connection: Connection, announced: Announcements) -> tuple[int, str | None]:
        """Write what the other nodes are to hear; return how many rows that was, and the transaction if it has written.

        A turn with the server costs as much as a small write, so what is announced brings the transaction along.
        """
        sharing = self._sharing
        texts = [] if sharing is None else sharing.channels.texts(announced)
        transaction: str | None = None
        if not texts:
            transaction = await connection.fetchval(_TRANSACTION)
            if sharing is not None and transaction is not None:
                texts = [_NOTHING]
        if sharing is not None and texts:
            numbers = list(range(self._announced + 1, self._announced + 1 + len(texts)))
            channels, items = [channel for channel, _ in texts], [text for _, text in texts]
            transaction = await connection.fetchval(_ANNOUNCE, sharing.node_id, numbers, channels, items)
        return len(texts), transaction

    async def _timed(self, connection: Connection, write: _Write, *, alone: bool, guarded: bool) -> Announcements:
        began = self._loop.time()
        announced = await self._run_one(connection, write, alone=alone, guarded=guarded)
        if self._metrics is not None:
            waited = began - write.asked_at if write.rank is Rank.PROMPT else None
            self._metrics.ran(self._loop.time() - began, waited)
        return announced

    async def _run_one(self, connection: Connection, write: _Write, *, alone: bool, guarded: bool) -> Announcements:
        """Run a write; one that is `guarded` undoes itself where it fails, one that is `alone` leaves it to the caller.

        Raises:
            _FailedTogetherError: it has failed, and is neither.
        """
        if guarded:
            await connection.execute("SAVEPOINT one")
        try:
            write.result, announced = await run_use_case(connection, write.use_case)
            if guarded:
                await connection.execute("RELEASE one")
        except (StatementConflictError, ConnectionLostError, ReadOnlyError, StoreFullError):
            raise
        except Exception as error:
            if not (alone or guarded):
                self._to_guard = _GUARDED_WRITES
                raise _FailedTogetherError from error
            write.error = error
            if guarded:
                await connection.execute("ROLLBACK TO one; RELEASE one")
            return ()
        return announced

    async def _commit(self, connection: Connection, transaction: str | None) -> None:
        try:
            await connection.execute("COMMIT")
        except Exception as error:
            known = translated(error, is_closed=connection.is_closed())
            if not isinstance(known, ConnectionLostError) or transaction is None:
                raise known from error
        else:
            return
        # Nobody told whether it was committed: so the database is asked.
        match await outcome_of(self._anew, transaction, self._timeline):
            case CommitOutcome.COMMITTED:
                return
            case CommitOutcome.UNTOLD if (sharing := self._sharing) is not None:
                if await is_there(self._anew, _ANNOUNCED, sharing.node_id, self._announced + 1):
                    return
                message = "the commit was lost with the server"
                raise ConnectionLostError(message)
            case CommitOutcome.UNTOLD | CommitOutcome.UNDER_WAY if not self._repeats:
                message = "nobody can say whether a commit came through"
                raise StoreBrokenError(message)
            case _:
                message = "the commit was undone, or may be made again"
                raise ConnectionLostError(message)

    async def _anew(self) -> Connection:
        await self._hang_up()
        return await self._connected()

    def _break(self, group: list[_Write], error: StoreBrokenError) -> None:
        """Write nothing more: what the store holds is known to the next process that reads it."""
        _log.critical("store.broken", reason=str(error))
        self._broken, self._closed = str(error), True
        _refuse(group, self._broken, StoreBrokenError)
        _refuse(self._queue.clear(), self._broken, StoreBrokenError)
        self._on_broken()

    async def _undo(self, connection: Connection) -> None:
        try:
            await connection.execute("ROLLBACK")
        except Exception:  # whatever it is: what comes next must not be written along with what is left of this
            await self._hang_up()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            try:
                self._connection = await self._connect()
                self._timeline = await timeline_of(self._connection)
            except CANNOT_CONNECT as error:
                await self._hang_up()
                raise ConnectionLostError(str(error) or type(error).__name__) from error
        return self._connection

    async def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def _give_up(self, group: list[_Write]) -> None:
        """Refuse those of a group that have waited long enough; nothing of theirs is written."""
        now = self._loop.time()
        late = [write for write in group if write.waits_until < now]
        if late:
            group[:] = [write for write in group if write.waits_until >= now]
            _refuse(late, "the database did not take it in time", StoreUnreachableError)

    def _tell(self, group: Sequence[_Write], announced: Announcements) -> None:
        # Listeners hear before the write returns.
        if announced:
            self._announce(announced)
        for write in group:
            if write.future.done():
                continue
            if write.error is not None:
                write.future.set_exception(write.error)
            else:
                write.future.set_result(write.result)


def _refuse(writes: Sequence[_Write], reason: str, kind: type[StoreError] = StoreError) -> None:
    for write in writes:
        write.error = kind(reason)  # one for each, since whoever raises an error writes his traceback into it
        if not write.future.done():
            write.future.set_exception(write.error)
