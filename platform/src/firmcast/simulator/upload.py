"""A package that is written in blocks goes into one intake, and is given up when no more of it comes."""

import asyncio
from collections.abc import Callable

from firmcast.clock import Clock
from firmcast.simulator.package_intake import PackageIntake
from firmcast.simulator.profile import DeviceProfile


class Upload:
    """A package on its way to /5/0/0; `on_lost` is called when nothing came of it for `patience` seconds."""

    def __init__(
        self,
        profile: DeviceProfile,
        *,
        patience: float,
        clock: Clock,
        on_progress: Callable[[PackageIntake], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.intake = PackageIntake(profile)
        self._patience = patience
        self._clock = clock
        self._on_progress = on_progress
        self._on_lost = on_lost
        self._last_at = clock.monotonic()
        self._timer = asyncio.get_running_loop().call_later(patience, self._look)

    def take(self, offset: int, chunk: bytes) -> None:
        """Take in a block."""
        self.intake.write(offset, chunk)
        self._last_at = self._clock.monotonic()
        self._on_progress(self.intake)

    def close(self) -> None:
        """Wait for nothing more."""
        self._timer.cancel()

    def _look(self) -> None:
        # One timer for the whole upload, instead of one for each block.
        left = self._last_at + self._patience - self._clock.monotonic()
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(left, self._look)
        else:
            self._on_lost()
