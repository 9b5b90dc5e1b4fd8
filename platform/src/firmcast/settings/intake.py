"""What an operator can set of when new work is refused."""

from pydantic import Field

from firmcast.settings.values import Section


class IntakeSettings(Section):
    """When new work is refused, so that work under way can end."""

    free_floor: int = Field(
        default=256 << 20,
        ge=0,
        description="bytes to keep free on the disk of the data folder: with less, no upgrade, device, package or"
        " registration is taken in; 0 for none",
    )
    database_limit: int = Field(
        default=0,
        ge=0,
        description="bytes that a PostgreSQL database may have for the same, with what is free inside its files; 0 for"
        " any size",
    )
    waiting_limit: int = Field(default=5_000, ge=1, description="writes that may wait for the store, for the same")
