import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

WRITER = Path(__file__).with_name("writing_process.py")
KILLS = 20


def begin(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, WRITER, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def stored(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        texts = [row[0] for row in connection.execute("SELECT text FROM note")]
    assert len(texts) == len(set(texts))
    return set(texts)


def test_what_was_acknowledged_survives_kill(tmp_path: Path) -> None:
    path = tmp_path / "firmcast.db"
    moments = random.Random(1)
    acknowledged: set[str] = set()
    for kill in range(KILLS):
        with begin(path, kill, 1_000_000) as process:
            assert process.stdout is not None
            for _ in range(moments.randrange(1, 400)):
                acknowledged.add(process.stdout.readline().strip())
            process.kill()
            acknowledged |= {line.strip() for line in process.stdout if line.endswith("\n")}
        assert acknowledged <= stored(path), f"kill {kill} of the moments of seed 1"
    assert len(acknowledged) > KILLS


def test_a_disk_that_fails_ends_the_store_and_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "firmcast.db"
    with begin(path, "row", 100_000, 100_000) as process:
        assert process.stdout is not None
        lines = process.stdout.read().split()
    assert process.returncode == 0
    assert lines.pop() == "broken"
    assert lines
    assert set(lines) <= stored(path)
    # A new start finds all that, and goes on.
    with begin(path, "again", 1) as process:
        assert process.stdout is not None
        lines += process.stdout.read().split()
    assert process.returncode == 0
    assert set(lines) <= stored(path)
