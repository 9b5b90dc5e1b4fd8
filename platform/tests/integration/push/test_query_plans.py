"""The statements of the hot path find their rows by an index, however large the tables are."""

import pytest

from firmcast.push import store

pytestmark = pytest.mark.only_sqlite


async def plan(tx, statement, arguments):
    rows = tx._connection.execute(f"EXPLAIN QUERY PLAN {statement.sqlite}", arguments).fetchall()
    return " | ".join(row[3] for row in rows)


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        (store.DELETE_DELIVERIES, ('[[1, "s"]]',)),
        (store.SELECT_DELIVERY, (1, "s")),
        (store.SELECT_BACKLOG, ("s", 0, 100)),
        (store.UPSERT_LANE, (1, "s", 1, 1, 1, "r", 0)),
        (store.UNBLOCK_LANE, (1, "s")),
        (store.FORGET_TROUBLES, ("s",)),
        (store.DELETE_LANE, ("s", "d")),
        (store.SELECT_ATTEMPTED, (1, "s")),
        (store.INSERT_DEAD_LETTER, (1, "s", 1, "r", "f", 1)),
        (store.DELETE_DEAD_LETTER, (1, "s")),
        (store.SELECT_DEAD_AFTER, ("s", 0, 100)),
        (store.PURGE_DELIVERIES, ("s", 100)),
        (store.PURGE_DEAD_LETTERS, ("s", 100)),
        (store.PURGE_LANES, ("s",)),
    ],
)
async def test_it_searches_and_never_scans(database, statement, arguments) -> None:
    found = await database.read(plan, statement, arguments)
    assert "SCAN delivery" not in found
    assert "SCAN lane" not in found
    assert "SCAN attempt" not in found
    assert "SCAN dead_letter" not in found
    assert "SEARCH" in found
    assert "TEMP B-TREE" not in found


async def test_a_backlog_is_read_through_its_own_index(database) -> None:
    found = await database.read(plan, store.SELECT_BACKLOG, ("s", 0, 100))
    assert "INDEX delivery_by_subscription (subscription_id=? AND event_id>?)" in found


async def test_the_subscriptions_are_found_by_skipping_from_one_to_the_next(database) -> None:
    found = await database.read(plan, store.SELECT_SUBSCRIPTIONS, ())
    assert "SEARCH d USING COVERING INDEX delivery_by_subscription (subscription_id>?)" in found
    assert "SCAN d " not in found
