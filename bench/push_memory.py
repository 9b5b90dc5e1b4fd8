"""The same pusher with nothing behind it: what is to be delivered is in memory, and what becomes of it is only counted.

Everything else is there: lanes, verdicts, signatures, figures, the sender. It is what durability is measured against.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar, cast

from bench.push_stage import Target, push_settings, pusher, store, subscribe, write_backlog
from firmcast.db.port import Channel, Database, Listener
from firmcast.ids import EventId, Partition, SubscriptionId
from firmcast.push import use_cases
from firmcast.push.model import Delivery, Settlement

Result = TypeVar("Result")
UseCase = Callable[..., Coroutine[Any, Any, Result]]


class Forgetful:
    """A store that knows what there is to deliver, and keeps nothing of what was delivered."""

    def __init__(self, database: Database, deliveries: Sequence[Delivery]) -> None:
        """Ask `database` for everything but these deliveries, which stand in the order of the log."""
        self._database = database
        self._deliveries = deliveries
        self._left = len(deliveries)
        self.delivered = asyncio.Event()
        self.listen: Callable[[Channel, Listener], None] = database.listen
        self.unlisten: Callable[[Channel, Listener], None] = database.unlisten
        self.write = database.write
        self.catch_up = database.catch_up
        self.close = database.close

    async def read(self, use_case: UseCase[Result], /, *arguments: Any, **named: Any) -> Result:
        if use_case is not use_cases.load:
            return await self._database.read(use_case, *arguments, **named)
        return cast("Result", self._load(*arguments))

    def _load(
        self,
        _subscription_ids: Collection[SubscriptionId],
        after: EventId,
        limit: int,
        _partitions: Collection[Partition] | None = None,
    ) -> list[Delivery]:
        start = bisect_right(self._deliveries, after, key=attrgetter("event_id"))
        return list(self._deliveries[start : start + limit])

    async def write_apart(self, use_case: UseCase[Result], /, *arguments: Any, **named: Any) -> Result:
        if use_case is not use_cases.record_settlements:
            return await self._database.write_apart(use_case, *arguments, **named)
        settlements: Sequence[Settlement] = arguments[0]
        self._left -= len(settlements)
        if not self._left:
            self.delivered.set()
        return cast("Result", use_cases.Recorded(refused=0, made_since=[]))


@asynccontextmanager
async def _backlog(folder: Path, target: Target, events: int) -> AsyncIterator[Forgetful]:
    """Have deliveries made by a real store, and take them from it."""
    deliveries: list[Delivery] = []
    async with store("sqlite", folder, "") as database:
        application_id = await subscribe(database, target)
        database.listen(use_cases.NEW_DELIVERIES, deliveries.extend)
        await write_backlog(database, application_id, events)
        database.unlisten(use_cases.NEW_DELIVERIES, deliveries.extend)
        yield Forgetful(database, deliveries)


async def storeless(folder: Path, now: Callable[[], float], target: Target, events: int) -> float:
    """Deliver so many events, and return the seconds that it took."""
    async with _backlog(folder, target, events) as forgetful:
        began = now()
        async with pusher(cast("Database", forgetful), push_settings()):
            await forgetful.delivered.wait()
            return now() - began
