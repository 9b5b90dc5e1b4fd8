"""Chunks are written one by one, each in a transaction that proves whose content it is; and read one by one."""

from collections.abc import AsyncIterator

from firmcast.clock import Clock
from firmcast.db.port import Database, Reader, Transaction
from firmcast.firmware import chunk_store as store
from firmcast.firmware import upload_use_cases as uploads
from firmcast.firmware.chunk_store import CHUNK_BYTES
from firmcast.firmware.package_files import OffsetError
from firmcast.ids import UploadId


class ChunkWriter:
    """Adds bytes to a content that was claimed in the name `writer`."""

    def __init__(
        self, database: Database, clock: Clock, content_id: str, writer: str, *, size: int = 0, tail: bytes = b""
    ) -> None:
        """Go on behind the first `size` bytes, of which `tail` fills no whole chunk."""
        self._database = database
        self._clock = clock
        self._content_id = content_id
        self._writer = writer
        self._pending = bytearray(tail)
        self.size = size
        """Bytes that were added, written or not."""

    async def append(self, data: bytes) -> None:
        """Add bytes, and write the chunks that are whole.

        Raises:
            NotFoundError, OffsetError: see `proven`.
        """
        self.size += len(data)
        self._pending += data
        while len(self._pending) >= CHUNK_BYTES:
            await self._database.write(self._write, bytes(self._pending[:CHUNK_BYTES]), self.size - len(self._pending))
            del self._pending[:CHUNK_BYTES]

    async def flush(self) -> None:
        """Write the rest, which may be added to later.

        Raises: see `append`.
        """
        await self._database.write(self.write_rest)

    async def write_rest(self, tx: Transaction) -> None:
        """Write the rest in an open transaction.

        Raises: see `append`.
        """
        await self._write(tx, bytes(self._pending), self.size - len(self._pending))

    async def _write(self, tx: Transaction, data: bytes, offset: int) -> None:
        if not await store.touch(tx, self._content_id, self._writer, self._clock.now()):
            await refuse(tx, UploadId(self._content_id))
        if data:
            await store.put(tx, self._content_id, offset // CHUNK_BYTES, data)


async def refuse(tx: Transaction, upload_id: UploadId) -> None:
    """Say why a content is no longer his who writes to it.

    Raises:
        NotFoundError: the upload was ended.
        OffsetError: somebody else goes on with it, or has made a package of it.
    """
    upload = await uploads.find(tx, upload_id)
    if upload.package_id is not None:
        raise OffsetError(upload.received, "the upload is complete")
    raise OffsetError(upload.received, f"somebody else goes on with the upload, at {upload.received}")


async def read_chunks(database: Reader, content_id: str) -> AsyncIterator[bytes]:
    """Yield the chunks of a content; a content that is removed meanwhile ends early."""
    number = 0
    while (chunk := await database.read(store.chunk, content_id, number)) is not None:
        yield chunk
        number += 1
