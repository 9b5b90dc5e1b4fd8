"""Every package has the bytes that it was made of, and every open upload those that it counts."""

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from firmcast.db.port import Reader
from firmcast.firmware import chunk_store, upload_use_cases, use_cases
from firmcast.firmware.chunks import stream_content
from firmcast.firmware.files import PARTIAL, path_in, stream_file
from firmcast.firmware.model import StoredFile
from firmcast.firmware.package_files import PackageUnreadableError
from firmcast.ids import UploadId


class KeptBytes(Protocol):
    """Where bytes are kept, to be read only."""

    def stream(self, digest: str) -> AsyncIterator[bytes]:
        """Yield the bytes of a digest; raise PackageUnreadableError where there are none."""
        ...

    async def partial_size(self, upload_id: UploadId) -> int:
        """Return how many bytes of an upload are there."""
        ...


class BytesInFolder:
    """Beside an embedded store."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def stream(self, digest: str) -> AsyncIterator[bytes]:
        return stream_file(path_in(self._root, digest))

    async def partial_size(self, upload_id: UploadId) -> int:
        path = self._root / PARTIAL / upload_id
        return path.stat().st_size if path.exists() else 0


class BytesInDatabase:
    """In the database of many nodes."""

    def __init__(self, database: Reader) -> None:
        self._database = database

    def stream(self, digest: str) -> AsyncIterator[bytes]:
        return stream_content(self._database, digest)

    async def partial_size(self, upload_id: UploadId) -> int:
        return await self._database.read(chunk_store.size, upload_id)


async def damaged_packages(database: Reader, kept: KeptBytes) -> list[str]:
    """Return a line for each digest whose bytes are not there, or are others."""
    return [
        f"{stored.digest}: {reason}"
        for stored in await database.read(use_cases.files)
        if (reason := await _fault(stored, kept.stream))
    ]


async def short_uploads(database: Reader, kept: KeptBytes) -> list[str]:
    """Return a line for each open upload that counts more bytes than there are."""
    found = []
    for upload in await database.read(upload_use_cases.listed):
        there = await kept.partial_size(upload.upload_id)
        if there < upload.received:
            found.append(f"{upload.upload_id}: {upload.received} bytes are counted, and {there} are there")
    return found


async def _fault(stored: StoredFile, stream: Callable[[str], AsyncIterator[bytes]]) -> str:
    digest, size = hashlib.sha256(), 0
    try:
        async for part in stream(stored.digest):
            digest.update(part)
            size += len(part)
    except PackageUnreadableError as error:
        return str(error)
    if size != stored.size:
        return f"{size} bytes, {stored.size} expected"
    return "" if digest.hexdigest() == stored.digest else "they are not those that were uploaded"
