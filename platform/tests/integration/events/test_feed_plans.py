"""On PostgreSQL, too, an application's part of the log comes from its index and in order: none of it is sorted."""

from collections.abc import Awaitable, Callable

import asyncpg
import msgspec
import pytest

from firmcast.db.postgres_transaction import spelt
from firmcast.events import store

FILL = (
    "INSERT INTO event (message_id, device_id, sequence, application_id, task_id, device_upgrade_id, event_type,"
    " occurred_at, synthesised, fact, body) SELECT n::text, 'd' || n % 97, n, 'app' || n % 10, '', '',"
    " 'firmware.state_changed', 0, 0, '{}', '{}' FROM generate_series(1, 20000) n"
)


@pytest.mark.parametrize(
    ("statement", "arguments", "index"),
    [
        (store.SELECT_OF_APPLICATION, ("app7", 9_000, 20_000, 100), "event_by_application"),
        (store.SELECT_APPLICATIONS, (19_900, 20_000), "event_pkey"),
    ],
)
async def test_a_read_of_the_feed_goes_through_an_index(
    empty_postgres_store: Callable[[], Awaitable[str]], statement, arguments, index
) -> None:
    connection = await asyncpg.connect(await empty_postgres_store())
    try:
        await connection.execute(FILL)
        await connection.execute("ANALYZE event")
        told = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {spelt(statement.postgres)}", *arguments)
    finally:
        await connection.close()
    plan = msgspec.json.decode(told)
    kinds, indexes = _nodes(plan[0]["Plan"])
    assert indexes == {index}, plan
    assert "Seq Scan" not in kinds
    if index == "event_by_application":
        assert not {"Sort", "Incremental Sort"} & kinds


def _nodes(plan) -> tuple[set[str], set[str]]:
    kinds, indexes = {plan["Node Type"]}, {plan["Index Name"]} if "Index Name" in plan else set()
    for inner in plan.get("Plans", ()):
        inner_kinds, inner_indexes = _nodes(inner)
        kinds |= inner_kinds
        indexes |= inner_indexes
    return kinds, indexes
