"""Rows of a store that knew no partitions get the ones that their devices have ever since."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import asyncpg

from firmcast.db.migrate import migrations_of
from firmcast.db.postgres_migrate import migrate
from firmcast.ids import DeviceId, partition_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_deliveries_of_the_first_schema_are_put_into_partitions(
    new_postgres_database: Callable[[], Awaitable[str]],
) -> None:
    connection = await asyncpg.connect(await new_postgres_database())
    await migrate(connection, migrations_of("postgres")[:1], NOW)
    devices = [f"gerät-{number}" for number in range(200)]
    await connection.executemany(
        "INSERT INTO delivery (event_id, subscription_id, device_id, sequence) VALUES ($1, 'one', $2, 1)",
        list(enumerate(devices)),
    )
    await migrate(connection, migrations_of("postgres"), NOW)
    rows = await connection.fetch("SELECT device_id, partition FROM delivery")
    assert {row[0]: row[1] for row in rows} == {name: partition_of(DeviceId(name)) for name in devices}
    await connection.close()
