import asyncio
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmcast.db.sqlite import SqliteDatabase
from firmcast.db.statement import portable
from firmcast.errors import StartError, StoreFullError, StoreInUseError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INSERT = portable("INSERT INTO note (text) VALUES (?1)")
COUNT = portable("SELECT count(*) FROM note")
CREATE = portable("CREATE TABLE note (number INTEGER PRIMARY KEY, text TEXT)")


async def execute(tx, statement, *arguments):
    await tx.execute(statement, *arguments)


async def insert_many(tx, texts):
    await tx.execute_many(INSERT, [(text,) for text in texts])


async def count(tx):
    return (await tx.fetch_row(COUNT))[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the fixture `database` has its store."""
    return tmp_path / "store" / "firmcast.db"


async def test_the_log_is_synced_at_every_commit(database: SqliteDatabase) -> None:
    async def modes(tx):
        one = await tx.fetch_row(portable("PRAGMA synchronous"))
        other = await tx.fetch_row(portable("PRAGMA journal_mode"))
        third = await tx.fetch_row(portable("PRAGMA wal_autocheckpoint"))
        return one[0], other[0], third[0]

    assert await database.write(modes) == (2, "wal", 0)


async def test_writes_that_come_together_share_commits(database: SqliteDatabase) -> None:
    await database.write(execute, CREATE)
    before = database.commits
    await asyncio.gather(*(database.write(execute, INSERT, "x") for _ in range(500)))
    assert await database.read(count) == 500
    assert database.commits - before < 100


async def test_a_group_of_large_writes_is_committed_in_parts(database: SqliteDatabase) -> None:
    await database.write(execute, CREATE)
    before = database.commits
    await asyncio.gather(*(database.write(insert_many, ["x"] * 8_000) for _ in range(6)))
    assert await database.read(count) == 48_000
    assert database.commits - before >= 2


async def test_the_file_of_the_log_stays_small(database: SqliteDatabase, path: Path) -> None:
    await database.write(execute, portable("CREATE TABLE note (text TEXT PRIMARY KEY) WITHOUT ROWID"))
    for start in range(0, 20_000, 2_000):
        # Keys far from each other change a page each.
        await database.write(
            insert_many, [f"{number * 7_919 % 100_003:06}" + "x" * 500 for number in range(start, start + 2_000)]
        )
    written = path.stat().st_size
    assert path.with_name(f"{path.name}-wal").stat().st_size < 40 << 20
    assert written > 5 << 20


async def test_somebody_elses_tool_only_delays_a_write(database: SqliteDatabase, path: Path) -> None:
    await database.write(execute, CREATE)
    tool = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    tool.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(database.write(execute, INSERT, "x"))
    assert await database.read(count) == 0
    assert not waiting.done()
    tool.execute("COMMIT")
    tool.close()
    await waiting
    assert await database.read(count) == 1


async def test_one_store_has_one_opener(path: Path, database: SqliteDatabase) -> None:
    with pytest.raises(StoreInUseError, match=str(path)):
        await SqliteDatabase.open(path, NOW)
    await database.close()
    await (await SqliteDatabase.open(path, NOW)).close()


async def test_one_store_has_one_process(path: Path, database: SqliteDatabase) -> None:
    second = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from firmcast.db.sqlite import SqliteDatabase
asyncio.run(SqliteDatabase.open(Path(sys.argv[1]), datetime.now(UTC)))
"""
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", second, path], capture_output=True, text=True, check=False, timeout=30
    )
    assert ended.returncode == 1
    assert f"StoreInUseError: {path} is in use by another process ({os.getpid()})" in ended.stderr


async def test_what_is_no_store_is_refused_and_let_go(tmp_path: Path) -> None:
    path = tmp_path / "firmcast.db"
    path.write_bytes(b"something else " * 1000)
    for _ in range(2):
        with pytest.raises(StartError, match="not a database"):
            await SqliteDatabase.open(path, NOW)
    path.unlink()
    await (await SqliteDatabase.open(path, NOW)).close()


async def test_a_full_disk_refuses_and_keeps_what_was_acknowledged(database: SqliteDatabase) -> None:
    await database.write(execute, CREATE)
    await database.write(execute, INSERT, "kept")
    await database.write(execute, portable("PRAGMA max_page_count = 1"))  # as few pages as there are
    results = await asyncio.gather(
        *(database.write(execute, INSERT, "x" * 100_000) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(result, StoreFullError) for result in results)
    assert len({id(result) for result in results}) == 5
    assert await database.read(count) == 1
    assert not database.broken.is_set()
    await database.write(execute, portable("PRAGMA max_page_count = 1000000"))
    await database.write(execute, INSERT, "x" * 100_000)
    assert await database.read(count) == 2


async def test_a_full_disk_is_told_whatever_the_use_case_makes_of_it(database: SqliteDatabase) -> None:
    async def hide(tx):
        try:
            await tx.execute(INSERT, "x" * 100_000)
        except StoreFullError:
            raise ValueError("something went wrong") from None

    await database.write(execute, CREATE)
    await database.write(execute, portable("PRAGMA max_page_count = 1"))
    with pytest.raises(StoreFullError):
        await database.write(hide)
