"""A store of any schema that was released becomes one of this release, with everything that was in it.

Saved by `scripts/saved_store.py`; a schema that is released gets one, and it is never written again.
"""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from firmcast.applications import use_cases as applications
from firmcast.db.consistency import RULES, breaches
from firmcast.db.inspection import PostgresInspection, SqliteInspection
from firmcast.db.page import Page
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.sqlite import SqliteDatabase
from firmcast.devices import use_cases as devices
from firmcast.events import use_cases as events
from firmcast.events.log import EventLog
from firmcast.events.model import FirmwareStateChanged, NewEvent
from firmcast.firmware import use_cases as firmware
from firmcast.ids import ApplicationId, DeviceId, partition_of
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push import use_cases as push
from firmcast.push.model import DeliveryFilter
from firmcast.sealing import Sealer
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.model import TaskFilter

FOLDER = Path(__file__).parent / "stores"
NUMBERS = sorted({int(path.name[:4]) for path in FOLDER.iterdir()})
NOW = datetime(2026, 6, 1, tzinfo=UTC)
APPLICATION = ApplicationId("app-1")
SEALING_KEY = b"a key of thirty-two bytes, saved"


@pytest.fixture(params=NUMBERS)
def saved(request):
    """Return the number of a saved schema."""
    return f"{request.param:04}"


def rows_of_sqlite(path, columns=None):
    """Return the rows of every table, each as the columns that it had when it was saved."""
    with closing(sqlite3.connect(path)) as connection:
        if columns is None:
            names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            columns = {
                name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
                for (name,) in names
                if not name.startswith("sqlite_")
            }
        return columns, {
            name: sorted(connection.execute(f"SELECT {', '.join(listed)} FROM {name}").fetchall(), key=repr)
            for name, listed in columns.items()
        }


async def rows_of_postgres(connection, columns=None):
    if columns is None:
        found = await connection.fetch(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' ORDER BY ordinal_position"
        )
        columns = {}
        for table, column in found:
            columns.setdefault(table, []).append(column)
    return columns, {
        name: sorted(map(tuple, await connection.fetch(f"SELECT {', '.join(listed)} FROM {name}")), key=repr)
        for name, listed in columns.items()
    }


def assert_kept(before, after):
    steps = before.pop("schema_version")
    assert after.pop("schema_version")[: len(steps)] == steps
    assert all(before.values()), "a saved store has rows in every table"
    assert after == before


async def assert_usable(database):
    """Ask each capability for what it has, and go on with the numbers where they were."""
    found = await database.read(applications.find, APPLICATION)
    assert (found.name, found.deleting) == ("O'Hara & Söhne 大", False)
    identities = await database.read(applications.signing_secrets, [APPLICATION], Sealer(SEALING_KEY))
    assert [secret.secret for secret in identities[APPLICATION].secrets] == ["signing secret"]
    listed, total = await database.read(devices.listed, APPLICATION, now=NOW)
    assert (total, {device.device_id for device in listed}) == (3, {"d1", "d2", "d3"})
    assert [stored.size for stored in await database.read(firmware.files)] == [4]
    (task,), _ = await database.read(upgrades.listed_tasks, APPLICATION, TaskFilter())
    assert task.task_id == "task-1"
    listed, _ = await database.read(upgrades.device_upgrades, APPLICATION, task.task_id)
    assert [(one.device_id, one.phase.value) for one in listed] == [("d1", "transferring"), ("d2", "closed")]
    assert [event.sequence for event in await database.read(events.of_device, DeviceId("d1"))] == [1, 2, 3]
    waiting, _ = await database.read(push.pending, DeliveryFilter(), Page())
    assert sorted((one.device_id, one.sequence) for one in waiting) == [("d1", 2), ("d1", 3), ("d3", 1)]


async def assert_goes_on(database):
    """Nothing that was given a number is given it again."""
    log = EventLog(encode=lambda _event: b"{}")
    fact = FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADED)
    new = NewEvent(application_id=APPLICATION, device_id=DeviceId("d1"), occurred_at=NOW, fact=fact)
    (event,) = await database.write(log.append, [new])
    assert (event.sequence, event.event_id) == (4, 6)


async def test_an_embedded_store_is_brought_to_this_release(saved, tmp_path):
    path = tmp_path / "firmcast.db"
    shutil.copyfile(FOLDER / f"{saved}.db", path)
    columns, before = rows_of_sqlite(path)
    database = await SqliteDatabase.open(path, NOW)
    await assert_usable(database)
    assert_kept(before, rows_of_sqlite(path, columns)[1])
    await assert_goes_on(database)
    await database.close()
    store = SqliteInspection(path)
    assert [await store.read(breaches, rule) for rule in RULES] == [[] for _ in RULES]
    assert (await store.differences(), await store.damages()) == ([], [])
    await store.close()


async def test_a_database_of_many_nodes_is_brought_to_this_release(saved, new_postgres_database):
    url = await new_postgres_database()
    connection = await asyncpg.connect(url)
    await connection.execute((FOLDER / f"{saved}.postgres.sql").read_text())
    columns, before = await rows_of_postgres(connection)
    database = await PostgresDatabase.open(url, NOW)
    await assert_usable(database)
    assert_kept(before, (await rows_of_postgres(connection, columns))[1])
    partitions = await connection.fetch("SELECT device_id, partition FROM delivery")
    assert all(partition == partition_of(device_id) for device_id, partition in partitions)
    await connection.close()
    await assert_goes_on(database)
    await database.close()
    store = await PostgresInspection.open(url)
    assert [await store.read(breaches, rule) for rule in RULES] == [[] for _ in RULES]
    assert await store.differences() == []
    await store.close()


def test_both_kinds_of_each_schema_are_saved():
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(
        name for number in NUMBERS for name in (f"{number:04}.db", f"{number:04}.postgres.sql")
    )
