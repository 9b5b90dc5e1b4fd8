"""What is noted goes to the store with the next reports, or a second later; of one device so many lines a minute do.

A note is worth less than a report: while the store is full notes are let go, and a device that never rests fills
neither the queue nor the store.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from firmcast.gateway.live_devices import LiveDevice
from firmcast.gateway.reports import ReportIntake
from firmcast.ids import DeviceId, DeviceUpgradeId
from firmcast.journal.model import DeviceNote, Exchange, Note, Noted

LINES_A_MINUTE: Final = 120
"""Lines about exchanges with one device; what is beyond them is left out, and the last one says so."""

_MINUTE: Final = 60
_LEFT_OUT: Final = {"more": "exchanges in this minute are not noted"}


class JournalNotes:
    """Notes what passes between this gateway and its devices."""

    def __init__(self, intake: ReportIntake, now: Callable[[], datetime]) -> None:
        self._intake = intake
        self._now = now

    def exchange(self, device: LiveDevice, what: Exchange, device_upgrade_id: DeviceUpgradeId | None = None) -> None:
        """Note an exchange that has just ended."""
        now = self._now()
        minute = int(now.timestamp()) // _MINUTE
        if device.noted_minute != minute:
            device.noted_minute, device.noted = minute, 0
        device.noted += 1
        if device.noted > LINES_A_MINUTE:
            return
        if device.noted == LINES_A_MINUTE:
            what = Exchange(kind=what.kind, told=_LEFT_OUT)
        self._put(device.device_id, now, what, device_upgrade_id)

    def note(self, device_id: DeviceId, what: Noted, device_upgrade_id: DeviceUpgradeId | None = None) -> None:
        """Note something that happens seldom."""
        self._put(device_id, self._now(), what, device_upgrade_id)

    def _put(self, device_id: DeviceId, at: datetime, what: Noted, device_upgrade_id: DeviceUpgradeId | None) -> None:
        note = Note(occurred_at=at, what=what, device_upgrade_id=device_upgrade_id)
        self._intake.note(DeviceNote(device_id=device_id, note=note))
