"""Lives and leases on a real PostgreSQL: shares change hands when a node ends, dies or stands still, not before."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from firmcast.clock import SystemClock
from firmcast.db.postgres import PostgresDatabase
from firmcast.ids import GatewayId, NodeId
from firmcast.nodes import use_cases
from firmcast.nodes.keeper import Keeper
from firmcast.nodes.model import DUTIES, PARTITION_SHARES, Epoch, Node, Share
from firmcast.settings import Role

LIFE = timedelta(seconds=2)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERYTHING = frozenset({*PARTITION_SHARES, *DUTIES})


class Hands:
    """Does no work, but tells what it has; gives back what it is asked for at once."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.changed = asyncio.Event()
        self.times_lost = 0
        self._tasks: set[asyncio.Task[None]] = set()
        keeper.listen(self)

    def gained(self, shares: Collection[Share]) -> None:
        self.changed.set()

    def give_back(self, shares: Collection[Share]) -> None:
        task = asyncio.create_task(self.keeper.release(list(shares)))
        self._tasks.add(task)
        task.add_done_callback(lambda _: self.changed.set())

    def lost(self) -> None:
        self.times_lost += 1
        self.changed.set()

    def held(self) -> dict[Share, Epoch]:
        return {share: epoch for share in EVERYTHING if (epoch := self.keeper.epoch_of(share)) is not None}

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()


class Cluster:
    def __init__(self, url: str) -> None:
        self.url = url
        self.databases: list[PostgresDatabase] = []
        self.keepers: list[Keeper] = []

    async def node(self, roles: frozenset[Role] = frozenset(Role), clock: SystemClock | None = None) -> Hands:
        database = await PostgresDatabase.open(self.url, NOW)
        keeper = Keeper(
            database=database, clock=clock or SystemClock(), name=f"node {len(self.keepers)}", roles=roles, life=LIFE
        )
        self.databases.append(database)
        self.keepers.append(keeper)
        hands = Hands(keeper)
        await keeper.start()
        return hands

    async def end(self) -> None:
        for keeper in self.keepers:
            await keeper.stop()
        for database in self.databases:
            await database.close()


@pytest.fixture
async def cluster(new_postgres_store: Callable[[], Awaitable[str]]) -> AsyncIterator[Cluster]:
    made = Cluster(await new_postgres_store())
    yield made
    await made.end()


async def kill(hands: Hands) -> None:
    """Let a node do nothing any more, as after a SIGKILL."""
    task = hands.keeper._task
    assert task is not None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_node_that_is_alone_has_everything_when_it_has_started(cluster: Cluster) -> None:
    one = await cluster.node()
    assert one.held() == dict.fromkeys(EVERYTHING, 1)


async def test_a_second_node_gets_half_without_a_gap_in_the_epochs(cluster: Cluster) -> None:
    one = await cluster.node()
    two = await cluster.node()
    await two.until(lambda: len(set(two.held()) & set(PARTITION_SHARES)) == 32)
    assert set(one.held()).isdisjoint(two.held())
    assert set(one.held()) | set(two.held()) == EVERYTHING
    assert set(two.held().values()) == {2}


async def test_what_a_node_had_that_ends_well_is_taken_at_the_next_look(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    await one.keeper.stop()
    await two.until(lambda: set(two.held()) == EVERYTHING)


async def test_what_a_dead_node_had_is_taken_when_its_life_is_over(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    await two.until(lambda: len(set(two.held()) & set(PARTITION_SHARES)) == 32)
    await kill(one)
    stopped = asyncio.get_running_loop().time()
    await two.until(lambda: set(two.held()) == EVERYTHING)
    assert not one.held(), "it knows by itself that its time is over before anybody else acts on it"
    assert asyncio.get_running_loop().time() - stopped > LIFE.total_seconds() / 2


async def test_a_node_that_was_given_up_begins_another_life_with_nothing_of_the_old(cluster: Cluster) -> None:
    one = await cluster.node()
    old = one.keeper.node_id
    administrator = await asyncpg.connect(cluster.url)
    await administrator.execute("DELETE FROM node")
    await administrator.close()
    await one.until(lambda: one.times_lost == 1)
    await one.until(lambda: set(one.held()) == EVERYTHING)
    assert one.keeper.node_id != old
    assert set(one.held().values()) == {2}


async def test_the_gateway_of_a_node_keeps_its_name_in_the_next_life(cluster: Cluster) -> None:
    one = await cluster.node()
    database = cluster.databases[0]
    gateway_id = GatewayId("here/1")
    keeper = Keeper(
        database=database,
        clock=SystemClock(),
        name="with a gateway",
        roles=frozenset({Role.GATEWAY}),
        life=LIFE,
        gateway_id=gateway_id,
    )
    await keeper.start()
    assert await database.read(use_cases.gateways) == {gateway_id}
    first = keeper.node_id
    await database.write_urgently(use_cases.end, first)
    assert await database.read(use_cases.gateways) == frozenset()
    async with asyncio.timeout(20):
        while keeper.node_id == first or not keeper.is_alive:
            await asyncio.sleep(0.01)
    assert await database.read(use_cases.gateways) == {gateway_id}
    await keeper.stop()
    assert await database.read(use_cases.gateways) == frozenset()
    assert one.held()


async def test_a_write_for_a_share_holds_its_node_alive_and_fails_after_it_was_given_up(cluster: Cluster) -> None:
    one = await cluster.node()
    database = cluster.databases[0]
    share, epoch = Share("partition-0"), Epoch(1)
    administrator = await asyncpg.connect(cluster.url)

    async def check(tx, node_id: NodeId, *, during: Callable[[], None] = lambda: None):
        found = await use_cases.still_held(tx, node_id, [(share, epoch), (Share("partition-1"), Epoch(7))])
        during()
        return found

    assert await database.write_apart(check, one.keeper.node_id) == {(share, epoch)}
    async with administrator.transaction():
        # A renewal of the node must not hold its writes up, nor make them fail.
        await administrator.execute("UPDATE node SET expires_at = expires_at + 1")
        assert await database.write_apart(check, one.keeper.node_id) == {(share, epoch)}
    async with administrator.transaction():
        await administrator.execute("SELECT FROM node FOR KEY SHARE")
        given_up = await database.write_urgently(use_cases.look)
        assert given_up[1] == []
        other = await asyncpg.connect(cluster.url)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await other.execute("SET lock_timeout = '100ms'; DELETE FROM node")
        await other.close()
    await administrator.execute("DELETE FROM node")
    assert await database.write_apart(check, one.keeper.node_id) == frozenset()
    await administrator.close()


async def test_a_node_whose_database_is_cut_off_lets_go_before_others_may_take(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await cluster.node(), await cluster.node()
    await two.until(lambda: len(set(two.held()) & set(PARTITION_SHARES)) == 32)

    async def unreachable(*_: object, **__: object) -> None:
        raise OSError("cut off")

    lost_at_takeover: list[bool] = []
    had = set(one.held())

    def note(shares: Collection[Share]) -> None:
        if had & set(shares):
            lost_at_takeover.append(not one.held())
        two.changed.set()

    monkeypatch.setattr(two, "gained", note)
    monkeypatch.setattr(cluster.databases[0]._urgent, "_connect", unreachable)
    await cluster.databases[0]._urgent._hang_up()
    await two.until(lambda: set(two.held()) == EVERYTHING)
    assert lost_at_takeover
    assert all(lost_at_takeover)
    assert one.times_lost == 1


async def test_who_saw_that_nothing_was_held_hears_of_it_though_the_renewal_came_through(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await cluster.node()
    write = one.keeper._database.write_urgently
    seen: list[object] = []

    async def slowly(use_case, *args):
        result = await write(use_case, *args)
        if use_case is use_cases.renew and not seen:
            one.keeper._good_until = 0.0  # its answer comes when the time before it is over
            seen.append(one.held())
        return result

    monkeypatch.setattr(one.keeper._database, "write_urgently", slowly)
    await one.until(lambda: bool(seen) and set(one.held()) == EVERYTHING)
    assert seen == [{}]
    assert one.times_lost == 1


async def test_a_claim_that_waited_takes_nothing_from_a_node_that_began_meanwhile(cluster: Cluster) -> None:
    first = await cluster.node()
    await first.keeper.stop()
    database, claimer = cluster.databases[0], await PostgresDatabase.open(cluster.url, NOW)
    share, held_up = Share("partition-5"), Share("partition-1")
    administrator = await asyncpg.connect(cluster.url)
    async with asyncio.timeout(20):
        async with administrator.transaction():
            await administrator.execute("SELECT FROM lease WHERE share = $1 FOR UPDATE", held_up)
            slow = asyncio.create_task(
                claimer.write_urgently(use_cases.claim, NodeId("the slow one"), [held_up, share])
            )
            while not await administrator.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0)
            await database.write_urgently(
                use_cases.begin, Node(node_id=NodeId("the quick one"), name="", roles=frozenset(Role)), LIFE
            )
            quickly = await database.write_urgently(use_cases.claim, NodeId("the quick one"), [share])
        slowly = await slow
    await administrator.close()
    await claimer.close()
    assert sorted([*quickly, *slowly]) == [held_up, share], "each share has gone to one of them"


async def test_a_failure_that_nobody_foresaw_does_not_end_the_keeper(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await cluster.node()
    write, failures = one.keeper._database.write_urgently, 0

    async def fail_once(use_case, *args):
        nonlocal failures
        if not failures:
            failures += 1
            raise asyncpg.OutOfMemoryError("out of shared memory")
        one.changed.set()
        return await write(use_case, *args)

    one.changed.clear()
    monkeypatch.setattr(one.keeper._database, "write_urgently", fail_once)
    await asyncio.wait_for(one.changed.wait(), 20)
    assert failures == 1
    assert one.times_lost == 0


async def test_a_node_whose_share_was_taken_all_the_same_lets_go_of_everything(cluster: Cluster) -> None:
    one = await cluster.node()
    administrator = await asyncpg.connect(cluster.url)
    await administrator.execute(
        "UPDATE lease SET node_id = 'another', epoch = epoch + 1 WHERE share = $1", Share("partition-7")
    )
    await administrator.close()
    await one.until(lambda: one.times_lost == 1)
    await one.until(lambda: set(one.held()) == EVERYTHING)
