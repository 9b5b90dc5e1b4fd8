"""The tables of packages and of unfinished uploads; their bytes are files, named by digest and by id."""

from datetime import datetime

import msgspec

from firmcast.db.columns import from_column, to_column
from firmcast.db.page import Page
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import portable
from firmcast.firmware.model import FirmwarePackage, PackageFilter, PackageMetadata, Promise, StoredFile, Upload
from firmcast.ids import ApplicationId, PackageId, UploadId

_PACKAGE = (
    "package_id, application_id, name, version, device_type, model, manufacturer_name, protocol_type, description,"
    " size, digest, uploaded_at, signature, signed_by"
)
_WANTED = (
    " WHERE (?1 = '' OR application_id = ?1) AND (?2 = '' OR version = ?2) AND (?3 = '' OR device_type = ?3)"
    " AND (?4 = '' OR model = ?4) AND (?5 = '' OR manufacturer_name = ?5)"
)

# A package whose bytes are on disk.
_INSERT = portable(
    f"INSERT INTO firmware_package ({_PACKAGE}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
)

# One package.
_FIND = portable(f"SELECT {_PACKAGE} FROM firmware_package WHERE package_id = ?1")

# A page of an application's packages, the newest first; an empty filter matches everything.
_LIST = portable(
    f"SELECT {_PACKAGE} FROM firmware_package{_WANTED} ORDER BY uploaded_at DESC, package_id DESC LIMIT ?6 OFFSET ?7"
)

# How many the list above would hold without its page.
_COUNT = portable(f"SELECT count(*) FROM firmware_package{_WANTED}")

# A package is withdrawn.
_DELETE = portable("DELETE FROM firmware_package WHERE package_id = ?1")

# Bytes may be removed when no package is made of them any more.
_COUNT_OF_DIGEST = portable("SELECT count(*) FROM firmware_package WHERE digest = ?1")

# Which bytes are needed at all; a start removes the others.
_DIGESTS = portable("SELECT DISTINCT digest FROM firmware_package")

# All bytes that packages are made of.
_FILES = portable("SELECT DISTINCT digest, size FROM firmware_package ORDER BY digest")

# Which bytes an application that goes may leave behind.
_DIGESTS_OF_APPLICATION = portable("SELECT DISTINCT digest FROM firmware_package WHERE application_id = ?1")

# The packages of an application that goes.
_DELETE_OF_APPLICATION = portable("DELETE FROM firmware_package WHERE application_id = ?1")

_UPLOAD = "upload_id, application_id, metadata, size, digest, signature, received, package_id, created_at, touched_at"

# An upload begins.
_INSERT_UPLOAD = portable(f"INSERT INTO firmware_upload ({_UPLOAD}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")

# One upload, open or not.
_FIND_UPLOAD = portable(f"SELECT {_UPLOAD} FROM firmware_upload WHERE upload_id = ?1")

# The uploads that are open, of one application or of all; there are never many.
_OPEN_UPLOADS = portable(
    f"SELECT {_UPLOAD} FROM firmware_upload WHERE package_id = '' AND (?1 = '' OR application_id = ?1)"
    " ORDER BY created_at, upload_id"
)

# More bytes of an upload are safe, or fewer than was thought.
_MOVE_UPLOAD = portable("UPDATE firmware_upload SET received = ?2, touched_at = ?3 WHERE upload_id = ?1")

# A package was made of an upload; the row stays for who did not hear of it.
_CLOSE_UPLOAD = portable("UPDATE firmware_upload SET package_id = ?2, touched_at = ?3 WHERE upload_id = ?1")

# An upload ends without a package, or long after it became one.
_DELETE_UPLOAD = portable("DELETE FROM firmware_upload WHERE upload_id = ?1")

# Which uploads nobody has touched for long.
_ABANDONED_UPLOADS = portable(
    "SELECT upload_id FROM firmware_upload WHERE touched_at < ?1 ORDER BY touched_at LIMIT ?2"
)

# Which files of uploads are needed; a start removes the others.
_OPEN_UPLOAD_IDS = portable("SELECT upload_id FROM firmware_upload WHERE package_id = ''")

# The uploads of an application that goes.
_UPLOADS_OF_APPLICATION = portable("SELECT upload_id FROM firmware_upload WHERE application_id = ?1")

# The same, removed.
_DELETE_UPLOADS_OF_APPLICATION = portable("DELETE FROM firmware_upload WHERE application_id = ?1")


def _package(row: Row) -> FirmwarePackage:
    return FirmwarePackage(
        package_id=PackageId(row[0]),
        application_id=ApplicationId(row[1]),
        name=row[2],
        version=row[3],
        device_type=row[4],
        model=row[5],
        manufacturer_name=row[6],
        protocol_type=row[7],
        description=row[8],
        size=row[9],
        digest=row[10],
        uploaded_at=from_column(row[11]),
        signature=row[12],
        signed_by=row[13],
    )


def _upload(row: Row) -> Upload:
    return Upload(
        upload_id=UploadId(row[0]),
        application_id=ApplicationId(row[1]),
        metadata=msgspec.json.decode(row[2], type=PackageMetadata),
        size=row[3],
        promise=Promise(digest=row[4], signature=row[5]),
        received=row[6],
        package_id=PackageId(row[7]) if row[7] else None,
        created_at=from_column(row[8]),
        touched_at=from_column(row[9]),
    )


async def insert(tx: Transaction, package: FirmwarePackage) -> None:
    """Store a package."""
    await tx.execute(
        _INSERT,
        package.package_id,
        package.application_id,
        package.name,
        package.version,
        package.device_type,
        package.model,
        package.manufacturer_name,
        package.protocol_type,
        package.description,
        package.size,
        package.digest,
        to_column(package.uploaded_at),
        package.signature,
        package.signed_by,
    )


async def find(tx: Transaction, package_id: PackageId) -> FirmwarePackage | None:
    """Return the package, None when there is none."""
    row = await tx.fetch_row(_FIND, package_id)
    return None if row is None else _package(row)


async def listed(
    tx: Transaction, application_id: ApplicationId | None, wanted: PackageFilter, page: Page
) -> tuple[list[FirmwarePackage], int]:
    """Return a page of packages, of one application or of all, and how many there are on all pages."""
    arguments = (
        application_id or "",
        wanted.version,
        wanted.device_type,
        wanted.model,
        wanted.manufacturer_name,
    )
    rows = await tx.fetch(_LIST, *arguments, page.limit, page.offset)
    total = await tx.fetch_row(_COUNT, *arguments)
    return [_package(row) for row in rows], 0 if total is None else total[0]


async def delete(tx: Transaction, package_id: PackageId) -> None:
    """Forget a package."""
    await tx.execute(_DELETE, package_id)


async def count_of_digest(tx: Transaction, digest: str) -> int:
    """Return how many packages are made of these bytes."""
    row = await tx.fetch_row(_COUNT_OF_DIGEST, digest)
    return 0 if row is None else row[0]


async def digests(tx: Transaction) -> set[str]:
    """Return the digests of all packages."""
    return {row[0] for row in await tx.fetch(_DIGESTS)}


async def files(tx: Transaction) -> list[StoredFile]:
    """Return the bytes of all packages, each once."""
    return [StoredFile(digest=row[0], size=row[1]) for row in await tx.fetch(_FILES)]


async def delete_of_application(tx: Transaction, application_id: ApplicationId) -> list[str]:
    """Forget the packages of an application; return the digests that they were made of."""
    rows = await tx.fetch(_DIGESTS_OF_APPLICATION, application_id)
    await tx.execute(_DELETE_OF_APPLICATION, application_id)
    return [row[0] for row in rows]


async def insert_upload(tx: Transaction, upload: Upload) -> None:
    """Store a new upload."""
    await tx.execute(
        _INSERT_UPLOAD,
        upload.upload_id,
        upload.application_id,
        msgspec.json.encode(upload.metadata).decode(),
        upload.size,
        upload.promise.digest,
        upload.promise.signature,
        upload.received,
        upload.package_id or "",
        to_column(upload.created_at),
        to_column(upload.touched_at),
    )


async def find_upload(tx: Transaction, upload_id: UploadId) -> Upload | None:
    """Return the upload, None when there is none."""
    row = await tx.fetch_row(_FIND_UPLOAD, upload_id)
    return None if row is None else _upload(row)


async def open_uploads(tx: Transaction, application_id: ApplicationId | None = None) -> list[Upload]:
    """Return the uploads that are open, the oldest first."""
    return [_upload(row) for row in await tx.fetch(_OPEN_UPLOADS, application_id or "")]


async def move_upload(tx: Transaction, upload_id: UploadId, received: int, now: datetime) -> None:
    """Note how many bytes of an upload are safe."""
    await tx.execute(_MOVE_UPLOAD, upload_id, received, to_column(now))


async def close_upload(tx: Transaction, upload_id: UploadId, package_id: PackageId, now: datetime) -> None:
    """Note which package an upload became."""
    await tx.execute(_CLOSE_UPLOAD, upload_id, package_id, to_column(now))


async def delete_upload(tx: Transaction, upload_id: UploadId) -> None:
    """Forget an upload."""
    await tx.execute(_DELETE_UPLOAD, upload_id)


async def abandoned_uploads(tx: Transaction, touched_before: datetime, limit: int) -> list[UploadId]:
    """Return uploads, open or not, that were last touched before a moment."""
    return [UploadId(row[0]) for row in await tx.fetch(_ABANDONED_UPLOADS, to_column(touched_before), limit)]


async def open_upload_ids(tx: Transaction) -> set[str]:
    """Return the ids of the uploads that are open."""
    return {row[0] for row in await tx.fetch(_OPEN_UPLOAD_IDS)}


async def delete_uploads_of_application(tx: Transaction, application_id: ApplicationId) -> list[UploadId]:
    """Forget the uploads of an application; return their ids."""
    rows = await tx.fetch(_UPLOADS_OF_APPLICATION, application_id)
    await tx.execute(_DELETE_UPLOADS_OF_APPLICATION, application_id)
    return [UploadId(row[0]) for row in rows]
