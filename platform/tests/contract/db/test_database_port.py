"""What every adapter of the Database port keeps to; an adapter that joins is added to `opener` alone."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.db.port import Channel, Database
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.statement import Columns, differing, portable
from firmcast.errors import ConflictError, StoreError

CREATE = differing(
    sqlite="CREATE TABLE note (number INTEGER PRIMARY KEY, text TEXT, raw BLOB)",
    postgres="CREATE TABLE note (number BIGINT PRIMARY KEY, text TEXT, raw BYTEA)",
)
INSERT = portable("INSERT INTO note (number, text, raw) VALUES (?1, ?2, ?3)")
SELECT = portable("SELECT number, text, raw FROM note ORDER BY number")
SELECT_ONE = portable("SELECT number FROM note WHERE number = ?1")
SELECT_SOME = differing(
    sqlite="SELECT number FROM note WHERE number IN (SELECT value FROM json_each(?1)) ORDER BY number",
    postgres="SELECT number FROM note WHERE number = ANY(?1::bigint[]) ORDER BY number",
)
RENAME_SOME = differing(
    sqlite="UPDATE note SET text = ?2 WHERE text IN (SELECT value FROM json_each(?1))",
    postgres="UPDATE note SET text = ?2 WHERE text = ANY(?1::text[])",
)
RENAME = portable("UPDATE note SET text = ?2 WHERE number >= ?1")
RENUMBER = portable("UPDATE note SET number = ?1")
WRONG = portable("SELECT number FROM nowhere")
NEWS = Channel("news")
OTHER_NEWS = Channel("other news")


Opener = Callable[[], Awaitable[Database]]


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def opener(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opener:
    """Return what opens a new store of each kind."""
    if request.param == "sqlite":
        open_store = request.getfixturevalue("open_sqlite_store")
        return lambda: open_store(tmp_path_factory.mktemp("store") / "store.db")
    new_store = request.getfixturevalue("new_postgres_store")

    async def open_postgres() -> Database:
        return await PostgresDatabase.open(await new_store(), datetime.now(UTC))

    return open_postgres


@pytest.fixture
async def store(opener: Opener) -> AsyncIterator[Database]:
    """Return an open store of each kind with one empty table."""
    opened = await opener()
    await opened.write(run, CREATE)
    yield opened
    await opened.close()


async def run(tx, statement, *arguments):
    return await tx.execute(statement, *arguments)


async def note(tx, number, text="", raw=b""):
    await tx.execute(INSERT, number, text, raw)
    tx.announce(NEWS, [number])
    return number


async def notes(tx):
    return await tx.fetch(SELECT)


async def fail_after(tx, number):
    await note(tx, number)
    raise ValueError(number)


async def numbers(store: Database) -> list[int]:
    return [row[0] for row in await store.read(notes)]


async def test_what_is_written_is_read(store: Database) -> None:
    assert await store.write(note, 1, "one", b"\x00\xff") == 1
    assert await store.read(notes) == [(1, "one", b"\x00\xff")]


async def test_a_row_that_is_not_there_is_none(store: Database) -> None:
    async def one(tx, number):
        return await tx.fetch_row(SELECT_ONE, number)

    await store.write(note, 1)
    assert await store.read(one, 1) == (1,)
    assert await store.read(one, 2) is None


async def test_large_numbers_text_and_bytes_come_back_as_they_were(store: Database) -> None:
    await store.write(note, (1 << 63) - 1, "ü\U0001f4e1", bytes(range(256)))
    await store.write(note, -(1 << 63), "")
    assert await store.read(notes) == [
        (-(1 << 63), "", b""),
        ((1 << 63) - 1, "ü\U0001f4e1", bytes(range(256))),
    ]


async def test_a_number_of_more_than_64_bits_is_refused(store: Database) -> None:
    with pytest.raises(Exception, match="(?i)large|range|overflow"):
        await store.write(note, 1 << 63)
    assert await numbers(store) == []


async def test_a_use_case_that_fails_leaves_nothing_and_harms_no_neighbour(store: Database) -> None:
    results = await asyncio.gather(
        *(store.write(fail_after if number % 3 == 0 else note, number) for number in range(1, 61)),
        return_exceptions=True,
    )
    failed = [result.args[0] for result in results if isinstance(result, ValueError)]
    assert failed == [number for number in range(1, 61) if number % 3 == 0]
    assert await numbers(store) == [number for number in range(1, 61) if number % 3]


async def test_a_statement_that_fails_leaves_nothing_of_its_use_case(store: Database) -> None:
    await store.write(note, 7)

    async def twice(tx):
        await note(tx, 8)
        await note(tx, 7)

    with pytest.raises(Exception, match="(?i)unique"):
        await store.write(twice)
    assert await numbers(store) == [7]


async def test_a_use_case_cannot_go_on_after_a_statement_has_failed(store: Database) -> None:
    heard: list[Exception] = []

    async def carry_on(tx):
        await note(tx, 1)
        for statement in (WRONG, SELECT):
            try:
                await tx.fetch(statement)
            except Exception as error:
                heard.append(error)
        return "done"

    with pytest.raises(Exception, match="nowhere"):
        await store.write(carry_on)
    assert await numbers(store) == []
    assert "nowhere" in str(heard[0])
    assert isinstance(heard[1], StoreError)


async def test_a_use_case_may_say_what_a_failed_statement_means(store: Database) -> None:
    async def once(tx, number):
        try:
            await note(tx, number)
        except Exception as error:
            raise ConflictError("it is there") from error

    await store.write(once, 1)
    with pytest.raises(ConflictError):
        await store.write(once, 1)
    await store.write(once, 2)
    assert await numbers(store) == [1, 2]


async def test_a_use_case_that_ends_in_a_cancellation_harms_no_neighbour(store: Database) -> None:
    async def cancelled(tx):
        await note(tx, 1)
        raise asyncio.CancelledError

    results = await asyncio.gather(store.write(cancelled), store.write(note, 2), return_exceptions=True)
    assert isinstance(results[0], StoreError)
    assert results[1] == 2

    async def cancelled_read(tx):
        await tx.fetch(SELECT)
        raise asyncio.CancelledError

    with pytest.raises(StoreError, match="Cancelled"):
        await store.read(cancelled_read)
    assert await numbers(store) == [2]


async def test_a_transaction_is_of_no_use_after_its_end(store: Database) -> None:
    async def keep(tx):
        return tx

    for kept in (await store.write(keep), await store.read(keep)):
        with pytest.raises(StoreError):
            await kept.execute(INSERT, 1, "", b"")
    assert await numbers(store) == []


async def test_a_use_case_may_await_its_transaction_only(store: Database) -> None:
    async def wait(tx, statement, *arguments):
        await tx.fetch(statement, *arguments)
        await asyncio.sleep(0)

    with pytest.raises(StoreError, match="await"):
        await store.write(wait, INSERT, 1, "", b"")
    with pytest.raises(StoreError, match="await"):
        await store.read(wait, SELECT)
    assert await numbers(store) == []


async def test_announcements_come_after_the_commit_in_order_and_only_for_what_was_committed(store: Database) -> None:
    heard: list[int] = []
    store.listen(NEWS, heard.extend)
    await asyncio.gather(
        *(store.write(fail_after if number == 5 else note, number) for number in range(10)), return_exceptions=True
    )
    assert heard == [0, 1, 2, 3, 4, 6, 7, 8, 9]


async def test_listeners_have_heard_when_the_write_returns_and_find_what_they_heard_of(store: Database) -> None:
    heard: list[asyncio.Task[list[int]]] = []
    store.listen(NEWS, lambda _items: heard.append(asyncio.ensure_future(numbers(store))))
    await store.write(note, 1)
    assert [await each for each in heard] == [[1]]


async def test_listeners_hear_of_their_channel_and_nobody_of_nothing(store: Database) -> None:
    heard: list[tuple[str, list[int]]] = []
    store.listen(NEWS, lambda items: heard.append(("news", list(items))))
    store.listen(OTHER_NEWS, lambda items: heard.append(("other", list(items))))

    async def announce(tx, channel, items):
        tx.announce(channel, items)

    await store.write(announce, OTHER_NEWS, [1, 2])
    await store.write(announce, NEWS, [])
    assert heard == [("other", [1, 2])]


async def test_a_listener_that_fails_keeps_nothing_from_the_others(store: Database) -> None:
    unforeseen: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unforeseen.append(context["exception"]))
    heard: list[int] = []

    def fail(items) -> None:
        raise ValueError(items)

    store.listen(NEWS, fail)
    store.listen(NEWS, heard.extend)
    assert await store.write(note, 1) == 1
    assert heard == [1]
    assert [type(each) for each in unforeseen] == [ValueError]


async def test_a_write_that_nobody_waits_for_any_more_is_written_all_the_same(store: Database) -> None:
    waiting = asyncio.ensure_future(store.write(note, 1))
    await asyncio.sleep(0)
    waiting.cancel()
    await store.write(note, 2)
    assert await numbers(store) == [1, 2]


async def test_a_set_of_numbers_is_one_argument(store: Database) -> None:
    await asyncio.gather(*(store.write(note, number) for number in range(10)))

    async def some(tx, wanted):
        return [row[0] for row in await tx.fetch(SELECT_SOME, wanted)]

    assert await store.read(some, [3, 5, 99]) == [3, 5]
    assert await store.read(some, []) == []
    assert await store.read(some, list(range(5_000))) == list(range(10))


async def test_a_set_of_words_stands_beside_other_arguments(store: Database) -> None:
    words = ["a", 'quo"te', "ü\n", ""]
    for number, word in enumerate(words):
        await store.write(note, number, word)
    assert await store.write(run, RENAME_SOME, [*words[1:], "other"], "found") == 3
    assert [row[1] for row in await store.read(notes)] == ["a", "found", "found", "found"]


async def test_execute_tells_how_many_rows_it_changed(store: Database) -> None:
    await asyncio.gather(*(store.write(note, number) for number in range(10)))
    assert await store.write(run, RENAME, 6, "late") == 4


async def test_many_rows_are_written_by_one_call(store: Database) -> None:
    async def many(tx, rows):
        await tx.execute_many(INSERT, rows)

    await store.write(many, [(number, "x", b"") for number in range(500)])
    await store.write(many, [])
    assert await numbers(store) == list(range(500))
    with pytest.raises(Exception, match="(?i)unique"):
        await store.write(many, [(500, "", b""), (0, "", b"")])
    assert await numbers(store) == list(range(500))


async def test_rows_are_copied_where_the_store_can_and_are_of_the_transaction(store: Database) -> None:
    async def copy(tx, rows):
        return await tx.copy(Columns("note", "number, text, raw"), iter(rows))

    rows = [(number, "ü\n\t\\N", b"\0\xff") for number in range(500)]
    has_copied = await store.write(copy, rows)
    assert has_copied is isinstance(store, PostgresDatabase)
    if has_copied:
        assert await store.write(copy, [])
        for wrong in ([(500, "", b""), (0, "", b"")], [(501, "", b""), (502, 1, b"")]):
            with pytest.raises(Exception, match=r"(?i)unique|expected str"):
                await store.write(copy, wrong)
    assert await store.read(notes) == (rows if has_copied else [])


async def test_a_read_cannot_write(store: Database) -> None:
    with pytest.raises(StoreError, match="read"):
        await store.read(note, 1)
    assert await numbers(store) == []


async def test_a_read_sees_one_state_however_much_is_written_meanwhile(store: Database) -> None:
    await store.write(note, 0)

    async def look(tx):
        first = await tx.fetch(SELECT)
        await tx.fetch(SELECT_SOME, list(range(20_000)))  # takes a while
        return first, await tx.fetch(SELECT)

    async def renumber():
        for number in range(1, 60):
            await store.write(run, RENUMBER, number)

    writing = asyncio.ensure_future(renumber())
    while not writing.done():
        first, second = await store.read(look)
        assert first == second
    await writing
    assert await numbers(store) == [59]


async def test_two_hundred_writers_at_a_time_each_see_what_the_others_wrote(store: Database) -> None:
    async def count_up(tx):
        rows = await tx.fetch(SELECT)
        if rows:
            await tx.execute(RENUMBER, rows[0][0] + 1)
        else:
            await tx.execute(INSERT, 1, "", b"")

    await asyncio.gather(*(store.write(count_up) for _ in range(200)))
    assert await numbers(store) == [200]


async def test_more_reads_than_are_run_at_a_time_are_all_answered(store: Database) -> None:
    await store.write(note, 1)
    reads = [asyncio.ensure_future(numbers(store)) for _ in range(600)]
    await asyncio.sleep(0)
    for read in reads[::3]:
        read.cancel()
    answers = await asyncio.gather(*reads, return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, list)] == [[1]] * 400


async def test_closing_finishes_what_was_asked_for_and_refuses_the_rest(store: Database) -> None:
    writes = [asyncio.ensure_future(store.write(note, number)) for number in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*writes) == list(range(50))
    with pytest.raises(StoreError):
        await store.write(note, 99)
    with pytest.raises(StoreError):
        await store.read(notes)
    await store.close()


@settings(max_examples=15, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40))
def test_the_store_holds_what_a_dictionary_would(opener: Opener, steps) -> None:
    async def check() -> None:
        opened = await opener()
        await opened.write(run, CREATE)
        model: set[int] = set()
        expected = []
        for number, fails in steps:
            expected.append(not fails and number not in model)
            if not fails:
                model.add(number)
        calls = [opened.write(fail_after if fails else note, number) for number, fails in steps]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [not isinstance(result, Exception) for result in results] == expected
        assert set(await numbers(opened)) == model
        await opened.close()

    asyncio.run(check())


async def test_a_write_apart_is_durable_and_undone_as_any_other(store: Database) -> None:
    assert await store.write_apart(note, 1, "one") == 1
    with pytest.raises(ValueError, match="2"):
        await store.write_apart(fail_after, 2)
    assert [row[0] for row in await store.read(notes)] == [1]


async def test_a_write_behind_lets_those_go_before_that_somebody_waits_for(store: Database) -> None:
    heard: list[int] = []
    store.listen(NEWS, heard.extend)
    all_asked = threading.Event()

    async def note_late(tx, number):
        assert all_asked.wait(10)  # on PostgreSQL it is set before any of them has begun
        return await note(tx, number)

    asked = [
        asyncio.ensure_future(it)
        for it in (
            store.write(note_late, 1),
            store.write_behind(note, 2),
            store.write_behind(note, 3),
            store.write(note, 4),
            store.write(note, 5),
        )
    ]
    await asyncio.sleep(0)
    all_asked.set()
    assert await asyncio.gather(*asked) == [1, 2, 3, 4, 5]
    assert heard == [1, 4, 5, 2, 3]


async def test_a_write_behind_is_durable_and_undone_as_any_other(store: Database) -> None:
    assert await store.write_behind(note, 1, "one") == 1
    with pytest.raises(ValueError, match="2"):
        await store.write_behind(fail_after, 2)
    assert [row[0] for row in await store.read(notes)] == [1]


async def test_a_listener_that_left_hears_nothing_more(store: Database) -> None:
    stayed: list[int] = []
    left: list[int] = []
    for listener in (stayed.extend, left.extend):
        store.listen(NEWS, listener)
    await store.write(note, 1)
    store.unlisten(NEWS, left.extend)
    await store.write(note, 2)
    assert (stayed, left) == ([1, 2], [1])


async def test_who_catches_up_has_heard_of_every_write_before(store: Database) -> None:
    heard: list[int] = []
    store.listen(NEWS, heard.extend)
    await store.write(note, 1)
    await store.catch_up()
    assert heard == [1]
