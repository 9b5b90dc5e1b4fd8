"""An upload whose pieces are in the database goes on at any node: whoever claimed it last has it.

Who lost it finds that out with his next write. Bytes are counted in the transaction that writes them.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.firmware import chunk_store as store
from firmcast.firmware import upload_use_cases as uploads
from firmcast.firmware.chunk_writer import ChunkWriter, read_chunks, refuse
from firmcast.firmware.model import StoredFile
from firmcast.firmware.package_files import Change, OffsetError
from firmcast.ids import UploadId, new_hex

Result = TypeVar("Result")


class ChunkTurn:
    """The port's UploadTurn in PostgreSQL."""

    def __init__(
        self,
        upload_id: UploadId,
        asked: asyncio.Event,
        database: Database,
        clock: Clock,
        remove: Callable[[str], Awaitable[None]],
    ) -> None:
        self._upload_id = upload_id
        self._database = database
        self._clock = clock
        self._remove = remove
        self._writer = new_hex()
        self.asked = asked

    async def size(self) -> int:
        return await self._database.read(store.size, self._upload_id)

    async def open_at(self, offset: int) -> "GrowingContent":
        tail = await self._database.write(self._open_at, offset)
        writer = ChunkWriter(self._database, self._clock, self._upload_id, self._writer, size=offset, tail=tail)
        return GrowingContent(self._database, self._upload_id, writer)

    async def digest(self, size: int) -> str:
        await self._database.write(self._open_at, size)
        digest = hashlib.sha256()
        async for chunk in read_chunks(self._database, self._upload_id):
            digest.update(chunk)
        return digest.hexdigest()

    async def become_package(self, stored: StoredFile, change: Change[Result]) -> Result:
        async def become(tx: Transaction) -> Result:
            # First: what follows may close the upload, and then nothing would tell who lost it.
            if not await store.touch(tx, self._upload_id, self._writer, self._clock.now()):
                await refuse(tx, self._upload_id)
            result = await change(tx)
            await store.name(tx, self._upload_id, self._writer, stored.digest)
            return result

        result = await self._database.write(become)
        await self._remove(self._upload_id)  # only where other bytes have the name already
        return result

    async def _open_at(self, tx: Transaction, offset: int) -> bytes:
        counted = await self._claim(tx)
        if counted != offset:
            raise OffsetError(counted, f"the next byte is that at {counted}")
        return await store.cut(tx, self._upload_id, offset)

    async def _claim(self, tx: Transaction) -> int:
        """Have the upload for this turn; return how many bytes are counted."""
        upload = await uploads.find(tx, self._upload_id)
        if upload.package_id is not None:
            raise OffsetError(upload.received, "the upload is complete")
        await store.claim(tx, self._upload_id, self._writer, self._clock.now())
        return upload.received


class GrowingContent:
    """The port's PartialFile in PostgreSQL."""

    def __init__(self, database: Database, upload_id: UploadId, writer: ChunkWriter) -> None:
        self._database = database
        self._upload_id = upload_id
        self._writer = writer

    @property
    def size(self) -> int:
        return self._writer.size

    async def append(self, data: bytes) -> None:
        await self._writer.append(data)

    async def count(self, now: datetime) -> int:
        safe = self.size

        async def count(tx: Transaction) -> None:
            await self._writer.write_rest(tx)
            await uploads.move(tx, self._upload_id, safe, now)

        await self._database.write(count)
        return safe

    async def close(self) -> None:
        return
