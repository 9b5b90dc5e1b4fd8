"""Writes as many rows as it is told, many at a time, and prints the text of each when it is acknowledged.

Usage: writing_process.py STORE PREFIX ROWS [SPARE_BYTES]. With SPARE_BYTES no file may become longer, after the first
rows, than the log of the store is plus so many bytes, so that a write of the disk fails; it prints `broken` when it
was told so.
"""

import asyncio
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path

from firmcast.db.sqlite import SqliteDatabase
from firmcast.db.statement import portable
from firmcast.errors import StoreBrokenError

CREATE = portable("CREATE TABLE IF NOT EXISTS note (number INTEGER PRIMARY KEY, text TEXT, weight BLOB)")
INSERT = portable("INSERT INTO note (text, weight) VALUES (?1, zeroblob(500))")
WRITERS = 64
MORE_THAN_A_GROUP = 1_500


async def execute(tx, statement, *arguments):
    await tx.execute(statement, *arguments)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(path: Path, prefix: str, rows: int, spare: int) -> None:
    database = await SqliteDatabase.open(path, datetime.now(UTC))
    await database.write(execute, CREATE)
    numbers = iter(range(rows))

    async def write() -> None:
        for number in numbers:
            text = f"{prefix}-{number}"
            await database.write(execute, INSERT, text)
            say(text)

    if not spare:
        await asyncio.gather(*(write() for _ in range(WRITERS)))
    else:
        numbers = iter(range(WRITERS))
        await write()
        limit = path.with_name(f"{path.name}-wal").stat().st_size + spare
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        numbers = iter(range(WRITERS, rows))
        results = await asyncio.gather(*(write() for _ in range(MORE_THAN_A_GROUP)), return_exceptions=True)
        # Whoever was still writing was refused, and so is whatever comes now.
        assert all(isinstance(result, StoreBrokenError) for result in results), results[:3]
        await asyncio.wait_for(database.broken.wait(), 5)
        try:
            await database.write(execute, INSERT, "late")
        except StoreBrokenError:
            say("broken")
    await database.close()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int((sys.argv[4:] or ["0"])[0])))
