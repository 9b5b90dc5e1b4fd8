"""Every statement of the journal finds its rows by an index, on SQLite and, among many rows, on PostgreSQL."""

from datetime import UTC, datetime

import pytest

from firmcast.db.postgres import PostgresDatabase
from firmcast.db.statement import Statement, portable
from firmcast.journal import store

BETWEEN = ("d7", 0, 1 << 60, "", 9)
PLANS = {
    "SELECT_NEWEST": (BETWEEN, "journal_page_by_device"),
    "SELECT_OLDEST": (BETWEEN, "journal_page_by_device"),
    "DELETE_OF_DEVICES": ((["d7"],), "journal_page_by_device"),
    "DELETE_BEYOND": ((["d7"], 9), "journal_page_by_device"),
    "DELETE_OLD": ((5, 9), "PRIMARY KEY"),
}
WITHOUT_A_PLAN = {"INSERT_PAGE"}


def statements() -> dict[str, Statement]:
    return {name: each for name, each in vars(store).items() if isinstance(each, Statement)}


def test_every_statement_has_a_plan() -> None:
    assert set(PLANS) | WITHOUT_A_PLAN == set(statements())


@pytest.mark.only_sqlite
@pytest.mark.parametrize("name", sorted(PLANS))
async def test_sqlite_searches(database, name) -> None:
    arguments, index = PLANS[name]
    given = tuple('["d7"]' if isinstance(each, list) else each for each in arguments)

    async def plan(tx):
        rows = tx._connection.execute(f"EXPLAIN QUERY PLAN {statements()[name].sqlite}", given).fetchall()
        return " | ".join(row[3] for row in rows)

    found = await database.read(plan)
    assert index in found
    assert "TEMP B-TREE" not in found
    walks = [step for step in found.split(" | ") if step.startswith("SCAN") and "VIRTUAL TABLE" not in step]
    # The oldest rows are read in the order of the table, as many as are asked for.
    assert not walks or name == "DELETE_OLD"


async def test_postgres_uses_its_index(empty_postgres_store) -> None:
    database = await PostgresDatabase.open(await empty_postgres_store(), datetime.now(UTC))

    async def fill(tx) -> None:
        await tx.execute(
            portable(
                "INSERT INTO journal_page (device_id, device_upgrade_id, began_at, notes)"
                " SELECT 'd' || n % 900, '', n, '[]' FROM generate_series(1, 20000) n"
            )
        )
        await tx.execute(portable("ANALYZE journal_page"))

    async def plan(tx, name):
        rows = await tx.fetch(portable(f"EXPLAIN (COSTS FALSE) {statements()[name].postgres}"), *PLANS[name][0])
        return " | ".join(row[0] for row in rows)

    await database.write(fill)
    found = {name: await database.write(plan, name) for name in PLANS}
    await database.close()
    assert not {name: steps for name, steps in found.items() if "Seq Scan" in steps}
    assert all("journal_page_by_device" in steps for name, steps in found.items() if name != "DELETE_OLD")
