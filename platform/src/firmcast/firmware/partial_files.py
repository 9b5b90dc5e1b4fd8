"""The bytes of an unfinished upload in a folder are one file named by its id."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import ParamSpec, TypeVar

from firmcast.db.port import Database
from firmcast.firmware import upload_use_cases as use_cases
from firmcast.firmware.package_files import READ_BYTES
from firmcast.ids import UploadId

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class PartialFiles:
    """The unfinished files of one folder. File work happens on other threads than the loop's."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._database = database
        self._folder.mkdir(parents=True, exist_ok=True)

    def path_of(self, upload_id: UploadId) -> Path:
        """Return where the bytes of an upload are, or would be."""
        return self._folder / upload_id

    async def size(self, upload_id: UploadId) -> int:
        """Return how many bytes are there, safe or not; 0 where there is no file."""
        return await finished(_size, self.path_of(upload_id))

    async def open_at(self, upload_id: UploadId, offset: int) -> "GrowingFile":
        """Open the file to add to it at `offset`; what is behind was never safe, and goes."""
        file = await finished(_open_at, self.path_of(upload_id), offset)
        return GrowingFile(self._database, upload_id, file, offset)

    async def digest(self, upload_id: UploadId, size: int) -> str:
        """Return the SHA-256 of the first `size` bytes, as hexadecimal digits; what is behind goes.

        Raises:
            FileNotFoundError: there is no file.
        """
        return await finished(_digest_of, self.path_of(upload_id), size)

    async def remove(self, upload_id: UploadId) -> None:
        """Remove the file, if there is one."""
        await finished(self.path_of(upload_id).unlink, missing_ok=True)


class GrowingFile:
    """An unfinished file that is being added to."""

    def __init__(self, database: Database, upload_id: UploadId, file: FileIO, size: int) -> None:
        self._database = database
        self._upload_id = upload_id
        self._file = file
        self.size = size
        """Bytes that were written, synced or not."""

    async def append(self, data: bytes) -> None:
        await finished(write_all, self._file, data)
        self.size += len(data)

    async def count(self, now: datetime) -> int:
        await finished(_sync, self._file)
        safe = self.size
        await self._database.write(use_cases.move, self._upload_id, safe, now)
        return safe

    async def close(self) -> None:
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


def _digest_of(path: Path, size: int) -> str:
    os.truncate(path, size)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
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


def write_all(file: FileIO, data: bytes) -> None:
    """Write all bytes; a raw file may take a part of them at a time."""
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
