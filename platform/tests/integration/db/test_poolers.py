"""Behind a pooler that gives each transaction another session nothing goes wrong, and nothing is left in its sessions.

Most of it is tested behind a pooler of the tests' own, which never gives two transactions in a row the same session;
and behind PgBouncer where it is installed.
"""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from pooler import Pooler, socket_of

from firmcast.db.inspection import PostgresInspection
from firmcast.db.port import Channel
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.postgres_connect import Connector, Way
from firmcast.db.sharing import SharedChannel
from firmcast.db.statement import portable
from firmcast.errors import StartError, StoreUnreachableError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NEWS = Channel("news")
SHARED = [SharedChannel(channel=NEWS, item=int)]
INSERT = portable("INSERT INTO note (number) VALUES (?1)")
SELECT = portable("SELECT number FROM note ORDER BY number")
LEFT = "SELECT (SELECT count(*) FROM pg_listening_channels()), current_setting('statement_timeout'), pg_backend_pid()"
PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE name NOT LIKE 'KEPT%'"
SESSIONS = 3


@pytest.fixture
async def url(new_postgres_database: Callable[[], Awaitable[str]]) -> str:
    """Return a database with a table of numbers."""
    made = await new_postgres_database()
    connection = await asyncpg.connect(made)
    await connection.execute("CREATE TABLE note (number bigint PRIMARY KEY)")
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET statement_timeout = '1min'")
    await connection.close()
    return made


@pytest.fixture
async def pooler(url: str, request: pytest.FixtureRequest) -> AsyncIterator[Pooler]:
    made = Pooler(url, keeps_statements=request.param, sessions=SESSIONS)
    yield made
    await made.stop()


async def note(tx, number):
    await tx.execute(INSERT, number)
    tx.announce(NEWS, [number])
    return number


async def notes(tx):
    # Also one that nobody has prepared yet, and is prepared without arguments.
    return [row[0] for row in await tx.fetch(SELECT)]


async def count_up(nodes: list[PostgresDatabase], numbers: range) -> list[int]:
    """Have nodes write and read at the same time, and return what one of them heard of the other."""
    heard: list[int] = []
    all_heard = asyncio.Event()

    def hear(items) -> None:
        heard.extend(items)
        if len(heard) >= len(numbers):
            all_heard.set()

    nodes[1].listen(NEWS, hear)
    for number in numbers:
        _, _, found = await asyncio.gather(
            nodes[0].write(note, number), nodes[1].write_apart(notes), nodes[1].read(notes)
        )
        assert found == sorted(found)
    async with asyncio.timeout(10):
        await all_heard.wait()
    nodes[1].unlisten(NEWS, hear)
    return heard


async def two_nodes(url: str) -> list[PostgresDatabase]:
    return [await PostgresDatabase.open(url, NOW, shared=SHARED) for _ in range(2)]


async def test_it_is_found_out_what_stands_in_between(url: str) -> None:
    straight = Connector(url, statement_seconds=5)
    await (await straight()).close()
    assert straight.way is Way.STRAIGHT
    for keeps, way in ((True, Way.KEEPING), (False, Way.FORGETFUL)):
        pooler = Pooler(url, keeps_statements=keeps)
        connect = Connector(await pooler.start(), statement_seconds=5)
        await (await connect()).close()
        assert connect.way is way
        await pooler.stop()


@pytest.mark.parametrize("pooler", [True, False], ids=["keeping", "forgetful"], indirect=True)
async def test_nodes_behind_one_mistake_nothing_and_leave_nothing_in_its_sessions(pooler: Pooler) -> None:
    through = await pooler.start()
    nodes = await two_nodes(through)
    assert await count_up(nodes, range(40)) == list(range(40))
    assert await nodes[1].read(notes) == list(range(40))
    inspection = await PostgresInspection.open(through)
    assert all("note" in each for each in await inspection.differences())
    assert await inspection.read(notes) == list(range(40))
    await inspection.close()
    for node in nodes:
        await node.close()
    raw = await asyncpg.connect(through, statement_cache_size=0)
    left = [tuple(await raw.fetchrow(LEFT)) for _ in range(SESSIONS)]
    assert {row[:2] for row in left} == {(0, "1min")}
    assert len({row[2] for row in left}) == SESSIONS
    assert [await raw.fetchval(PREPARED) for _ in range(SESSIONS)] == [0] * SESSIONS
    await raw.close()


@pytest.mark.parametrize("pooler", [True], ids=["keeping"], indirect=True)
async def test_a_pooler_that_keeps_statements_no_more_is_found_out_too(pooler: Pooler) -> None:
    nodes = await two_nodes(await pooler.start())
    await count_up(nodes, range(10))
    pooler.keeps_statements = False
    await nodes[0].write(note, 10)
    for node in nodes * SESSIONS * 4:
        try:
            found = await node.read(notes)
        except StoreUnreachableError:
            continue  # once for each connection of before
        assert found == list(range(11))
    await nodes[1].catch_up()  # what is heard from here on is what is written from here on
    assert await count_up(nodes, range(11, 20)) == list(range(11, 20))
    for node in nodes:
        await node.close()


class PgBouncer:
    """The real one, which hands its sessions out in turns."""

    def __init__(self, folder: Path, url: str, mode: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        database = urlsplit(url).path
        self._server = Path(socket_of(url)).parent
        self._port = port
        self._settings = folder / "pgbouncer.ini"
        self._settings.write_text(
            f"[databases]\n* = host={self._server} user=postgres\n[pgbouncer]\nauth_type = any\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"pool_mode = {mode}\nserver_round_robin = 1\n"
        )
        self.url = f"postgresql://postgres@127.0.0.1:{port}{database}?sslmode=disable"

    async def start(self) -> None:
        command = shutil.which("pgbouncer")
        if command is None:
            pytest.skip("pgbouncer is not installed")
        arguments = [command, "-q", str(self._settings)]
        if os.geteuid() == 0:  # as root it does not run, and not everybody may see the server's socket
            arguments[1:1] = ["-u", self._server.owner()]
        quiet = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(*arguments, stdout=quiet, stderr=quiet)
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError:
                    assert self._process.returncode is None
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    async def stop(self) -> None:
        self._process.send_signal(signal.SIGQUIT)
        await self._process.wait()


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_nodes_behind_pgbouncer(url: str, tmp_path: Path, mode: str) -> None:
    bouncer = PgBouncer(tmp_path, url, mode)
    await bouncer.start()
    nodes = await two_nodes(bouncer.url)
    assert await count_up(nodes, range(40)) == list(range(40))
    for node in nodes:
        await node.close()
    await bouncer.stop()


async def test_a_pooler_that_has_no_transactions_is_refused_at_the_start(url: str, tmp_path: Path) -> None:
    bouncer = PgBouncer(tmp_path, url, "statement")
    await bouncer.start()
    with pytest.raises(StartError, match="transaction"):
        await PostgresDatabase.open(bouncer.url, NOW)
    await bouncer.stop()
