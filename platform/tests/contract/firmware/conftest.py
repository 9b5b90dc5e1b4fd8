"""Both adapters of PackageFiles, each as a number of nodes that share one store."""

import hashlib
import itertools
from datetime import UTC, datetime, timedelta

import pytest

from firmcast.db.postgres import PostgresDatabase
from firmcast.db.statement import portable
from firmcast.firmware import use_cases
from firmcast.firmware.chunks import FirmwareChunks
from firmcast.firmware.files import FirmwareFiles
from firmcast.firmware.model import PackageMetadata, Promise, UploadLimits
from firmcast.firmware.package_cache import PackageCache
from firmcast.firmware.uploads import Uploads
from firmcast.ids import ApplicationId

APPLICATION = ApplicationId("application")
METADATA = PackageMetadata(name="image", version="2.0", device_type="", model="", manufacturer_name="")
LIMITS = UploadLimits(package_size=1 << 24, open_uploads=100, total_size=1 << 26)
CONTENTS = portable("SELECT content_id FROM firmware_content")
CHUNKS = portable("SELECT DISTINCT content_id FROM firmware_chunk")
START = datetime(2026, 1, 1, tzinfo=UTC)


class SetClock:
    """A clock that moves by a second with each look, and by more when told."""

    def __init__(self):
        self.moment = START

    def now(self):
        self.moment += timedelta(seconds=1)
        return self.moment

    def monotonic(self):
        return (self.moment - START).total_seconds()


class Shop:
    """One store, and what a test asks of it; `node` is the first of its nodes."""

    def __init__(self, database, make_node):
        self.database = database
        self.clock = SetClock()
        self._make_node = make_node
        self.nodes = 0
        self.node = self.new_node()

    def new_node(self, **cache):
        """Return the files as another process sees them; on the embedded store it takes the former one's place."""
        self.nodes += 1
        return self._make_node(self.database, self.clock, self.nodes, **cache)

    def uploads(self, node=None):
        files = node or self.node
        return Uploads(
            database=files._database,
            clock=self.clock,
            files=files,
            limits=LIMITS,
            verification_key=no_key,
        )

    async def add(self, content, node=None, piece=70_000):
        """Make a package of bytes."""
        node = node or self.node
        incoming = await node.receive(self.pieces(content, piece), 1 << 24)
        return await node.keep(incoming, lambda tx: self.record(tx, incoming.stored))

    async def begin(self, size, *, digest=""):
        """Begin an upload; return its id."""
        promise = Promise(digest=digest)
        return (await self.uploads().begin(APPLICATION, METADATA, promise, size, self.note)).upload_id

    async def record(self, tx, stored):
        return await use_cases.record(tx, APPLICATION, METADATA, stored, self.clock.now())

    async def delete(self, package, node=None):
        """Delete a package."""
        await (node or self.node).release(
            lambda tx: use_cases.delete(tx, None, package.package_id, is_needed=not_needed)
        )

    async def content(self, package, node=None):
        """Return the bytes of a package, read in place."""
        opened = await (node or self.node).open(package.digest, package.size)
        return opened.read(0, opened.size)

    @staticmethod
    def image(size, seed=b"firmware"):
        """Return bytes like those of an image."""
        return hashlib.shake_256(seed).digest(size)

    @staticmethod
    async def pieces(content, piece=70_000):
        for at in range(0, len(content), piece):
            yield content[at : at + piece]

    @staticmethod
    async def note(_tx, _thing):
        """Nothing is written to the audit here."""

    async def kept(self):
        """Return how many different bytes the store keeps, packages or not."""
        raise NotImplementedError  # each store is looked into in a way of its own


class FolderShop(Shop):
    """On the embedded store."""

    def __init__(self, database, root):
        self.root = root
        super().__init__(database, lambda database, _clock, _number: FirmwareFiles(root, database))

    async def kept(self):
        return len([path for path in self.root.rglob("*") if path.is_file()])


class ChunkShop(Shop):
    """On the database of many nodes."""

    def __init__(self, database, root, others=()):
        self.root = root
        self._databases = itertools.cycle([database, *others])
        super().__init__(database, self._chunks)

    def _chunks(self, _database, clock, number, *, limit=1 << 30):
        database = next(self._databases)
        self.cache = PackageCache(self.root / str(number), clock, limit=limit)
        return FirmwareChunks(database, clock, self.cache)

    async def kept(self):
        contents = {row[0] for row in await self.database.read(lambda tx: tx.fetch(CONTENTS))}
        assert {row[0] for row in await self.database.read(lambda tx: tx.fetch(CHUNKS))} <= contents
        return len(contents)


@pytest.fixture
async def chunk_shop(empty_postgres_store, tmp_path):
    """Return nodes that have connections of their own."""
    url = await empty_postgres_store()
    databases = [await PostgresDatabase.open(url, START) for _ in range(4)]
    yield ChunkShop(databases[0], tmp_path / "caches", databases[1:])
    for database in databases:
        await database.close()


@pytest.fixture(params=["files", "chunks"])
async def shop(request, tmp_path):
    if request.param == "chunks":
        database = await PostgresDatabase.open(await request.getfixturevalue("empty_postgres_store")(), START)
        made = ChunkShop(database, tmp_path / "caches")
    else:
        database = await request.getfixturevalue("open_sqlite_store")(tmp_path / "store" / "firmcast.db")
        made = FolderShop(database, tmp_path / "firmware")
    yield made
    await database.close()


async def no_key(_tx, _application_id):
    return ""


async def not_needed(_tx, _package_id):
    return False
