"""What an operator can set of devices and their groups."""

from pydantic import Field

from firmcast.settings.values import Section


class DeviceSettings(Section):
    """What applications may have."""

    group_limit: int = Field(default=1000, ge=0, description="device groups of one application; 0 for no limit")
