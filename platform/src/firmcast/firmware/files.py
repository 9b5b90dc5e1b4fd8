"""Bytes of packages are files named by their SHA-256; a file appears under its name only when it is whole and synced.

Bytes arrive in `incoming/`, are synced, and then renamed to `ab/abcdef…` (the first two digits of the digest, then
the whole). Renaming over a file that is there already is harmless: the name says that it holds the same bytes.
What comes in pieces grows in `partial/` until it is whole.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterable, Collection
from pathlib import Path
from typing import BinaryIO

from firmcast.errors import InvalidValueError, RefusedError, StoreFullError
from firmcast.firmware.model import StoredFile, Unneeded
from firmcast.firmware.partial_files import PartialFiles, sync_folder
from firmcast.ids import UploadId, new_hex

_WRITE_BYTES = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class TooLargeError(RefusedError):
    """The bytes are more than a package may have."""


class IncomingFile:
    """Bytes that have arrived and are synced, but have no name yet."""

    def __init__(self, path: Path, stored: StoredFile) -> None:
        self.path = path
        self.stored = stored


class FirmwareFiles:
    """The files of one folder. File work happens on other threads than the loop's."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)  # packages are nobody else's on this machine
        self._incoming.mkdir(exist_ok=True)
        self.partial = PartialFiles(root / "partial")
        self.naming = asyncio.Lock()
        """To be held from `keep` until its row is committed, and from the end of a row until `remove`: without it
        a deletion could take the bytes away from under a new package made of the same ones."""

    async def store_stream(self, chunks: AsyncIterable[bytes], size_limit: int) -> StoredFile:
        """Take bytes and name them; see `receive`."""
        incoming = await self.receive(chunks, size_limit)
        return await self.keep(incoming)

    async def receive(self, chunks: AsyncIterable[bytes], size_limit: int) -> IncomingFile:
        """Take bytes; nothing of them stays when it fails or is cancelled.

        Raises:
            TooLargeError: there are more than `size_limit` bytes.
            InvalidValueError: there are none.
            StoreFullError: no space is left.
        """
        path = self._incoming / new_hex()
        try:
            stored = await self._write(path, chunks, size_limit)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in _NO_SPACE:
                message = "no space is left for the package"
                raise StoreFullError(message) from None
            raise
        return IncomingFile(path, stored)

    async def keep(self, incoming: IncomingFile) -> StoredFile:
        """Give bytes that have arrived their name."""
        await asyncio.to_thread(_rename, incoming.path, self.path_of(incoming.stored.digest))
        return incoming.stored

    async def discard(self, incoming: IncomingFile) -> None:
        """Drop bytes that have arrived."""
        await asyncio.to_thread(incoming.path.unlink, missing_ok=True)

    async def keep_partial(self, upload_id: UploadId, stored: StoredFile) -> None:
        """Give the bytes of an upload, which must be `stored`, their name; its own file stays beside it for now."""
        named = self._incoming / new_hex()
        await asyncio.to_thread(_link, self.partial.path_of(upload_id), named)
        await self.keep(IncomingFile(named, stored))

    def path_of(self, digest: str) -> Path:
        """Return where the bytes of a digest are, or would be."""
        return self._root / digest[:2] / digest

    def open_for_reading(self, digest: str) -> BinaryIO:
        """Open the bytes of a digest.

        Raises:
            FileNotFoundError: they are not here.
        """
        return self.path_of(digest).open("rb")

    async def remove(self, digest: str) -> None:
        """Remove the bytes of a digest; a file that is open stays readable to who opened it."""
        await asyncio.to_thread(self.path_of(digest).unlink, missing_ok=True)

    async def remove_unneeded(self, unneeded: Unneeded) -> None:
        """Remove the bytes that nothing refers to any more; `naming` must be held since before that was so.

        The turns of uploads are not waited for: who has one may be waiting for `naming`. He finds his row gone.
        """
        for digest in unneeded.digests:
            await self.remove(digest)
        for upload_id in unneeded.upload_ids:
            await self.partial.remove(upload_id)

    async def remove_orphans(self, needed: Collection[str]) -> int:
        """Remove, before anything arrives, what a crash left behind; return how many files that were.

        `needed` names what stays: digests, and the ids of uploads.
        """
        return await asyncio.to_thread(self._remove_orphans, frozenset(needed))

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
                if len(pending) >= _WRITE_BYTES:
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

    def _remove_orphans(self, needed: frozenset[str]) -> int:
        orphans = [path for path in self._root.glob("*/*") if path.name not in needed]
        for path in orphans:
            path.unlink()
        return len(orphans)


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
