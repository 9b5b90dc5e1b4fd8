"""What nodes announce is read and removed by its index, however much there is; all else of nodes is a few rows.

The table is filled: PostgreSQL walks through a small one whatever its indexes.
"""

from datetime import UTC, datetime

import pytest

from firmcast.db import postgres_mail, postgres_writer
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.statement import Statement, portable
from firmcast.ids import PARTITIONS
from firmcast.nodes import store
from firmcast.nodes.model import DUTIES

FEW_ROWS = {
    "SELECT_TIME": "reads no table",
    "INSERT_NODE": "writes only",
    "RENEW_NODE": "as many rows as nodes",
    "RETIRE_NODE": "as many rows as nodes",
    "DELETE_EXPIRED": "as many rows as nodes",
    "DELETE_NODE": "as many rows as nodes",
    "SELECT_NODES": "as many rows as nodes",
    "SELECT_GATEWAYS": "as many rows as nodes",
    "SELECT_LEASES": "a row for each partition and duty",
    "TRY_CLAIMS": "reads no table",
    "CLAIM": "a row for each partition and duty",
    "RELEASE": "a row for each partition and duty",
    "HOLD": "a row for each partition and duty",
}
ANNOUNCEMENTS = {
    "_NEWS": (postgres_mail._NEWS, ("n1", ["n2", "n3"], [4_990, 4_990], ["x"])),
    "_ANNOUNCED": (postgres_writer._ANNOUNCED, ("n1", 5)),
}
FILL = (
    (
        "INSERT INTO announcement (node_id, number, made_at, channel, items)"
        " SELECT 'n' || n % 6, n / 6, n, 'x', '[]' FROM generate_series(6, 30000) n"
    ),
    "ANALYZE announcement",
)


@pytest.fixture
async def filled(empty_postgres_store):
    database = await PostgresDatabase.open(await empty_postgres_store(), datetime.now(UTC))

    async def fill(tx) -> None:
        for statement in FILL:
            await tx.execute(portable(statement))

    await database.write(fill)
    yield database
    await database.write(lambda tx: tx.execute(portable("DELETE FROM announcement")))
    await database.close()


async def plan(tx, sql: str, arguments: tuple[object, ...]) -> list[str]:
    return [row[0] for row in await tx.fetch(portable(f"EXPLAIN (COSTS FALSE) {sql}"), *arguments)]


@pytest.mark.parametrize("name", sorted(ANNOUNCEMENTS))
async def test_announcements_are_read_by_their_index(filled, name: str) -> None:
    sql, arguments = ANNOUNCEMENTS[name]
    steps = await filled.write(plan, sql, arguments)
    assert any("announcement_pkey" in step for step in steps)
    assert not any("Seq Scan on announcement" in step for step in steps), steps


async def test_a_statement_without_an_index_is_noticed(filled) -> None:
    steps = await filled.write(plan, "SELECT 1 FROM announcement WHERE channel = 'y'", ())
    assert "Seq Scan on announcement" in steps[0]


def test_every_statement_of_nodes_is_about_a_few_rows() -> None:
    assert {name for name, each in vars(store).items() if isinstance(each, Statement)} == set(FEW_ROWS)
    assert PARTITIONS + len(DUTIES) < 100
