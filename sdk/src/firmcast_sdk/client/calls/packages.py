"""Pure: the calls on version packages, which an operator uploads. Contract page, section 5."""

from firmcast_sdk.client.call import Call, Page, Paging, delete, fill, get, page_of, page_reader, reader
from firmcast_sdk.wire import packages as wire
from firmcast_sdk.wire.errors import PACKAGE_NOT_FOUND
from firmcast_sdk.wire.packages import FileType, Package

_GONE = frozenset({PACKAGE_NOT_FOUND.code})


def packages(
    *,
    file_type: FileType | None = None,
    device_type: str | None = None,
    model: str | None = None,
    manufacturer_name: str | None = None,
    version: str | None = None,
    page_size: int = 100,
) -> Paging[Package]:
    """Go through the version packages, page by page.

    Args:
        file_type: only firmware, or only software.
        device_type: only those for this type of device.
        model: only those for this model.
        manufacturer_name: only those for this maker's devices.
        version: only those of this version.
        page_size: how many are read at a time, 1 to 100.

    Raises:
        InvalidRequestError: the page size is out of its range.

    Source: contract page, section 5.
    """

    def call(page_no: int) -> Call[Page[Package]]:
        query = wire.PackageQuery(
            file_type=file_type,
            device_type=device_type,
            model=model,
            manufacturer_name=manufacturer_name,
            version=version,
            page_no=page_no,
            page_size=page_size,
        )
        return get(wire.PACKAGES_PATH, page_reader(wire.PackageList, lambda page: page_of(page, page.data)), query)

    return Paging(page_size=page_size, call=call, identify=lambda one: one.file_id)


def package(file_id: str) -> Call[Package]:
    """Read one version package.

    Args:
        file_id: its id.

    Raises:
        NotFoundError: there is none of this id.

    Source: contract page, section 5.
    """
    return get(fill(wire.PACKAGE_PATH, file_id=file_id), reader(Package))


def delete_package(file_id: str) -> Call[None]:
    """Delete a version package.

    Args:
        file_id: its id.

    Raises:
        NotFoundError: there is none of this id.
        InvalidRequestError: an open task needs it.

    Source: contract page, section 5.
    """
    return delete(fill(wire.PACKAGE_PATH, file_id=file_id), gone=_GONE)
