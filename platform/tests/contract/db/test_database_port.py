"""What every adapter of the Database port keeps to; an adapter that joins is added to `store` and to nothing else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.db.port import Channel, Database
from firmcast.db.sqlite import SqliteDatabase
from firmcast.db.statement import differing, portable
from firmcast.errors import StoreError

CREATE = portable("CREATE TABLE note (number BIGINT PRIMARY KEY, text TEXT, raw BYTEA)")
CREATE_SQLITE = portable("CREATE TABLE note (number INTEGER PRIMARY KEY, text TEXT, raw BLOB)")
INSERT = portable("INSERT INTO note (number, text, raw) VALUES (?1, ?2, ?3)")
SELECT = portable("SELECT number, text, raw FROM note ORDER BY number")
SELECT_SOME = differing(
    sqlite="SELECT number FROM note WHERE number IN (SELECT value FROM json_each(?1)) ORDER BY number",
    postgres="SELECT number FROM note WHERE number = ANY(?1::bigint[]) ORDER BY number",
)
RENAME = portable("UPDATE note SET text = ?2 WHERE number >= ?1")
NEWS = Channel("news")


@pytest.fixture(params=["sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Return an open store of each kind with one empty table."""
    opened = await SqliteDatabase.open(tmp_path / "store.db", datetime.now(UTC))
    await opened.write(run, CREATE_SQLITE)
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


async def test_what_is_written_is_read(store: Database) -> None:
    assert await store.write(note, 1, "one", b"\x00\xff") == 1
    assert await store.read(notes) == [(1, "one", b"\x00\xff")]


async def test_large_numbers_text_and_bytes_come_back_as_they_were(store: Database) -> None:
    await store.write(note, (1 << 63) - 1, "ü\U0001f4e1", bytes(range(256)))
    assert await store.read(notes) == [((1 << 63) - 1, "ü\U0001f4e1", bytes(range(256)))]


async def test_a_use_case_that_fails_leaves_nothing_and_harms_no_neighbour(store: Database) -> None:
    results = await asyncio.gather(
        *(store.write(fail_after if number % 3 == 0 else note, number) for number in range(1, 61)),
        return_exceptions=True,
    )
    failed = [result.args[0] for result in results if isinstance(result, ValueError)]
    assert failed == [number for number in range(1, 61) if number % 3 == 0]
    assert [row[0] for row in await store.read(notes)] == [number for number in range(1, 61) if number % 3]


async def test_a_statement_that_fails_leaves_nothing_of_its_use_case(store: Database) -> None:
    await store.write(note, 7)

    async def twice(tx):
        await note(tx, 8)
        await note(tx, 7)

    with pytest.raises(Exception, match="(?i)unique"):
        await store.write(twice)
    assert [row[0] for row in await store.read(notes)] == [7]


async def test_announcements_come_after_the_commit_in_order_and_only_for_what_was_committed(store: Database) -> None:
    heard: list[int] = []
    store.listen(NEWS, heard.extend)
    await asyncio.gather(
        *(store.write(fail_after if number == 5 else note, number) for number in range(10)), return_exceptions=True
    )
    assert heard == [0, 1, 2, 3, 4, 6, 7, 8, 9]


async def test_a_write_that_nobody_waits_for_any_more_is_written_all_the_same(store: Database) -> None:
    waiting = asyncio.ensure_future(store.write(note, 1))
    await asyncio.sleep(0)
    waiting.cancel()
    await store.write(note, 2)
    assert [row[0] for row in await store.read(notes)] == [1, 2]


async def test_a_set_of_numbers_is_one_argument(store: Database) -> None:
    await asyncio.gather(*(store.write(note, number) for number in range(10)))

    async def some(tx):
        return await tx.fetch(SELECT_SOME, [3, 5, 99])

    assert await store.read(some) == [(3,), (5,)]


async def test_execute_tells_how_many_rows_it_changed(store: Database) -> None:
    await asyncio.gather(*(store.write(note, number) for number in range(10)))
    assert await store.write(run, RENAME, 6, "late") == 4


async def test_many_rows_are_written_by_one_call(store: Database) -> None:
    async def many(tx):
        await tx.execute_many(INSERT, [(number, "x", b"") for number in range(500)])

    await store.write(many)
    assert len(await store.read(notes)) == 500


async def test_a_read_cannot_write(store: Database) -> None:
    with pytest.raises(Exception, match="(?i)read"):
        await store.read(note, 1)
    assert await store.read(notes) == []


async def test_a_use_case_may_await_its_transaction_only(store: Database) -> None:
    async def wait(tx):
        await note(tx, 1)
        await asyncio.sleep(0)

    with pytest.raises(StoreError):
        await store.write(wait)
    assert await store.read(notes) == []


async def test_closing_finishes_what_was_asked_for_and_refuses_the_rest(store: Database) -> None:
    writes = [asyncio.ensure_future(store.write(note, number)) for number in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*writes) == list(range(50))
    with pytest.raises(StoreError):
        await store.write(note, 99)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=40))
def test_the_store_holds_what_a_dictionary_would(tmp_path_factory: pytest.TempPathFactory, steps) -> None:
    async def check() -> None:
        opened = await SqliteDatabase.open(tmp_path_factory.mktemp("model") / "store.db", datetime.now(UTC))
        await opened.write(run, CREATE_SQLITE)
        model: set[int] = set()
        calls = []
        for number, fails in steps:
            calls.append(opened.write(fail_after if fails else note, number))
            if not fails:
                model.add(number)
        await asyncio.gather(*calls, return_exceptions=True)
        assert {row[0] for row in await opened.read(notes)} == model
        await opened.close()

    asyncio.run(check())
