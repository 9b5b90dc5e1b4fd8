"""Bytes of packages in the database, in chunks: they come and go in the transactions of their rows, whatever the node.

An image is larger than memory may be, so it arrives chunk by chunk, each in a transaction of its own, under a name that
nothing refers to; the transaction that makes a package of it gives it its digest. What is no longer referred to is
removed the same way. To be read, an image is fetched once to this node's disk (see `package_cache.py`).
"""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

import structlog

from firmcast.clock import Clock
from firmcast.db.port import Database, Reader, Transaction
from firmcast.errors import InvalidValueError, NotFoundError, StoreError
from firmcast.firmware import chunk_store as store
from firmcast.firmware.chunk_uploads import ChunkTurn
from firmcast.firmware.chunk_writer import ChunkWriter, read_chunks
from firmcast.firmware.model import StoredFile, Unneeded
from firmcast.firmware.package_cache import PackageCache
from firmcast.firmware.package_files import (
    Change,
    IncomingFile,
    OpenPackage,
    PackageUnreadableError,
    TooLargeError,
)
from firmcast.firmware.turns import Turns
from firmcast.ids import UploadId, new_hex

Result = TypeVar("Result")

_log = structlog.get_logger()

_GIVEN_UP: Final = "the bytes of the package were given up, since they did not come in time"
_REMOVED_AT_ONCE: Final = 64
_ORPHANS_AT_ONCE: Final = 100
_STALE: Final = timedelta(hours=1)
"""After which a body that stopped arriving is given up, whichever node it came to."""


class FirmwareChunks:
    """The port's PackageFiles in PostgreSQL."""

    def __init__(self, database: Database, clock: Clock, cache: PackageCache) -> None:
        self._database = database
        self._clock = clock
        self._cache = cache
        self._turns = Turns()

    async def receive(self, chunks: AsyncIterable[bytes], size_limit: int) -> IncomingFile:
        key = new_hex()
        try:
            await self._database.write(store.claim, key, key, self._clock.now())
            stored = await _take(ChunkWriter(self._database, self._clock, key, key), chunks, size_limit)
        except BaseException as error:
            await self._discard(key)
            if isinstance(error, NotFoundError):
                raise StoreError(_GIVEN_UP) from None
            raise
        return IncomingFile(key=key, stored=stored)

    async def keep(self, incoming: IncomingFile, change: Change[Result]) -> Result:
        async def kept(tx: Transaction) -> Result:
            result = await change(tx)
            if not await store.name(tx, incoming.key, incoming.key, incoming.stored.digest):
                raise StoreError(_GIVEN_UP)
            return result

        try:
            return await self._database.write(kept)
        finally:
            await self._discard(incoming.key)

    async def release(self, change: Change[Unneeded]) -> None:
        async def released(tx: Transaction) -> tuple[Unneeded, list[str]]:
            unneeded = await change(tx)
            content_ids = await store.unname(tx, unneeded.digests)
            for upload_id in unneeded.upload_ids:
                await store.abandon(tx, upload_id)
            return unneeded, [*content_ids, *unneeded.upload_ids]

        unneeded, content_ids = await self._database.write(released)
        for digest in unneeded.digests:
            await self._cache.remove(digest)
        for content_id in content_ids:
            await self._remove(content_id)

    @asynccontextmanager
    async def turn(self, upload_id: UploadId) -> AsyncIterator[ChunkTurn]:
        async with self._turns.turn(upload_id) as asked:
            yield ChunkTurn(upload_id, asked, self._database, self._clock, self._remove)

    async def open(self, digest: str, size: int) -> OpenPackage:
        return await self._cache.open(digest, size, partial(self.stream, digest))

    async def stream(self, digest: str) -> AsyncIterator[bytes]:
        async for chunk in stream_content(self._database, digest):
            yield chunk

    async def remove_orphans(self) -> int:
        await self._database.write(store.abandon_stale, self._clock.now() - _STALE)
        removed = 0
        while content_ids := await self._database.read(store.orphans, _ORPHANS_AT_ONCE):
            for content_id in content_ids:
                await self._remove(content_id)
            removed += len(content_ids)
        return removed

    async def _discard(self, key: str) -> None:
        """Remove bytes that no package was made of; what cannot be removed now is an orphan's, and removed later."""
        try:
            await asyncio.shield(self._database.write(store.abandon, key))
            await self._remove(key)
        except StoreError as error:
            _log.warning("firmware.not_discarded", content_id=key, reason=str(error))

    async def _remove(self, content_id: str) -> None:
        while await self._database.write_behind(store.remove_some, content_id, _REMOVED_AT_ONCE):
            pass


async def stream_content(database: Reader, digest: str) -> AsyncIterator[bytes]:
    """Yield the chunks of a digest, unchecked.

    Raises:
        PackageUnreadableError: they are not in the database.
    """
    content_id = await database.read(store.find, digest)
    if content_id is None:
        message = "the package's bytes: they are not in the database"
        raise PackageUnreadableError(message)
    async for chunk in read_chunks(database, content_id):
        yield chunk


async def _take(writer: ChunkWriter, chunks: AsyncIterable[bytes], size_limit: int) -> StoredFile:
    digest = hashlib.sha256()
    async for chunk in chunks:
        if writer.size + len(chunk) > size_limit:
            message = f"a package has {size_limit} bytes at the most"
            raise TooLargeError(message)
        digest.update(chunk)
        await writer.append(chunk)
    if writer.size == 0:
        raise InvalidValueError("package", "there are no bytes in it")
    await writer.flush()
    return StoredFile(digest=digest.hexdigest(), size=writer.size)
