"""What an operator can set of packages and their uploads."""

from datetime import timedelta

from pydantic import Field

from firmcast.settings.values import PositiveDuration, Section


class FirmwareSettings(Section):
    """Packages."""

    size_limit: int = Field(default=64 << 20, ge=1, description="bytes of one package")
    upload_limit: int = Field(default=100, ge=1, description="uploads in pieces that may be open at one time")
    partial_limit: int = Field(
        default=1 << 30, ge=1, description="bytes that the uploads in pieces may announce together"
    )
    cache_limit: int = Field(
        default=4 << 30, ge=0, description="bytes of packages that a node of PostgreSQL keeps on its disk to serve them"
    )
    upload_life: PositiveDuration = Field(
        default=timedelta(hours=24), description="an upload in pieces that nobody adds to for this long is removed"
    )
