"""The calls of the blocking client on device groups; written by `scripts/client_methods.py`, not by hand."""

from collections.abc import Sequence

from firmcast_sdk.client.blocking_sender import BlockingSender
from firmcast_sdk.client.calls import device_groups as calls
from firmcast_sdk.client.listing import Listing
from firmcast_sdk.wire.device_groups import DeviceGroup, DeviceGroupDetails


class DeviceGroups(BlockingSender):
    """The calls on device groups."""

    def create_device_group(
        self,
        name: str,
        *,
        description: str | None = None,
        max_dev_num: int | None = None,
        device_ids: Sequence[str] | None = None,
        app_id: str | None = None,
    ) -> DeviceGroup:
        """Make a device group. Upgrade tasks call it by its name, the calls on groups by its id.

        Args:
            name: 1 to 50 letters and digits.
            description: 1024 characters at most.
            max_dev_num: how many devices it takes; 0 or None for any number.
            device_ids: whom to put into it at once.
            app_id: the application that owns it; None for the caller itself.

        Returns:
            The group with its id.

        Raises:
            ConflictError: the name is used.
            LimitReachedError: there are too many groups, or it takes fewer devices than were given.
            InvalidRequestError: a value is not allowed.

        Source: contract page, section 7.
        """
        return self._call(
            calls.create_device_group(
                name, description=description, max_dev_num=max_dev_num, device_ids=device_ids, app_id=app_id
            )
        )

    def device_group(self, group_id: str, *, access_app_id: str | None = None) -> DeviceGroupDetails:
        """Read one device group.

        Args:
            group_id: its id.
            access_app_id: the application that owns it; None for the caller itself.

        Raises:
            NotFoundError: there is none of this id.

        Source: contract page, section 7.
        """
        return self._call(calls.device_group(group_id, access_app_id=access_app_id))

    def device_groups(
        self, *, name: str | None = None, access_app_id: str | None = None, page_size: int = 100
    ) -> Listing[DeviceGroupDetails]:
        """Go through the device groups, page by page.

        Args:
            name: only the one of this name.
            access_app_id: the application that owns them; None for the caller itself.
            page_size: how many are read at a time, 1 to 500.

        Raises:
            InvalidRequestError: the page size is out of its range.

        Source: contract page, section 7.
        """
        return self._listing(calls.device_groups(name=name, access_app_id=access_app_id, page_size=page_size))

    def modify_device_group(
        self,
        group_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        max_dev_num: int | None = None,
        access_app_id: str | None = None,
    ) -> DeviceGroup:
        """Change a device group; None leaves a value as it is.

        Args:
            group_id: its id.
            name: 1 to 50 letters and digits.
            description: 1024 characters at most.
            max_dev_num: how many devices it takes; 0 for any number.
            access_app_id: the application that owns it; None for the caller itself.

        Returns:
            The group as it is now.

        Raises:
            NotFoundError: there is none of this id.
            ConflictError: the name is used.
            InvalidRequestError: a value is not allowed.

        Source: contract page, section 7.
        """
        return self._call(
            calls.modify_device_group(
                group_id, name=name, description=description, max_dev_num=max_dev_num, access_app_id=access_app_id
            )
        )

    def delete_device_group(self, group_id: str, *, access_app_id: str | None = None) -> None:
        """Delete a device group; its devices stay.

        Args:
            group_id: its id.
            access_app_id: the application that owns it; None for the caller itself.

        Raises:
            NotFoundError: there is none of this id.

        Source: contract page, section 7.
        """
        return self._call(calls.delete_device_group(group_id, access_app_id=access_app_id))

    def device_group_members(self, group_id: str, *, app_id: str | None = None, page_size: int = 1000) -> Listing[str]:
        """Go through the ids of a group's devices, page by page.

        Args:
            group_id: the group's id.
            app_id: the application that owns it; None for the caller itself.
            page_size: how many are read at a time, 1 to 1000.

        Raises:
            NotFoundError: there is no such group.
            InvalidRequestError: the page size is out of its range.

        Source: contract page, section 7.
        """
        return self._listing(calls.device_group_members(group_id, app_id=app_id, page_size=page_size))

    def add_to_device_group(
        self, group_id: str, device_ids: Sequence[str], *, access_app_id: str | None = None
    ) -> None:
        """Put devices into a group.

        Args:
            group_id: the group's id.
            device_ids: 1000 at most; those in it already stay.
            access_app_id: the application that owns it; None for the caller itself.

        Raises:
            NotFoundError: there is no such group.
            LimitReachedError: it does not take so many.
            InvalidRequestError: too many at once, or a device is not the application's.

        Source: contract page, section 7.
        """
        return self._call(calls.add_to_device_group(group_id, device_ids, access_app_id=access_app_id))

    def remove_from_device_group(
        self, group_id: str, device_ids: Sequence[str], *, access_app_id: str | None = None
    ) -> None:
        """Take devices out of a group.

        Args:
            group_id: the group's id.
            device_ids: 1000 at most.
            access_app_id: the application that owns it; None for the caller itself.

        Raises:
            NotFoundError: there is no such group.
            InvalidRequestError: too many at once, or a device is not in it.

        Source: contract page, section 7.
        """
        return self._call(calls.remove_from_device_group(group_id, device_ids, access_app_id=access_app_id))
