"""All that a platform counts is declared here, each part's own with the part; `app.py` hands them out."""

import asyncio
from collections.abc import Callable
from typing import Final

from firmcast.clock import Clock
from firmcast.db.metrics import StoreMetrics
from firmcast.gateway.metrics import GatewayMetrics
from firmcast.metrics import Metrics
from firmcast.nodes.metrics import NodeMetrics
from firmcast.push.metrics import PushMetrics
from firmcast.rest.metrics import HttpMetrics

_LOOK_SECONDS: Final = 0.1
_DELAYS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class PlatformMetrics:
    """What each part counts with, and the whole of it."""

    def __init__(self, clock: Clock) -> None:
        """Declare everything."""
        self.all = Metrics()
        self.push = PushMetrics(self.all)
        self.store = StoreMetrics(self.all, clock.monotonic)
        self.node = NodeMetrics(self.all)
        self.gateway = GatewayMetrics(self.all)
        self.removed = self.all.counts(
            "firmcast_retention_removed", "Rows that were removed for their age, by what they were", "kind"
        )
        self.http = HttpMetrics(self.all, clock.monotonic)
        self.loop_watch = LoopWatch(self.all, clock.monotonic)


class LoopWatch:
    """Looks from time to time how much later than it should the event loop comes to what is due."""

    def __init__(self, metrics: Metrics, monotonic: Callable[[], float]) -> None:
        """Bind the parts; nothing happens before `start`."""
        self._monotonic = monotonic
        self._delay = metrics.histogram(
            "firmcast_loop_delay_seconds",
            "How much later than it was due the event loop came to something, looked at ten times a second: all that"
            " is not written or read by other threads waits so long",
            _DELAYS,
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="loop-watch")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            due = self._monotonic() + _LOOK_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)
            self._delay.observe(max(0.0, self._monotonic() - due))
