"""A check that was ordered is carried out here, and what came of it is kept with what devices tell.

One that a device cuts off by registering anew begins again with it, but a few times only: there are clients that what
is read of them brings down, and they would come up and be brought down without end.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

from firmcast.db.patience import patiently
from firmcast.db.port import Database, Transaction
from firmcast.gateway.batches import CheckEnded
from firmcast.gateway.checking import check
from firmcast.gateway.device_link import DeviceLink
from firmcast.gateway.reports import ReportIntake
from firmcast.ids import DeviceId
from firmcast.profiles.model import Findings
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.model import UpgradePhase

CUT_OFF: Final = "the device registered anew each time that it was checked, as if it had started again"
_NOT_BEGUN = (UpgradePhase.SCHEDULED, UpgradePhase.CLOSED)
_TRIES: Final = 3


class Checks:
    """The checks of live devices."""

    def __init__(self, database: Database, intake: ReportIntake, now: Callable[[], datetime]) -> None:
        self._database = database
        self._intake = intake
        self._now = now

    async def carry_out(self, link: DeviceLink) -> None:
        """Check a device. Raises DeviceAsleepError, and StoreError when its upgrades cannot be looked up any more."""
        device_id = link.device.device_id

        async def may_reset() -> str:
            is_in_upgrade = await patiently(partial(self._database.read, _is_in_upgrade, device_id))
            return "an upgrade of it is open" if is_in_upgrade else ""

        device = link.device
        findings = Findings(failure=CUT_OFF)
        if device.checks_begun < _TRIES:
            # Before it: who registers anew has taken this number over when its check is given up.
            device.checks_begun += 1
            try:
                findings = await check(link, may_reset)
            except Exception:
                device.checks_begun -= 1
                raise
        device.checks_begun = 0
        self._intake.add(CheckEnded(device_id=device_id, findings=findings, occurred_at=self._now()))


async def _is_in_upgrade(tx: Transaction, device_id: DeviceId) -> bool:
    return any(upgrade.phase not in _NOT_BEGUN for upgrade in await upgrades.of_device(tx, device_id))
