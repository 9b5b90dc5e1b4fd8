"""Packages that this node serves are files on its disk, named by their digest and checked each time they are opened.

What is damaged or missing is fetched again. The files may be removed at any time, or be another process's too. When
they have more bytes than they may, those that were not opened for longest go, but none that is open.
"""

import asyncio
import errno
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path
from typing import Final
from weakref import WeakSet

import structlog

from firmcast.clock import Clock
from firmcast.firmware.files import path_in
from firmcast.firmware.package_files import OpenPackage, PackageUnreadableError, open_checked
from firmcast.firmware.partial_files import write_all
from firmcast.ids import new_hex

_log = structlog.get_logger()

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)

Fetch = Callable[[], AsyncIterator[bytes]]


class PackageCache:
    """The cached files of one folder. File work happens on other threads than the loop's."""

    def __init__(self, root: Path, clock: Clock, *, limit: int) -> None:
        """Keep at most `limit` bytes, but the file that is wanted in any case."""
        self._root = root
        self._clock = clock
        self._limit = limit
        self._incoming = root / "incoming"
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._openings: dict[str, asyncio.Task[OpenPackage]] = {}
        self._open: dict[str, WeakSet[OpenPackage]] = {}
        _remove_unfinished(self._incoming)

    async def open(self, digest: str, size: int, fetch: Fetch) -> OpenPackage:
        """Return the file of a digest, checked; `fetch` gives its bytes where they are not here, once for all callers.

        Raises:
            PackageUnreadableError: they are not what was uploaded, or there is no space for them.
        """
        opening = self._openings.get(digest)
        if opening is None:
            opening = asyncio.create_task(self._checked(digest, size, fetch), name="open-cached-package")
            self._openings[digest] = opening
            opening.add_done_callback(lambda _: self._openings.pop(digest, None))
        return await asyncio.shield(opening)

    async def remove(self, digest: str) -> None:
        """Remove a file that nobody will want again; who has it open can go on."""
        with suppress(OSError):
            await asyncio.to_thread(self.path_of(digest).unlink, missing_ok=True)

    def path_of(self, digest: str) -> Path:
        """Return where the bytes of a digest are, or would be."""
        return path_in(self._root, digest)

    async def _checked(self, digest: str, size: int, fetch: Fetch) -> OpenPackage:
        try:
            try:
                file = await asyncio.to_thread(open_checked, self.path_of(digest), digest, size)
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    _log.warning("firmware.cache_damaged", digest=digest, reason=str(error))
                return await self._fetch_with_room(digest, size, fetch)
        except OSError as error:
            message = f"the package's bytes: {error.strerror or error}"
            raise PackageUnreadableError(message) from error
        self._note(digest, file)
        return file

    async def _fetch_with_room(self, digest: str, size: int, fetch: Fetch) -> OpenPackage:
        await asyncio.to_thread(self._evict, self._limit - size)
        try:
            return await self._fetch(digest, size, fetch)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
        # The disk is smaller than the setting: everything that is not in use goes.
        await asyncio.to_thread(self._evict, 0)
        return await self._fetch(digest, size, fetch)

    async def _fetch(self, digest: str, size: int, fetch: Fetch) -> OpenPackage:
        found = hashlib.sha256()
        with _incoming(self._incoming / new_hex()) as (file, path):
            async for chunk in fetch():
                found.update(chunk)
                await asyncio.to_thread(write_all, file, chunk)
            if found.hexdigest() != digest or file.tell() != size:
                message = f"the package's bytes: those in the database are not those that were uploaded ({digest})"
                raise PackageUnreadableError(message)
            # Opened before it has a name: under its name it could be evicted at once.
            fetched = OpenPackage(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            self._note(digest, fetched)
            await asyncio.to_thread(_name, path, self.path_of(digest))
        return fetched

    def _note(self, digest: str, file: OpenPackage) -> None:
        """Note that a file is in use, and when."""
        self._open.setdefault(digest, WeakSet()).add(file)
        file.mark((self._clock.now() - _EPOCH) // timedelta(microseconds=1) * 1000)

    def _evict(self, limit: int) -> None:
        """Remove what was not opened for longest until `limit` bytes are left, or only what is open."""
        found = []
        for path in self._root.glob("??/*"):
            with suppress(FileNotFoundError):
                told = path.stat()
                found.append((told.st_mtime_ns, told.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= limit:
                return
            if not self._open.get(path.name):
                self._open.pop(path.name, None)
                path.unlink(missing_ok=True)
                total -= size


@contextmanager
def _incoming(path: Path) -> Iterator[tuple[FileIO, Path]]:
    """Make a file that goes again unless it is renamed; its lock tells other processes that it is being written."""
    file = FileIO(path, "xb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file, path
    finally:
        file.close()
        path.unlink(missing_ok=True)


def _remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed had begun to fetch."""
    for path in folder.iterdir():
        with suppress(OSError), FileIO(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _name(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    source.rename(target)
