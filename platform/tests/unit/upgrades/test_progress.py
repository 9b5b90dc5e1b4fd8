"""What is told of a package on its way follows from the last note of it, from how old that is, and from the attempt."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from firmcast.ids import DeviceUpgradeId
from firmcast.upgrades.model import Progress, UpgradePhase
from firmcast.upgrades.progress import FRESH, TransferView, view

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(minutes=10)
NOTED = Progress(device_upgrade_id=DeviceUpgradeId("upgrade"), bytes_done=4000, bytes_per_second=100, noted_at=NOW)
SHOWN = TransferView(
    bytes_done=4000,
    bytes_total=10_000,
    bytes_per_second=100,
    expected_end=NOW + timedelta(seconds=60),
    noted_at=NOW,
)
STILL = replace(SHOWN, bytes_per_second=None, expected_end=None)


@pytest.mark.parametrize(
    ("changes", "noted", "age", "expected"),
    [
        ({}, NOTED, timedelta(0), SHOWN),
        ({}, NOTED, timedelta(seconds=30), SHOWN),
        ({}, NOTED, FRESH, STILL),
        ({}, replace(NOTED, bytes_per_second=0), timedelta(0), replace(STILL, bytes_per_second=0)),
        ({}, replace(NOTED, bytes_done=10_000), timedelta(0), replace(SHOWN, bytes_done=10_000, expected_end=None)),
        ({"phase": UpgradePhase.EXECUTING}, NOTED, timedelta(0), STILL),
        ({"phase": UpgradePhase.CLOSED}, NOTED, timedelta(0), STILL),
        # It was noted of an attempt before this one.
        ({"started_at": NOW + timedelta(seconds=1)}, NOTED, timedelta(minutes=1), None),
        ({"started_at": None}, NOTED, timedelta(0), None),
        ({}, None, timedelta(0), None),
    ],
)
def test_views(driver, changes, noted, age, expected) -> None:
    under_way = structs.replace(driver.upgrade, phase=UpgradePhase.TRANSFERRING, started_at=START, bytes_total=10_000)
    assert view(structs.replace(under_way, **changes), noted, NOW + age) == expected
