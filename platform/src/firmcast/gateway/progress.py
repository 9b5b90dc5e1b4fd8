"""How far packages are, and how fast they go, is noted in the store from time to time: so that every node can tell it.

A block costs nothing. Every few seconds what has moved is looked at, and written together: each package when
it has come a hundredth further, has arrived, stands still, or was not written for long.
"""

import asyncio
from collections import deque
from datetime import datetime, timedelta
from typing import Final

import structlog

from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.errors import StoreError
from firmcast.gateway.transfers import Transfer
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.model import Progress

_STEP: Final = 100
"""What has come this part of its size further is written."""
_LONG: Final = timedelta(seconds=30)
"""What moves is written after so long, and what does not move is looked at no more."""
_LOOKS: Final = 4
"""A rate is that of as many looks."""
_BATCH: Final = 2000
_log = structlog.get_logger()


class Course:
    """How one package gets on. Pure: each look is told the time."""

    __slots__ = ("_looks", "_moved_at", "_written", "_written_at")

    def __init__(self, reached: int, now: datetime) -> None:
        """Begin where the package is when it is first seen to move."""
        self._looks: deque[tuple[datetime, int]] = deque([(now, reached)], maxlen=_LOOKS + 1)
        self._moved_at = now
        self._written: int | None = None
        self._written_at = now

    def look(self, reached: int, last_at: datetime, now: datetime) -> int:
        """Take in where the package is and when it last moved; return its rate in bytes a second."""
        before = self._looks[-1][1]
        if reached < before:
            # It begins anew: what was before says nothing.
            self._looks.clear()
        if reached != before:
            self._moved_at = now
        # The last bytes may have come long before the look, and then nothing was to come.
        self._looks.append((now if reached == before else last_at, reached))
        (began, start), (ended, end) = self._looks[0], self._looks[-1]
        seconds = (ended - began).total_seconds()
        return round((end - start) / seconds) if seconds > 0 else 0

    def is_news(self, reached: int, size: int, now: datetime) -> bool:
        """Tell whether it has come so far since it was written that somebody would want to know."""
        if self._written is None or self.is_over(reached, size, now):
            return True
        came = abs(reached - self._written)
        return came * _STEP >= size or (came > 0 and now - self._written_at >= _LONG)

    def wrote(self, reached: int, now: datetime) -> None:
        """Note that it was written."""
        self._written, self._written_at = reached, now

    def is_over(self, reached: int, size: int, now: datetime) -> bool:
        """Tell whether nothing more is to be expected."""
        return reached >= size or now - self._moved_at >= _LONG


class ProgressNotes:
    """Notes how far packages have come, from `start` to `stop`."""

    def __init__(self, database: Database, clock: Clock, interval: timedelta) -> None:
        """Look at what moves each `interval`."""
        self._database = database
        self._clock = clock
        self._interval = interval.total_seconds()
        self._courses: dict[Transfer, Course] = {}
        self._something_moves = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="progress-notes")

    def moved(self, transfer: Transfer) -> None:
        """Take in that bytes of a package have gone to its device."""
        if transfer not in self._courses:
            self._courses[transfer] = Course(transfer.reached, self._clock.now())
            self._something_moves.set()

    async def stop(self) -> None:
        """Note where everything is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._look()

    async def _run(self) -> None:
        while True:
            await self._something_moves.wait()
            await asyncio.sleep(self._interval)
            try:
                await self._look()
            except Exception as error:
                # Whatever it is, packages go on, and somebody asks for the others.
                _log.error("progress.fault", exc_info=error)

    async def _look(self) -> None:
        """Write what is news."""
        now = self._clock.now()
        news: list[tuple[Course, Progress]] = []
        for transfer, course in list(self._courses.items()):
            reached, size = transfer.reached, transfer.body.size
            rate = course.look(reached, transfer.last_at or now, now)
            if course.is_news(reached, size, now) or transfer.is_over:
                noted = Progress(
                    device_upgrade_id=transfer.target.device_upgrade_id,
                    bytes_done=reached,
                    bytes_per_second=rate,
                    noted_at=now,
                )
                news.append((course, noted))
            if transfer.is_over or course.is_over(reached, size, now):
                del self._courses[transfer]
                transfer.is_followed = False
        if not self._courses:
            self._something_moves.clear()
        for start in range(0, len(news), _BATCH):
            await self._write(news[start : start + _BATCH], now)

    async def _write(self, news: list[tuple[Course, Progress]], now: datetime) -> None:
        try:
            await self._database.write(upgrades.note_progress, [noted for _, noted in news])
        except StoreError as error:
            # It is worth less than what else waits for the store; the next look has it again.
            _log.warning("progress.not_noted", reason=str(error))
            return
        for course, noted in news:
            course.wrote(noted.bytes_done, now)
