"""A package never changes after its upload, and is not deleted while an open task needs it."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from firmcast.db.page import Page
from firmcast.db.port import Transaction
from firmcast.errors import ConflictError, InvalidValueError, NotFoundError
from firmcast.firmware import store
from firmcast.firmware.model import FirmwarePackage, PackageFilter, PackageMetadata, StoredFile
from firmcast.ids import ApplicationId, PackageId, new_hex

EVERYTHING = Page()
EVERY_PACKAGE = PackageFilter()

IsNeeded = Callable[[Transaction, PackageId], Awaitable[bool]]
"""Tells whether an open task needs the package."""

_TEXT_LIMIT = 256
_DESCRIPTION_LIMIT = 1024


async def record(
    tx: Transaction,
    application_id: ApplicationId,
    metadata: PackageMetadata,
    stored_file: StoredFile,
    now: datetime,
) -> FirmwarePackage:
    """Make a package of bytes that are on disk.

    Raises:
        InvalidValueError: see `check_metadata`.
    """
    check_metadata(metadata)
    package = FirmwarePackage(
        package_id=PackageId(new_hex()),
        application_id=application_id,
        name=metadata.name,
        version=metadata.version,
        device_type=metadata.device_type,
        model=metadata.model,
        manufacturer_name=metadata.manufacturer_name,
        protocol_type=metadata.protocol_type,
        description=metadata.description,
        size=stored_file.size,
        digest=stored_file.digest,
        uploaded_at=now,
    )
    await store.insert(tx, package)
    return package


def check_metadata(metadata: PackageMetadata) -> None:
    """Check what the operator says of a package, before its bytes are taken.

    Raises:
        InvalidValueError: name or version is empty, a word is over 256 characters, the description over 1024.
    """
    words = {
        "name": metadata.name,
        "version": metadata.version,
        "device_type": metadata.device_type,
        "model": metadata.model,
        "manufacturer_name": metadata.manufacturer_name,
        "protocol_type": metadata.protocol_type,
    }
    for field, word in words.items():
        if len(word) > _TEXT_LIMIT or not word.isprintable():
            raise InvalidValueError(field, f"{_TEXT_LIMIT} printable characters at the most")
    if len(metadata.description) > _DESCRIPTION_LIMIT:
        raise InvalidValueError("description", f"{_DESCRIPTION_LIMIT} characters at the most")
    for field in ("name", "version"):
        if not words[field].strip():
            raise InvalidValueError(field, "must not be empty")


async def find(tx: Transaction, package_id: PackageId, application_id: ApplicationId | None = None) -> FirmwarePackage:
    """Return the package; with an application only when it is that one's.

    Raises:
        NotFoundError: there is no such package.
    """
    package = await store.find(tx, package_id)
    if package is None or (application_id is not None and package.application_id != application_id):
        raise NotFoundError("package", package_id)
    return package


async def listed(
    tx: Transaction,
    application_id: ApplicationId | None,
    filters: PackageFilter = EVERY_PACKAGE,
    page: Page = EVERYTHING,
) -> tuple[list[FirmwarePackage], int]:
    """Return a page of packages, of one application or of all, the newest first, and how many there are."""
    return await store.listed(tx, application_id, filters, page)


async def delete(
    tx: Transaction, application_id: ApplicationId, package_id: PackageId, *, is_needed: IsNeeded
) -> str | None:
    """Delete a package; return the digest of bytes that nobody needs any more, None when another package does.

    Raises:
        NotFoundError: the application has no such package.
        ConflictError: an open task needs it.
    """
    package = await find(tx, package_id, application_id)
    if await is_needed(tx, package_id):
        message = f"an open task needs the package {package_id!r}"
        raise ConflictError(message)
    await store.delete(tx, package_id)
    return None if await store.count_of_digest(tx, package.digest) else package.digest


async def digests(tx: Transaction) -> set[str]:
    """Return the digests of the bytes that packages are made of."""
    return await store.digests(tx)
