"""A real store for every test that asks for one."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmcast.db.sqlite import SqliteDatabase


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """Return an open, migrated store in a folder of its own."""
    opened = await SqliteDatabase.open(tmp_path / "store" / "firmcast.db", datetime.now(UTC))
    yield opened
    await opened.close()
