"""What `/v1/firmware` reads and answers; times are RFC 3339."""

from datetime import datetime
from typing import Annotated

import msgspec

from firmcast.firmware.model import FirmwarePackage
from firmcast.ids import ApplicationId, PackageId
from firmcast.rest.errors import CONFLICT, INVALID_REQUEST, INVALID_VALUE, NOT_FOUND
from firmcast_sdk.wire.decoding import Hints, Short
from firmcast_sdk.wire.errors import ErrorCode

TOO_LARGE = ErrorCode("too_large", 413, "The package has too many bytes.")
REFUSALS = (INVALID_REQUEST, INVALID_VALUE, NOT_FOUND, CONFLICT)

Filled = Annotated[str, Hints(limit=256, filled=True)]
# A little more than may be: what exactly is wrong is said where it is checked.
Digest = Annotated[str, Hints(limit=128)]
Signature = Annotated[str, Hints(limit=1024)]


class UploadQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a package in the query of its upload.

    `sha256`, if given, must be that of the bytes. `signature` is base64, and needed when the application has a
    verification key.
    """

    application_id: Filled
    name: Filled
    version: Filled
    device_type: Short = ""
    model: Short = ""
    manufacturer_name: Short = ""
    protocol_type: Short = "LWM2M"
    description: Annotated[str, Hints(limit=1024)] = ""
    sha256: Digest = ""
    signature: Signature = ""


class NewUploadRequest(UploadQuery, frozen=True, kw_only=True):
    """The body that begins an upload in pieces: the same, and how many bytes there will be."""

    size: int


class FirmwareQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which packages an administrator wants to see."""

    application_id: Short = ""
    version: Short = ""
    page: int | None = None
    page_size: int | None = None


class PackageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A package; `signed_by` is the SHA-256 of the key that its signature was checked with, empty for none."""

    package_id: PackageId
    application_id: ApplicationId
    name: str
    version: str
    device_type: str
    model: str
    manufacturer_name: str
    protocol_type: str
    description: str
    size: int
    sha256: str
    uploaded_at: datetime
    signature: str
    signed_by: str


class PackagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of packages and the number of all."""

    packages: tuple[PackageAnswer, ...]
    page: int
    page_size: int
    total: int


class UploadAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An upload in pieces: the next one begins at `offset`; `package_id` is null until it is a package."""

    upload_id: str
    application_id: ApplicationId
    name: str
    version: str
    size: int
    offset: int
    sha256: str
    package_id: PackageId | None
    created_at: datetime
    expires_at: datetime


class UploadList(msgspec.Struct, frozen=True, kw_only=True):
    """The uploads that are open."""

    uploads: tuple[UploadAnswer, ...]


def shown_package(package: FirmwarePackage) -> PackageAnswer:
    """Return a package as it is answered."""
    return PackageAnswer(
        package_id=package.package_id,
        application_id=package.application_id,
        name=package.name,
        version=package.version,
        device_type=package.device_type,
        model=package.model,
        manufacturer_name=package.manufacturer_name,
        protocol_type=package.protocol_type,
        description=package.description,
        size=package.size,
        sha256=package.digest,
        uploaded_at=package.uploaded_at,
        signature=package.signature,
        signed_by=package.signed_by,
    )
