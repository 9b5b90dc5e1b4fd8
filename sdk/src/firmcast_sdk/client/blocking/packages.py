"""The calls of the blocking client on packages; written by `scripts/client_methods.py`, not by hand."""

from firmcast_sdk.client.blocking_sender import BlockingSender
from firmcast_sdk.client.calls import packages as calls
from firmcast_sdk.client.listing import Listing
from firmcast_sdk.wire.packages import FileType, Package


class Packages(BlockingSender):
    """The calls on packages."""

    def packages(
        self,
        *,
        file_type: FileType | None = None,
        device_type: str | None = None,
        model: str | None = None,
        manufacturer_name: str | None = None,
        version: str | None = None,
        page_size: int = 100,
    ) -> Listing[Package]:
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
        return self._listing(
            calls.packages(
                file_type=file_type,
                device_type=device_type,
                model=model,
                manufacturer_name=manufacturer_name,
                version=version,
                page_size=page_size,
            )
        )

    def package(self, file_id: str) -> Package:
        """Read one version package.

        Args:
            file_id: its id.

        Raises:
            NotFoundError: there is none of this id.

        Source: contract page, section 5.
        """
        return self._call(calls.package(file_id))

    def delete_package(self, file_id: str) -> None:
        """Delete a version package.

        Args:
            file_id: its id.

        Raises:
            NotFoundError: there is none of this id.
            InvalidRequestError: an open task needs it.

        Source: contract page, section 5.
        """
        return self._call(calls.delete_package(file_id))
