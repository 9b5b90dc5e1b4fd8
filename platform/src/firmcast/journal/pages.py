"""What one transaction notes of a device is one page, so one row: a note by itself would cost as much as the fact.

Pages are short in time, so that whoever reads them in the order of their beginnings knows where all is told.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby

import msgspec

from firmcast.ids import DeviceId, DeviceUpgradeId
from firmcast.journal.model import LONGEST_PAGE, DeviceNote, Note


class Page(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Notes of one device within one upgrade, or within none, in the order of time."""

    device_id: DeviceId
    device_upgrade_id: DeviceUpgradeId | None
    notes: tuple[Note, ...]

    @property
    def began_at(self) -> datetime:
        """When the first of them happened."""
        return self.notes[0].occurred_at


def pages_of(noted: Iterable[DeviceNote]) -> list[Page]:
    """Return the pages that hold these notes; notes of one moment stay in the order given."""
    by_owner = sorted(noted, key=_owner)
    return [
        Page(device_id=each[0].device_id, device_upgrade_id=each[0].note.device_upgrade_id, notes=tuple(notes))
        for _, group in groupby(by_owner, key=_owner)
        for each in [list(group)]
        for notes in _short_runs([one.note for one in each])
    ]


def _owner(noted: DeviceNote) -> tuple[str, str]:
    return noted.device_id, noted.note.device_upgrade_id or ""


def _short_runs(notes: Sequence[Note]) -> list[list[Note]]:
    runs: list[list[Note]] = []
    for note in sorted(notes, key=lambda each: each.occurred_at):
        if runs and note.occurred_at - runs[-1][0].occurred_at <= LONGEST_PAGE:
            runs[-1].append(note)
        else:
            runs.append([note])
    return runs
