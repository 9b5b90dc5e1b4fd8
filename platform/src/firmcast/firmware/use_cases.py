"""A package never changes after its upload, and is not deleted while an open task needs it."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from firmcast.db.page import Page
from firmcast.db.port import Transaction
from firmcast.errors import ConflictError, InvalidValueError, NotFoundError
from firmcast.firmware import store
from firmcast.firmware.model import FirmwarePackage, PackageFilter, PackageMetadata, Promise, StoredFile, Unneeded
from firmcast.firmware.signatures import SIGNATURE_LIMIT, check_signature, decode_signature
from firmcast.ids import ApplicationId, PackageId, new_hex

EVERYTHING = Page()
EVERY_PACKAGE = PackageFilter()
NO_PROMISE = Promise()

IsNeeded = Callable[[Transaction, PackageId], Awaitable[bool]]
"""Tells whether an open task needs the package."""

VerificationKey = Callable[[Transaction, ApplicationId], Awaitable[str]]
"""Returns the PEM public key that an application's packages must be signed with, the empty string for none.

Raises NotFoundError when there is no such application.
"""

_TEXT_LIMIT = 256
_DESCRIPTION_LIMIT = 1024
_DIGEST_DIGITS = 64


async def record(
    tx: Transaction,
    application_id: ApplicationId,
    metadata: PackageMetadata,
    stored_file: StoredFile,
    now: datetime,
    *,
    signature: str = "",
    signed_by: str = "",
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
        signature=signature,
        signed_by=signed_by,
    )
    await store.insert(tx, package)
    return package


async def take_in(
    tx: Transaction,
    application_id: ApplicationId,
    metadata: PackageMetadata,
    promise: Promise,
    stored_file: StoredFile,
    now: datetime,
    *,
    verification_key: VerificationKey,
) -> FirmwarePackage:
    """Make a package of bytes that are on disk, if they are what was promised and who may sign has signed them.

    Raises:
        InvalidValueError: another digest was promised; the signature is missing, wrong, or of an application that has
            no key to check it with.
        ConflictError: the application's key signs no packages.
        NotFoundError: there is no such application.
    """
    if promise.digest and promise.digest != stored_file.digest:
        raise InvalidValueError("sha256", f"the bytes that arrived have {stored_file.digest}")
    public_key = await verification_key(tx, application_id)
    _check_signing(public_key, promise)
    signed_by = check_signature(public_key, stored_file.digest, promise.signature) if public_key else ""
    return await record(
        tx, application_id, metadata, stored_file, now, signature=promise.signature, signed_by=signed_by
    )


async def expect(
    tx: Transaction,
    application_id: ApplicationId,
    metadata: PackageMetadata,
    promise: Promise,
    *,
    verification_key: VerificationKey,
) -> None:
    """Refuse, before any byte is taken, what could never become a package.

    Raises:
        InvalidValueError: the metadata or the promise cannot be, or the signature is missing or cannot be checked.
        NotFoundError: there is no such application.
    """
    check_metadata(metadata)
    if promise.digest and (len(promise.digest) != _DIGEST_DIGITS or not _is_hexadecimal(promise.digest)):
        raise InvalidValueError("sha256", f"{_DIGEST_DIGITS} hexadecimal digits")
    _check_signing(await verification_key(tx, application_id), promise)


def _check_signing(public_key: str, promise: Promise) -> None:
    if public_key and not promise.signature:
        raise InvalidValueError("signature", "the application takes signed packages only")
    if promise.signature and not public_key:
        raise InvalidValueError("signature", "the application has no verification key to check it with")
    if len(promise.signature) > SIGNATURE_LIMIT:
        raise InvalidValueError("signature", f"{SIGNATURE_LIMIT} characters at the most")
    decode_signature(promise.signature)


def _is_hexadecimal(text: str) -> bool:
    return all(sign in "0123456789abcdef" for sign in text)


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
    tx: Transaction, application_id: ApplicationId | None, package_id: PackageId, *, is_needed: IsNeeded
) -> Unneeded:
    """Delete a package, with an application only when it is that one's; return the bytes that nobody needs any more.

    Raises:
        NotFoundError: there is no such package.
        ConflictError: an open task needs it.
    """
    package = await find(tx, package_id, application_id)
    if await is_needed(tx, package_id):
        message = f"an open task needs the package {package_id!r}"
        raise ConflictError(message)
    await store.delete(tx, package_id)
    return await unneeded(tx, [package.digest])


async def forget_application(tx: Transaction, application_id: ApplicationId) -> Unneeded:
    """Delete the packages and the uploads of an application that goes; return what nobody needs any more.

    Whoever calls it makes sure that no open task needs a package, and calls it within `PackageFiles.release`.
    """
    digests = await store.delete_of_application(tx, application_id)
    upload_ids = await store.delete_uploads_of_application(tx, application_id)
    return Unneeded(digests=(await unneeded(tx, digests)).digests, upload_ids=tuple(upload_ids))


async def needed_files(tx: Transaction) -> set[str]:
    """Return the names of the files that are needed: digests of packages, and ids of open uploads."""
    return await store.digests(tx) | await store.open_upload_ids(tx)


async def files(tx: Transaction) -> list[StoredFile]:
    """Return the bytes of all packages, each once."""
    return await store.files(tx)


async def unneeded(tx: Transaction, digests: list[str]) -> Unneeded:
    """Return those bytes that no package is made of."""
    return Unneeded(digests=tuple([digest for digest in digests if not await store.count_of_digest(tx, digest)]))
