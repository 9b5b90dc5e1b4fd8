"""What the stores tell of themselves."""

import asyncio
import time
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from firmcast.db.metrics import StoreMetrics
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.postgres_size import SizeWatch
from firmcast.db.room import Room
from firmcast.db.sqlite import SqliteDatabase
from firmcast.db.statement import portable
from firmcast.errors import StoreFullError
from firmcast.metrics import Metrics


@pytest.fixture(params=["sqlite", "postgres"])
async def opened(request, tmp_path, empty_postgres_store):
    metrics = Metrics()
    measured, now = StoreMetrics(metrics, time.monotonic), datetime.now(UTC)
    if request.param == "sqlite":
        database = await SqliteDatabase.open(tmp_path / "store" / "firmcast.db", now, metrics=measured)
    else:
        database = await PostgresDatabase.open(await empty_postgres_store(), now, metrics=measured)
    yield database, metrics
    await database.close()


async def test_commits_and_sizes_are_told(opened) -> None:
    database, metrics = opened

    async def touch(tx) -> None:
        await tx.execute(portable("UPDATE lane SET attempts = attempts"))

    await asyncio.gather(*(database.write(touch) for _ in range(50)))
    text = (await metrics.exposition()).decode()
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }
    assert found["firmcast_store_commits_total"] == found["firmcast_store_commit_seconds_count"] >= 1
    assert found["firmcast_store_commit_writes_sum"] >= 50
    assert found["firmcast_store_commits_total"] <= 50
    assert found["firmcast_store_waiting_writes"] == 0
    assert found["firmcast_store_bytes"] >= 4096


async def test_a_database_that_is_as_large_as_it_may_be_takes_nothing_new(empty_postgres_store, tmp_path) -> None:
    metrics = StoreMetrics(Metrics(), time.monotonic)
    database = await PostgresDatabase.open(await empty_postgres_store(), datetime.now(UTC), metrics=metrics)
    seconds = 0.0
    watch = SizeWatch(database, lambda: seconds)

    def room(limit: int) -> Room:
        return Room(
            folder=tmp_path,
            floor=0,
            waiting=lambda: 0,
            most_waiting=1,
            metrics=metrics,
            size=lambda: watch.size,
            size_limit=limit,
        )

    room(1).require()  # of what is not known yet nobody is refused
    await watch.start()
    while watch.size is None:
        await asyncio.sleep(0.01)
    await watch.stop()
    size = watch.size
    room(size + 1).require()
    room(0).require()
    with pytest.raises(StoreFullError, match=f"has {size} bytes"):
        room(size).require()

    async def grow(tx) -> None:
        await tx.execute(
            portable(
                "INSERT INTO installation (name, value) SELECT 'n' || n, repeat('x', 2000)::bytea"
                " FROM generate_series(1, 2000) n"
            )
        )

    await database.write(grow)
    await watch.refresh()
    assert watch.size == size, "it is not asked all the time"
    seconds += 31
    await watch.refresh()
    assert watch.size > size
    with pytest.raises(StoreFullError):
        room(size + 1).require()
    await database.close()
