import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmcast.db.sqlite import SqliteDatabase
from firmcast.db.statement import portable
from firmcast.errors import StoreFullError, StoreInUseError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INSERT = portable("INSERT INTO note (text) VALUES (?1)")
COUNT = portable("SELECT count(*) FROM note")
CREATE = portable("CREATE TABLE IF NOT EXISTS note (number INTEGER PRIMARY KEY, text TEXT)")
LIMIT = portable("PRAGMA max_page_count = 1")
KILLS = 10

WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from firmcast.db.sqlite import SqliteDatabase
from firmcast.db.statement import portable

INSERT = portable("INSERT INTO note (text) VALUES (?1)")

async def note(tx, text):
    await tx.execute(INSERT, text)

async def write(database, number):
    await database.write(note, f"{number}")
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()

async def main():
    database = await SqliteDatabase.open(Path(sys.argv[1]), datetime.now(UTC))
    await asyncio.gather(*(write(database, number) for number in range(100_000)))

asyncio.run(main())
"""


async def execute(tx, statement, *arguments):
    await tx.execute(statement, *arguments)


async def count(tx):
    return (await tx.fetch_row(COUNT))[0]


async def test_the_log_is_synced_at_every_commit(tmp_path: Path, database: SqliteDatabase) -> None:
    async def modes(tx):
        one = await tx.fetch_row(portable("PRAGMA synchronous"))
        other = await tx.fetch_row(portable("PRAGMA journal_mode"))
        return one[0], other[0]

    assert await database.write(modes) == (2, "wal")


async def test_writes_that_come_together_share_commits(database: SqliteDatabase) -> None:
    await database.write(execute, CREATE)
    before = database.commits
    await asyncio.gather(*(database.write(execute, INSERT, "x") for _ in range(500)))
    assert await database.read(count) == 500
    assert database.commits - before < 100


async def test_one_store_has_one_process(tmp_path: Path) -> None:
    path = tmp_path / "firmcast.db"
    first = await SqliteDatabase.open(path, NOW)
    with pytest.raises(StoreInUseError, match=str(os.getpid())):
        await SqliteDatabase.open(path, NOW)
    await first.close()
    await (await SqliteDatabase.open(path, NOW)).close()


async def test_a_full_disk_refuses_and_keeps_what_was_acknowledged(database: SqliteDatabase) -> None:
    await database.write(execute, CREATE)
    await database.write(execute, INSERT, "kept")
    await database.write(execute, LIMIT)
    results = await asyncio.gather(
        *(database.write(execute, INSERT, "x" * 100_000) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(result, StoreFullError) for result in results)
    assert await database.read(count) == 1
    assert not database.broken.is_set()
    await database.write(execute, portable("PRAGMA max_page_count = 1000000"))
    await database.write(execute, INSERT, "x" * 100_000)
    assert await database.read(count) == 2


async def test_what_was_acknowledged_survives_kill(tmp_path: Path) -> None:
    path = tmp_path / "firmcast.db"
    opened = await SqliteDatabase.open(path, NOW)
    await opened.write(execute, CREATE)
    await opened.close()
    expected = 0
    for kill in range(KILLS):
        process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(20 * (kill + 1)):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        acknowledged = 20 * (kill + 1) + sum(line.endswith("\n") for line in process.stdout)
        process.wait()
        process.stdout.close()
        with sqlite3.connect(path) as connection:
            found = connection.execute("SELECT count(*) FROM note").fetchone()[0]
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        assert found >= expected + acknowledged
        expected = found
