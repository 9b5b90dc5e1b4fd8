"""A real store for every test that asks for one."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

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
