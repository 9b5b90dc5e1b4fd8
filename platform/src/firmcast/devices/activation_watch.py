"""The watch sleeps until the next device's time to register is over, or until one is made known whose time is shorter.

What it waits for is in the store: a restart, or a failure of the store, makes it late and loses nothing.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.devices import activations
from firmcast.errors import StoreError
from firmcast.events.log import EventLog

_BATCH: Final = 500
_RETRY: Final = timedelta(seconds=5)
_LONGEST_SLEEP: Final = timedelta(minutes=1)
"""A wall clock that was set makes it late by no more than this."""
_JUST_AFTER: Final = timedelta(milliseconds=1)
"""The last moment itself is still in time."""
_log = structlog.get_logger()


class ActivationWatch:
    """Tells of devices that did not come, from `start` to `stop`."""

    def __init__(self, *, database: Database, log: EventLog, clock: Clock) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._sooner = asyncio.Event()
        self._planned: datetime | None = None
        self._task: asyncio.Task[None] | None = None
        database.listen(activations.ACTIVATIONS_AWAITED, self._note)

    async def start(self) -> None:
        """Begin; what is over already is told first."""
        self._task = asyncio.create_task(self._run(), name="activation-watch")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _note(self, ends: Sequence[datetime]) -> None:
        if self._planned is None or min(ends) < self._planned:
            self._sooner.set()

    async def _run(self) -> None:
        while True:
            self._sooner.clear()
            self._planned = None
            try:
                await self._sleep(await self._tell())
            except StoreError as error:
                _log.warning("activations.postponed", reason=str(error))
                await self._sleep(self._clock.now() + _RETRY)
            except Exception as error:
                # Whoever stood still after it would never tell of anything again, and nobody would know.
                _log.error("activations.failed", exc_info=error)
                await asyncio.sleep(_RETRY.total_seconds())

    async def _tell(self) -> datetime:
        """Tell of whose time is over, and return when to look again."""
        now = self._clock.now()
        while (end := await self._database.read(activations.next_end)) is not None and end < now:
            await self._database.write_behind(activations.expire, now, _BATCH, log=self._log)
        self._planned = now + _LONGEST_SLEEP if end is None else min(end + _JUST_AFTER, now + _LONGEST_SLEEP)
        return self._planned

    async def _sleep(self, until: datetime) -> None:
        seconds = (until - self._clock.now()).total_seconds()
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._sooner.wait()
        except TimeoutError:
            pass
