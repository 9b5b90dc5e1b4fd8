"""Nodes that deliver from one PostgreSQL: each delivery by one of them, in order, while they come, go and die.

Each node here is a store, a keeper and a pusher of its own on the test's loop; what a killed process leaves behind is
tried with real processes in the acceptance and fault tests.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from firmcast.applications import use_cases as applications
from firmcast.clock import Clock, SystemClock
from firmcast.db.columns import to_column
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.statement import portable
from firmcast.errors import StoreError, StoreUnreachableError
from firmcast.events.log import EventLog
from firmcast.events.model import EventType, FirmwareStateChanged, NewEvent
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, ReplayId, TaskId, partition_of
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.nodes import use_cases as nodes
from firmcast.nodes.keeper import Keeper
from firmcast.nodes.model import PARTITION_SHARES, share_of
from firmcast.platform_store import SHARED
from firmcast.push import standings
from firmcast.push import use_cases as push
from firmcast.push.configuration import destination_rules, sender_limits
from firmcast.push.dispatcher import Dispatcher
from firmcast.push.envelope import encode_event
from firmcast.push.http_sender import HttpSender
from firmcast.push.pusher import Pusher
from firmcast.push.replay import use_cases as replays
from firmcast.push.replay.model import ReplayOrder, ReplayState
from firmcast.push.replay.runner import ReplayRunner
from firmcast.push.use_cases import CALLBACKS_HELD, fan_out
from firmcast.sealing import Sealer
from firmcast.settings import PushSettings, Role
from firmcast.subscriptions import use_cases as subscriptions

SETTINGS = PushSettings(allowed_networks=("127.0.0.0/8",), concurrency=64, subscription_concurrency=32)
SEALER = Sealer(bytes(32))
LIFE = timedelta(seconds=2)
DEVICES = 40


def new_event(application_id: ApplicationId, device: str) -> NewEvent:
    return NewEvent(
        application_id=application_id,
        device_id=DeviceId(device),
        task_id=TaskId("task"),
        device_upgrade_id=DeviceUpgradeId(f"upgrade-{device}"),
        occurred_at=datetime.now(UTC),
        fact=FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING),
    )


class Node:
    """A node that takes events in and delivers."""

    def __init__(self, database: PostgresDatabase, keeper: Keeper, pusher: Pusher) -> None:
        self.database = database
        self.keeper = keeper
        self.pusher = pusher
        self.log = EventLog(encode=encode_event, projections=[fan_out])
        self.ended = False

    @classmethod
    async def start(cls, url: str, name: str, clock: Clock) -> "Node":
        database = await PostgresDatabase.open(url, datetime.now(UTC), shared=SHARED)
        keeper = Keeper(database=database, clock=clock, name=name, roles=frozenset({Role.PUSHER}), life=LIFE)

        def make(ownership) -> Dispatcher:
            return Dispatcher(
                database=database,
                sender=HttpSender(rules=destination_rules(SETTINGS), limits=sender_limits(SETTINGS)),
                clock=clock,
                settings=SETTINGS,
                sealer=SEALER,
                ownership=ownership,
            )

        self = cls(database, keeper, Pusher(make, keeper))
        await keeper.start()
        await self.pusher.start()
        return self

    async def happen(self, application_id: ApplicationId, devices: list[str]) -> None:
        """Take in one event of each of these devices, in one commit."""
        await self.database.write(self.log.append, [new_event(application_id, device) for device in devices])

    async def stop(self, drain_seconds: float = 5) -> None:
        """End as a process does that was asked to."""
        self.ended = True
        await self.pusher.stop(drain_seconds)
        await self.keeper.stop()
        await self.database.close()

    async def vanish(self) -> None:
        """Do nothing any more, as a killed process: nothing is finished, written or given back."""
        self.ended = True
        await self.pusher.dispatcher.abandon()
        self.keeper._task.cancel()
        await asyncio.gather(self.keeper._task, return_exceptions=True)
        await self.database.close()


class World:
    def __init__(self, url: str, callback) -> None:
        self.url = url
        self.callback = callback
        self.nodes: list[Node] = []
        self.application_id = ApplicationId("")
        self.expected: Counter[str] = Counter()
        self._arrived = asyncio.Event()
        self._answer, callback.script = callback.script, self._answer_and_tell

    async def _answer_and_tell(self, request, writer) -> bool:
        self._arrived.set()
        return await self._answer(request, writer)

    async def more(self) -> None:
        """Wait for the next request."""
        self._arrived.clear()
        await self._arrived.wait()

    async def node(self, clock: Clock | None = None) -> Node:
        self.nodes.append(await Node.start(self.url, f"node {len(self.nodes)}", clock or SystemClock()))
        return self.nodes[-1]

    async def begin(self) -> None:
        node = await self.node()
        made = await node.database.write(applications.create, "many nodes", SEALER, datetime.now(UTC))
        self.application_id = made.application_id
        await node.database.write(
            subscriptions.subscribe,
            self.application_id,
            EventType.FIRMWARE_STATE_CHANGED,
            self.callback.url(),
            datetime.now(UTC),
        )

    async def happen(self, node: Node, devices: list[str]) -> None:
        await node.happen(self.application_id, devices)
        self.expected.update(devices)

    async def all_arrived(self) -> None:
        """Wait until every event has arrived; each lane in order from its first to its last."""
        async with asyncio.timeout(40):
            while sum(map(len, self.callback.lanes().values())) < self.expected.total():
                await self.more()
        assert self.callback.lanes() == {device: list(range(1, count + 1)) for device, count in self.expected.items()}

    @property
    def duplicates(self) -> int:
        return len(self.callback.requests) - self.expected.total()

    async def end(self) -> None:
        for node in self.nodes:
            if not node.ended:
                await node.stop()


@pytest.fixture
async def world(new_postgres_store: Callable[[], Awaitable[str]], callback) -> AsyncIterator[World]:
    made = World(await new_postgres_store(), callback)
    await made.begin()
    yield made
    await made.end()


def devices_of(number: int) -> list[str]:
    return [f"device-{place}" for place in range(number)]


async def test_what_any_node_takes_in_is_delivered_once_by_the_node_that_has_the_device(world: World) -> None:
    await world.node()
    await world.node()
    await settled(world)
    for number in range(12):
        await world.happen(world.nodes[number % 3], devices_of(DEVICES))
    await world.all_arrived()
    assert world.duplicates == 0
    assert len({partition_of(DeviceId(device)) for device in world.expected}) > 20, "many partitions had a part in it"


async def test_events_of_one_device_that_nodes_take_in_at_once_stay_in_order(world: World) -> None:
    await world.node()
    await world.node()
    await settled(world)

    async def take_in(node: Node) -> None:
        for _ in range(30):
            await world.happen(node, devices_of(3))

    await asyncio.gather(*(take_in(node) for node in world.nodes))
    await world.all_arrived()
    assert world.duplicates == 0


async def test_a_node_that_comes_under_load_takes_its_share_without_a_duplicate(world: World) -> None:
    async def take_in() -> None:
        for _ in range(60):
            await world.happen(world.nodes[0], devices_of(DEVICES))

    load = asyncio.create_task(take_in())
    await world.node()
    await world.node()
    await settled(world)
    await load
    await world.all_arrived()
    assert world.duplicates == 0


async def test_a_node_that_ends_under_load_leaves_without_a_duplicate(world: World) -> None:
    second = await world.node()
    await settled(world)

    async def take_in() -> None:
        for _ in range(60):
            await world.happen(world.nodes[0], devices_of(DEVICES))

    load = asyncio.create_task(take_in())
    await world.more()
    await second.stop()
    await load
    await world.all_arrived()
    assert world.duplicates == 0


async def test_a_receiver_that_takes_its_time_keeps_no_other_device_at_a_node_that_ends(world: World) -> None:
    second = await world.node()
    await settled(world)
    of_second = [it for it in devices_of(200) if second.keeper.epoch_of(share_of(partition_of(DeviceId(it))))]
    slow = of_second[0]
    others = [it for it in of_second if partition_of(DeviceId(it)) != partition_of(DeviceId(slow))]
    may_answer = asyncio.Event()

    async def script(request, writer) -> bool:
        if json.loads(request.body)["deviceId"] == slow:
            await may_answer.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    world._answer = script
    await world.happen(world.nodes[0], [slow])
    await world.more()
    stopping = asyncio.create_task(second.stop(drain_seconds=30))
    await world.happen(world.nodes[0], others)
    while len(world.callback.lanes()) < 1 + len(others):
        await world.more()
    assert not stopping.done(), "what the slow receiver has not answered is waited for"
    may_answer.set()
    await stopping
    await world.all_arrived()
    assert world.duplicates == 0


async def test_what_a_node_had_that_vanishes_is_delivered_by_the_others_in_order(world: World) -> None:
    second = await world.node()
    await settled(world)

    async def take_in() -> None:
        for _ in range(40):
            await world.happen(world.nodes[0], devices_of(DEVICES))

    load = asyncio.create_task(take_in())
    await world.more()
    await second.vanish()
    await load
    await world.all_arrived()
    assert world.duplicates <= SETTINGS.concurrency + 1000, "what was under way, and what was not yet written"


async def test_a_node_that_was_given_up_while_it_stood_still_writes_nothing_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.nodes[0]
    second = await world.node()
    await settled(world)
    await world.happen(first, devices_of(DEVICES))
    await world.all_arrived()
    # The second node renews no more and does not notice the time, as a process that was stopped.
    second.keeper._task.cancel()
    monkeypatch.setattr(Keeper, "is_alive", property(lambda self: self is second.keeper or self._good_until > 0))
    held = dict(second.keeper._held)
    monkeypatch.setattr(second.keeper, "epoch_of", held.get)
    async with asyncio.timeout(20):
        while len([share for share in first.keeper._held if share.startswith("partition")]) < 64:
            await asyncio.sleep(0)
    for _ in range(5):
        await world.happen(second, devices_of(DEVICES))  # it is told of them, and sends them: duplicates
    await world.all_arrived()
    async with asyncio.timeout(20):
        while not second.pusher.dispatcher.refused:
            await asyncio.sleep(0)
    connection = await asyncpg.connect(world.url)
    async with asyncio.timeout(20):
        while await connection.fetchval("SELECT count(*) FROM delivery"):
            await asyncio.sleep(0)
    await connection.close()
    await second.vanish()


async def test_a_subscription_that_comes_and_goes_elsewhere_is_known_to_every_node(world: World, new_callback) -> None:
    await world.node()
    await settled(world)
    elsewhere = await new_callback()
    first, second = world.nodes
    await second.database.write(
        subscriptions.subscribe,
        world.application_id,
        EventType.FIRMWARE_STATE_CHANGED,
        elsewhere.url(),
        datetime.now(UTC),
    )
    await first.happen(world.application_id, devices_of(DEVICES))
    async with asyncio.timeout(20):
        while len(elsewhere.requests) < DEVICES:
            await asyncio.sleep(0)
    assert world.callback.requests == []


@pytest.mark.parametrize("seed", range(3))
async def test_nodes_that_come_and_go_at_random_lose_and_overtake_nothing(world: World, seed: int) -> None:
    chance = random.Random(seed)

    async def take_in() -> None:
        for _ in range(50):
            node = chance.choice([node for node in world.nodes if not node.ended])
            await world.happen(node, chance.sample(devices_of(DEVICES), 20))

    async def come_and_go() -> None:
        for _ in range(4):
            await world.more()
            alive = [node for node in world.nodes[1:] if not node.ended]
            if len(alive) < 2 or chance.random() < 0.5:
                await world.node()
            else:
                await chance.choice(alive).stop()

    load = asyncio.create_task(take_in())
    changes = asyncio.create_task(come_and_go())
    await load
    await world.all_arrived()
    changes.cancel()
    await asyncio.gather(changes, return_exceptions=True)


async def order_replay(world: World, node: Node) -> ReplayId:
    """Have everything told again that happened until now."""
    found, _ = await node.database.read(subscriptions.listed, world.application_id)
    order = ReplayOrder(
        application_id=world.application_id,
        subscription_ids=tuple(one.subscription_id for one in found),
        device_id=None,
        since=None,
        until=None,
        rate=10_000,
    )
    return await node.database.write(replays.start, order, datetime.now(UTC), "test")


async def test_a_replay_that_one_node_runs_is_delivered_by_each_devices_own(world: World) -> None:
    await world.node()
    third = await world.node()
    await settled(world)
    for _ in range(5):
        await world.happen(world.nodes[0], devices_of(DEVICES))
    await world.all_arrived()
    runner = ReplayRunner(database=third.database, clock=SystemClock(), most_waiting=100)
    await runner.start()
    replay_id = await order_replay(world, world.nodes[1])
    for _ in range(5):
        await world.happen(world.nodes[0], devices_of(DEVICES))
    async with asyncio.timeout(40):
        while (found := await third.database.read(replays.find, replay_id, 1_000)).replay.state is ReplayState.OPEN:
            await asyncio.sleep(0.01)
    await runner.stop()
    await world.all_arrived()
    again = [request for request in world.callback.requests if request.headers.get("firmcast-replay") == "true"]
    assert found.replay.queued == len(again) == world.duplicates == 5 * DEVICES


async def test_a_replay_that_is_cancelled_anywhere_is_sent_by_no_node_any_more(world: World, callback) -> None:
    await world.node()
    third = await world.node()
    await settled(world)
    for _ in range(20):
        await world.happen(world.nodes[0], devices_of(DEVICES))
    await world.all_arrived()
    release = asyncio.Event()

    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        await release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    callback.script = script
    runner = ReplayRunner(database=third.database, clock=SystemClock(), most_waiting=200)
    await runner.start()
    replay_id = await order_replay(world, world.nodes[1])
    async with asyncio.timeout(40):
        while (await third.database.read(replays.find, replay_id, 1_000)).outstanding < 200:
            await asyncio.sleep(0.01)
        # Every node has something under way; how much at a time, its scheduler decides.
        while not all(node.pusher.dispatcher.in_flight for node in world.nodes):
            await asyncio.sleep(0.01)
    await world.nodes[1].database.write(replays.cancel, replay_id, datetime.now(UTC))
    for node in world.nodes:
        await node.database.catch_up()
    under_way = sum(node.pusher.dispatcher.in_flight for node in world.nodes)
    assert under_way < DEVICES
    release.set()
    async with asyncio.timeout(40):
        while sum(node.pusher.dispatcher._lanes.queued for node in world.nodes):
            await asyncio.sleep(0.01)
    await runner.stop()
    assert world.duplicates == under_way


async def settled(world: World) -> None:
    """Wait until the partitions are shared out evenly."""
    alive = [node for node in world.nodes if not node.ended]
    most = -(-64 // len(alive))
    async with asyncio.timeout(20):
        while True:
            counts = [sum(share.startswith("partition") for share in node.keeper._held) for node in alive]
            if sum(counts) == 64 and max(counts) <= most:
                return
            await asyncio.sleep(0.01)


async def test_a_receiver_that_asks_one_node_for_time_gets_it_from_all(world: World) -> None:
    second = await world.node()
    await settled(world)
    loop = asyncio.get_running_loop()
    refused_at, arrived_at = [], []

    async def script(_request, writer) -> bool:
        (arrived_at if refused_at else refused_at).append(loop.time())
        head = "200 OK" if arrived_at else "429 Too Many Requests\r\nRetry-After: 3"
        writer.write(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())
        return True

    world._answer = script
    first = world.nodes[0]
    heard = {node: asyncio.Event() for node in (first, second)}
    for node, event in heard.items():
        node.database.listen(CALLBACKS_HELD, lambda _held, event=event: event.set())
    await world.happen(second, ["device-0"])
    async with asyncio.timeout(20):
        await asyncio.gather(*(event.wait() for event in heard.values()))
    for node in heard:
        await world.happen(node, devices_of(DEVICES))
    await world.all_arrived()
    assert len(refused_at) == 1
    assert min(arrived_at) - refused_at[0] >= 2.99


class FastClock(SystemClock):
    """A clock that was an hour ahead when somebody looked at it for the first time, and still is."""

    def now(self) -> datetime:
        return super().now() + timedelta(hours=1)


async def test_nobody_waits_by_the_clock_of_a_node_that_is_an_hour_ahead(world: World) -> None:
    ahead = await world.node(FastClock())
    await settled(world)
    answer, asked = world._answer, []

    async def ask_for_time(request, writer) -> bool:
        asked.append(request)
        writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
        return True

    world._answer = ask_for_time
    await world.happen(ahead, devices_of(DEVICES))
    async with asyncio.timeout(20):
        while len(asked) < 4:
            await world.more()
    await ahead.stop()  # what it has heard is in the store, and told
    world._answer = answer
    async with asyncio.timeout(20):
        await world.all_arrived()


async def test_a_callback_is_gone_though_each_node_is_told_so_of_few_devices(world: World) -> None:
    second = await world.node()
    await settled(world)
    answer = world._answer

    async def refuse(_request, writer) -> bool:
        writer.write(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")
        return True

    world._answer = refuse
    owned = {
        node: [it for it in devices_of(DEVICES) if node.pusher.dispatcher._is_mine(DeviceId(it))]
        for node in world.nodes
    }
    few = [*owned[world.nodes[0]][:2], owned[second][0]]
    ((subscription,), _) = await second.database.read(subscriptions.listed, world.application_id)
    await world.happen(second, few)
    async with asyncio.timeout(20):
        while any(node.pusher.dispatcher._roster.groups.group_of(subscription.subscription_id) for node in world.nodes):
            await asyncio.sleep(0.01)
    refused = len(world.callback.requests)
    await world.happen(second, few)
    for node in world.nodes:
        await node.database.catch_up()
    assert len(world.callback.requests) == refused
    world._answer = answer
    world.callback.requests.clear()
    await second.database.write(standings.resume, subscription.subscription_id)
    await world.all_arrived()
    assert world.duplicates == 0


async def test_what_is_read_while_partitions_leave_begins_nothing_of_them(world: World) -> None:
    (node,) = world.nodes
    dispatcher, partitions = node.pusher.dispatcher, list(PARTITION_SHARES.values())
    release, finished = asyncio.Event(), []

    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        await release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    world._answer = script
    for _ in range(3):
        await world.happen(node, devices_of(DEVICES))
    async with asyncio.timeout(20):
        while not dispatcher.in_flight:
            await asyncio.sleep(0.01)
    dispatcher.give_back(partitions, finished.extend)
    under_way = dispatcher.in_flight
    dispatcher.take_up([])  # as when others come meanwhile: what the store has is read
    (group,) = dispatcher._lanes.groups.values()
    async with asyncio.timeout(20):
        while group._spill is not None:
            await asyncio.sleep(0.01)
    assert dispatcher._lanes.queued == dispatcher.in_flight == under_way
    release.set()
    async with asyncio.timeout(20):
        while len(finished) < len(partitions):
            await asyncio.sleep(0.01)
    assert len(world.callback.requests) == under_way
    dispatcher.take_up(partitions)  # as when they come back
    await world.all_arrived()
    assert world.duplicates == 0


async def test_what_a_receiver_asked_a_node_for_that_is_gone_is_read_from_the_store(world: World) -> None:
    (node,) = world.nodes
    dispatcher, partitions, finished = node.pusher.dispatcher, list(PARTITION_SHARES.values()), []
    dispatcher.give_back(partitions, finished.extend)
    async with asyncio.timeout(20):
        while len(finished) < len(partitions):
            await asyncio.sleep(0.01)
    await world.happen(node, devices_of(DEVICES))
    until = datetime.now(UTC) + timedelta(seconds=2)

    async def as_the_former_owner(tx) -> None:
        await tx.execute(
            portable(
                "INSERT INTO lane (subscription_id, device_id, event_id, attempts, first_attempted_at, next_attempt_at,"
                " reason, blocked) SELECT subscription_id, device_id, event_id, 0, ?1, ?1, 'throttled', 0 FROM delivery"
                " ORDER BY event_id DESC LIMIT 1"
            ),
            to_column(until),
        )

    await node.database.write(as_the_former_owner)
    arrived_at = []

    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        arrived_at.append(datetime.now(UTC))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    world._answer = script
    dispatcher.take_up(partitions)
    await world.all_arrived()
    assert min(arrived_at) >= until, "all of them, not only the lane that was asked about"


async def test_what_comes_as_partitions_do_overtakes_nothing_that_was_there_before(world: World) -> None:
    (node,) = world.nodes
    await world.happen(node, devices_of(DEVICES))
    await world.all_arrived()
    shares = list(PARTITION_SHARES)
    async with node.pusher._changing:  # as while another dispatcher begins
        while True:
            await node.keeper.release(shares)
            await node.keeper._changing.acquire()  # it takes nothing meanwhile
            if node.keeper.epoch_of(shares[0]) is None:
                break
            node.keeper._changing.release()
        await world.happen(node, devices_of(DEVICES))  # told to nobody, since nobody has them
        await node.database.catch_up()
        node.keeper._changing.release()
        async with asyncio.timeout(20):
            while node.keeper.shares_held < len(shares):
                await asyncio.sleep(0.01)
        await world.happen(node, devices_of(DEVICES))
        await node.database.catch_up()
    await world.all_arrived()


async def test_what_is_heard_of_a_subscription_after_its_end_holds_nobody_up(world: World) -> None:
    (node,) = world.nodes
    dispatcher, event_type = node.pusher.dispatcher, EventType.FIRMWARE_STATE_CHANGED
    arrivals, roster = dispatcher._arrivals, dispatcher._roster
    ((ended,), _) = await node.database.read(subscriptions.listed, world.application_id)
    while ended.subscription_id not in roster.callbacks:
        await asyncio.sleep(0.01)
    async with asyncio.timeout(20), arrivals._offering:
        await node.happen(world.application_id, ["device-0"])
        await node.database.write(subscriptions.remove, world.application_id, [ended.subscription_id])
        while ended.subscription_id in roster.callbacks:
            await asyncio.sleep(0.01)
    await arrivals.settle()
    await node.database.write(
        subscriptions.subscribe, world.application_id, event_type, world.callback.url(), datetime.now(UTC)
    )
    await node.happen(world.application_id, ["device-0"])
    async with asyncio.timeout(20):
        while not world.callback.requests:
            await asyncio.sleep(0.01)
    assert world.callback.lanes() == {"device-0": [2]}


async def test_what_an_operator_does_at_one_node_holds_at_all(world: World) -> None:
    first, second = world.nodes[0], await world.node()
    await settled(world)
    ((subscription,), _) = await first.database.read(subscriptions.listed, world.application_id)
    subscription_id = subscription.subscription_id
    await second.database.write(standings.pause, subscription_id, datetime.now(UTC))
    async with asyncio.timeout(20):
        while any(node.pusher.dispatcher._roster.groups.group_of(subscription_id) for node in world.nodes):
            await asyncio.sleep(0.01)
    for node in world.nodes:
        await world.happen(node, devices_of(DEVICES))
    for node in world.nodes:
        await node.database.catch_up()
    assert world.callback.requests == []
    await first.database.write(standings.resume, subscription_id)
    await world.all_arrived()
    assert world.duplicates == 0


async def test_a_partition_that_is_given_back_is_begun_by_no_later_dispatcher(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, pusher = world.nodes[0].keeper, world.nodes[0].pusher
    partition = partition_of(DeviceId("device-0"))
    write, leaving_at_release = keeper._database.write_urgently, []

    async def watch(use_case, *args):
        if use_case is nodes.release:
            leaving_at_release.append(partition in pusher.dispatcher._leaving)
        return await write(use_case, *args)

    monkeypatch.setattr(keeper._database, "write_urgently", watch)
    async with asyncio.timeout(20):
        async with keeper._changing:  # as while it looks
            pusher.give_back([share_of(partition)])
            while partition not in pusher.dispatcher._leaving._finished:
                await asyncio.sleep(0)
            # Announcements were missed, and another dispatcher begins with what this node has.
            renewal = asyncio.create_task(pusher.renew())
            while not renewal.done() and not pusher._changing._waiters:
                await asyncio.sleep(0)
        await renewal
        while keeper._changing.locked() or not leaving_at_release:
            await asyncio.sleep(0)
    assert leaving_at_release == [True]
    await settled(world)
    await world.happen(world.nodes[0], devices_of(DEVICES))
    await world.all_arrived()


async def test_a_row_that_was_read_for_a_callback_that_moved_meanwhile_is_not_lost(
    world: World, new_callback, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = world.nodes[0]
    mail, lanes = node.database._mail, node.pusher.dispatcher._lanes
    assert mail is not None
    reading, may_read, may_hear = asyncio.Event(), asyncio.Event(), asyncio.Event()
    read, hear = node.database.read, mail._read
    hearing = 0

    async def slow_read(use_case, *args, **kwargs):
        if use_case is push.load and not reading.is_set():
            reading.set()
            await may_read.wait()
        return await read(use_case, *args, **kwargs)

    async def slow_hear(connection) -> None:
        nonlocal hearing
        await may_hear.wait()
        hearing += 1
        await hear(connection)
        hearing -= 1

    monkeypatch.setattr(node.database, "read", slow_read)
    monkeypatch.setattr(mail, "_read", slow_hear)
    may_hear.set()
    second = await new_callback()
    async with asyncio.timeout(20):
        node.pusher.dispatcher.take_up([])
        await reading.wait()
        await node.database.write(
            subscriptions.subscribe,
            world.application_id,
            EventType.FIRMWARE_STATE_CHANGED,
            second.url(),
            datetime.now(UTC),
        )
        await node.happen(world.application_id, ["device-0"])
        while not second.requests or any(group._spill is not None for group in lanes.groups.values()):
            await asyncio.sleep(0)
        # The new group has read all there was; what comes now is seen by the former one's read before it is heard of.
        may_hear.clear()
        while hearing:
            await asyncio.sleep(0)
        elsewhere = await PostgresDatabase.open(world.url, datetime.now(UTC), shared=SHARED)
        await Node(elsewhere, node.keeper, node.pusher).happen(world.application_id, ["device-1"])
        await elsewhere.close()
        may_read.set()
        while not mail._waiters:
            await asyncio.sleep(0)
        may_hear.set()
        while second.lanes() != {"device-0": [1], "device-1": [1]}:
            await asyncio.sleep(0)


async def test_a_node_ends_though_its_store_went_away_while_it_began_another_life(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = world.nodes[0]
    asked = asyncio.Event()

    async def away(*_args, **_kwargs) -> None:
        asked.set()
        raise StoreUnreachableError("away")

    with monkeypatch.context() as outage:
        outage.setattr(node.database, "read", away)
        node.pusher.missed()
        await asyncio.wait_for(asked.wait(), 20)
        await asyncio.wait_for(node.pusher.stop(5), 20)
    ended = node.pusher.dispatcher
    node.pusher.lost()
    await node.stop()
    assert node.pusher.dispatcher is ended
    assert not node.pusher.broken.is_set()


async def test_a_life_that_cannot_begin_ends_the_process(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    node = world.nodes[0]

    def make(_ownership) -> Dispatcher:
        raise StoreError("not any more")

    monkeypatch.setattr(node.pusher, "_make", make)
    node.pusher.missed()
    await asyncio.wait_for(node.pusher.broken.wait(), 20)


@pytest.mark.parametrize("told", [Pusher.missed, Pusher.lost])
async def test_nothing_is_begun_from_the_moment_that_a_life_is_over(world: World, told) -> None:
    node = world.nodes[0]
    before = node.pusher.dispatcher
    before.take_up([])
    told(node.pusher)
    assert not before.is_running
    await node.happen(world.application_id, ["device-0"])
    async with asyncio.timeout(20):
        while not world.callback.requests:
            await asyncio.sleep(0)
    assert node.pusher.dispatcher is not before


async def test_what_is_heard_behind_a_gap_does_not_overtake_what_was_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = world.nodes[0]
    mail = node.database._mail
    assert mail is not None
    hear, may_hear = mail._read, asyncio.Event()

    async def slow_hear(connection) -> None:
        await may_hear.wait()
        await hear(connection)

    async def renew() -> None:
        await node.database.missed.wait()
        node.pusher.missed()

    renewal = asyncio.create_task(renew())
    monkeypatch.setattr(mail, "_read", slow_hear)
    await world.node()  # it has nothing to say before the other hears again
    elsewhere = world.nodes[1]
    await world.happen(elsewhere, ["device-0"])
    connection = await asyncpg.connect(world.url)
    await connection.execute("DELETE FROM announcement WHERE node_id = $1", elsewhere.database.node_id)
    await connection.close()
    found, _ = await node.database.read(subscriptions.listed, world.application_id)
    await elsewhere.database.write(push.tell_hold, found[0].subscription_id, datetime.now(UTC))
    await world.happen(node, ["device-0"])
    may_hear.set()
    async with asyncio.timeout(20):
        await renewal
    await world.all_arrived()


async def test_what_another_release_says_of_its_deliveries_ends_nothing_and_is_not_overtaken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = world.nodes[0]
    mail, life = node.database._mail, node.pusher.dispatcher
    assert mail is not None
    hear, may_hear = mail._read, asyncio.Event()

    async def slow_hear(connection) -> None:
        await may_hear.wait()
        await hear(connection)

    monkeypatch.setattr(mail, "_read", slow_hear)
    elsewhere = await PostgresDatabase.open(world.url, datetime.now(UTC), shared=SHARED)
    connection = await asyncpg.connect(world.url)
    for said in ('[{"event": 1, "partition": 2}]', "[[1, 2, 3]]", '["1"]', '{"deliveries": [[1, 2]]}', "[[1e30, 2]]"):
        may_hear.clear()
        await elsewhere.write(node.log.append, [new_event(world.application_id, "device-0")])
        await connection.execute(
            "UPDATE announcement SET items = $2 WHERE node_id = $1 AND channel = 'new_deliveries' AND number ="
            " (SELECT max(number) FROM announcement WHERE node_id = $1 AND channel = 'new_deliveries')",
            elsewhere.node_id,
            said,
        )
        world.expected["device-0"] += 1
        await world.happen(node, ["device-0", "device-1"])
        may_hear.set()
        await world.all_arrived()
    await connection.close()
    await elsewhere.close()
    assert (node.pusher.dispatcher, node.database.missed.is_set(), world.duplicates) == (life, False, 0)
