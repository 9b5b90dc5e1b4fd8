"""What the stores tell of themselves."""

import asyncio
import time
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from firmcast.db.metrics import StoreMetrics
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.sqlite import SqliteDatabase
from firmcast.db.statement import portable
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
