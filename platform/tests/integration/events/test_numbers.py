"""On PostgreSQL no event has its place in the log before all devices are locked that it came with."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import asyncpg

from firmcast.db.postgres import PostgresDatabase
from firmcast.db.postgres_transaction import spelt
from firmcast.events.store import TAKE_NUMBERS

TAKE = spelt(TAKE_NUMBERS.postgres)


async def test_a_place_in_the_log_is_given_when_nobody_else_can_take_one_for_the_device(
    new_postgres_store: Callable[[], Awaitable[str]],
) -> None:
    url = await new_postgres_store()
    await (await PostgresDatabase.open(url, datetime.now(UTC))).close()
    first, second, watcher = [await asyncpg.connect(url) for _ in range(3)]
    transaction = first.transaction()
    await transaction.start()
    await first.fetch(TAKE, '[["b", 1]]', 1)
    waiting = asyncio.create_task(second.fetchrow(TAKE, '[["a", 2], ["b", 1]]', 3))
    async with asyncio.timeout(20):
        while not await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
    _, _, ((last,)) = await first.fetchrow(TAKE, '[["b", 1]]', 1)
    await transaction.commit()
    devices, numbers, positions = await waiting
    assert dict(zip(devices, numbers, strict=True)) == {"a": 2, "b": 3}
    assert positions == [last + 1, last + 2, last + 3]
    for connection in (first, second, watcher):
        await connection.close()
