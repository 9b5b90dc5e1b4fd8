"""What `test_query_plans.py` asserts of SQLite, for PostgreSQL.

PostgreSQL walks through a small table whatever its indexes: so it is asked about large ones, with nothing forbidden.
"""

from datetime import UTC, datetime

import pytest

from firmcast.db.postgres import PostgresDatabase
from firmcast.db.statement import Statement, portable
from firmcast.upgrades.store import device_upgrades, progress, tasks

HOT = [
    (device_upgrades.SELECT_BEGUN, (["d7"],), "device_upgrade_begun"),
    (device_upgrades.SELECT_BUSY, (["d7"],), "device_upgrade_begun"),
    (device_upgrades.SELECT_OPEN_OF_DEVICE, ("d7",), "device_upgrade_by_device"),
    (device_upgrades.GIVE_UP_RETRIES, ("d7",), "device_upgrade_by_device"),
    (device_upgrades.SELECT_OF_DEVICE, ("d7", 9), "device_upgrade_by_device"),
    (device_upgrades.SELECT_RETRYABLE, ("t7", 1, 9), "device_upgrade_retryable"),
    (device_upgrades.SELECT_DUE, (1, 9), "device_upgrade_by_deadline"),
    (device_upgrades.SELECT_NEXT_DEADLINE, (), "device_upgrade_by_deadline"),
    (device_upgrades.SELECT_TRANSFER, ("token7",), "device_upgrade_transfer_token_key"),
    (device_upgrades.SELECT_BETWEEN, ("t7", 5, 9), "device_upgrade_by_task"),
    (device_upgrades.SELECT_OF_TALLY, ("t7", "waiting", 5, 9), "device_upgrade_by_tally"),
    (device_upgrades.SELECT_NOT_ENDED, (["u7"],), "device_upgrade_pkey"),
    (device_upgrades.DELETE_SOME, ("t7", 9), "device_upgrade_by_"),
    (progress.SELECT_PROGRESS, (["u7"],), "transfer_progress_pkey"),
    (progress.FORGET_PROGRESS, ("t7", 9), "transfer_progress_pkey"),
    (tasks.SELECT_TASK, ("t7", "a7"), "upgrade_task_pkey"),
    (tasks.SELECT_BY_KEY, ("a7", "k7"), "upgrade_task_by_key"),
    (tasks.SELECT_DUE_WORK, (1, 9), "upgrade_task_by_work"),
    (tasks.SELECT_NEXT_WORK, (), "upgrade_task_by_work"),
    (tasks.SELECT_COURSES, (["t7"],), "upgrade_task_pkey"),
    (tasks.SELECT_NEEDED, ("p7",), "upgrade_task_open"),
    (tasks.SELECT_OPEN, ("a7",), "upgrade_task_open_of_application"),
    (tasks.SELECT_ANY, ("a7",), "upgrade_task_by_application"),
    (tasks.SELECT_TALLIES, (["t7"],), "upgrade_task_tally_pkey"),
]


FILL = (
    (
        "INSERT INTO upgrade_task (task_id, application_id, package_id, target_version, device_type, model,"
        " manufacturer_name, targets, created_at, idempotency_key, request_digest, start_mode, retry_limit, status,"
        " round, work, work_at, work_cursor, ended_at, description) SELECT 't' || n, 'a' || n % 100, 'p' || n % 500,"
        " '2', '', '', '', repeat('x', 500), n, 'k' || n, '', 'now', 0, 'running', 1,"
        " CASE WHEN n % 50 = 0 THEN 'start' END,"
        " CASE WHEN n % 50 = 0 THEN n END, '', CASE WHEN n % 20 > 0 THEN n END, '' FROM generate_series(1, 5000) n"
    ),
    (
        "INSERT INTO upgrade_task_tally SELECT 't' || n, tally, 1 FROM generate_series(1, 5000) n,"
        " unnest(ARRAY['waiting', 'failed', 'succeeded']) tally"
    ),
    (
        "INSERT INTO device_upgrade (device_upgrade_id, task_id, application_id, device_id, package_id, position,"
        " attempt, phase, tally, retryable, published_state, probed, evidence, transfer_token, source_version,"
        " target_version, current_version, bytes_total, created_at, deadline_at, ended_at, description)"
        " SELECT 'u' || n, 't' || n % 300, 'a', 'd' || n % 9001, 'p', n, 1,"
        " CASE WHEN n < 3000 THEN 'inspecting' ELSE 'closed' END, CASE WHEN n % 3 = 0 THEN 'waiting' ELSE 'failed' END,"
        " CASE WHEN n % 10 = 0 THEN 1 ELSE 0 END, 0, 0, '', 'token' || n, '', '2', '', 0, n,"
        " CASE WHEN n < 3000 THEN n END, CASE WHEN n >= 3000 THEN n END, '' FROM generate_series(1, 30000) n"
    ),
    "ANALYZE upgrade_task",
    "ANALYZE upgrade_task_tally",
    "ANALYZE device_upgrade",
    "INSERT INTO transfer_progress SELECT 'u' || n, n, n, n FROM generate_series(1, 30000) n",
    "ANALYZE transfer_progress",
)


async def fill(tx) -> None:
    for statement in FILL:
        await tx.execute(portable(statement))


async def plan(tx, statement: Statement, arguments: tuple[object, ...]) -> list[str]:
    rows = await tx.fetch(portable(f"EXPLAIN (COSTS FALSE) {statement.postgres}"), *arguments)
    return [row[0] for row in rows]


@pytest.fixture
async def postgres(empty_postgres_store):
    database = await PostgresDatabase.open(await empty_postgres_store(), datetime.now(UTC))
    await database.write(fill)
    yield database
    await database.close()


async def test_every_hot_statement_uses_its_index(postgres) -> None:
    wrong = {}
    for statement, arguments, index in HOT:
        steps = await postgres.write(plan, statement, arguments)
        if not any(index in step for step in steps) or any("Seq Scan" in step for step in steps):
            wrong[statement.postgres] = steps
    assert not wrong


async def test_a_statement_without_an_index_is_noticed(postgres) -> None:
    steps = await postgres.write(plan, portable("SELECT 1 FROM device_upgrade WHERE description = 'x'"), ())
    assert "Seq Scan" in steps[0]
