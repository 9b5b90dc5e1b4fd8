"""What goes wrong between us and PostgreSQL: lost connections, lost answers, other nodes in the way."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from pooler import socket_of

from firmcast.db import postgres
from firmcast.db.migrate import Migration
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.postgres_migrate import migrate
from firmcast.db.postgres_writer import PostgresWriter
from firmcast.db.statement import portable
from firmcast.errors import StartError, StoreError, StoreUnreachableError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INSERT = portable("INSERT INTO note (number) VALUES (?1)")
SELECT = portable("SELECT number FROM note ORDER BY number")
COUNT_UP = portable("UPDATE counter SET value = ?1")
VALUE = portable("SELECT value FROM counter")


@pytest.fixture
async def url(new_postgres_store: Callable[[], Awaitable[str]]) -> str:
    """Return a database with a table of numbers and a counter."""
    made = await new_postgres_store()
    connection = await asyncpg.connect(made)
    await connection.execute(
        "CREATE TABLE note (number bigint PRIMARY KEY);"
        "CREATE TABLE counter (value bigint NOT NULL); INSERT INTO counter VALUES (0)"
    )
    await connection.close()
    return made


@pytest.fixture
async def administrator(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def note(tx, number):
    await tx.execute(INSERT, number)
    return number


async def notes(tx):
    return [row[0] for row in await tx.fetch(SELECT)]


async def cut_all(administrator: asyncpg.Connection) -> int:
    """End every other connection to this database, and return how many there were."""
    rows = await administrator.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return len(rows)


class Relay:
    """Stands between us and the server, and can keep the answer to a COMMIT from us, or all answers."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.hide_next_commit = False
        self.commits_hidden = 0
        self.is_silent = False
        self._pumps: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        parts = urlsplit(self._url)
        return urlunsplit(parts._replace(netloc=f"postgres@127.0.0.1:{port}", query="sslmode=disable"))

    async def stop(self) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(socket_of(self._url))
        commit_seen = asyncio.Event()

        async def upstream() -> None:
            while data := await client_reader.read(1 << 16):
                if self.hide_next_commit and b"COMMIT" in data:
                    self.hide_next_commit = False
                    commit_seen.set()
                server_writer.write(data)
            server_writer.close()

        async def downstream() -> None:
            while data := await server_reader.read(1 << 16):
                if commit_seen.is_set():
                    # The database has committed: this is its answer, and nobody will see it.
                    self.commits_hidden += 1
                    break
                if not self.is_silent:
                    client_writer.write(data)
            client_writer.close()

        for pump in (upstream(), downstream()):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)


async def test_connections_that_are_cut_are_made_again(url: str, administrator: asyncpg.Connection) -> None:
    database = await PostgresDatabase.open(url, NOW)
    for number in range(20):
        await database.write(note, number)
        assert await cut_all(administrator) > 0
    assert await database.write(note, 20) == 20
    # A reading connection that was cut says so once for each; then there are new ones.
    for _ in range(10):
        try:
            found = await database.read(notes)
            break
        except StoreError:
            continue
    assert found == list(range(21))
    await database.close()


@pytest.mark.parametrize("error", [asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError])
async def test_a_database_that_takes_no_more_connections_is_out_of_reach_and_not_broken(
    url: str, monkeypatch: pytest.MonkeyPatch, error: type[asyncpg.PostgresError]
) -> None:
    database = await PostgresDatabase.open(url, NOW)

    def acquire() -> None:
        raise error("not now")

    with monkeypatch.context() as away:
        away.setattr(database, "_readers", SimpleNamespace(acquire=acquire))
        with pytest.raises(StoreUnreachableError, match="not now"):
            await database.read(notes)
    assert await database.read(notes) == []
    await database.close()


async def test_writes_that_are_cut_in_the_middle_are_each_written_once(
    url: str, administrator: asyncpg.Connection
) -> None:
    database = await PostgresDatabase.open(url, NOW)
    progress = asyncio.Event()
    cuts = 0

    async def cut_on() -> None:
        nonlocal cuts
        while True:
            cuts += await cut_all(administrator)
            progress.clear()
            await progress.wait()  # else nothing would ever come through
            for _ in range(random.randrange(20)):
                await asyncio.sleep(0)

    async def write(number: int) -> int:
        written = await database.write(note, number)
        progress.set()
        return written

    cutting = asyncio.create_task(cut_on())
    numbers = [await asyncio.gather(*(write(10 * row + i) for i in range(10))) for row in range(10)]
    cutting.cancel()
    await asyncio.gather(cutting, return_exceptions=True)
    assert cuts > 5
    assert [number for row in numbers for number in row] == list(range(100))
    assert await database.write(notes) == list(range(100))
    await database.close()


async def test_a_commit_whose_answer_is_lost_is_asked_for_and_not_repeated(url: str) -> None:
    relay = Relay(url)
    through = await relay.start()
    database = await PostgresDatabase.open(through, NOW)
    await database.write(note, 1)
    relay.hide_next_commit = True
    # Repeated, it would meet its own row.
    assert await asyncio.wait_for(database.write(note, 2), 20) == 2
    assert relay.commits_hidden == 1
    assert await database.write(note, 3) == 3
    assert await database.write(notes) == [1, 2, 3]
    await database.close()
    await relay.stop()


async def test_a_server_that_falls_silent_is_not_waited_for_twice(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be, by whoever asked it to roll back what it has not answered."""
    asked: list[str] = []
    execute = asyncpg.Connection.execute

    async def note_and_execute(connection, query, *args, **kwargs):
        asked.append(query)
        return await execute(connection, query, *args, **kwargs)

    await (await PostgresDatabase.open(url, NOW)).close()
    monkeypatch.setattr(postgres, "_STATEMENT_SECONDS", 0.5)
    monkeypatch.setattr(postgres, "_PATIENCE_SECONDS", 0.1)
    relay = Relay(url)
    database = await PostgresDatabase.open(await relay.start(), NOW, migrates=False)
    assert await database.write(note, 1) == 1
    assert await database.read(notes) == [1]
    monkeypatch.setattr(asyncpg.Connection, "execute", note_and_execute)
    relay.is_silent = True
    writing = asyncio.ensure_future(database.write(note, 2))
    with pytest.raises(StoreUnreachableError):
        await database.read(notes)
    with pytest.raises(StoreUnreachableError):
        await writing
    assert "ROLLBACK;" not in asked
    assert "ROLLBACK" not in asked
    relay.is_silent = False
    assert await database.write(note, 3) == 3
    assert await database.read(notes) == [1, 3]
    await database.close()
    await relay.stop()


async def test_nodes_that_meet_on_a_row_follow_one_another(url: str) -> None:
    nodes = [await PostgresDatabase.open(url, NOW) for _ in range(3)]

    async def count_up(tx):
        (value,) = await tx.fetch_row(VALUE)
        await tx.execute(COUNT_UP, value + 1)

    await asyncio.gather(*(node.write(count_up) for node in nodes for _ in range(60)))

    async def value(tx):
        return await tx.fetch_row(VALUE)

    assert await nodes[0].read(value) == (180,)
    for node in nodes:
        await node.close()


async def test_a_database_that_is_away_for_good_refuses_a_write_in_time() -> None:
    async def connect():
        raise ConnectionRefusedError("nobody there")

    writer = PostgresWriter(connect, lambda announced: None, patience=0.2)
    with pytest.raises(StoreError, match="in time"):
        await asyncio.wait_for(writer.submit(notes), 20)
    await writer.close()


async def test_an_address_where_nothing_is_keeps_the_platform_from_starting() -> None:
    with pytest.raises(StartError, match="cannot be used"):
        await PostgresDatabase.open("postgresql://nobody@127.0.0.1:1/none", NOW)
    with pytest.raises(StartError, match="cannot be used"):
        await PostgresDatabase.open("no address", NOW)


async def test_nodes_that_start_together_migrate_once(new_postgres_database: Callable[[], Awaitable[str]]) -> None:
    url = await new_postgres_database()
    steps = [
        Migration(number=1, name="0001_a.sql", sql="CREATE TABLE a (x text); INSERT INTO a VALUES ('one; two');"),
        Migration(number=2, name="0002_b.sql", sql="CREATE TABLE b (x text);"),
    ]
    connections = [await asyncpg.connect(url) for _ in range(4)]
    applied = await asyncio.gather(*(migrate(connection, steps, NOW) for connection in connections))
    assert sorted(applied) == [0, 0, 0, 2]
    assert await connections[0].fetchval("SELECT count(*) FROM a") == 1
    with pytest.raises(StartError, match="later release"):
        await migrate(connections[0], steps[:1], NOW)
    broken = Migration(number=3, name="0003_c.sql", sql="CREATE TABLE c (x text); SELECT nothing;")
    with pytest.raises(StartError, match="0003_c"):
        await migrate(connections[0], [*steps, broken], NOW)
    assert await connections[0].fetchval("SELECT to_regclass('c')") is None
    for connection in connections:
        await connection.close()
