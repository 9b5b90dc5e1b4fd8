"""Nodes on one database hear of each other's commits: all of them, once, in order, through lost connections."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pytest

from firmcast.db.metrics import StoreMetrics
from firmcast.db.port import Channel
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.sharing import SharedChannel
from firmcast.db.statement import portable
from firmcast.errors import StoreError
from firmcast.ids import NodeId
from firmcast.metrics import Metrics

NEWS = Channel("news")
LOCAL = Channel("local")
TIMES = Channel("times")
HEARD_TIMES = Channel("times of others")
ROWS = Channel("rows")
HEARD_ROWS = Channel("rows of all")
SHARED = [
    SharedChannel(channel=NEWS, item=int | str),
    SharedChannel(
        channel=TIMES,
        item=str,
        heard_as=HEARD_TIMES,
        told=lambda items: [item.isoformat() for item in items],
        heard=lambda items: [datetime.fromisoformat(item) for item in items],
    ),
    SharedChannel(channel=ROWS, item=int, heard_as=HEARD_ROWS, heard_at_home=True),
]
INSERT = portable("INSERT INTO note (number) VALUES (?1)")
MOMENT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)

Nodes = Callable[[], Awaitable[PostgresDatabase]]


@pytest.fixture
async def url(new_postgres_store: Callable[[], Awaitable[str]]) -> str:
    return await new_postgres_store()


@pytest.fixture
async def administrator(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
async def new_node(url: str) -> AsyncIterator[Nodes]:
    opened: list[PostgresDatabase] = []

    async def open_node() -> PostgresDatabase:
        opened.append(await PostgresDatabase.open(url, MOMENT, shared=SHARED))
        return opened[-1]

    yield open_node
    for node in opened:
        await node.close()


class Heard(list):
    """Keeps what a node hears on a channel, and lets a test wait for it."""

    def __init__(self, node: PostgresDatabase, channel: Channel) -> None:
        self.changed = asyncio.Event()
        node.listen(channel, self.take)

    def take(self, items) -> None:
        self.extend(items)
        self.changed.set()

    async def until(self, count: int) -> list:
        while len(self) < count:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 10)
        return list(self)


async def announce(tx, channel, *items):
    tx.announce(channel, items)


async def announce_and_fail(tx, channel, *items):
    tx.announce(channel, items)
    raise ValueError


async def test_other_nodes_hear_once_and_in_order_what_was_committed(new_node: Nodes) -> None:
    one, two = await new_node(), await new_node()
    at_home, elsewhere = Heard(one, NEWS), Heard(two, NEWS)
    for number in range(20):
        await one.write(announce, NEWS, number)
        await one.write(announce, LOCAL, "nobody else's business")
        with pytest.raises(ValueError):
            await one.write(announce_and_fail, NEWS, "undone")
    assert await elsewhere.until(20) == list(range(20)) == at_home
    await two.catch_up()
    assert elsewhere == at_home, "nothing is heard twice"


async def test_items_have_a_form_for_other_nodes(new_node: Nodes) -> None:
    one, two = await new_node(), await new_node()
    at_home, elsewhere, wrong = Heard(one, TIMES), Heard(two, HEARD_TIMES), Heard(two, TIMES)
    await one.write(announce, TIMES, MOMENT)
    assert await elsewhere.until(1) == [MOMENT] == at_home
    assert wrong == []


async def test_a_node_reads_its_own_announcements_in_one_cut_with_the_others(new_node: Nodes) -> None:
    one, two = await new_node(), await new_node()
    together = [Heard(node, HEARD_ROWS) for node in (one, two)]
    for number in range(10):
        await (one, two)[number % 2].write(announce, ROWS, number)
        await one.write(announce, NEWS, "not read at home")
        await one.catch_up()
        assert together[0] == list(range(number + 1)), "what was committed before is always there"
    elsewhere = await together[1].until(10)
    # What is read in one go comes node by node, each node's in order: a cut, which whoever acts on it puts in order.
    assert [number for number in elsewhere if number % 2 == 0] == [0, 2, 4, 6, 8]
    assert [number for number in elsewhere if number % 2 == 1] == [1, 3, 5, 7, 9]
    assert not one.missed.is_set()


async def test_who_has_caught_up_knows_of_every_commit_before(new_node: Nodes) -> None:
    nodes = [await new_node() for _ in range(3)]
    heard = [Heard(node, NEWS) for node in nodes]
    for number in range(30):
        writer, reader = number % 3, (number + 1) % 3
        await nodes[writer].write(announce, NEWS, number)
        await nodes[reader].catch_up()
        assert number in heard[reader]


async def test_a_node_that_comes_later_hears_what_comes_after(new_node: Nodes) -> None:
    one = await new_node()
    await one.write(announce, NEWS, "before")
    two = await new_node()
    elsewhere = Heard(two, NEWS)
    await one.write(announce, NEWS, "after")
    assert await elsewhere.until(1) == ["after"]
    assert not two.missed.is_set()


async def test_lost_connections_and_lost_calls_lose_nothing(new_node: Nodes, administrator: asyncpg.Connection) -> None:
    one, two = await new_node(), await new_node()
    elsewhere = Heard(two, NEWS)
    for number in range(10):
        await administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await one.write(announce, NEWS, number)
    assert await elsewhere.until(10) == list(range(10))
    assert not two.missed.is_set()


async def test_a_node_is_told_when_it_was_away_for_too_long(new_node: Nodes, administrator: asyncpg.Connection) -> None:
    one, two = await new_node(), await new_node()
    await one.write(announce, NEWS, "heard")
    await two.catch_up()
    async with administrator.transaction():
        # All at once, as it looks to a node that comes back.
        await administrator.execute(
            "INSERT INTO announcement (node_id, number, channel, items) VALUES ($1, 5, $2, $3)",
            one.node_id,
            NEWS,
            '["late"]',
        )
    await two.catch_up()
    assert two.missed.is_set()


async def test_a_node_that_has_not_read_for_long_is_told_so_whatever_is_gone(new_node: Nodes) -> None:
    node = await new_node()
    mail = node._mail
    assert mail is not None
    await node.catch_up()
    assert not node.missed.is_set()
    mail._heard_at -= 250
    await node.catch_up()
    assert node.missed.is_set()


async def test_nobody_waits_for_a_node_that_has_ended(new_node: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    node = await new_node()
    reading = asyncio.Event()

    async def read_for_ever(_connection) -> None:
        reading.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(node._mail, "_read", read_for_ever)
    waiting = asyncio.create_task(node.catch_up())
    await reading.wait()
    await node.close()
    await asyncio.wait_for(waiting, 10)
    await asyncio.wait_for(node.catch_up(), 10)


async def test_announcements_that_cannot_be_written_undo_their_write_and_no_later_one(url: str) -> None:
    twins = [await PostgresDatabase.open(url, MOMENT, node_id=NodeId("same"), shared=SHARED) for _ in range(2)]
    async with asyncio.timeout(20):
        await twins[0].write(announce, NEWS, 1)
        with pytest.raises(StoreError):
            await twins[1].write(announce, NEWS, 2)
        await twins[1].write(announce, LOCAL, 3)
        await twins[0].write(announce, NEWS, 4)
    for twin in twins:
        await twin.close()


async def test_writes_apart_go_on_beside_a_write_that_is_held_up(
    new_node: Nodes, administrator: asyncpg.Connection
) -> None:
    node = await new_node()
    await administrator.execute("CREATE TABLE note (number bigint PRIMARY KEY)")
    async with administrator.transaction():
        await administrator.execute("INSERT INTO note VALUES (1)")

        async def insert(tx, number):
            return await tx.execute(INSERT, number)

        held_up = asyncio.create_task(node.write(insert, 1))  # waits for the row that is not yet committed
        assert await node.write_apart(insert, 2) == 1
        assert await node.write_urgently(insert, 3) == 1
        assert not held_up.done()
    with pytest.raises(asyncpg.UniqueViolationError):
        await held_up


async def test_what_makes_no_sense_is_passed_by_counted_and_followed_by_a_new_beginning(
    url: str, new_node: Nodes, administrator: asyncpg.Connection
) -> None:
    measured = StoreMetrics(Metrics(), time.monotonic)
    reader = await PostgresDatabase.open(url, MOMENT, shared=SHARED, metrics=measured)
    writer, heard, times = await new_node(), Heard(reader, NEWS), Heard(reader, HEARD_TIMES)
    assert await writer.write(announce, NEWS, 1) is None
    await heard.until(1)

    async def say(number: int, channel: str, items: str) -> None:
        await administrator.execute(
            "INSERT INTO announcement (node_id, number, channel, items) VALUES ('of another release', $1, $2, $3)",
            number,
            channel,
            items,
        )

    await say(1, "times", "{no JSON")
    await say(2, "times", '["no time"]')
    await say(3, "of which nobody knows", "whatever")
    await say(4, "news", "[2]")
    assert await heard.until(2) == [1, 2]
    assert (times, measured.unreadable.value, reader.missed.is_set()) == ([], 2, True)
    reader.missed.clear()
    await say(5, "times", '{"moment": "2026-05-04T03:02:01+00:00"}')
    await say(6, "news", "[3]")
    assert await heard.until(3) == [1, 2, 3]
    assert (measured.unreadable.value, reader.missed.is_set()) == (3, False), "not all the time"
    await reader.close()


async def test_a_mistake_of_ours_ends_no_mail(new_node: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = await new_node(), await new_node()
    heard = Heard(reader, NEWS)
    failed = asyncio.Event()

    async def fail(_connection) -> None:
        failed.set()
        raise KeyError("a mistake")

    with monkeypatch.context() as broken:
        broken.setattr(reader._mail, "_read", fail)
        await writer.write(announce, NEWS, 1)
        await failed.wait()
    assert await heard.until(1) == [1]
