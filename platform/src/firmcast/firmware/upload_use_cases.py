"""An upload holds exactly the bytes that its row counts; what it becomes is decided once, when the last one is safe."""

from datetime import datetime

from firmcast.db.port import Transaction
from firmcast.errors import ConflictError, InvalidValueError, NotFoundError
from firmcast.firmware import store, use_cases
from firmcast.firmware.model import (
    FirmwarePackage,
    PackageMetadata,
    Promise,
    StoredFile,
    Unneeded,
    Upload,
    UploadLimits,
)
from firmcast.firmware.use_cases import VerificationKey
from firmcast.ids import ApplicationId, UploadId, new_hex


async def begin(
    tx: Transaction,
    application_id: ApplicationId,
    metadata: PackageMetadata,
    promise: Promise,
    size: int,
    now: datetime,
    *,
    limits: UploadLimits,
    verification_key: VerificationKey,
) -> Upload:
    """Begin an upload of `size` bytes.

    Raises:
        InvalidValueError: see `use_cases.expect`; or no package may have that size.
        ConflictError: too many uploads are open, or they announce too many bytes.
        NotFoundError: there is no such application.
    """
    await use_cases.expect(tx, application_id, metadata, promise, verification_key=verification_key)
    if not 1 <= size <= limits.package_size:
        raise InvalidValueError("size", f"a package has 1 to {limits.package_size} bytes")
    under_way = await store.open_uploads(tx)
    if len(under_way) >= limits.open_uploads:
        message = f"{len(under_way)} uploads are open, which is as many as may be"
        raise ConflictError(message)
    if sum(upload.size for upload in under_way) + size > limits.total_size:
        message = f"open uploads may have {limits.total_size} bytes together"
        raise ConflictError(message)
    upload = Upload(
        upload_id=UploadId(new_hex()),
        application_id=application_id,
        metadata=metadata,
        size=size,
        promise=promise,
        created_at=now,
        touched_at=now,
    )
    await store.insert_upload(tx, upload)
    return upload


async def find(tx: Transaction, upload_id: UploadId) -> Upload:
    """Return the upload, open or not.

    Raises:
        NotFoundError: there is none, or it was abandoned.
    """
    upload = await store.find_upload(tx, upload_id)
    if upload is None:
        raise NotFoundError("upload", upload_id)
    return upload


async def listed(tx: Transaction) -> list[Upload]:
    """Return the uploads that are open, the oldest first."""
    return await store.open_uploads(tx)


async def move(tx: Transaction, upload_id: UploadId, received: int, now: datetime) -> None:
    """Note how many bytes of an upload are safe."""
    await store.move_upload(tx, upload_id, received, now)


async def complete(
    tx: Transaction, upload: Upload, stored_file: StoredFile, now: datetime, *, verification_key: VerificationKey
) -> FirmwarePackage:
    """Make a package of an upload whose bytes have their name; see `use_cases.take_in` for what is raised.

    Raises:
        NotFoundError: the upload is gone.
    """
    await find(tx, upload.upload_id)
    package = await use_cases.take_in(
        tx,
        upload.application_id,
        upload.metadata,
        upload.promise,
        stored_file,
        now,
        verification_key=verification_key,
    )
    await store.close_upload(tx, upload.upload_id, package.package_id, now)
    return package


async def package_of(tx: Transaction, upload: Upload) -> FirmwarePackage:
    """Return the package that an upload became.

    Raises:
        NotFoundError: it became none, or its package is gone.
    """
    if upload.package_id is None:
        raise NotFoundError("package", "")
    return await use_cases.find(tx, upload.package_id)


async def delete(tx: Transaction, upload_id: UploadId) -> Unneeded:
    """End an upload and return its bytes as unneeded; what it may have become stays.

    Raises:
        NotFoundError: there is none.
    """
    await find(tx, upload_id)
    return await forget(tx, upload_id)


async def forget(tx: Transaction, upload_id: UploadId) -> Unneeded:
    """End an upload, if it is still there, and return its bytes as unneeded."""
    await store.delete_upload(tx, upload_id)
    return Unneeded(upload_ids=(upload_id,))


async def abandoned(tx: Transaction, touched_before: datetime, limit: int) -> list[UploadId]:
    """Return uploads, open or not, that were last touched before a moment."""
    return await store.abandoned_uploads(tx, touched_before, limit)


async def delete_if_abandoned(tx: Transaction, upload_id: UploadId, touched_before: datetime) -> Unneeded:
    """End an upload unless it was touched since, and return its bytes as unneeded if it is gone."""
    upload = await store.find_upload(tx, upload_id)
    if upload is not None and upload.touched_at >= touched_before:
        return Unneeded()
    return await forget(tx, upload_id)
