"""Bytes of packages are files named by their SHA-256; a file appears under its name only when it is whole and synced.

Bytes arrive in `incoming/`, are synced, and then renamed to `ab/abcdef…` (the first two digits of the digest, then
the whole). Renaming over a file that is there already is harmless: the name says that it holds the same bytes.
What comes in pieces grows in `partial/` until it is whole. The folder belongs to one process, as its store does.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from firmcast.db.port import Database
from firmcast.errors import InvalidValueError, NotFoundError, StoreFullError
from firmcast.firmware import use_cases
from firmcast.firmware.model import StoredFile, Unneeded
from firmcast.firmware.package_files import (
    READ_BYTES,
    Change,
    IncomingFile,
    OpenPackage,
    PackageUnreadableError,
    TooLargeError,
    open_checked,
)
from firmcast.firmware.partial_files import GrowingFile, PartialFiles, sync_folder
from firmcast.firmware.turns import Turns
from firmcast.ids import UploadId, new_hex

Result = TypeVar("Result")

FOLDER = "firmware"
"""Name of the folder beside an embedded store."""
PARTIAL = "partial"
"""Name of the folder in it that holds the bytes of open uploads."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class FirmwareFiles:
    """The port's PackageFiles in one folder. File work happens on other threads than the loop's."""

    def __init__(self, root: Path, database: Database) -> None:
        self._root = root
        self._database = database
        self._incoming = root / "incoming"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)  # packages are nobody else's on this machine
        self._incoming.mkdir(exist_ok=True)
        self._arriving: set[str] = set()
        self.partial = PartialFiles(root / PARTIAL, database)
        self._turns = Turns()
        self._naming = asyncio.Lock()
        """Held from the naming of bytes until their row is committed, and from the end of a row until its bytes are
        gone: without it a deletion could take the bytes away from under a new package made of the same ones."""

    async def receive(self, chunks: AsyncIterable[bytes], size_limit: int) -> IncomingFile:
        path = self._incoming / new_hex()
        self._arriving.add(path.name)
        try:
            stored = await self._write(path, chunks, size_limit)
        except BaseException as error:
            self._discard(path)
            raise (no_space(error) if isinstance(error, OSError) else error) from None
        return IncomingFile(key=str(path), stored=stored)

    async def keep(self, incoming: IncomingFile, change: Change[Result]) -> Result:
        path = Path(incoming.key)
        try:
            async with self._naming:
                return await self._named(path, incoming.stored.digest, change)
        finally:
            self._discard(path)

    async def release(self, change: Change[Unneeded]) -> None:
        async with self._naming:
            await self._remove(await self._database.write(change))

    @asynccontextmanager
    async def turn(self, upload_id: UploadId) -> AsyncIterator["_Turn"]:
        async with self._turns.turn(upload_id) as asked:
            yield _Turn(upload_id, asked, self.partial, self._keep_partial)

    async def open(self, digest: str, size: int) -> OpenPackage:
        try:
            return await asyncio.to_thread(open_checked, self.path_of(digest), digest, size)
        except OSError as error:
            raise unreadable(error) from error

    async def stream(self, digest: str) -> AsyncIterator[bytes]:
        async for part in stream_file(self.path_of(digest)):
            yield part

    async def remove_orphans(self) -> int:
        async with self._naming:
            # In this order: what comes while the store is read is not in the list, and its row was there before it.
            found = await asyncio.to_thread(lambda: list(self._root.glob("*/*")))
            needed = await self._database.read(use_cases.needed_files)
            orphans = [path for path in found if path.name not in needed and path.name not in self._arriving]
            await asyncio.to_thread(_unlink_all, orphans)
        return len(orphans)

    def path_of(self, digest: str) -> Path:
        """Return where the bytes of a digest are, or would be."""
        return path_in(self._root, digest)

    async def _named(self, path: Path, digest: str, change: Change[Result]) -> Result:
        """Give bytes their name and run `change`; the name stays only where a row needs it."""
        try:
            await asyncio.to_thread(_rename, path, self.path_of(digest))
            return await self._database.write(change)
        except BaseException:
            # The bytes may have their name already, and may be wanted by another package.
            await self._remove(await self._database.read(use_cases.unneeded, [digest]))
            raise

    async def _keep_partial(self, upload_id: UploadId, stored: StoredFile, change: Change[Result]) -> Result:
        named = self._incoming / new_hex()
        self._arriving.add(named.name)
        try:
            async with self._naming:
                try:
                    # Its own file stays beside it until the row is there.
                    await asyncio.to_thread(_link, self.partial.path_of(upload_id), named)
                except FileNotFoundError:
                    raise NotFoundError("upload", upload_id) from None
                result = await self._named(named, stored.digest, change)
        except OSError as error:
            raise no_space(error) from None
        finally:
            self._discard(named)
        await self.partial.remove(upload_id)
        return result

    async def _remove(self, unneeded: Unneeded) -> None:
        for digest in unneeded.digests:
            await asyncio.to_thread(self.path_of(digest).unlink, missing_ok=True)
        for upload_id in unneeded.upload_ids:
            await self.partial.remove(upload_id)

    def _discard(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._arriving.discard(path.name)

    async def _write(self, path: Path, chunks: AsyncIterable[bytes], size_limit: int) -> StoredFile:
        digest = hashlib.sha256()
        size = 0
        pending = bytearray()
        file = await asyncio.to_thread(path.open, "xb")
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > size_limit:
                    message = f"a package has {size_limit} bytes at the most"
                    raise TooLargeError(message)
                pending += chunk
                if len(pending) >= READ_BYTES:
                    await asyncio.to_thread(_append, file, digest, bytes(pending))
                    pending.clear()
            if size == 0:
                raise InvalidValueError("package", "there are no bytes in it")
            await asyncio.to_thread(_append, file, digest, bytes(pending))
            await asyncio.to_thread(_sync, file)
        finally:
            # Closing writes what is still buffered, which fails again on a full disk.
            with contextlib.suppress(OSError):
                file.close()
        return StoredFile(digest=digest.hexdigest(), size=size)


class _Turn:
    """The port's UploadTurn on one file."""

    def __init__(
        self,
        upload_id: UploadId,
        asked: asyncio.Event,
        partial: PartialFiles,
        keep: Callable[[UploadId, StoredFile, Change[Any]], Coroutine[Any, Any, Any]],
    ) -> None:
        self._upload_id = upload_id
        self._partial = partial
        self._keep = keep
        self.asked = asked

    async def size(self) -> int:
        return await self._partial.size(self._upload_id)

    async def open_at(self, offset: int) -> GrowingFile:
        return await self._partial.open_at(self._upload_id, offset)

    async def digest(self, size: int) -> str:
        try:
            return await self._partial.digest(self._upload_id, size)
        except FileNotFoundError:
            raise NotFoundError("upload", self._upload_id) from None

    async def become_package(self, stored: StoredFile, change: Change[Result]) -> Result:
        result: Result = await self._keep(self._upload_id, stored, change)
        return result


def path_in(root: Path, digest: str) -> Path:
    """Return where in a folder the bytes of a digest are, or would be."""
    return root / digest[:2] / digest


async def stream_file(path: Path) -> AsyncIterator[bytes]:
    """Yield the bytes of a file, part by part.

    Raises:
        PackageUnreadableError: it cannot be read.
    """
    try:
        file = await asyncio.to_thread(path.open, "rb")
        with file:
            while part := await asyncio.to_thread(file.read, READ_BYTES):
                yield part
    except OSError as error:
        raise unreadable(error) from error


def no_space(error: OSError) -> Exception:
    """Return the error to raise: a full disk is told as such."""
    return StoreFullError("no space is left for the package") if error.errno in _NO_SPACE else error


def unreadable(error: OSError) -> PackageUnreadableError:
    """Return what to tell of a file that cannot be read."""
    return PackageUnreadableError(f"the package's bytes: {error.strerror or error}")


def _append(file: BinaryIO, digest: "hashlib._Hash", data: bytes) -> None:
    digest.update(data)
    file.write(data)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _rename(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    source.rename(target)
    sync_folder(target.parent)
    sync_folder(target.parent.parent)


def _unlink_all(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        # This file system knows no links.
        shutil.copyfile(source, target)
        with target.open("rb") as file:
            _sync(file)
