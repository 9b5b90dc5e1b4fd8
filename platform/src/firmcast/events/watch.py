"""Whoever waits for events waits here: one look at the store serves all of them, however many there are.

A commit of any node is heard of as it is announced; what was not heard is found by looking again after a while. Nothing
is looked at while nobody waits.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import structlog

from firmcast.db.port import Database
from firmcast.errors import StoreError
from firmcast.events import use_cases
from firmcast.events.horizon import Horizon
from firmcast.events.log import NEW_EVENTS
from firmcast.ids import ApplicationId, EventId

LOOK_AGAIN: Final = timedelta(milliseconds=500)
_GATHER_SECONDS: Final = 0.01
"""Between two looks: what is appended meanwhile is found by the next one."""
_SETTLE_SECONDS: Final = (0.01, 0.25)
"""The first and the longest pause while somebody is still writing what may come before what is there."""
_SIFTED: Final = 5_000
"""After a part of the log longer than this everybody looks for himself."""

_log = structlog.get_logger()


class LogWatch:
    """Knows up to where the log is final, and wakes those whose application has something new in it."""

    def __init__(self, *, database: Database, look_again: timedelta = LOOK_AGAIN) -> None:
        """Look at least every `look_again` while somebody waits; `start` does it."""
        self._database = database
        self._look_again = look_again.total_seconds()
        self._horizon = Horizon()
        self._last_given = EventId(0)
        self._waiting: dict[ApplicationId, set[asyncio.Event]] = {}
        self._hint = asyncio.Event()
        self._wanted = asyncio.Event()
        self._looking = asyncio.Lock()
        self._begun = 0
        self._done = 0
        """Looks, counted as they begin; and the number of the last one that was made."""
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        database.listen(NEW_EVENTS, self._hear)

    @property
    def final(self) -> EventId:
        """The position up to which the log was final at the last look."""
        return self._horizon.final

    @property
    def last_given(self) -> EventId:
        """The last position that had been given then; nobody has seen a later one."""
        return self._last_given

    @property
    def is_closed(self) -> bool:
        """Whether nobody should wait any more."""
        return self._closed

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="log-watch")

    async def stop(self) -> None:
        """Wake all who wait, and end."""
        self._closed = True
        self._wake(list(self._waiting))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def look(self) -> EventId:
        """Look now, and return the position up to which the log is final.

        Raises:
            StoreError: the store cannot be read.
        """
        asked = self._begun
        async with self._looking:
            if self._done > asked:
                return self.final  # another look has begun since, and is over
            self._begun += 1
            before = self.final
            seen = await self._database.read(use_cases.observe_end)
            self._last_given = max(self._last_given, seen.position)
            self._done = self._begun
            final = self._horizon.observe(seen)
            if final > before and self._waiting:
                self._wake(await self._concerned(before, final))
            return final

    @contextmanager
    def waiting(self, application_id: ApplicationId) -> Iterator[asyncio.Event]:
        """Give what is set as soon as there may be something new of an application after the last look.

        Who has it reads up to `final` first, then waits, clears it, and reads again: so nothing is missed.
        """
        news = asyncio.Event()
        if self._closed:
            news.set()
        self._waiting.setdefault(application_id, set()).add(news)
        self._wanted.set()
        try:
            yield news
        finally:
            those = self._waiting[application_id]
            those.discard(news)
            if not those:
                del self._waiting[application_id]
            if not self._waiting:
                self._wanted.clear()

    def _hear(self, _positions: Sequence[EventId]) -> None:
        self._hint.set()

    async def _run(self) -> None:
        settle, longest = _SETTLE_SECONDS
        while True:
            await self._wanted.wait()
            if self._horizon.is_settled:
                settle = _SETTLE_SECONDS[0]
                await self._sleep(self._look_again * random.uniform(0.8, 1.2))  # noqa: S311 -- no secret
            else:
                await asyncio.sleep(settle)
                settle = min(longest, settle * 2)
            self._hint.clear()
            try:
                await self.look()
            except StoreError as error:
                _log.warning("events.not_looked_at", reason=str(error))
                await asyncio.sleep(self._look_again)
            except Exception as error:
                # Whoever waits would wait in vain from then on, and nobody would be told.
                _log.error("events.not_looked_at", exc_info=error)
                await asyncio.sleep(self._look_again)
            await asyncio.sleep(_GATHER_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._hint.wait()
        except TimeoutError:
            pass

    async def _concerned(self, after: EventId, through: EventId) -> list[ApplicationId]:
        if through - after > _SIFTED:
            return list(self._waiting)
        try:
            return await self._database.read(use_cases.applications_between, after, through)
        except BaseException:
            self._wake(list(self._waiting))  # nobody will be told of this part of the log again
            raise

    def _wake(self, application_ids: Sequence[ApplicationId]) -> None:
        for application_id in application_ids:
            for news in self._waiting.get(application_id, ()):
                news.set()
