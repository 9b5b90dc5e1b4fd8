"""A package that comes in pieces: each begins where the safe bytes end, and what came of a broken one is kept.

Bytes are synced every few megabytes and at the end of each piece, and only then counted in the row; so a crash or a
power cut costs the sender those few megabytes, and nothing is ever counted that is not there. The bytes of an upload
are touched only by who has its turn (see `turns.py`).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.errors import InvalidValueError, NotFoundError, StoreError
from firmcast.firmware import upload_use_cases as use_cases
from firmcast.firmware.files import no_space
from firmcast.firmware.model import (
    FirmwarePackage,
    PackageMetadata,
    Promise,
    StoredFile,
    Unneeded,
    Upload,
    UploadLimits,
)
from firmcast.firmware.package_files import OffsetError, PackageFiles, PartialFile, UploadTurn
from firmcast.firmware.use_cases import VerificationKey
from firmcast.ids import ApplicationId, UploadId

_WRITE_BYTES = 1 << 20
_SYNC_BYTES = 4 << 20
_SWEPT_AT_ONCE = 100
_FIRST_CHUNK_SECONDS = 0.1

_log = structlog.get_logger()

Note = Callable[[Transaction, Upload], Awaitable[None]]
"""Writes something more in the transaction that changes an upload."""
NotePackage = Callable[[Transaction, FirmwarePackage], Awaitable[None]]


class Uploads:
    """Every upload in pieces."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        files: PackageFiles,
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
        async with self._files.turn(upload_id) as turn:
            upload = await self._healed(turn, await self._database.read(use_cases.find, upload_id))
            if upload.package_id is not None or offset != upload.received:
                raise OffsetError(upload.received, f"the next byte is that at {upload.received}")
            try:
                file = await turn.open_at(offset)
                try:
                    await self._write(upload, file, chunks, turn.asked)
                finally:
                    await file.close()
            except OSError as error:
                raise no_space(error) from None
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
        async with self._files.turn(upload_id) as turn:
            upload = await self._healed(turn, await self._database.read(use_cases.find, upload_id))
            if upload.package_id is not None:
                return await self._database.read(use_cases.package_of, upload)
            if upload.received < upload.size:
                raise OffsetError(upload.received, f"{upload.size - upload.received} bytes are missing")
            try:
                return await self._become_package(turn, upload, note)
            except OffsetError:
                return await self._package_made_elsewhere(upload_id)
            except (InvalidValueError, NotFoundError):
                await self._files.release(lambda tx: use_cases.forget(tx, upload_id))
                raise

    async def _package_made_elsewhere(self, upload_id: UploadId) -> FirmwarePackage:
        """Return the package that another node has made of an upload while it was being completed here.

        Raises:
            OffsetError: there somebody goes on with it.
        """
        upload = await self._database.read(use_cases.find, upload_id)
        if upload.package_id is None:
            raise OffsetError(upload.received, f"somebody else goes on with the upload, at {upload.received}")
        return await self._database.read(use_cases.package_of, upload)

    async def delete(self, upload_id: UploadId, note: Note) -> None:
        """End an upload; what it may have become stays.

        Raises:
            NotFoundError: there is none.
        """

        async def change(tx: Transaction) -> Unneeded:
            upload = await use_cases.find(tx, upload_id)
            unneeded = await use_cases.delete(tx, upload_id)
            await note(tx, upload)
            return unneeded

        async with self._files.turn(upload_id):
            await self._files.release(change)

    async def _become_package(self, turn: UploadTurn, upload: Upload, note: NotePackage) -> FirmwarePackage:
        stored = StoredFile(digest=await turn.digest(upload.size), size=upload.size)

        async def change(tx: Transaction) -> FirmwarePackage:
            package = await use_cases.complete(
                tx, upload, stored, self._clock.now(), verification_key=self._verification_key
            )
            await note(tx, package)
            return package

        return await turn.become_package(stored, change)

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
                        counted = await file.count(self._clock.now())
        finally:
            await _flush(file, pending)
            counted = await file.count(self._clock.now())
        if asked.is_set():
            raise OffsetError(counted, f"somebody else goes on with the upload, at {counted}")

    async def _healed(self, turn: UploadTurn, upload: Upload) -> Upload:
        """Count no more bytes than there are: a store that was put back may remember others."""
        if upload.package_id is None and upload.received > (there := await turn.size()):
            await self._database.write(use_cases.move, upload.upload_id, there, self._clock.now())
            return await self._database.read(use_cases.find, upload.upload_id)
        return upload


async def remove_abandoned(database: Database, files: PackageFiles, now: datetime, life: timedelta) -> int:
    """Remove the uploads that nobody has touched for `life`; return how many those were."""
    removed = 0
    while True:
        found = await database.read(use_cases.abandoned, now - life, _SWEPT_AT_ONCE)
        for upload_id in found:
            removed += await _remove_if_abandoned(files, upload_id, now - life)
        if len(found) < _SWEPT_AT_ONCE:
            return removed


async def _remove_if_abandoned(files: PackageFiles, upload_id: UploadId, touched_before: datetime) -> bool:
    """Remove an upload unless it was touched since; tell whether it is gone."""
    unneeded = Unneeded()

    async def change(tx: Transaction) -> Unneeded:
        nonlocal unneeded
        unneeded = await use_cases.delete_if_abandoned(tx, upload_id, touched_before)
        return unneeded

    async with files.turn(upload_id):
        await files.release(change)
    return bool(unneeded.upload_ids)


class UploadSweeper:
    """Removes abandoned uploads, and files that nothing refers to, from time to time."""

    def __init__(self, *, database: Database, clock: Clock, files: PackageFiles, life: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._files = files
        self._life = life
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
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
                await self._files.remove_orphans()
            except (StoreError, OSError) as error:
                _log.error("upload.sweep_failed", reason=str(error))
            except Exception as error:  # whatever it is, nothing would be swept any more, and nobody would be told
                _log.error("upload.sweep_failed", exc_info=error)
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
