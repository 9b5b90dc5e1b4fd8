"""Faults 15 and 16: the database restarts, cuts connections, tells nothing, and cannot clean up after itself."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest
from tests.faults.conftest import NewEngine, Scale
from tests.faults.oracle import judge
from tests.faults.processes import Engine, Receiver
from tests.faults.test_nodes import Load, found, longest_wait
from tests.faults.test_receivers import LEAST_LATENCY, steady_load, typical_p99
from tests.postgres_server import new_postgres_store, started_postgres

pytestmark = pytest.mark.takes_long

STATES = "firmware.state_changed"
WANTED = {"/states": STATES}
POLL_SECONDS = 1.0
DELIVERY_SECONDS = 0.5
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
DEAD_ROWS = "SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables WHERE relname LIKE 'delivery%'"


@pytest.fixture
def own_postgres() -> Iterator[Any]:
    """Return a PostgreSQL server that nobody else uses."""
    with started_postgres() as server:
        yield server


async def test_a_database_that_restarts_is_waited_for(
    own_postgres: Any, new_engine: NewEngine, receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    engine = new_engine(await new_postgres_store(own_postgres.get_uri()))
    await engine.start()
    application = await engine.application(receiver, "application", WANTED)
    load = Load([engine], application)
    await receiver.wait(300)
    for away in (0.0, scale(2.0, 5.0, 60.0)):
        engine.note_kill()
        await asyncio.to_thread(own_postgres.stop)
        await asyncio.sleep(away)
        await asyncio.to_thread(own_postgres.ensure_postgres_running)
        await receiver.wait(len(await receiver.all_arrivals()) + 500)
    await load.stop()
    judged = await found(engine, receiver, [engine])
    judged.assert_none()
    tell(f"longest wait {longest_wait(receiver.arrivals):.1f} s, {judged.duplicates} duplicates")
    assert judged.duplicates <= engine.most_repeated


async def test_connections_that_are_cut_are_made_again(
    postgres: str, new_engine: NewEngine, receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    store = await new_postgres_store(postgres)
    engine = new_engine(store)
    await engine.start()
    application = await engine.application(receiver, "application", WANTED)
    load = Load([engine], application)
    cutter = await asyncpg.connect(store["FIRMCAST_DATABASE_URL"])
    cuts = scale(3, 20, 200)
    for _ in range(cuts):
        await receiver.wait(len(await receiver.all_arrivals()) + 100)
        engine.note_kill()
        await cutter.execute(CUT)
    await cutter.close()
    await load.stop()
    judged = await found(engine, receiver, [engine])
    judged.assert_none()
    tell(f"{cuts} cuts, longest wait {longest_wait(receiver.arrivals):.1f} s, {judged.duplicates} duplicates")
    assert judged.duplicates <= engine.most_repeated


async def test_without_a_notification_the_other_node_looks_by_itself(
    nodes: list[Engine], receiver: Receiver, tell: Callable[[str], None]
) -> None:
    for node in nodes:
        node.terminate()
        assert await node.ended() == 0
    for node in nodes:
        await node.start(environment={"FAULTS_DEAF": "1"})
    application = await nodes[0].application(receiver, "application", WANTED)
    load = Load(nodes[:1], application)
    await receiver.wait(2_000)
    await load.stop()
    judged = await found(nodes[0], receiver, nodes)
    judged.assert_none()
    assert judged.duplicates == 0
    longest = longest_wait(receiver.arrivals)
    tell(f"longest wait {longest:.2f} s")
    assert longest < POLL_SECONDS + DELIVERY_SECONDS


async def test_a_snapshot_that_is_held_slows_nothing_down(
    postgres: str, new_engine: NewEngine, receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    store = await new_postgres_store(postgres)
    engine = new_engine(store)
    await engine.start()
    application = await engine.application(receiver, "application", WANTED)
    devices = [f"device-{number}" for number in range(100)]
    seconds = scale(2.0, 20.0, 1800.0)
    await steady_load(engine, application, devices, seconds)
    before = len(await receiver.all_arrivals())
    holder = await asyncpg.connect(store["FIRMCAST_DATABASE_URL"])
    transaction = holder.transaction(isolation="repeatable_read")
    await transaction.start()
    await holder.fetchval("SELECT count(*) FROM delivery")
    await steady_load(engine, application, devices, seconds)
    dead = await dead_rows(store)
    await transaction.rollback()
    await holder.close()
    await engine.settled()
    arrivals = await receiver.all_arrivals()
    judge(arrivals, await engine.log(), WANTED, engine.acknowledged).assert_none()
    baseline = typical_p99(arrivals[:before])
    held = typical_p99(arrivals[before:])
    tell(f"p99 {held * 1000:.1f} ms with a held snapshot, {baseline * 1000:.1f} ms before; {dead} dead rows")
    assert held < 2 * max(baseline, LEAST_LATENCY)


async def dead_rows(store: dict[str, str]) -> int:
    connection = await asyncpg.connect(store["FIRMCAST_DATABASE_URL"])
    try:
        return int(await connection.fetchval(DEAD_ROWS))
    finally:
        await connection.close()
