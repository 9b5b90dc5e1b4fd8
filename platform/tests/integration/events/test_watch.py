"""Who waits for events is woken when there are some of his application, and costs nothing while there are none."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from firmcast.db.port import Database
from firmcast.db.postgres import PostgresDatabase
from firmcast.errors import StoreError
from firmcast.events.log import EventLog
from firmcast.events.model import FirmwareStateChanged, NewEvent
from firmcast.events.watch import LogWatch
from firmcast.ids import ApplicationId, DeviceId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.platform_store import SHARED

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
APP, OTHER = ApplicationId("app"), ApplicationId("other")
NEVER = timedelta(hours=1)


async def append(tx, log: EventLog, *applications: ApplicationId):
    fact = FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING)
    return await log.append(
        tx,
        [
            NewEvent(application_id=application, device_id=DeviceId(f"of-{application}"), occurred_at=NOW, fact=fact)
            for application in applications
        ],
    )


class Counting:
    """A store that counts what is read of it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reads = 0
        self.fails = False
        self.mistakes: list[Exception] = []

    def listen(self, channel, listener) -> None:
        self._database.listen(channel, listener)

    async def read(self, use_case, *arguments):
        self.reads += 1
        if self.fails and use_case.__name__ == "applications_between":
            raise StoreError("not now")
        if self.mistakes:
            raise self.mistakes.pop()
        return await self._database.read(use_case, *arguments)


@pytest.fixture
async def running() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as parts:
        yield parts


async def started(running: AsyncExitStack, database, look_again: timedelta = NEVER) -> LogWatch:
    watch = LogWatch(database=database, look_again=look_again)
    await watch.start()
    running.push_async_callback(watch.stop)
    return watch


async def test_a_commit_here_wakes_at_once_those_it_concerns(
    database: Database, event_log: EventLog, running: AsyncExitStack
) -> None:
    watch = await started(running, database)
    with watch.waiting(APP) as news, watch.waiting(OTHER) as of_other:
        await watch.look()
        (event,) = await database.write(append, event_log, APP)
        async with asyncio.timeout(30):
            await news.wait()
        assert watch.final == watch.last_given == event.event_id
        assert not of_other.is_set()
        await database.write(append, event_log, OTHER)
        async with asyncio.timeout(30):
            await of_other.wait()


async def test_one_look_serves_all_who_wait(database: Database, event_log: EventLog, running: AsyncExitStack) -> None:
    counting = Counting(database)
    watch = await started(running, counting)
    await watch.look()
    with ExitStack() as many:
        waiting = [many.enter_context(watch.waiting(APP)) for _ in range(200)]
        before = counting.reads
        await database.write(append, event_log, APP)
        async with asyncio.timeout(30):
            await asyncio.gather(*(news.wait() for news in waiting))
        assert counting.reads - before <= 4


async def test_nothing_is_read_while_nobody_waits(
    database: Database, event_log: EventLog, running: AsyncExitStack
) -> None:
    counting = Counting(database)
    watch = await started(running, counting, timedelta(milliseconds=1))
    for _ in range(5):
        await database.write(append, event_log, APP)
    with watch.waiting(APP) as news:
        async with asyncio.timeout(30):
            await news.wait()
    await asyncio.sleep(0)
    reads = counting.reads
    for _ in range(5):
        await database.write(append, event_log, APP)
    assert counting.reads - reads <= 2  # the look that was under way


async def test_many_who_look_at_the_same_time_share_looks(database: Database, running: AsyncExitStack) -> None:
    counting = Counting(database)
    watch = await started(running, counting)
    await asyncio.gather(*(watch.look() for _ in range(100)))
    assert counting.reads <= 3


async def test_all_are_woken_when_it_cannot_be_said_whom_it_concerns(
    database: Database, event_log: EventLog, running: AsyncExitStack
) -> None:
    counting = Counting(database)
    watch = await started(running, counting)
    counting.fails = True
    with watch.waiting(OTHER) as news:
        await database.write(append, event_log, APP)
        async with asyncio.timeout(30):
            await news.wait()


async def test_the_end_wakes_everybody(database: Database) -> None:
    watch = LogWatch(database=database)
    await watch.start()
    with watch.waiting(APP) as news:
        await watch.stop()
        assert news.is_set()
    with watch.waiting(APP) as later:
        assert later.is_set()
        assert watch.is_closed


async def test_what_another_node_appends_is_found(
    empty_postgres_store: Callable[[], Awaitable[str]], event_log: EventLog, running: AsyncExitStack
) -> None:
    url = await empty_postgres_store()
    here, there = [await PostgresDatabase.open(url, NOW) for _ in range(2)]
    running.push_async_callback(here.close)
    running.push_async_callback(there.close)
    watch = await started(running, here, timedelta(milliseconds=20))
    with watch.waiting(APP) as news:
        (event,) = await there.write(append, event_log, APP)
        async with asyncio.timeout(30):
            await news.wait()
        assert watch.final == event.event_id


async def test_nodes_that_tell_each_other_wake_who_waits_at_any_of_them(
    empty_postgres_store: Callable[[], Awaitable[str]], event_log: EventLog, running: AsyncExitStack
) -> None:
    url = await empty_postgres_store()
    here, there = [await PostgresDatabase.open(url, NOW, shared=SHARED) for _ in range(2)]
    running.push_async_callback(here.close)
    running.push_async_callback(there.close)
    watch = await started(running, here)
    with watch.waiting(APP) as news:
        await there.write(append, event_log, APP)
        async with asyncio.timeout(30):
            await news.wait()


async def test_a_look_that_fails_for_whatever_reason_is_made_again(
    database: Database, event_log: EventLog, running: AsyncExitStack
) -> None:
    counting = Counting(database)
    watch = await started(running, counting, timedelta(milliseconds=20))
    with watch.waiting(APP) as news:
        counting.mistakes.append(RuntimeError("nobody had foreseen it"))
        while counting.mistakes:
            await asyncio.sleep(0.01)
        await database.write(append, event_log, APP)
        async with asyncio.timeout(30):
            await news.wait()
