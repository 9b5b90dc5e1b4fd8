"""The files of packages and of open uploads become chunks, within a copy of their store."""

import hashlib
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from firmcast.db.port import Reader, Transaction
from firmcast.errors import StoreError
from firmcast.firmware import chunk_store as store
from firmcast.firmware.chunk_store import CHUNK_BYTES
from firmcast.firmware.chunks import stream_content
from firmcast.firmware.files import PARTIAL, path_in
from firmcast.firmware.model import StoredFile, Upload
from firmcast.ids import new_hex

Result = TypeVar("Result")

_WRITER: Final = "copy"


class Copy(Reader, Protocol):
    """The transaction of the copy."""

    async def run(self, use_case: Callable[[Transaction], Coroutine[Any, Any, Result]]) -> Result:
        """Run a use case in it."""
        ...


async def copy_package(copy: Copy, root: Path, stored: StoredFile, now: datetime) -> None:
    """Copy the bytes of a digest, and compare them.

    Raises:
        StoreError: they cannot be read, or are not those that were uploaded.
    """
    content_id = new_hex()
    size, digest = await _copy(copy, path_in(root, stored.digest), content_id, stored.size, now)
    if (size, digest) != (stored.size, stored.digest):
        message = (
            f"the bytes of the package {stored.digest} are not those that were uploaded: delete or restore the package"
        )
        raise StoreError(message)
    await copy.run(lambda tx: store.name(tx, content_id, _WRITER, stored.digest))
    found = hashlib.sha256()
    async for chunk in stream_content(copy, stored.digest):
        found.update(chunk)
    if found.hexdigest() != stored.digest:
        message = f"the bytes of the package {stored.digest} were not copied as they are"
        raise StoreError(message)


async def copy_upload(copy: Copy, root: Path, upload: Upload, now: datetime) -> None:
    """Copy the counted bytes of an open upload.

    Raises:
        StoreError: they are not all there.
    """
    if not upload.received:
        return
    size, _ = await _copy(copy, root / PARTIAL / upload.upload_id, upload.upload_id, upload.received, now)
    if size < upload.received:
        message = f"the upload {upload.upload_id} counts {upload.received} bytes, and {size} are there: end it first"
        raise StoreError(message)


async def _copy(copy: Copy, path: Path, content_id: str, limit: int, now: datetime) -> tuple[int, str]:
    """Copy at most the first `limit` bytes of a file; return how many those were, and their digest."""
    await copy.run(lambda tx: store.claim(tx, content_id, _WRITER, now))
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while part := file.read(min(CHUNK_BYTES, limit - size)):
                await _put(copy, content_id, size // CHUNK_BYTES, part)
                digest.update(part)
                size += len(part)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise StoreError(message) from error
    return size, digest.hexdigest()


async def _put(copy: Copy, content_id: str, number: int, part: bytes) -> None:
    await copy.run(lambda tx: store.put(tx, content_id, number, part))
