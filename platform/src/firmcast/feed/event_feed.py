"""An application's events after a position: what is there at once, or what comes while it waits.

Nothing is given before it is final, so whoever goes on after what he was given misses nothing.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from firmcast.db.port import Database, Transaction
from firmcast.errors import InvalidValueError, RefusedError
from firmcast.events import use_cases as events
from firmcast.events.model import EventFilter, Stretch
from firmcast.events.watch import LogWatch
from firmcast.ids import ApplicationId, EventId

_MOST_READS: Final = 50
"""For one answer; whoever wants few of very many events is then told how far he is."""


class CursorExpiredError(RefusedError):
    """Events that came after a position have been removed."""

    def __init__(self, begins_after: EventId) -> None:
        super().__init__("events after this cursor have been removed")
        self.begins_after = begins_after
        """The position after which the log begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an application asks for."""

    application_id: ApplicationId
    events: EventFilter
    limit: int
    """Events given at one time."""


async def read_stretch(tx: Transaction, wanted: Wanted, after: EventId, through: EventId) -> Stretch:
    """Return what comes after a position.

    Raises:
        CursorExpiredError: some of it has been removed.
    """
    begins_after = await events.forgotten_through(tx)
    if after < begins_after:
        raise CursorExpiredError(begins_after)
    return await events.stretch(tx, wanted.application_id, after, through, wanted.events, wanted.limit)


class EventFeed:
    """Gives events to those who ask for them."""

    def __init__(self, *, database: Database, watch: LogWatch) -> None:
        self._database = database
        self._watch = watch

    @property
    def is_closed(self) -> bool:
        """Whether nobody should wait any more, because the platform stops."""
        return self._watch.is_closed

    async def end(self) -> EventId:
        """Return the position after which what happens from now on stands."""
        return await self._watch.look()

    async def beginning(self) -> EventId:
        """Return the position after which the oldest events stand."""
        return await self._database.read(events.forgotten_through)

    async def known(self, position: EventId) -> EventId:
        """Return a position that somebody says he was given.

        Raises:
            InvalidValueError: nobody was given it.
        """
        if position > self._watch.last_given:
            await self._watch.look()
            if position > self._watch.last_given:
                raise InvalidValueError("after", "is a cursor of another log")
        return position

    async def require_kept(self, after: EventId) -> None:
        """Raise CursorExpiredError unless all that came after a position is still there."""
        begins_after = await self.beginning()
        if after < begins_after:
            raise CursorExpiredError(begins_after)

    def has_more(self, after: EventId) -> bool:
        """Say whether there is more of the log, as far as is known without looking."""
        return after < self._watch.final

    async def next(
        self, wanted: Wanted, after: EventId, *, seconds: float, gone: "asyncio.Future[None] | None" = None
    ) -> Stretch:
        """Return what comes after a position, waiting for it so long, or until who asked is gone.

        Raises:
            CursorExpiredError: some of it has been removed.
            StoreError: the store cannot be read.
        """
        until = asyncio.get_running_loop().time() + seconds
        with self._watch.waiting(wanted.application_id) as news:
            await self._watch.look()
            for _ in range(_MOST_READS):
                news.clear()
                through = self._watch.final
                found = await self._database.read(read_stretch, wanted, after, through)
                after = found.reached
                if found.events:
                    return found
                if after >= through and not await self._news_before(news, until, gone):
                    break
        return Stretch(events=(), reached=after)

    async def _news_before(self, news: asyncio.Event, until: float, gone: "asyncio.Future[None] | None") -> bool:
        """Say whether there is something new, once there is, or there will be nothing."""
        seconds = until - asyncio.get_running_loop().time()
        if seconds <= 0 or self.is_closed or (gone is not None and gone.done()):
            return False
        heard = asyncio.ensure_future(news.wait())
        try:
            ends: set[asyncio.Future[Any]] = {heard} if gone is None else {heard, gone}
            await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return heard.done()
        finally:
            heard.cancel()
