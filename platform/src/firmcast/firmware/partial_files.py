"""The bytes of an unfinished upload are one file named by its id; whoever comes last to write it has it alone.

A connection that broke unnoticed would hold an upload for hours, so a newcomer does not wait for who writes: it asks
that one to end, and begins when the bytes that had come are safe.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import FileIO
from pathlib import Path
from typing import ParamSpec, TypeVar

from firmcast.ids import UploadId

_READ_BYTES = 1 << 20

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _Turns:
    """Who writes one upload, and who waits to."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.latest: asyncio.Event | None = None
        self.users = 0


class PartialFiles:
    """The unfinished files of one folder. File work happens on other threads than the loop's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._turns: dict[UploadId, _Turns] = {}

    @asynccontextmanager
    async def turn(self, upload_id: UploadId) -> AsyncIterator[asyncio.Event]:
        """Have an upload alone; the event is set when somebody else wants it, who waits until this ends."""
        turns = self._turns.setdefault(upload_id, _Turns())
        asked = asyncio.Event()
        former, turns.latest = turns.latest, asked
        if former is not None:
            former.set()
        turns.users += 1
        try:
            async with turns.lock:
                yield asked
        finally:
            turns.users -= 1
            if not turns.users:
                del self._turns[upload_id]

    def path_of(self, upload_id: UploadId) -> Path:
        """Return where the bytes of an upload are, or would be."""
        return self._folder / upload_id

    async def size(self, upload_id: UploadId) -> int:
        """Return how many bytes are there, safe or not; 0 where there is no file."""
        return await finished(_size, self.path_of(upload_id))

    async def open_at(self, upload_id: UploadId, offset: int) -> "PartialFile":
        """Open the file to add to it at `offset`; what is behind was never safe, and goes."""
        return PartialFile(await finished(_open_at, self.path_of(upload_id), offset), offset)

    async def digest(self, upload_id: UploadId) -> str:
        """Return the SHA-256 of the bytes that are on disk, as hexadecimal digits.

        Raises:
            FileNotFoundError: there is no file.
        """
        return await finished(digest_of, self.path_of(upload_id))

    async def remove(self, upload_id: UploadId) -> None:
        """Remove the file, if there is one."""
        await finished(self.path_of(upload_id).unlink, missing_ok=True)


class PartialFile:
    """An unfinished file that is being added to."""

    def __init__(self, file: FileIO, size: int) -> None:
        self._file = file
        self.size = size
        """Bytes that were written, synced or not."""

    async def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        await finished(_write, self._file, data)
        self.size += len(data)

    async def sync(self) -> int:
        """Return the number of bytes that no power cut can take away any more: all that were added."""
        await finished(_sync, self._file)
        return self.size

    async def close(self) -> None:
        """Close the file."""
        await finished(self._file.close)


async def finished(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """Run `function` on a thread, and return only when it has ended, even when the caller is cancelled meanwhile."""
    running = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        running.exception()  # nobody else asks for it
        raise


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _open_at(path: Path, offset: int) -> FileIO:
    new = not path.exists()
    # Unbuffered: what was written is in the file, and closing it on a full disk raises nothing.
    file = FileIO(path, "xb" if new else "r+b")
    try:
        file.truncate(offset)
        file.seek(offset)
        if new:
            sync_folder(path.parent)
    except BaseException:
        file.close()
        raise
    return file


def _write(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _sync(file: FileIO) -> None:
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder safe."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
