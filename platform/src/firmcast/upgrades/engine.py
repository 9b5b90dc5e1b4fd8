"""The engine waits for the next deadline of any device, or for a change, and lets time pass in the store.

Whatever fails while it does so is tried again a little later: deadlines are rows, so none is lost.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.devices.holding import LivingGateways
from firmcast.errors import StoreError
from firmcast.events.log import EventLog
from firmcast.upgrades import use_cases
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.use_cases import UPGRADES_CHANGED

BATCH = 100
"""Devices in one transaction: so long everybody else waits who wants to write.

A transaction costs as much as some thirty devices, so with fewer each of them would be dearer.
"""
_RETRY_SECONDS = 1.0
_LONGEST_WAIT = timedelta(minutes=1)
"""A wall clock that was set makes a deadline late by no more than this."""
_log = structlog.get_logger()


class UpgradeEngine:
    """Begins tasks and passes deadlines, from `start` to `stop`."""

    def __init__(
        self,
        *,
        database: Database,
        log: EventLog,
        clock: Clock,
        limits: Limits,
        living: LivingGateways | None = None,
    ) -> None:
        """Bind the parts; `living` says which gateways are alive, None where there is one that always is."""
        self._database = database
        self._log = log
        self._clock = clock
        self._limits = limits
        self._living = living
        self._changed = asyncio.Event()
        self._planned: datetime | None = None
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

    def _note_change(self, deadlines: Sequence[datetime]) -> None:
        """Wake up for what is earlier than planned; reports that move nothing closer cost nothing here."""
        if self._planned is None or min(deadlines) < self._planned:
            self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            self._planned = None
            try:
                await self._wait(await self._pass_time())
            except StoreError as error:
                _log.warning("upgrades.postponed", reason=str(error))
                await self._wait(_RETRY_SECONDS)
            except Exception as error:
                # Whoever stood still after it would let every task stand still, and nobody would be told.
                _log.error("upgrades.failed", exc_info=error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _pass_time(self) -> float:
        """Do what is due, and return in how many seconds to look again."""
        now = self._clock.now()
        deadline = await self._database.read(use_cases.next_deadline)
        if deadline is not None and deadline <= now:
            await self._database.write_behind(
                use_cases.pass_time, log=self._log, limits=self._limits, now=now, limit=BATCH, living=self._living
            )
            return 0.0
        look_at = now + _LONGEST_WAIT if deadline is None else min(deadline, now + _LONGEST_WAIT)
        self._planned = look_at
        return (look_at - self._clock.now()).total_seconds()

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass
