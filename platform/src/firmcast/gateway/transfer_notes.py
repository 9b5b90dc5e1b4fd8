"""A package's way to a device is one line of its journal, however many blocks it has.

It is written when the last block has gone, when no block has gone for a while, and from time to time in between.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from firmcast.gateway.journal_notes import JournalNotes
from firmcast.gateway.transfers import Transfer

_LOOK_SECONDS: Final = 5.0
_LOOKED_AT_ONCE: Final = 5_000
_STANDS_STILL: Final = timedelta(seconds=10)
_NOTED_EVERY: Final = timedelta(minutes=1)


class TransferNotes:
    """Notes how far packages come."""

    def __init__(self, notes: JournalNotes, now: Callable[[], datetime]) -> None:
        self._notes = notes
        self._now = now
        self._unnoted: dict[Transfer, None] = {}
        """Those that have come further than the journal knows."""
        self._looking: asyncio.TimerHandle | None = None

    def block_gone(self, transfer: Transfer, completes: bool) -> None:
        """Take in that a block of a package has gone to its device, and whether it was the last one to go."""
        if completes:
            self._note(transfer)
            return
        self._unnoted[transfer] = None
        if self._looking is None:
            self._look_later()

    def stop(self) -> None:
        """Note how far everything has come."""
        if self._looking is not None:
            self._looking.cancel()
        for transfer in list(self._unnoted):
            self._note(transfer)

    def _look_later(self) -> None:
        self._looking = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Note some of those that stand still, and of those that the journal has not heard of for long."""
        self._looking = None
        now = self._now()
        for transfer in list(islice(self._unnoted, _LOOKED_AT_ONCE)):
            if is_worth_a_note(transfer, now):
                self._note(transfer)
            else:
                # Behind those that were not looked at.
                self._unnoted[transfer] = self._unnoted.pop(transfer)
        if self._unnoted:
            self._look_later()

    def _note(self, transfer: Transfer) -> None:
        self._unnoted.pop(transfer, None)
        transfer.is_followed = False
        summary = transfer.summary()
        if summary is not None:
            transfer.noted_at = self._now()
            self._notes.note(transfer.target.device_id, summary, transfer.target.device_upgrade_id)


def is_worth_a_note(transfer: Transfer, now: datetime) -> bool:
    """Tell whether blocks have stopped coming, or the journal has not heard of a transfer for a minute.

    One whose blocks stop and go is noted once a minute.
    """
    if transfer.began_at is None or transfer.last_at is None:
        return False
    if transfer.noted_at is not None:
        return now - transfer.noted_at >= _NOTED_EVERY
    return now - transfer.last_at >= _STANDS_STILL or now - transfer.began_at >= _NOTED_EVERY
