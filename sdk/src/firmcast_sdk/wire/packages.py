"""Version packages: what the vendor's portal uploaded, listed, read and deleted here. Contract page, section 5.

Deleting answers 200 with a JSON content type and no body.
"""

from typing import Annotated, Final

import msgspec

from firmcast_sdk.wire.decoding import Hints, Required, Short, WireEnum

PACKAGES_PATH: Final = "/iodm/northbound/v1.5.0/category"
PACKAGE_PATH: Final = "/iodm/northbound/v1.5.0/category/{file_id}"
DEFAULT_PAGE_SIZE: Final = 10
LARGEST_PAGE_SIZE: Final = 100


class FileType(WireEnum):
    """What a package is for."""

    FIRMWARE = "firmwarePackage"
    SOFTWARE = "softwarePackage"


class PackageQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The filters of a list, all optional; the vendor's own page misprints one as `manufactureName`.

    Page limits are the caller's to check (`PAGE_BEYOND_LIMIT`): here any number passes.
    """

    file_type: FileType | None = None
    device_type: Short | None = None
    model: Short | None = None
    manufacturer_name: Annotated[str, Hints(limit=256, other_names=("manufactureName",))] | None = None
    version: Short | None = None
    page_no: int | None = None
    page_size: int | None = None


class Package(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One package; all strings, `date` as 2017-11-11 and `upload_time` as 20151212T121212Z."""

    file_id: Required
    name: str
    version: str
    file_type: FileType
    device_type: str
    model: str
    manufacturer_name: str
    protocol_type: str
    description: str | None = None
    date: str
    upload_time: str


class PackageList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of packages and the number of all."""

    data: Annotated[tuple[Package, ...], Hints(other_names=("date",))]
    page_no: int = 0
    page_size: int = DEFAULT_PAGE_SIZE
    total_count: Annotated[int, Hints(other_names=("totalSize",))]
