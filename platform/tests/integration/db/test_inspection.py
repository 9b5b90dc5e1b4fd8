"""`firmcast db check` and `migrate` on both stores: what is wrong is named, and what is right is left alone."""

import hashlib
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from firmcast.cli.database_work import check_store, migrate_store
from firmcast.db.consistency import RULES
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.sqlite import STORE_FILE, SqliteDatabase
from firmcast.errors import StartError
from firmcast.settings import Settings

STORES = Path(__file__).parents[2] / "migration/stores"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
CONTENT = b"test"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class EmbeddedStore:
    """A data folder with a store of the oldest release."""

    def __init__(self, folder):
        self.settings = Settings(data=folder)
        self.path = folder / STORE_FILE
        self.bytes = folder / "firmware" / DIGEST[:2] / DIGEST
        self.bytes.parent.mkdir(parents=True)
        self.bytes.write_bytes(CONTENT)
        (folder / "firmware" / "partial").mkdir()
        (folder / "firmware" / "partial" / "c0ffee").write_bytes(b"abc")
        self.path.write_bytes((STORES / "0001.db").read_bytes())

    async def change(self, sql):
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(sql)

    async def add_bytes(self):
        """They are there from the beginning."""

    async def spoil_bytes(self):
        self.bytes.write_bytes(b"tesT")

    async def spoil_upload(self):
        (self.path.parent / "firmware" / "partial" / "c0ffee").write_bytes(b"ab")

    async def open(self, *, migrates):
        return await SqliteDatabase.open(self.path, NOW, migrates=migrates)


class SharedStore:
    """A database with a store of the oldest release."""

    def __init__(self, url, folder):
        self.url = url
        self.settings = Settings(data=folder, database_url=SecretStr(url))

    async def change(self, sql):
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def add_bytes(self):
        await self.change(
            f"INSERT INTO firmware_content VALUES ('c1', '{DIGEST}', '', 0), ('c0ffee', NULL, 'w', 0);"
            f"INSERT INTO firmware_chunk VALUES ('c1', 0, '\\x{CONTENT.hex()}'), ('c0ffee', 0, '\\x616263')"
        )

    async def spoil_bytes(self):
        await self.change("UPDATE firmware_chunk SET bytes = '\\x00' WHERE content_id = 'c1'")

    async def spoil_upload(self):
        await self.change("DELETE FROM firmware_chunk WHERE content_id = 'c0ffee'")

    async def open(self, *, migrates):
        return await PostgresDatabase.open(self.url, NOW, migrates=migrates)


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request, tmp_path):
    if request.param == "sqlite":
        return EmbeddedStore(tmp_path)
    url = await request.getfixturevalue("new_postgres_database")()
    made = SharedStore(url, tmp_path)
    await made.change((STORES / "0001.postgres.sql").read_text())
    return made


@pytest.fixture
async def sound(store):
    await migrate_store(store.settings, dry_run=False)
    await store.add_bytes()
    return store


async def broken(store, **how):
    """Return what the check finds broken, by rule."""
    report = await check_store(store.settings, **{"skip_bytes": False, **how})
    assert report["sound"] == all(finding["result"] != "broken" for finding in report["findings"])
    return {finding["rule"]: finding["breaches"] for finding in report["findings"] if finding["result"] == "broken"}


async def test_an_old_store_is_named_and_brought_to_this_release(store):
    found = await broken(store)
    assert set(found) == {"the store is of this release"}
    assert found["the store is of this release"][0] == "0002_partitions.sql is to be applied"
    dry = await migrate_store(store.settings, dry_run=True)
    assert (dry["schema"], dry["applied"], dry["missing"][0]) == (1, [], "0002_partitions.sql")
    told = await migrate_store(store.settings, dry_run=False)
    assert (told["applied"], told["missing"]) == (dry["missing"], [])
    assert await migrate_store(store.settings, dry_run=False) == {**told, "applied": []}


async def test_a_platform_that_may_not_migrate_says_what_to_do(store):
    with pytest.raises(StartError, match=r"schema 1; this one needs \d+.*firmcast db migrate"):
        await store.open(migrates=False)
    assert (await migrate_store(store.settings, dry_run=True))["schema"] == 1
    await migrate_store(store.settings, dry_run=False)
    await (await store.open(migrates=False)).close()


async def test_a_platform_that_may_not_migrate_makes_no_store(tmp_path):
    with pytest.raises(StartError, match=r"there is no store yet.*firmcast db migrate"):
        await SqliteDatabase.open(tmp_path / STORE_FILE, NOW, migrates=False)


async def test_a_sound_store_is_found_sound_while_it_is_served(sound):
    database = await sound.open(migrates=True)
    assert await broken(sound) == {}
    await database.close()


@pytest.mark.parametrize(
    ("change", "rule", "told"),
    [
        ("DELETE FROM event WHERE event_id = 4", "every delivery has its event", "event 4 subscription s1"),
        ("UPDATE delivery SET sequence = 9 WHERE event_id = 3", "every delivery has its event", "event 3"),
        (
            "UPDATE undelivered SET deliveries = 7 WHERE subscription_id = 's1'",
            "each subscription has as many deliveries as are counted",
            "and counted 7",
        ),
        ("DELETE FROM event WHERE event_id = 2", "every dead letter has its event", "event 2 subscription s1"),
        (
            "UPDATE event SET sequence = 7 WHERE event_id = 1",
            "the events of each device are numbered without a gap",
            "device d1 events 2 to 7 are 3",
        ),
        (
            "UPDATE event_stream SET last_sequence = 2 WHERE device_id = 'd1'",
            "the next event of each device has the next number",
            "device d1 has event 3 and counted 2",
        ),
        ("DELETE FROM event_stream", "the next event of each device has the next number", "device d1"),
        ("DELETE FROM upgrade_task", "every device upgrade has its task", "device upgrade u1"),
        ("DELETE FROM firmware_package", "every open task has its package", "task task-1"),
        (
            "UPDATE upgrade_task_tally SET devices = 5 WHERE tally = 'failed'",
            "the tallies of each task are those of its devices",
            "task task-1 failed 5",
        ),
        ("DELETE FROM device_group_member", "each group has as many members as it counts", "group g1 counts 2"),
        ("DELETE FROM device WHERE device_id = 'd1'", "every registration has its device", "device d1"),
    ],
)
async def test_each_rule_names_what_breaks_it(sound, change, rule, told):
    await sound.change(change)
    found = await broken(sound, skip_bytes=True)
    assert any(told in line for line in found[rule]), found


def test_every_rule_is_broken_by_a_test():
    parameters = test_each_rule_names_what_breaks_it.pytestmark[0].args[1]
    assert {rule.name for rule in RULES} == {case[1] for case in parameters}


async def test_what_an_application_that_is_being_deleted_leaves_for_the_moment_is_no_fault(sound):
    await sound.change("UPDATE application SET deleting = 1")
    await sound.change("DELETE FROM device_group_member")
    await sound.change("DELETE FROM device_upgrade WHERE position = 1")
    assert await broken(sound) == {}


async def test_an_old_event_that_is_still_needed_among_those_removed_for_their_age_is_no_fault(sound):
    await sound.change("UPDATE event SET sequence = 5 WHERE event_id = 5")
    await sound.change("UPDATE delivery SET sequence = 5 WHERE event_id = 5")
    await sound.change("UPDATE event_stream SET last_sequence = 5 WHERE device_id = 'd1'")
    assert set(await broken(sound)) == {"the events of each device are numbered without a gap"}
    await sound.change("INSERT INTO event_forgotten (one, through) VALUES (1, 4)")
    assert await broken(sound) == {}


async def test_bytes_that_rot_are_found(sound):
    await sound.spoil_bytes()
    assert DIGEST in (await broken(sound))["every package has its bytes"][0]
    assert await broken(sound, skip_bytes=True) == {}


async def test_an_upload_that_lost_bytes_is_found(sound):
    await sound.spoil_upload()
    assert "c0ffee: 3 bytes are counted" in (await broken(sound))["every open upload has the bytes that it counts"][0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DROP INDEX event_by_device", "index event_by_device is missing"),
        ("CREATE TABLE mine (x INTEGER)", "mine"),
        ("ALTER TABLE device ADD COLUMN mine TEXT", "device"),
        ("DROP TABLE lane", "lane"),
        ("DROP TABLE registration", "registration"),
    ],
)
async def test_a_schema_that_somebody_changed_is_found(sound, change, told):
    await sound.change(change)
    lines = (await broken(sound, skip_bytes=True))["tables, columns and indexes are as expected"]
    assert any(told in line for line in lines), lines


async def test_a_damaged_file_is_found(tmp_path):
    store = EmbeddedStore(tmp_path)
    await migrate_store(store.settings, dry_run=False)
    with closing(sqlite3.connect(store.path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'event'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    raw = bytearray(store.path.read_bytes())
    raw[(page - 1) * size : page * size] = b"\xff" * size
    store.path.write_bytes(raw)
    assert set(await broken(store)) == {"the store's own check finds nothing"}
