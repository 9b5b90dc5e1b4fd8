import sqlite3
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from firmcast.db.migrate import Migration, migrate, migrations_of, statements
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
    with pytest.raises(sqlite3.OperationalError):
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
