"""The embedded store: one file, one process, one writing thread; a write is durable when it returns."""

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from firmcast.db.migrate import migrate, migrations_of
from firmcast.db.port import Channel, Listener, Transaction
from firmcast.db.sqlite_connection import writing_connection
from firmcast.db.sqlite_reader import SqliteReaders
from firmcast.db.sqlite_writer import SqliteWriter
from firmcast.db.store_lock import StoreLock
from firmcast.errors import StartError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_READERS = 2
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs"}


class SqliteDatabase:
    """The port's Database on one SQLite file."""

    def __init__(self, path: Path, lock: StoreLock, writer_of: Callable[["SqliteDatabase"], SqliteWriter]) -> None:
        self._lock = lock
        self._listeners: dict[Channel, list[Listener]] = defaultdict(list)
        self.broken = asyncio.Event()
        """Set when a commit has failed: the process must end, and start anew."""
        self._writer = writer_of(self)
        self._readers = SqliteReaders(path, asyncio.get_running_loop(), _READERS)

    @classmethod
    async def open(cls, path: Path, now: datetime) -> "SqliteDatabase":
        """Open the store in `path`, making or migrating it as needed; `now` is noted with a migration.

        Raises:
            StoreInUseError: another process holds it.
            StartError: it is of a later release, or on a file system that cannot be trusted with it.
        """
        await asyncio.to_thread(_make_folder, path.parent)
        lock = StoreLock(path)
        try:
            connection = await asyncio.to_thread(writing_connection, path)
            try:
                await asyncio.to_thread(migrate, connection, migrations_of("sqlite"), now)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            lock.release()
            raise
        loop = asyncio.get_running_loop()
        return cls(path, lock, lambda self: SqliteWriter(connection, loop, self._announce, self.broken.set))

    @property
    def commits(self) -> int:
        """How many commits there have been."""
        return self._writer.commits

    async def write(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        result: Result = await self._writer.submit(lambda tx: use_case(tx, *args, **kwargs))
        return result

    async def read(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        result: Result = await self._readers.submit(lambda tx: use_case(tx, *args, **kwargs))
        return result

    def listen(self, channel: Channel, listener: Listener) -> None:
        self._listeners[channel].append(listener)

    async def close(self) -> None:
        await self._readers.close()
        await self._writer.close()
        self._lock.release()

    def _announce(self, announced: Sequence[tuple[Channel, Sequence[object]]]) -> None:
        items: dict[Channel, list[object]] = defaultdict(list)
        for channel, said in announced:
            items[channel] += said
        for channel, all_said in items.items():
            for listener in self._listeners[channel]:
                listener(all_said)


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if _file_system_of(folder) in _NETWORK_FILE_SYSTEMS:
        message = f"{folder} is on a network file system, whose locks and syncs cannot be trusted with a store"
        raise StartError(message)
    # A new entry of a folder survives power loss only when the folder itself has been synced.
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _file_system_of(folder: Path) -> str:
    """Return the type of the file system that holds `folder`; empty where the system does not tell."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    here = str(folder.resolve())
    best, kind = "", ""
    for line in mounts.read_text().splitlines():
        _device, point, file_system = line.split()[:3]
        inside = here == point or here.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, file_system
    return kind
