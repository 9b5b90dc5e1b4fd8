"""The embedded store: one file, one process, one writing thread; a write is durable when it returns."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from firmcast.db.announcements import Announcements
from firmcast.db.metrics import StoreMetrics
from firmcast.db.migrate import migrate, migrations_of
from firmcast.db.port import Channel, Listener, Transaction
from firmcast.db.schema_level import require_current, sqlite_level
from firmcast.db.sqlite_connection import reading_connection, writing_connection
from firmcast.db.sqlite_reader import SqliteReaders
from firmcast.db.sqlite_writer import SqliteWriter
from firmcast.db.statement import portable
from firmcast.db.store_folder import make_store_file, make_store_folder, sync_folder
from firmcast.db.store_lock import StoreLock
from firmcast.db.write_queue import Rank

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

STORE_FILE: Final = "firmcast.db"
"""Name of the store in the data folder."""
_READERS: Final = 2

_INCREMENTAL: Final = 2
_FREE_PAGES_KEPT: Final = 4_000
_FREE_SHARE_KEPT: Final = 10

# How much of the file is free, whether it can be given back, how large the file is.
_FREE_PAGES: Final = portable("PRAGMA freelist_count")
_VACUUM_MODE: Final = portable("PRAGMA auto_vacuum")
_ALL_PAGES: Final = portable("PRAGMA page_count")

# A part of the free pages goes back to the disk: 4 MiB.
_VACUUM_SOME: Final = portable("PRAGMA incremental_vacuum(1000)")


class SqliteDatabase:
    """The port's Database on one SQLite file; it belongs to the loop on which it was opened."""

    def __init__(self, opened: "_Opened", metrics: StoreMetrics | None) -> None:
        loop = asyncio.get_running_loop()
        self._lock = opened.lock
        self._listeners = Announcements()
        self.broken = asyncio.Event()
        """Set when a commit has failed: the process must end, and start anew."""
        self._writer = SqliteWriter(opened.writing, loop, self._listeners.tell, self.broken.set, metrics)
        self._readers = SqliteReaders(opened.reading, loop)
        if metrics is not None:
            _show(metrics, opened.path, self._writer)

    @classmethod
    async def open(
        cls, path: Path, now: datetime, *, metrics: StoreMetrics | None = None, migrates: bool = True
    ) -> "SqliteDatabase":
        """Open the store in `path`, making or migrating it as needed; `now` is noted with a migration.

        Raises:
            StoreInUseError: another process holds it.
            StartError: it is of a later release, no store, or on a file system that cannot be trusted with it; or it
                is not of this release, and is not to be migrated here.
        """
        return cls(await asyncio.to_thread(_Opened, path, now, migrates=migrates), metrics)

    @property
    def commits(self) -> int:
        """How many commits there have been."""
        return self._writer.commits

    @property
    def waiting(self) -> int:
        """How many writes wait for their turn."""
        return self._writer.waiting

    async def write(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        result: Result = await self._writer.submit(lambda tx: use_case(tx, *args, **kwargs))
        return result

    async def write_behind(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        result: Result = await self._writer.submit(lambda tx: use_case(tx, *args, **kwargs), Rank.BEHIND)
        return result

    write_apart = write_behind

    async def read(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        result: Result = await self._readers.run(lambda tx: use_case(tx, *args, **kwargs))
        return result

    def listen(self, channel: Channel, listener: Listener) -> None:
        self._listeners.listen(channel, listener)

    def unlisten(self, channel: Channel, listener: Listener) -> None:
        self._listeners.unlisten(channel, listener)

    async def give_back(self) -> bool:
        """Give a part of the pages that are free back to the disk, where they are many; return whether there are more.

        Free pages are used again, so some are left. A store that an early release made has no means to give any back.
        """
        return bool(await self._writer.submit(_give_back, Rank.BEHIND))

    async def catch_up(self) -> None:
        """Return at once: here nobody else writes, and what was written is told before the write returns."""

    async def close(self) -> None:
        await self._readers.close()
        await self._writer.close()
        self._lock.release()


class _Opened:
    """The lock and the connections of a migrated store; opening it all or nothing."""

    def __init__(self, path: Path, now: datetime, *, migrates: bool) -> None:
        self.path = path
        make_store_folder(path.parent)
        with ExitStack() as undo:
            self.lock = StoreLock(path)
            undo.callback(self.lock.release)
            make_store_file(path)
            self.writing = writing_connection(path)
            undo.callback(self.writing.close)
            if migrates:
                migrate(self.writing, migrations_of("sqlite"), now)
            else:
                require_current(sqlite_level(self.writing, migrations_of("sqlite")))
            sync_folder(path.parent)
            self.reading: list[sqlite3.Connection] = []
            for _ in range(_READERS):
                connection = reading_connection(path)
                undo.callback(connection.close)
                self.reading.append(connection)
            undo.pop_all()


def _show(metrics: StoreMetrics, path: Path, writer: SqliteWriter) -> None:
    metrics.waiting.read = lambda: writer.waiting
    metrics.size.read = lambda: _bytes_of(path)
    metrics.log_size.read = lambda: _bytes_of(path.with_name(f"{path.name}-wal"))


def _bytes_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


async def _give_back(tx: Transaction) -> bool:
    free, mode, pages = [(await tx.fetch(statement))[0][0] for statement in (_FREE_PAGES, _VACUUM_MODE, _ALL_PAGES)]
    if mode != _INCREMENTAL or free <= max(_FREE_PAGES_KEPT, pages // _FREE_SHARE_KEPT):
        return False
    await tx.fetch(_VACUUM_SOME)
    return True
