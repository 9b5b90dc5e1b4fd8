"""On both stores what a replay asks is found by an index, however long the log and the backlog are."""

import pytest

from firmcast.db.statement import Statement, differing, portable
from firmcast.events import store as events
from firmcast.push import store as push
from firmcast.push.replay import store

KEYS = '[[1, "s"]]'


async def plan(tx, statement: Statement, arguments: tuple[object, ...]) -> str:
    explain = differing(
        sqlite=f"EXPLAIN QUERY PLAN {statement.sqlite}", postgres=f"EXPLAIN (COSTS FALSE) {statement.postgres}"
    )
    # PostgreSQL walks through small tables whatever their indexes: so it is asked what it does when that is dear.
    await tx.fetch(differing(sqlite="SELECT 1", postgres="SET LOCAL enable_seqscan = off"))
    await tx.fetch(differing(sqlite="SELECT 1", postgres="SET LOCAL enable_bitmapscan = off"))
    return " | ".join(str(row[-1]) for row in await tx.fetch(explain, *arguments))


@pytest.mark.parametrize(
    ("statement", "arguments", "index"),
    [
        (events.SELECT_HEADINGS, ("a", 0, 10), "event_by_application"),
        (events.SELECT_HEADINGS_OF_DEVICE, ("d", 0, 10), "event_by_device"),
        (events.SELECT_AT, (1,), ""),
        (events.SELECT_LAST, (), ""),
        (events.SELECT_SEQUENCES, ("d",), "event_by_device"),
        (push.SELECT_DEAD_OF_LANE, ("s", 0, 10, "d"), "dead_letter_by_lane"),
        (push.DELETE_DEAD_LETTERS, (KEYS,), ""),
        (store.SELECT_RUNNING, (), "replay_open"),
        (store.SELECT_OLDER, ("a", 1), "replay_open"),
        (store.SELECT_REPLAYS, ("a", 10, 0), ""),
        (store.MOVE_REPLAY, (1, 1, 1, 1, 0, 1), ""),
        (store.END_REPLAY, (1, "finished", 1), ""),
        (store.COUNT_OUTSTANDING, (1, 10), "delivery_by_replay"),
        (store.COUNT_REPLAYED, (10,), "delivery_by_replay"),
        (store.COUNT_WAITING, ("s", 10, 50), "delivery_by_subscription"),
        (store.WITHDRAW, (1,), "delivery_by_replay"),
        (store.WITHDRAW_LANE, ("s", "d", 1), ""),
    ],
)
async def test_it_is_found_by_an_index(database, statement, arguments, index) -> None:
    found = await database.write(plan, statement, arguments)
    assert index in found
    assert "TEMP B-TREE" not in found
    assert "Seq Scan" not in found
    walks = [step for step in found.split(" | ") if step.startswith("SCAN") and "USING" not in step]
    by_number = {"SCAN event", "SCAN replay"}  # from the end of the table on, as far as the limit says
    assert {
        step for step in walks if step.split()[1] in {"event", "delivery", "dead_letter", "lane", "replay"}
    } <= by_number


async def test_a_statement_without_an_index_is_noticed(database) -> None:
    found = await database.write(plan, portable("SELECT 1 FROM event WHERE task_id = 'x'"), ())
    assert "SCAN event" in found or "Seq Scan" in found
