"""The calls of the feed behind a real HTTPS server, over a real store."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# What the tests of this folder share stands beside this file; no package holds it.
sys.path.insert(0, str(Path(__file__).parent))

from feed_site import Site, started_site

from firmcast.db.port import Database


@pytest.fixture
def life_seconds() -> float:
    return 15.0


@pytest.fixture
async def site(database: Database, tmp_path: Path, life_seconds: float) -> AsyncIterator[Site]:
    async with started_site(database, tmp_path, life_seconds) as site:
        yield site
