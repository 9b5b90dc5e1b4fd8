"""What a note of how far a package had come says now."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from firmcast.upgrades.model import DeviceUpgrade, Progress, UpgradePhase

FRESH: Final = timedelta(minutes=1)
"""A package of which nothing was noted for so long moves no more, or the node that sent it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferView:
    """How far a package is."""

    bytes_done: int
    """Bytes that the device has acknowledged, or that were served to it."""
    bytes_total: int
    bytes_per_second: int | None
    """Of the last seconds; None where the package is not on its way."""
    expected_end: datetime | None
    """When the last byte will be there if it goes on so; None where nothing moves."""
    noted_at: datetime


def view(upgrade: DeviceUpgrade, noted: Progress | None, now: datetime) -> TransferView | None:
    """Return how far the package of an upgrade is; None where nothing is known of this attempt."""
    if noted is None or upgrade.started_at is None or noted.noted_at < upgrade.started_at:
        return None
    moves = upgrade.phase is UpgradePhase.TRANSFERRING and now - noted.noted_at < FRESH
    rate = noted.bytes_per_second if moves else None
    left = max(0, upgrade.bytes_total - noted.bytes_done)
    return TransferView(
        bytes_done=noted.bytes_done,
        bytes_total=upgrade.bytes_total,
        bytes_per_second=rate,
        expected_end=noted.noted_at + timedelta(seconds=left // rate) if rate and left else None,
        noted_at=noted.noted_at,
    )
