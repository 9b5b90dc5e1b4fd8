"""A server that takes no writes counts as away, and a commit that nobody can tell of ends the process, in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pytest

from firmcast.db.port import Channel
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.postgres_errors import ReadOnlyError, is_out_of_reach
from firmcast.db.postgres_outcome import CommitOutcome, outcome_of, timeline_of
from firmcast.db.postgres_writer import PostgresWriter
from firmcast.db.sharing import SharedChannel
from firmcast.db.statement import portable
from firmcast.errors import StoreBrokenError, StoreError, StoreUnreachableError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INSERT = portable("INSERT INTO note (number) VALUES (?1)")
SELECT = portable("SELECT number FROM note ORDER BY number")
NUMBER = "SELECT pg_current_xact_id()::text"


@pytest.fixture
async def url(new_postgres_store: Callable[[], Awaitable[str]]) -> str:
    made = await new_postgres_store()
    connection = await asyncpg.connect(made)
    await connection.execute("CREATE TABLE note (number bigint PRIMARY KEY)")
    await connection.close()
    return made


@pytest.fixture
async def connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(url)
    yield made
    await made.close()


async def note(tx, number):
    await tx.execute(INSERT, number)
    return number


async def notes(tx):
    return [row[0] for row in await tx.fetch(SELECT)]


async def write_none_of_it(connection: asyncpg.Connection, *, allowed: bool) -> None:
    """Have the database refuse writes as a standby does, and end all connections, as when a primary has become one."""
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute("SET default_transaction_read_only = off")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {'off' if allowed else 'on'}")
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


async def test_a_server_that_has_become_a_standby_is_waited_for(
    url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: set[PostgresWriter] = set()

    async def try_it(self, group):
        try:
            return await attempt(self, group)
        except ReadOnlyError:
            refused.add(self)
            raise

    attempt = PostgresWriter._try
    monkeypatch.setattr(PostgresWriter, "_try", try_it)
    database = await PostgresDatabase.open(url, NOW)
    assert await database.write(note, 1) == 1
    await write_none_of_it(connection, allowed=False)
    writes = [
        asyncio.ensure_future(write(note, number))
        for number, write in ((2, database.write), (3, database.write_apart), (4, database.write_urgently))
    ]
    while len(refused) < len(writes):
        await asyncio.sleep(0.01)
    assert not any(write.done() for write in writes)
    await write_none_of_it(connection, allowed=True)
    assert await asyncio.gather(*writes) == [2, 3, 4]
    assert await database.write(notes) == [1, 2, 3, 4]
    await database.close()


async def test_who_waits_too_long_for_it_is_told_that_it_is_out_of_reach(
    url: str, connection: asyncpg.Connection
) -> None:
    await write_none_of_it(connection, allowed=False)

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(url)

    writer = PostgresWriter(connect, lambda _announced: None, patience=0.3)
    with pytest.raises(StoreUnreachableError):
        await writer.submit(lambda tx: note(tx, 1))
    await writer.close()


async def test_a_read_that_writes_is_a_mistake_all_the_same(url: str) -> None:
    database = await PostgresDatabase.open(url, NOW)
    with pytest.raises(StoreError, match="tried to write") as refused:
        await database.read(note, 1)
    assert not isinstance(refused.value, StoreUnreachableError)
    await database.close()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (asyncpg.AdminShutdownError("57P01"), True),
        (asyncpg.CrashShutdownError("57P02"), True),
        (asyncpg.CannotConnectNowError("57P03"), True),
        (asyncpg.exceptions.IdleSessionTimeoutError("57P05"), True),
        (asyncpg.TargetServerAttributeNotMatched("a standby"), True),
        (asyncpg.OutOfMemoryError("53200"), True),
        (asyncpg.InterfaceError("the connection is closed"), True),
        (ConnectionResetError(), True),
        (asyncpg.DataError("no such number"), False),
        (asyncpg.UndefinedTableError("42P01"), False),
        (KeyError("a mistake"), False),
    ],
)
def test_what_may_go_well_later_is_told_from_a_mistake(error: Exception, *, expected: bool) -> None:
    assert is_out_of_reach(error) is expected


async def test_what_the_database_says_of_a_commit_is_understood(url: str, connection: asyncpg.Connection) -> None:
    async def connect() -> asyncpg.Connection:
        return connection

    other = await asyncpg.connect(url)
    timeline = await timeline_of(connection)
    assert len(timeline) == 8
    numbers = {}
    for end in ("COMMIT", "ROLLBACK"):
        await other.execute("BEGIN")
        numbers[end] = await other.fetchval(NUMBER)
        await other.execute(end)
    await other.execute("BEGIN")
    open_one = await other.fetchval(NUMBER)
    future = str(int(open_one) + 1_000_000)
    committed, undone, untold = CommitOutcome.COMMITTED, CommitOutcome.UNDONE, CommitOutcome.UNTOLD
    for number, begun_on, expected in (
        (numbers["COMMIT"], timeline, committed),
        (numbers["ROLLBACK"], timeline, undone),
        (open_one, timeline, CommitOutcome.UNDER_WAY),  # and not for ever
        (future, timeline, undone),
        # After a fail-over the number may be another transaction's.
        (numbers["COMMIT"], "0000000F", untold),
        (numbers["ROLLBACK"], "0000000F", undone),
        (open_one, "0000000F", undone),
        # Where timelines are not told, the number is believed.
        (numbers["COMMIT"], "", committed),
    ):
        assert await outcome_of(connect, number, begun_on, patience=0.2) is expected, (number, begun_on)
    await other.close()


@pytest.fixture
def lose_answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[PostgresWriter, CommitOutcome, bool], None]:
    """Has a writer lose the answer to its next commit, which the database makes or not, and be told this of it."""

    def lose(writer: PostgresWriter, outcome: CommitOutcome, made: bool) -> None:
        async def told(*_arguments: object, **_options: object) -> CommitOutcome:
            return outcome

        monkeypatch.setattr("firmcast.db.postgres_writer.outcome_of", told)
        lost = False
        execute = type(writer._connection).execute

        async def lose_the_answer(self, query: str, *arguments, **options):
            nonlocal lost
            if query == "COMMIT" and self is writer._connection and not lost:
                lost = True
                if made:
                    await execute(self, query)
                self.terminate()
                raise ConnectionResetError
            return await execute(self, query, *arguments, **options)

        monkeypatch.setattr(type(writer._connection), "execute", lose_the_answer)

    return lose


async def test_a_commit_that_nobody_can_tell_of_ends_everything(url: str, lose_answers) -> None:
    database = await PostgresDatabase.open(url, NOW)
    await database.write(note, 1)
    lose_answers(database._writer, CommitOutcome.UNDER_WAY, made=False)
    results = await asyncio.gather(*(database.write(note, number) for number in (2, 3)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreBrokenError, StoreBrokenError]
    assert database.broken.is_set()
    with pytest.raises(StoreBrokenError):
        await database.write(note, 4)
    await database.close()


@pytest.mark.parametrize("made", [True, False])
async def test_after_a_failover_the_row_of_a_commit_says_whether_it_came_through(
    url: str, lose_answers, *, made: bool
) -> None:
    channel = Channel("news")
    database = await PostgresDatabase.open(url, NOW, shared=[SharedChannel(channel=channel, item=int)])
    heard: list[object] = []
    database.listen(channel, heard.extend)

    async def tell(tx, number):
        tx.announce(channel, [number])
        return await note(tx, number)

    assert await database.write(tell, 1) == 1
    for number, write in ((2, tell), (3, note)):  # of the second nothing is announced
        lose_answers(database._writer, CommitOutcome.UNTOLD, made=made)
        # Made again, it would meet its own row; taken for made, it would be missing.
        assert await database.write(write, number) == number
    assert await database.write(tell, 4) == 4
    assert (await database.write(notes), heard) == ([1, 2, 3, 4], [1, 2, 4])
    assert not database.broken.is_set()
    await database.close()


@pytest.mark.parametrize("outcome", [CommitOutcome.UNTOLD, CommitOutcome.UNDER_WAY])
async def test_what_may_be_made_twice_is_made_again(url: str, lose_answers, outcome: CommitOutcome) -> None:
    database = await PostgresDatabase.open(url, NOW)
    await database.write_apart(note, 1)
    lose_answers(database._apart, outcome, made=False)
    assert await database.write_apart(note, 2) == 2
    assert await database.read(notes) == [1, 2]
    await database.close()
