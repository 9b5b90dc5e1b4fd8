import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firmcast.db.migrate import Migration, migrate, migrations_of, statements
from firmcast.db.sqlite import SqliteDatabase
from firmcast.errors import StartError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = Migration(number=1, name="0001_a.sql", sql="CREATE TABLE a (x TEXT);")
SECOND = Migration(number=2, name="0002_b.sql", sql="CREATE TABLE b (x TEXT);\nINSERT INTO b VALUES ('one; two');")


@pytest.fixture
def connection():
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()


def tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def test_steps_are_applied_once_and_in_order(connection: sqlite3.Connection) -> None:
    assert migrate(connection, [FIRST], NOW) == 1
    assert migrate(connection, [FIRST, SECOND], NOW) == 1
    assert migrate(connection, [FIRST, SECOND], NOW) == 0
    assert connection.execute("SELECT x FROM b").fetchall() == [("one; two",)]


def test_a_step_that_fails_leaves_nothing(connection: sqlite3.Connection) -> None:
    broken = replace(SECOND, sql="CREATE TABLE b (x TEXT);\nINSERT INTO nowhere VALUES (1);")
    with pytest.raises(StartError, match="0002_b.sql"):
        migrate(connection, [FIRST, broken], NOW)
    assert "b" not in tables(connection)
    assert migrate(connection, [FIRST, SECOND], NOW) == 1


def test_a_store_of_a_later_release_is_refused(connection: sqlite3.Connection) -> None:
    migrate(connection, [FIRST, SECOND], NOW)
    with pytest.raises(StartError, match="later release"):
        migrate(connection, [FIRST], NOW)


def test_a_step_whose_text_was_changed_is_refused(connection: sqlite3.Connection) -> None:
    migrate(connection, [FIRST], NOW)
    with pytest.raises(StartError, match="0001_a.sql"):
        migrate(connection, [replace(FIRST, sql="CREATE TABLE a (y TEXT);")], NOW)


def test_the_steps_of_this_release_make_every_table_strict(connection: sqlite3.Connection) -> None:
    migrate(connection, migrations_of("sqlite"), NOW)
    strict = {row[1]: row[5] for row in connection.execute("PRAGMA table_list") if not row[1].startswith("sqlite_")}
    assert {"event", "delivery", "device_upgrade", "schema_version"} <= set(strict)
    assert all(strict.values())


def test_a_file_is_split_at_the_ends_of_its_statements() -> None:
    assert statements("-- a; b\nCREATE TABLE a (x TEXT DEFAULT ';');\nDELETE FROM a;\n") == [
        "-- a; b\nCREATE TABLE a (x TEXT DEFAULT ';');",
        "DELETE FROM a;",
    ]


def schema(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY name"
    ).fetchall()


def alter(path: Path, sql: str, *arguments: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql, arguments)


async def test_a_fresh_store_is_what_all_steps_make_of_nothing(tmp_path: Path, connection: sqlite3.Connection) -> None:
    path = tmp_path / "firmcast.db"
    await (await SqliteDatabase.open(path, NOW)).close()
    for migration in migrations_of("sqlite"):
        migrate(connection, migrations_of("sqlite")[: migration.number], NOW)
    with closing(sqlite3.connect(path)) as opened:
        assert schema(opened) == schema(connection)
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "firmcast.db"
    seen = []
    for hours in range(2):
        await (await SqliteDatabase.open(path, NOW + timedelta(hours=hours))).close()
        with closing(sqlite3.connect(path)) as connection:
            seen.append((schema(connection), connection.execute("SELECT * FROM schema_version").fetchall()))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("INSERT INTO schema_version VALUES (9999, '9999_later.sql', 'x', 0)", "later release"),
        ("UPDATE schema_version SET digest = 'x' WHERE number = 1", "0001_initial.sql"),
        ("DELETE FROM schema_version WHERE number = 1", "0001_initial.sql"),
    ],
)
async def test_a_store_that_is_not_ours_is_refused_as_it_is_and_let_go(tmp_path: Path, sql: str, told: str) -> None:
    path = tmp_path / "firmcast.db"
    await (await SqliteDatabase.open(path, NOW)).close()
    alter(path, sql)
    before = path.read_bytes()
    for _ in range(2):  # the second time would find the lock, if the first had kept it
        with pytest.raises(StartError, match=told):
            await SqliteDatabase.open(path, NOW)
    assert path.read_bytes() == before
