"""A copy into PostgreSQL has everything, or it is recognisably none."""

import asyncio
import hashlib
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from firmcast.cli.copying import copy_store
from firmcast.clock import SystemClock
from firmcast.db import copying
from firmcast.db.copying import NOT_COPIED, CopyError, Source, Target
from firmcast.db.migrate import migrations_of
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.postgres_migrate import migrate
from firmcast.db.sqlite import STORE_FILE, SqliteDatabase
from firmcast.db.store_lock import StoreLock
from firmcast.errors import StartError, StoreError, StoreInUseError
from firmcast.events.log import EventLog
from firmcast.events.model import FirmwareStateChanged, NewEvent
from firmcast.firmware.chunks import FirmwareChunks
from firmcast.firmware.model import UploadLimits
from firmcast.firmware.package_cache import PackageCache
from firmcast.firmware.uploads import Uploads
from firmcast.ids import ApplicationId, DeviceId, UploadId, partition_of
from firmcast.lwm2m.firmware_update import FirmwareUpdateState

SAVED = Path(__file__).parents[2] / "migration/stores/0001.db"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
CONTENT = b"test"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PARTIAL = b"abc and what was never counted"


@pytest.fixture
async def folder(tmp_path):
    """Return a data folder of this release with something in every table."""
    data = tmp_path / "data"
    data.mkdir()
    shutil.copyfile(SAVED, data / STORE_FILE)
    await (await SqliteDatabase.open(data / STORE_FILE, NOW)).close()
    fill_empty_tables(data)
    (data / "firmware" / DIGEST[:2]).mkdir(parents=True)
    (data / "firmware" / DIGEST[:2] / DIGEST).write_bytes(CONTENT)
    (data / "firmware" / "partial").mkdir()
    (data / "firmware" / "partial" / "c0ffee").write_bytes(PARTIAL)
    return data


@pytest.fixture
async def url(new_postgres_database):
    return await new_postgres_database()


def fill_empty_tables(folder):
    """Put a row into each table that the oldest release did not have."""
    values = {"TEXT": "text", "INTEGER": 1, "BLOB": b"\0\xff"}
    for name, rows in tables_of(folder).items():
        if not rows:
            with closing(sqlite3.connect(folder / STORE_FILE)) as connection, connection:
                kinds = [row[2] for row in connection.execute(f"PRAGMA table_info({name})")]
                marks = ", ".join("?" for _ in kinds)
                connection.execute(f"INSERT INTO {name} VALUES ({marks})", [values[kind] for kind in kinds])


def change(folder, sql, *arguments):
    with closing(sqlite3.connect(folder / STORE_FILE)) as connection, connection:
        connection.execute(sql, arguments)


def tables_of(folder):
    with closing(sqlite3.connect(folder / STORE_FILE)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        return {
            name: connection.execute(f"SELECT * FROM {name}").fetchall() for (name,) in names if name not in NOT_COPIED
        }


async def tables_in(url):
    connection = await asyncpg.connect(url)
    names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = {row[0]: list(map(tuple, await connection.fetch(f"SELECT * FROM {row[0]}"))) for row in names}
    await connection.close()
    return found


async def test_everything_is_copied_as_it_is(folder, url):
    told = await copy_store(folder, url)
    ours, theirs = tables_of(folder), await tables_in(url)
    partition = list(zip(*[[row[2], row[4]] for row in theirs["delivery"]], strict=True))
    assert list(partition[1]) == [partition_of(DeviceId(device_id)) for device_id in partition[0]]
    for tables in (ours, theirs):
        tables["delivery"] = [row[:4] for row in tables["delivery"]]
    for name, rows in ours.items():
        assert sorted(theirs[name], key=repr) == sorted(rows, key=repr), name
        assert rows, f"{name} is empty, so this test says nothing of it"
    assert (told["packages"], told["uploads"]) == (1, 1)
    assert told["rows"] == sum(map(len, ours.values()))


async def test_every_table_is_copied_or_is_known_not_to_be(folder, url):
    source = Source(folder / STORE_FILE)
    copied = {table.name for table in source.tables()}
    source.close()
    connection = await asyncpg.connect(url)
    await migrate(connection, migrations_of("postgres"), NOW)
    await connection.close()
    assert set(await tables_in(url)) == copied | NOT_COPIED
    assert copied.isdisjoint(NOT_COPIED)


async def test_the_platform_goes_on_where_it_was(folder, url, tmp_path):
    """Numbers go on, packages are served, and an upload goes on at its next byte."""
    await copy_store(folder, url)
    database = await PostgresDatabase.open(url, NOW)
    clock = SystemClock()
    files = FirmwareChunks(database, clock, PackageCache(tmp_path / "cache", clock, limit=1 << 20))
    fact = FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADED)
    new = NewEvent(application_id=ApplicationId("app-1"), device_id=DeviceId("d1"), occurred_at=NOW, fact=fact)
    (event,) = await database.write(EventLog(encode=lambda _event: b"{}").append, [new])
    assert (event.sequence, event.event_id) == (4, 6)
    assert (await files.open(DIGEST, len(CONTENT))).read(0, 100) == CONTENT

    async def no_key(_tx, _application_id):
        return ""

    async def note(_tx, _thing):
        return

    async def rest():
        yield b"defghij"

    limits = UploadLimits(package_size=1 << 20, open_uploads=3, total_size=1 << 20)
    uploads = Uploads(database=database, clock=clock, files=files, limits=limits, verification_key=no_key)
    await uploads.append(UploadId("c0ffee"), 3, rest())
    package = await uploads.complete(UploadId("c0ffee"), note)
    assert package.digest == hashlib.sha256(b"abcdefghij").hexdigest()
    await database.close()


async def test_a_large_image_is_copied_in_chunks(folder, url, tmp_path):
    content = hashlib.shake_256(b"firmware").digest((3 << 18) + 5)
    digest = hashlib.sha256(content).hexdigest()
    change(folder, "UPDATE firmware_package SET digest = ?1, size = ?2", digest, len(content))
    (folder / "firmware" / digest[:2]).mkdir()
    (folder / "firmware" / digest[:2] / digest).write_bytes(content)
    await copy_store(folder, url)
    database = await PostgresDatabase.open(url, NOW)
    files = FirmwareChunks(database, SystemClock(), PackageCache(tmp_path / "cache", SystemClock(), limit=1 << 20))
    assert (await files.open(digest, len(content))).read(0, len(content)) == content
    await database.close()


async def break_bytes(folder):
    (folder / "firmware" / DIGEST[:2] / DIGEST).write_bytes(b"tesT")


async def lose_bytes(folder):
    (folder / "firmware" / DIGEST[:2] / DIGEST).unlink()


async def lose_partial(folder):
    (folder / "firmware" / "partial" / "c0ffee").write_bytes(b"ab")


async def put_nul(folder):
    change(folder, "UPDATE device SET name = ?1 WHERE device_id = 'd2'", "a\0b")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (break_bytes, "not those that were uploaded"),
        (lose_bytes, "cannot be read"),
        (lose_partial, "counts 3 bytes, and 2 are there"),
        (put_nul, "device 'd2': name has a NUL"),
    ],
)
async def test_a_copy_that_fails_leaves_a_database_that_nobody_takes_for_a_store(folder, url, spoil, told):
    sound = folder.with_name("sound")
    shutil.copytree(folder, sound)
    await spoil(folder)
    before = tables_of(folder)
    with pytest.raises(StoreError, match=told):
        await copy_store(folder, url)
    assert tables_of(folder) == before
    assert await tables_in(url) == {"copy_under_way": []}
    for migrates in (True, False):
        with pytest.raises(StartError, match="is not finished"):
            await PostgresDatabase.open(url, NOW, migrates=migrates)
    # What was mended is copied anew.
    await copy_store(sound, url)
    await (await PostgresDatabase.open(url, NOW)).close()


async def test_what_was_changed_on_its_way_is_noticed(folder, url, monkeypatch):
    real = Target.write

    async def corrupting(target, table, rows):
        if table.name == "event":
            rows = [(*row[:-1], b"other") for row in rows]
        await real(target, table, rows)

    monkeypatch.setattr(Target, "write", corrupting)
    with pytest.raises(CopyError, match="table event was not copied as it is"):
        await copy_store(folder, url)


async def test_a_copy_that_is_killed_leaves_only_its_mark(folder, url, monkeypatch):
    """While it runs, and after its connection is gone, the database is no store; then it can be begun anew."""
    reached, kills = asyncio.Event(), asyncio.Event()

    async def stopping(*_arguments):
        reached.set()
        await kills.wait()

    with monkeypatch.context() as patched:
        patched.setattr("firmcast.cli.copying.copy_upload", stopping)
        copy = asyncio.create_task(copy_store(folder, url))
        await reached.wait()
        with pytest.raises(StartError, match="is not finished"):
            await PostgresDatabase.open(url, NOW)
        shutil.copytree(folder, folder.with_name("other"))
        with pytest.raises(CopyError, match="another copy"):
            await copy_store(folder.with_name("other"), url)
        admin = await asyncpg.connect(url)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await admin.close()
        kills.set()
        with pytest.raises(StoreError):
            await copy
    assert await tables_in(url) == {"copy_under_way": []}
    await copy_store(folder, url)


async def test_what_a_killed_platform_had_committed_is_copied(folder, url):
    """It is in the log beside the store, which nobody has moved into it yet."""
    killed = folder.with_name("killed")
    with closing(sqlite3.connect(folder / STORE_FILE)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE device SET name = 'committed' WHERE device_id = 'd2'")
        connection.commit()
        shutil.copytree(folder, killed, ignore=shutil.ignore_patterns("*-shm"))
    assert (killed / f"{STORE_FILE}-wal").stat().st_size
    await copy_store(killed, url)
    names = {row[0]: row[4] for row in (await tables_in(url))["device"]}
    assert names["d2"] == "committed"


async def test_only_an_empty_database_is_copied_into(folder, url):
    await copy_store(folder, url)
    before = await tables_in(url)
    with pytest.raises(CopyError, match="is not empty"):
        await copy_store(folder, url)
    assert await tables_in(url) == before
    await (await PostgresDatabase.open(url, NOW)).close()


async def test_a_database_that_was_migrated_and_not_used_is_empty(folder, url):
    await (await PostgresDatabase.open(url, NOW)).close()
    assert (await copy_store(folder, url))["packages"] == 1


async def test_a_store_that_is_served_or_of_an_older_release_is_not_copied(folder, url, tmp_path):
    lock = StoreLock(folder / STORE_FILE)
    with pytest.raises(StoreInUseError):
        await copy_store(folder, url)
    lock.release()
    older = tmp_path / "older"
    older.mkdir()
    shutil.copyfile(SAVED, older / STORE_FILE)
    for _ in range(2):  # the second time would find the lock, if the first had kept it
        with pytest.raises(StartError, match="firmcast db migrate"):
            await copy_store(older, url)
    with pytest.raises(StartError, match="there is no store"):
        await copy_store(tmp_path / "nowhere", url)
    assert await tables_in(url) == {}


async def test_many_rows_come_in_batches(folder, url, monkeypatch):
    monkeypatch.setattr(copying, "ROWS_AT_ONCE", 2)
    assert (await copy_store(folder, url))["tables"]["event"] == 5
