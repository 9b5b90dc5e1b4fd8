"""The engine waits for the next deadline of any device, or for a change, and lets time pass in the store.

A failure of the store while it does so is tried again a little later: deadlines are rows, so none is lost.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog

from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.errors import StoreError
from firmcast.events.log import EventLog
from firmcast.upgrades import use_cases
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.use_cases import UPGRADES_CHANGED

_BATCH = 500
_RETRY_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 3600.0
_log = structlog.get_logger()


class UpgradeEngine:
    """Begins tasks and passes deadlines, from `start` to `stop`."""

    def __init__(self, *, database: Database, log: EventLog, clock: Clock, limits: Limits) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._limits = limits
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        database.listen(UPGRADES_CHANGED, self._note_change)

    async def start(self) -> None:
        """Begin; what is due already is done first."""
        self._task = asyncio.create_task(self._run(), name="upgrade-engine")

    async def stop(self) -> None:
        """Finish the batch under way and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _note_change(self, _task_ids: Sequence[Any]) -> None:
        self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                next_deadline = await self._database.write(
                    use_cases.pass_time, log=self._log, limits=self._limits, now=self._clock.now(), limit=_BATCH
                )
            except StoreError as error:
                _log.warning("upgrades.postponed", reason=str(error))
                await self._wait(_RETRY_SECONDS)
            else:
                await self._wait(self._seconds_until(next_deadline))

    def _seconds_until(self, deadline: datetime | None) -> float:
        if deadline is None:
            return _LONGEST_WAIT_SECONDS
        return min(_LONGEST_WAIT_SECONDS, max(0.0, (deadline - self._clock.now()).total_seconds()))

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass
