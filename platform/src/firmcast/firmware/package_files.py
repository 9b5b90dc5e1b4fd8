"""The files of packages, wherever they are kept: taken in, named by their digest, opened, and removed.

A package is a row and a file, and both come and go as one: `keep` and `release` are given the change of the rows, and
see to it that no file is without a row, and no row without its file, whoever else works on the same bytes.
Two adapters ship: `files.py` keeps them in a folder beside an embedded store, `chunks.py` in the database of many
nodes.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from firmcast.db.port import Transaction
from firmcast.errors import ConflictError, FirmcastError, RefusedError
from firmcast.firmware.model import StoredFile, Unneeded
from firmcast.ids import UploadId

Result = TypeVar("Result")
Change = Callable[[Transaction], Coroutine[Any, Any, Result]]
"""A use case that changes rows which refer to files."""

READ_BYTES: Final = 1 << 20


class TooLargeError(RefusedError):
    """The bytes are more than a package may have."""


class PackageUnreadableError(FirmcastError):
    """The bytes of a package cannot be read, or are not those that were uploaded."""


class OffsetError(ConflictError):
    """A piece does not begin where the safe bytes end; `offset` says where that is."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingFile:
    """Bytes that have arrived and are safe, but belong to no package yet."""

    key: str
    """Where they are; of one adapter."""
    stored: StoredFile


class OpenPackage:
    """A file that was checked, and stays readable for as long as anybody refers to it, even after its removal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)

    @property
    def size(self) -> int:
        """Bytes."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`, in place: they are on this machine."""
        return os.pread(self._descriptor, length, offset)

    def mark(self, used_at: int) -> None:
        """Give the file a time of last use, in nanoseconds since 1970, if this process may."""
        with suppress(OSError):
            os.utime(self._descriptor, ns=(used_at, used_at))


class PartialFile(Protocol):
    """The bytes of an unfinished upload that are being added to."""

    @property
    def size(self) -> int:
        """Bytes that were added, safe or not, and those before them."""
        ...

    async def append(self, data: bytes) -> None:
        """Add bytes at the end.

        Raises:
            OSError, StoreFullError: there is no space for them.
            OffsetError, NotFoundError: on another node somebody else goes on with the upload, or it was ended.
        """
        ...

    async def count(self, now: datetime) -> int:
        """Make all that was added safe, note in the upload's row how much that is, and return it.

        Raises: see `append`.
        """
        ...

    async def close(self) -> None:
        """Add nothing more."""
        ...


class UploadTurn(Protocol):
    """An upload in the hands of one sender."""

    @property
    def asked(self) -> asyncio.Event:
        """Set when somebody else wants the upload, who waits until this turn ends."""
        ...

    async def size(self) -> int:
        """Return how many bytes are there, safe or not."""
        ...

    async def open_at(self, offset: int) -> PartialFile:
        """Begin to add at `offset`, where the counted bytes end; what is behind was never safe, and goes.

        Raises: see `PartialFile.append`.
        """
        ...

    async def digest(self, size: int) -> str:
        """Return the SHA-256 of the first `size` bytes, as hexadecimal digits; what is behind goes.

        Raises:
            NotFoundError: the upload was ended.
        """
        ...

    async def become_package(self, stored: StoredFile, change: Change[Result]) -> Result:
        """Make the bytes, which are `stored`, those of a package that `change` makes; return what `change` does.

        Raises:
            OSError, StoreFullError: there is no space for them.
            NotFoundError: the upload was ended.
        """
        ...


class PackageFiles(Protocol):
    """Where the bytes of all packages are."""

    async def receive(self, chunks: AsyncIterable[bytes], size_limit: int) -> IncomingFile:
        """Take bytes; nothing of them stays when it fails or is cancelled.

        Raises:
            TooLargeError: there are more than `size_limit` bytes.
            InvalidValueError: there are none.
            StoreFullError: no space is left.
        """
        ...

    async def keep(self, incoming: IncomingFile, change: Change[Result]) -> Result:
        """Make bytes that have arrived those of a package that `change` makes; return what `change` does.

        When `change` fails nothing of them stays.
        """
        ...

    async def release(self, change: Change[Unneeded]) -> None:
        """Run `change`, which ends rows, and remove the files that it returns as unneeded.

        Who sends to one of these uploads is not waited for: he finds its row gone. A file that is open stays readable
        to who opened it.
        """
        ...

    def turn(self, upload_id: UploadId) -> AbstractAsyncContextManager[UploadTurn]:
        """Have an upload alone: who has it is asked to end his turn."""
        ...

    async def open(self, digest: str, size: int) -> OpenPackage:
        """Return the file of a digest (64 hexadecimal digits) and of `size` bytes, checked against both just now.

        Raises:
            PackageUnreadableError: it is not here, or is not what was uploaded.
            StoreError: the store cannot be read at present.
        """
        ...

    def stream(self, digest: str) -> AsyncIterator[bytes]:
        """Yield the bytes of a digest as they are kept, unchecked, piece by piece.

        Raises:
            PackageUnreadableError: they are not here.
            StoreError: the store cannot be read at present.
        """
        ...

    async def remove_orphans(self) -> int:
        """Remove what a crash left behind of files that nothing refers to; return how many they were."""
        ...


def open_checked(path: Path, digest: str, size: int) -> OpenPackage:
    """Open a file after reading it through.

    Raises:
        OSError: it cannot be read, or is not that of `digest` and `size`.
    """
    file = OpenPackage(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    if file.size != size:
        raise OSError(f"{file.size} bytes, {size} expected")
    found = hashlib.sha256()
    for offset in range(0, size, READ_BYTES):
        found.update(file.read(offset, READ_BYTES))
    if found.hexdigest() != digest:
        raise OSError("they are not those that were uploaded")
    return file
