"""A firmware package is metadata that an operator gave and bytes that are named by their SHA-256."""

from dataclasses import dataclass, field
from datetime import datetime

from firmcast.ids import ApplicationId, PackageId, UploadId


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """Bytes that are safely on disk."""

    digest: str
    """SHA-256 of the bytes, 64 lower-case hexadecimal digits."""
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageMetadata:
    """What the operator says of a package: what it is, and which devices it is for."""

    name: str
    version: str
    device_type: str
    model: str
    manufacturer_name: str
    protocol_type: str = "LWM2M"
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFilter:
    """Which packages of an application are wanted; the empty string matches all."""

    version: str = ""
    device_type: str = ""
    model: str = ""
    manufacturer_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwarePackage:
    """A file to install, and which devices it is for."""

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
    """Bytes."""
    digest: str
    """SHA-256 of the bytes, 64 lower-case hexadecimal digits."""
    uploaded_at: datetime
    signature: str = ""
    """As it was given, base64; empty for none."""
    signed_by: str = ""
    """Fingerprint of the key that the signature was checked with: SHA-256 of its DER form, 64 hexadecimal digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a sender says of the bytes of a package before they come; the empty string for what it does not say."""

    digest: str = ""
    """SHA-256, 64 lower-case hexadecimal digits."""
    signature: str = ""
    """Base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A package that comes in pieces."""

    upload_id: UploadId
    application_id: ApplicationId
    metadata: PackageMetadata
    size: int
    """Bytes that it will have."""
    promise: Promise = field(default_factory=Promise)
    received: int = 0
    """Bytes that are safely on disk: the next piece begins here."""
    package_id: PackageId | None = None
    """The package that was made of it; None while it is open."""
    created_at: datetime
    touched_at: datetime
    """When bytes were last added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """How much may be under way."""

    package_size: int
    """Bytes of one package."""
    open_uploads: int
    total_size: int
    """Bytes of all open uploads together, as they were announced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unneeded:
    """Files that nothing in the store refers to any more."""

    digests: tuple[str, ...] = ()
    upload_ids: tuple[UploadId, ...] = ()
