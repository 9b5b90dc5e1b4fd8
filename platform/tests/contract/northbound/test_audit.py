"""`/v1/audit` tells who changed what, and finds it by every word of it."""

import pytest

from firmcast.audit import store, use_cases
from firmcast.audit.model import administrator, application
from firmcast.ids import ApplicationId

AUDIT = "/v1/audit"


@pytest.fixture
async def history(world):
    """Four changes, a minute apart."""
    told = [
        (administrator("operator"), "application.create", "a1"),
        (administrator("night shift"), "application.freeze", "a1"),
        (application(ApplicationId("a2")), "device.create", "d1"),
        (administrator("operator"), "application.create_again", "a2"),
    ]
    for actor, action, subject in told:
        await world.database.write(use_cases.record, actor, action, subject, world.clock.now(), {"said": action})
        world.clock.pass_time(minutes=1)


async def found(world, query=""):
    answer = await world.manage("GET", f"{AUDIT}?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_newest_come_first_and_a_page_at_a_time(world, history):
    everything = await found(world)
    assert [entry["action"] for entry in everything["entries"]] == [
        "application.create_again",
        "device.create",
        "application.freeze",
        "application.create",
    ]
    assert everything["entries"][1] == {
        "entry_id": 3,
        "made_at": "2026-01-01T00:02:00Z",
        "actor_kind": "application",
        "actor": "a2",
        "action": "device.create",
        "subject": "d1",
        "details": {"said": "device.create"},
    }
    second = await found(world, "page=1&page_size=3")
    assert second == {"entries": everything["entries"][3:], "page": 1, "page_size": 3, "total": 4}


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("actor=operator", [4, 1]),
        ("actor=oper", []),
        ("action=application.create", [1]),
        ("action=application.", [4, 2, 1]),
        ("action=application", []),
        ("action=.", []),
        ("subject=a1", [2, 1]),
        ("subject=a1&action=application.freeze&actor=night%20shift", [2]),
        ("subject=a1&actor=a2", []),
        ("from=2026-01-01T00:01:00Z", [4, 3, 2]),
        ("until=2026-01-01T00:01:00Z", [1]),
        ("from=2026-01-01T01:01:00%2B01:00&until=2026-01-01T00:02:00Z", [2]),
        ("FROM=2026-01-01T00:03:00Z", [4]),
        ("from=2026-01-01T00:04:00Z", []),
    ],
)
async def test_entries_are_found_by_what_they_say(world, history, query, numbers):
    said = await found(world, query)
    assert ([entry["entry_id"] for entry in said["entries"]], said["total"]) == (numbers, len(numbers))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("from=yesterday", "invalid_value"),
        ("until=2026-01-01", "invalid_value"),
        ("page=-1", "invalid_request"),
        ("page_size=0", "invalid_request"),
        ("page_size=1001", "invalid_request"),
        ("actor=%00", "invalid_request"),
        ("action=" + "a" * 65, "invalid_request"),
    ],
)
async def test_what_cannot_be_looked_for(world, query, code):
    answer = await world.manage("GET", f"{AUDIT}?{query}")
    assert (answer.status_code, answer.json()["error_code"]) == (400, code)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_changed(world, history, method):
    assert (await world.manage(method, AUDIT, {})).status_code == 405
    assert (await found(world))["total"] == 4


@pytest.mark.parametrize("statement", [store.LIST_OF_SUBJECT, store.COUNT_OF_SUBJECT])
async def test_what_was_done_to_one_thing_is_found_by_index(world, statement):
    async def plan(tx):
        rows = tx._connection.execute(
            f"EXPLAIN QUERY PLAN {statement.sqlite}",
            ("", "", "a1", None, None, 1, 0)[: statement.sqlite.count("?7") * 2 + 5],
        ).fetchall()
        return " | ".join(row[3] for row in rows)

    told = await world.database.read(plan)
    assert "INDEX audit_entry_by_subject (subject=?)" in told
    assert "TEMP B-TREE" not in told
