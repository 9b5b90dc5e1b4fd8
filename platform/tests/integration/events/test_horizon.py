"""What a reader may pass, on each store, while others write."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pytest

from firmcast.db.port import Database
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.postgres_transaction import run_use_case
from firmcast.events import use_cases
from firmcast.events.horizon import Horizon
from firmcast.events.log import NEW_EVENTS, EventLog
from firmcast.events.model import FirmwareStateChanged, NewEvent
from firmcast.ids import ApplicationId, DeviceId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def new(device: str) -> NewEvent:
    return NewEvent(
        application_id=ApplicationId("app"),
        device_id=DeviceId(device),
        occurred_at=NOW,
        fact=FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING),
    )


async def append(tx, log: EventLog, devices):
    return await log.append(tx, [new(device) for device in devices])


async def test_what_is_committed_is_final_at_the_first_look(database: Database, event_log: EventLog) -> None:
    horizon = Horizon()
    assert horizon.observe(await database.read(use_cases.observe_end)) == 0
    events = await database.write(append, event_log, ["a", "b", "a"])
    assert horizon.observe(await database.read(use_cases.observe_end)) == events[-1].event_id


async def test_a_write_that_is_undone_moves_nothing_that_counts(database: Database, event_log: EventLog) -> None:
    async def fail(tx):
        await append(tx, event_log, ["a"])
        raise ValueError

    with pytest.raises(ValueError):
        await database.write(fail)
    horizon = Horizon()
    horizon.observe(await database.read(use_cases.observe_end))
    (event,) = await database.write(append, event_log, ["a"])
    assert horizon.final < event.event_id


async def test_listeners_hear_once_of_a_commit_with_the_last_position(database: Database, event_log: EventLog) -> None:
    heard: list[int] = []
    database.listen(NEW_EVENTS, heard.extend)
    first = await database.write(append, event_log, ["a", "b"])
    second = await database.write(append, event_log, ["a"])
    assert heard == [first[-1].event_id, second[-1].event_id]


class Node:
    """Another node, in the middle of a transaction that appends."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def begin(self, log: EventLog, *devices: str):
        await self.connection.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        await self.connection.execute("SAVEPOINT one")
        events, _ = await run_use_case(self.connection, lambda tx: append(tx, log, devices))
        await self.connection.execute("RELEASE one")
        return events

    async def end(self, how: str) -> None:
        await self.connection.execute(how)


@pytest.fixture
async def postgres(empty_postgres_store: Callable[[], Awaitable[str]]) -> AsyncIterator[tuple[Database, Node, Node]]:
    """Return a store, and two nodes more on the same one."""
    url = await empty_postgres_store()
    database = await PostgresDatabase.open(url, NOW)
    nodes = [Node(await asyncpg.connect(url)) for _ in range(2)]
    yield database, nodes[0], nodes[1]
    for node in nodes:
        node.connection.terminate()
    await database.close()


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
async def test_a_lower_position_that_is_still_open_holds_the_horizon(
    postgres: tuple[Database, Node, Node], event_log: EventLog, end: str
) -> None:
    database, early, late = postgres
    (open_event,) = await early.begin(event_log, "a")
    (committed,) = await late.begin(event_log, "b")
    await late.end("COMMIT")
    assert open_event.event_id < committed.event_id
    horizon = Horizon()
    for _ in range(3):
        assert horizon.observe(await database.read(use_cases.observe_end)) < open_event.event_id
    await early.end(end)
    assert horizon.observe(await database.read(use_cases.observe_end)) == committed.event_id
    found = await database.read(use_cases.bodies, [open_event.event_id, committed.event_id])
    assert len(found) == (2 if end == "COMMIT" else 1)


async def test_it_moves_on_while_there_is_always_somebody_who_writes(
    postgres: tuple[Database, Node, Node], event_log: EventLog
) -> None:
    database, one, other = postgres
    horizon = Horizon()
    (before,) = await one.begin(event_log, "a")
    for number in range(5):
        one, other = other, one
        horizon.observe(await database.read(use_cases.observe_end))
        (event,) = await one.begin(event_log, f"device-{number}")
        await other.end("COMMIT")
        assert horizon.observe(await database.read(use_cases.observe_end)) >= before.event_id
        before = event
    await one.end("COMMIT")


async def test_a_transaction_that_writes_elsewhere_holds_nothing(
    postgres: tuple[Database, Node, Node], event_log: EventLog
) -> None:
    database, elsewhere, _ = postgres
    await elsewhere.connection.execute("BEGIN")
    await elsewhere.connection.execute("CREATE TEMPORARY TABLE note (number bigint)")
    await elsewhere.connection.execute("SELECT pg_current_xact_id()")
    (event,) = await database.write(append, event_log, ["a"])
    assert Horizon().observe(await database.read(use_cases.observe_end)) == event.event_id
