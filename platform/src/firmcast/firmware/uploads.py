"""A package that comes in pieces: each begins where the safe bytes end, and what came of a broken one is kept.

Bytes are synced every few megabytes and at the end of each piece, and only then counted in the row; so a crash or a
power cut costs the sender those few megabytes, and nothing is ever counted that is not there. The file of an upload
is touched only by who has its turn (see `partial_files.py`).
"""

import asyncio
import contextlib
import errno
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.errors import ConflictError, InvalidValueError, NotFoundError, StoreError, StoreFullError
from firmcast.firmware import upload_use_cases as use_cases
from firmcast.firmware.files import FirmwareFiles
from firmcast.firmware.model import FirmwarePackage, PackageMetadata, Promise, StoredFile, Upload, UploadLimits
from firmcast.firmware.partial_files import PartialFile
from firmcast.firmware.use_cases import VerificationKey, unneeded
from firmcast.ids import ApplicationId, UploadId

_WRITE_BYTES = 1 << 20
_SYNC_BYTES = 4 << 20
_SWEPT_AT_ONCE = 100
_FIRST_CHUNK_SECONDS = 0.1

_log = structlog.get_logger()

Note = Callable[[Transaction, Upload], Awaitable[None]]
"""Writes something more in the transaction that changes an upload."""
NotePackage = Callable[[Transaction, FirmwarePackage], Awaitable[None]]


class OffsetError(ConflictError):
    """A piece does not begin where the safe bytes end; `offset` says where that is."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset


class Uploads:
    """Every upload in pieces."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        files: FirmwareFiles,
        limits: UploadLimits,
        verification_key: VerificationKey,
    ) -> None:
        self._database = database
        self._clock = clock
        self._files = files
        self._limits = limits
        self._verification_key = verification_key

    async def begin(
        self, application_id: ApplicationId, metadata: PackageMetadata, promise: Promise, size: int, note: Note
    ) -> Upload:
        """Begin an upload; see `upload_use_cases.begin` for what is raised."""

        async def change(tx: Transaction) -> Upload:
            upload = await use_cases.begin(
                tx,
                application_id,
                metadata,
                promise,
                size,
                self._clock.now(),
                limits=self._limits,
                verification_key=self._verification_key,
            )
            await note(tx, upload)
            return upload

        return await self._database.write(change)

    async def append(self, upload_id: UploadId, offset: int, chunks: AsyncIterator[bytes]) -> Upload:
        """Add bytes from `offset` on, and return the upload as it is then; what came stays even when `chunks` fails.

        Raises:
            NotFoundError: there is no such upload.
            OffsetError: its bytes end elsewhere; it is complete; or somebody else went on with it meanwhile.
            InvalidValueError: there are more bytes than were announced; those that were stay.
            StoreFullError: no space is left.
        """
        async with self._files.partial.turn(upload_id) as asked:
            upload = await self._healed(await self._database.read(use_cases.find, upload_id))
            if upload.package_id is not None or offset != upload.received:
                raise OffsetError(upload.received, f"the next byte is that at {upload.received}")
            try:
                file = await self._files.partial.open_at(upload_id, offset)
                try:
                    await self._write(upload, file, chunks, asked)
                finally:
                    await file.close()
            except OSError as error:
                raise _no_space(error) from None
            return await self._database.read(use_cases.find, upload_id)

    async def complete(self, upload_id: UploadId, note: NotePackage) -> FirmwarePackage:
        """Make a package of an upload whose bytes are all there; the same one again when that was done before.

        An upload that turns out not to be what was promised is removed: other bytes are another upload.

        Raises:
            NotFoundError: there is no such upload, or its package is gone.
            OffsetError: bytes are missing.
            InvalidValueError: the bytes, or their signature, are not what was promised.
            ConflictError: the application's key signs no packages.
        """
        async with self._files.partial.turn(upload_id):
            upload = await self._healed(await self._database.read(use_cases.find, upload_id))
            if upload.package_id is not None:
                return await self._database.read(use_cases.package_of, upload)
            if upload.received < upload.size:
                raise OffsetError(upload.received, f"{upload.size - upload.received} bytes are missing")
            try:
                return await self._become_package(upload, note)
            except (InvalidValueError, NotFoundError):
                await self._database.write(use_cases.forget, upload_id)
                await self._files.partial.remove(upload_id)
                raise

    async def delete(self, upload_id: UploadId, note: Note) -> None:
        """End an upload; what it may have become stays.

        Raises:
            NotFoundError: there is none.
        """

        async def change(tx: Transaction) -> None:
            upload = await use_cases.find(tx, upload_id)
            await use_cases.delete(tx, upload_id)
            await note(tx, upload)

        async with self._files.partial.turn(upload_id):
            await self._database.write(change)
            await self._files.partial.remove(upload_id)

    async def _become_package(self, upload: Upload, note: NotePackage) -> FirmwarePackage:
        digest = await self._files.partial.digest(upload.upload_id)
        stored = StoredFile(digest=digest, size=upload.size)

        async def change(tx: Transaction) -> FirmwarePackage:
            package = await use_cases.complete(
                tx, upload, stored, self._clock.now(), verification_key=self._verification_key
            )
            await note(tx, package)
            return package

        async with self._files.naming:
            try:
                await self._files.keep_partial(upload.upload_id, stored)
                package = await self._database.write(change)
            except BaseException as error:
                await self._files.remove_unneeded(await self._database.read(unneeded, [digest]))
                if isinstance(error, FileNotFoundError):
                    raise NotFoundError("upload", upload.upload_id) from None
                if isinstance(error, OSError):
                    raise _no_space(error) from None
                raise
        await self._files.partial.remove(upload.upload_id)
        return package

    async def _write(
        self, upload: Upload, file: PartialFile, chunks: AsyncIterator[bytes], asked: asyncio.Event
    ) -> None:
        """Write until the chunks end, or somebody asks for the upload; count what is safe, whatever happens."""
        counted = file.size
        pending = bytearray()
        try:
            async with contextlib.aclosing(_until(asked, chunks)) as coming:
                async for chunk in coming:
                    room = upload.size - file.size - len(pending)
                    pending += chunk[:room]
                    if len(chunk) > room:
                        raise InvalidValueError("size", f"{upload.size} bytes were announced, and more came")
                    if len(pending) >= _WRITE_BYTES:
                        await _flush(file, pending)
                    if file.size - counted >= _SYNC_BYTES:
                        counted = await self._count(upload.upload_id, file)
        finally:
            await _flush(file, pending)
            counted = await self._count(upload.upload_id, file)
        if asked.is_set():
            raise OffsetError(counted, f"somebody else goes on with the upload, at {counted}")

    async def _count(self, upload_id: UploadId, file: PartialFile) -> int:
        safe = await file.sync()
        await self._database.write(use_cases.move, upload_id, safe, self._clock.now())
        return safe

    async def _healed(self, upload: Upload) -> Upload:
        """Count no more bytes than the file has: a store that was put back may remember others."""
        if upload.package_id is None and upload.received > await self._files.partial.size(upload.upload_id):
            there = await self._files.partial.size(upload.upload_id)
            await self._database.write(use_cases.move, upload.upload_id, there, self._clock.now())
            return await self._database.read(use_cases.find, upload.upload_id)
        return upload


async def remove_abandoned(database: Database, files: FirmwareFiles, now: datetime, life: timedelta) -> int:
    """Remove the uploads that nobody has touched for `life`; return how many those were."""
    removed = 0
    while True:
        found = await database.read(use_cases.abandoned, now - life, _SWEPT_AT_ONCE)
        for upload_id in found:
            async with files.partial.turn(upload_id):
                if await database.write(use_cases.delete_if_abandoned, upload_id, now - life):
                    await files.partial.remove(upload_id)
                    removed += 1
        if len(found) < _SWEPT_AT_ONCE:
            return removed


class UploadSweeper:
    """Removes abandoned uploads from time to time."""

    def __init__(self, *, database: Database, clock: Clock, files: FirmwareFiles, life: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._files = files
        self._life = life
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with what is abandoned already."""
        self._task = asyncio.create_task(self._run(), name="upload-sweeper")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            try:
                await remove_abandoned(self._database, self._files, self._clock.now(), self._life)
            except (StoreError, OSError) as error:
                _log.error("upload.sweep_failed", reason=str(error))
            await asyncio.sleep(min(max(self._life.total_seconds() / 10, 1.0), 3600.0))


async def _flush(file: PartialFile, pending: bytearray) -> None:
    data = bytes(pending)
    pending.clear()
    if data:
        await file.append(data)


async def _until(asked: asyncio.Event, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Yield the chunks until `asked` is set; but one at least, if it comes soon.

    Without it, senders that take the upload from each other might all get nowhere.
    """
    asking = asyncio.ensure_future(asked.wait())
    coming: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            first = coming is None
            coming = asyncio.ensure_future(_next(chunks))
            await asyncio.wait({coming, asking}, return_when=asyncio.FIRST_COMPLETED)
            if first:
                await asyncio.wait({coming}, timeout=_FIRST_CHUNK_SECONDS if asked.is_set() else None)
            chunk = coming.result() if coming.done() else None
            if chunk is None:
                return
            yield chunk
            if asked.is_set():
                return
    finally:
        asking.cancel()
        if coming is not None and not coming.done():
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


def _no_space(error: OSError) -> Exception:
    return StoreFullError("no space is left for the package") if error.errno in (errno.ENOSPC, errno.EDQUOT) else error
