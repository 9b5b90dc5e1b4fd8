"""What is known of a device group: its name is how an upgrade task asks for its devices."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from firmcast.errors import ConflictError, InvalidValueError
from firmcast.ids import ApplicationId, DeviceId, GroupId

LARGEST_ADDITION: Final = 1000
"""Devices that one call adds or takes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceGroup:
    """A group of one application's devices; a device may be in many."""

    group_id: GroupId
    application_id: ApplicationId
    name: str
    """Unique within the application."""
    description: str
    max_devices: int
    """0 for as many as come."""
    device_count: int
    created_at: datetime


class GroupNameTakenError(ConflictError):
    """The application has a group of this name."""


class TooManyGroupsError(ConflictError):
    """The application has as many groups as it may have."""


class GroupFullError(ConflictError):
    """There would be more devices in the group than it takes."""


class TooManyDevicesError(InvalidValueError):
    """More devices were named than one call, or the group, takes."""


class UnknownDevicesError(InvalidValueError):
    """Devices were named that the application does not have."""

    def __init__(self, unknown: DeviceId, number: int) -> None:
        super().__init__("devices", f"{number} of them are unknown, such as {unknown!r}")
