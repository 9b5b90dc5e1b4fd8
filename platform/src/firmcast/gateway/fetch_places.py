"""Only so many devices fetch packages at a time; the others are given their addresses when a place is free.

A device has its place from the order on until it has the whole package, or lets it stand still: whoever asks for no
byte keeps nobody waiting for long. Who fetches without having been let in, since the gateway was started anew, or the
device stood still before, has a place all the same, beyond the limit if need be. Where nobody waits, nobody looks.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from firmcast.gateway.transfers import Transfer
from firmcast.ids import DeviceUpgradeId

PATIENCE: Final = timedelta(seconds=60)
"""Without a block for so long a device loses its place, though not its package."""
_LOOK_SECONDS: Final = 1.0


class FetchPlaces:
    """The places of one gateway, and who waits for one, in their order."""

    def __init__(self, limit: int, now: Callable[[], datetime]) -> None:
        """Let `limit` devices fetch at a time, any number where it is 0."""
        self._limit = limit
        self._now = now
        self._taken: dict[Transfer, datetime] = {}
        """Who has a place, and since when."""
        self._expected: dict[DeviceUpgradeId, datetime] = {}
        """Who fetched before the gateway was started, and has not been heard of since; and since when."""
        self._is_held = False
        self._waiting: deque[tuple[asyncio.Future[None], Transfer]] = deque()
        self._look: asyncio.TimerHandle | None = None

    async def take(self, transfer: Transfer) -> None:
        """Wait for a place for a transfer that is about to be ordered; one that has a place keeps it."""
        if not self._limit:
            return
        self._clear()
        if self._has_place(transfer) or (not self._waiting and self._has_room()):
            self._seat(transfer)
        else:
            await self._wait(transfer)

    def leave(self, transfer: Transfer) -> None:
        """Give back the place of a transfer whose order came to nothing."""
        if self._taken.pop(transfer, None) is not None:
            self._let_in()

    def hold(self) -> None:
        """Let nobody in, who has no place yet, until `open`."""
        self._is_held = True

    def open(self) -> None:
        """Let devices in: who fetched before is known now."""
        self._is_held = False
        self._let_in()

    def expect(self, fetching: Iterable[DeviceUpgradeId]) -> None:
        """Keep the places of those who fetched before the gateway was started, until they go on or are given up."""
        if self._limit:
            self._expected.update(dict.fromkeys(fetching, self._now()))

    def fetches(self, transfer: Transfer) -> None:
        """Note that a device fetches, whether it was let in or not."""
        if self._limit and transfer not in self._taken:
            self._seat(transfer)

    def stop(self) -> None:
        """Let nobody in any more."""
        if self._look is not None:
            self._look.cancel()

    async def _wait(self, transfer: Transfer) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, transfer))
        if self._look is None:
            self._look_later()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # It was let in at the same moment.
                self.leave(transfer)
            else:
                with suppress(ValueError):
                    self._waiting.remove((turn, transfer))
            raise

    def _look_later(self) -> None:
        self._look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_around)

    def _look_around(self) -> None:
        self._look = None
        self._clear()
        self._let_in()
        if self._waiting:
            self._look_later()

    def _clear(self) -> None:
        """Take the places of those who need them no more."""
        now = self._now()
        for transfer, since in list(self._taken.items()):
            moved_at = max(since, transfer.last_at or since)
            if transfer.is_complete or transfer.is_over or now - moved_at >= PATIENCE:
                del self._taken[transfer]
        for device_upgrade_id, since in list(self._expected.items()):
            if now - since >= PATIENCE:
                del self._expected[device_upgrade_id]

    def _has_place(self, transfer: Transfer) -> bool:
        return transfer in self._taken or transfer.target.device_upgrade_id in self._expected

    def _seat(self, transfer: Transfer) -> None:
        self._expected.pop(transfer.target.device_upgrade_id, None)
        self._taken[transfer] = self._now()

    def _let_in(self) -> None:
        while self._waiting and self._has_room():
            turn, transfer = self._waiting.popleft()
            if not turn.done():
                self._seat(transfer)
                turn.set_result(None)

    def _has_room(self) -> bool:
        return not self._is_held and len(self._taken) + len(self._expected) < self._limit
