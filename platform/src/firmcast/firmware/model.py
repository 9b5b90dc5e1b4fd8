"""A firmware package is metadata that an operator gave and bytes that are named by their SHA-256."""

from dataclasses import dataclass
from datetime import datetime

from firmcast.ids import ApplicationId, PackageId


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
