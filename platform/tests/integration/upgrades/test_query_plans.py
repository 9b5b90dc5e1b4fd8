"""The statements of upgrades find their rows by an index, however many devices a task has and however many tasks are.

A SEARCH ends where its rows end; what may be passed over on the way to a far page is passed over in an index alone.
"""

import pytest

from firmcast.upgrades.store import device_upgrades, progress, tasks

STORES = ("sqlite",)

pytestmark = pytest.mark.only_sqlite


async def plan(tx, statement, arguments):
    rows = tx._connection.execute(f"EXPLAIN QUERY PLAN {statement.sqlite}", arguments).fetchall()
    return " | ".join(row[3] for row in rows)


@pytest.mark.parametrize(
    ("statement", "arguments", "index"),
    [
        (device_upgrades.SELECT_BEGUN, ('["d"]',), "INDEX device_upgrade_begun"),
        (device_upgrades.SELECT_BUSY, ('["d"]',), "INDEX device_upgrade_begun (device_id=?)"),
        (device_upgrades.SELECT_OPEN_OF_DEVICE, ("d",), "INDEX device_upgrade_by_device"),
        (device_upgrades.GIVE_UP_RETRIES, ("d",), "INDEX device_upgrade_by_device"),
        (device_upgrades.SELECT_OF_DEVICE, ("d", 9), "INDEX device_upgrade_by_device (device_id=?)"),
        (device_upgrades.SELECT_RETRYABLE, ("t", 1, 9), "INDEX device_upgrade_retryable (task_id=? AND attempt=?)"),
        (device_upgrades.SELECT_DUE, (1, 9), "INDEX device_upgrade_by_deadline"),
        (device_upgrades.SELECT_NEXT_DEADLINE, (), "INDEX device_upgrade_by_deadline"),
        (device_upgrades.SELECT_TRANSFER, ("t",), "(transfer_token=?)"),
        (
            device_upgrades.SELECT_BETWEEN,
            ("t", 5, 9),
            "INDEX device_upgrade_by_task (task_id=? AND position>? AND position<?)",
        ),
        (
            device_upgrades.SELECT_OF_TALLY,
            ("t", "waiting", 5, 9),
            "INDEX device_upgrade_by_tally (task_id=? AND tally=? AND position>?)",
        ),
        (device_upgrades.UPDATE_UPGRADE, ("u", *[None] * 17), "PRIMARY KEY"),
        (device_upgrades.RENEW_UPGRADE, ("u", *[None] * 19), "PRIMARY KEY"),
        (device_upgrades.DELETE_SOME, ("t", 9), "INDEX device_upgrade_by_task (task_id=?)"),
        (progress.SELECT_PROGRESS, ('["u"]',), "PRIMARY KEY (device_upgrade_id=?)"),
        (progress.FORGET_PROGRESS, ("t", 9), "INDEX device_upgrade_by_task (task_id=?)"),
        (tasks.SELECT_TASK, ("t", "a"), "PRIMARY KEY"),
        (tasks.SELECT_BY_KEY, ("a", "k"), "INDEX upgrade_task_by_key (application_id=? AND idempotency_key=?)"),
        (tasks.SELECT_DUE_WORK, (1, 9), "INDEX upgrade_task_by_work"),
        (tasks.SELECT_NEXT_WORK, (), "INDEX upgrade_task_by_work"),
        (tasks.SELECT_COURSES, ('["t"]',), "PRIMARY KEY"),
        (tasks.SELECT_NEEDED, ("p",), "INDEX upgrade_task_open (package_id=?)"),
        (tasks.SELECT_OPEN, ("a",), "INDEX upgrade_task_open_of_application (application_id=?)"),
        (tasks.SELECT_ANY, ("a",), "INDEX upgrade_task_by_application (application_id=?)"),
        (tasks.SELECT_TALLIES, ('["t"]',), "PRIMARY KEY"),
        (tasks.UPDATE_COURSE, ("t", *[None] * 9), "PRIMARY KEY"),
    ],
)
async def test_it_searches_by_its_index(database, statement, arguments, index) -> None:
    found = await database.read(plan, statement, arguments)
    assert index in found
    assert "SCAN upgrade_task" not in found
    assert "SCAN device_upgrade" not in found
    assert "SCAN transfer_progress" not in found
    assert "TEMP B-TREE" not in found


@pytest.mark.parametrize("statement", [device_upgrades.SELECT_TALLY_PAGE, device_upgrades.SELECT_TALLY_PAGE_FROM_END])
async def test_a_page_of_a_tally_is_found_in_an_index_alone(database, statement) -> None:
    found = await database.read(plan, statement, ("t", "waiting", 10, 100_000))
    assert "USING COVERING INDEX device_upgrade_by_tally (task_id=? AND tally=?)" in found
    assert "SEARCH u USING PRIMARY KEY (device_upgrade_id=?)" in found


@pytest.mark.parametrize(
    ("statement", "arguments", "index"),
    [
        (tasks.SELECT_TASKS, ("a", "", "", "", "", 10, 90), "INDEX upgrade_task_by_application (application_id=?)"),
        (tasks.COUNT_TASKS, ("a", "", "", "", ""), "INDEX upgrade_task_by_application (application_id=?)"),
        (tasks.SELECT_TASKS_OF_ANY, ("", "", "", "", 10, 90), "INDEX upgrade_task_by_creation"),
        (tasks.COUNT_TASKS_OF_ANY, ("", "", "", ""), "INDEX upgrade_task_by_creation"),
    ],
)
async def test_a_list_of_tasks_is_filtered_and_counted_in_an_index_alone(database, statement, arguments, index) -> None:
    found = await database.read(plan, statement, arguments)
    assert f"USING COVERING {index}" in found


async def test_the_tasks_of_a_device_are_found_by_the_device(database) -> None:
    for statement, page in ((tasks.SELECT_TASKS_OF_DEVICE, (10, 0)), (tasks.COUNT_TASKS_OF_DEVICE, ())):
        found = await database.read(plan, statement, ("a", "", "", "", "", "d", *page))
        assert "INDEX device_upgrade_by_device (device_id=?)" in found
        assert "SCAN t" not in found
