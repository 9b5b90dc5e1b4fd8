"""Only so many devices fetch packages at a time; the others are given their addresses when a place is free.

A device has its place from the order on until it has the whole package, or lets it stand still: whoever asks for no
byte keeps nobody waiting for long. Where nobody waits, nobody looks.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from firmcast.gateway.transfers import Transfer

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
        self._waiting: deque[tuple[asyncio.Future[None], Transfer]] = deque()
        self._look: asyncio.TimerHandle | None = None

    async def take(self, transfer: Transfer) -> None:
        """Wait for a place for a transfer that is about to be ordered; one that has a place keeps it."""
        if not self._limit:
            return
        self._clear()
        if transfer in self._taken or (not self._waiting and self._has_room()):
            self._taken[transfer] = self._now()
        else:
            await self._wait(transfer)

    def leave(self, transfer: Transfer) -> None:
        """Give back the place of a transfer whose order came to nothing."""
        if self._taken.pop(transfer, None) is not None:
            self._let_in()

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

    def _let_in(self) -> None:
        while self._waiting and self._has_room():
            turn, transfer = self._waiting.popleft()
            if not turn.done():
                self._taken[transfer] = self._now()
                turn.set_result(None)

    def _has_room(self) -> bool:
        return len(self._taken) < self._limit
