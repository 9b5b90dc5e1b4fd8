"""New work is refused while there is no room for it; what was taken in goes on, and what has happened is still written.

The space below the floor is kept for deliveries, acknowledgements and what devices under way have to tell: they end
work, and free space. The writes that wait are bounded, so that a store that does not keep up is heard of at once and
memory does not fill.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from firmcast.db.metrics import StoreMetrics
from firmcast.errors import StoreBusyError, StoreFullError

RequireRoom = Callable[[], None]
"""Raises StoreFullError or StoreBusyError while there is no room for new work."""

_LOOK_SECONDS: Final = 1.0


def free_bytes(folder: Path) -> int:
    """Return how much space is left for us on the file system of a folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class Room:
    """Says whether new work may be taken in."""

    def __init__(
        self,
        *,
        folder: Path,
        floor: int,
        waiting: Callable[[], int],
        most_waiting: int,
        metrics: StoreMetrics,
        free: Callable[[Path], int] = free_bytes,
        size: Callable[[], int | None] = lambda: None,
        size_limit: int = 0,
    ) -> None:
        """Refuse new work at a bound.

        Args:
            folder: where the store is, or what is beside it.
            floor: bytes that are to be free on its file system, 0 for any number.
            waiting: tells how many writes wait.
            most_waiting: how many may.
            metrics: where to tell it.
            free: tells what is free on the file system of a folder.
            size: tells how large the store is, None for what is not known.
            size_limit: how large it may be, 0 for any size.
        """
        self._folder = folder
        self._floor = floor
        self._waiting = waiting
        self._most_waiting = most_waiting
        self._metrics = metrics
        self._free = free
        self._size = size
        self._size_limit = size_limit
        self._looked_at = 0.0
        self._found: int | None = None
        metrics.free.read = self.free

    def free(self) -> int:
        """Return how many bytes are free, as of a second ago at the most."""
        now = self._metrics.monotonic()
        if self._found is None or now - self._looked_at >= _LOOK_SECONDS:
            self._found, self._looked_at = self._free(self._folder), now
        return self._found

    def require(self) -> None:
        """Let new work in.

        Raises:
            StoreFullError: less space is left than is kept for work under way, or the store is as large as it may be.
            StoreBusyError: too many writes wait already.
        """
        if self._waiting() >= self._most_waiting:
            self._metrics.refused_busy.value += 1
            message = f"{self._most_waiting} writes wait for the store already"
            raise StoreBusyError(message)
        if self._floor and self.free() < self._floor:
            self._metrics.refused_full.value += 1
            message = f"fewer than {self._floor} bytes are free, which are kept for what is under way"
            raise StoreFullError(message)
        if self._size_limit and (self._size() or 0) >= self._size_limit:
            self._metrics.refused_full.value += 1
            message = f"the database has {self._size()} bytes, and may have {self._size_limit}"
            raise StoreFullError(message)
