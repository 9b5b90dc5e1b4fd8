"""The audit in the store, held to a model of its filters."""

from datetime import UTC, datetime, timedelta

import pytest

from firmcast.audit import use_cases
from firmcast.audit.model import AuditFilter, administrator, application
from firmcast.db.page import Page
from firmcast.ids import ApplicationId

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACTORS = [administrator("operator"), administrator("night shift"), application(ApplicationId("a1"))]
ACTIONS = ["application.create", "application.create_again", "device.create"]
SUBJECTS = ["a1", "d1", "%"]


@pytest.fixture
async def history(database):
    for number in range(27):
        actor, action, subject = ACTORS[number % 3], ACTIONS[number // 3 % 3], SUBJECTS[number // 9]
        details = {"number": str(number), "text": "ü'\""}
        await database.write(use_cases.record, actor, action, subject, NOW + timedelta(minutes=number), details)
    return (await database.read(use_cases.listed, AuditFilter(), Page()))[0]


def wanted(entry, given):
    prefix = given.action.endswith(".")
    return (
        given.actor in ("", entry.actor.name)
        and (entry.action.startswith(given.action) if prefix else given.action in ("", entry.action))
        and given.subject in ("", entry.subject)
        and (given.made_from is None or entry.made_at >= given.made_from)
        and (given.made_until is None or entry.made_at < given.made_until)
    )


async def test_every_filter_finds_what_it_says(database, history):
    assert [int(entry.details["number"]) for entry in history] == list(range(26, -1, -1))
    assert history[0].details["text"] == "ü'\""
    middle = NOW + timedelta(minutes=13)
    for actor in ("", "operator", "a1", "nobody"):
        for action in ("", *ACTIONS, "application.", "application", "."):
            for subject in ("", *SUBJECTS):
                for times in ({}, {"made_from": middle}, {"made_until": middle}):
                    given = AuditFilter(actor=actor, action=action, subject=subject, **times)
                    expected = [entry for entry in history if wanted(entry, given)]
                    assert await database.read(use_cases.listed, given, Page()) == (expected, len(expected)), given


async def test_pages_hold_all_of_it_once(database, history):
    for given in (AuditFilter(), AuditFilter(subject="d1")):
        everything, total = await database.read(use_cases.listed, given, Page())
        pages = [(await database.read(use_cases.listed, given, Page(start, 4))) for start in range(0, total, 4)]
        assert [entry for entries, _ in pages for entry in entries] == everything
        assert {count for _, count in pages} == {total}


async def test_a_change_that_fails_leaves_nothing(database):
    async def change(tx):
        await use_cases.record(tx, ACTORS[0], "application.create", "a1", NOW)
        raise KeyError

    with pytest.raises(KeyError):
        await database.write(change)
    assert await database.read(use_cases.listed, AuditFilter(), Page()) == ([], 0)
