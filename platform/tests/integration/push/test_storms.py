"""Whatever is changed while events flow, and however a receiver answers: nothing is lost, and nothing overtakes.

A storm draws from its seed what is done to the subscriptions of an application and to the nodes that push, and how each
attempt is answered, with the real dispatcher on a real store. Then all is well again: every event that the present
subscriptions are owed has come or is a dead letter, nothing is left over, no event has come for the first time behind a
later one of its device, and every push is signed. As many things run beside each other, no two storms of one seed are
the same. The clock is set by seconds: what a receiver named by one that is set back then is waited for as long.

`STORMS=200:260 pytest …/test_storms.py -n 2` tries other seeds, `STORM_STEPS=250` makes them longer.
"""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from firmcast.applications import use_cases as applications
from firmcast.clock import SystemClock
from firmcast.db.page import Page
from firmcast.db.port import Database
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.sqlite import SqliteDatabase
from firmcast.errors import RefusedError
from firmcast.events.log import EventLog
from firmcast.events.model import Event, EventType, FirmwareStateChanged, FirmwareUpgradeEnded, NewEvent, Outcome
from firmcast.ids import ApplicationId, DeviceId, SubscriptionId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.nodes import use_cases as nodes
from firmcast.nodes.keeper import Keeper
from firmcast.platform_store import SHARED
from firmcast.push import standings
from firmcast.push import use_cases as push
from firmcast.push.configuration import destination_rules, sender_limits
from firmcast.push.dispatcher import Dispatcher
from firmcast.push.envelope import encode_event
from firmcast.push.http_sender import HttpSender
from firmcast.push.model import DeliveryFilter
from firmcast.push.ownership import Ownership
from firmcast.push.pusher import Pusher
from firmcast.push.replay import use_cases as replays
from firmcast.push.replay.model import ReplayOrder
from firmcast.push.replay.runner import ReplayRunner
from firmcast.retention import RetentionSweeper
from firmcast.sealing import Sealer
from firmcast.settings import PushSettings, RetentionSettings, Role
from firmcast.subscriptions import use_cases as subscriptions

FIRST, _, END = os.environ.get("STORMS", "0:1").partition(":")
STEPS = int(os.environ.get("STORM_STEPS", "40"))
DEVICES = [f"d{number}" for number in range(6)]
SEALER = Sealer(bytes(32))
SECONDS = 0.3
SETTINGS = PushSettings(
    allowed_networks=("127.0.0.0/8",),
    attempt_timeout=timedelta(seconds=SECONDS),
    connect_timeout=timedelta(seconds=SECONDS),
    probe_interval=timedelta(milliseconds=50),
    retry_delays=tuple(timedelta(milliseconds=each) for each in (20, 50, 100)),
    concurrency=64,
    subscription_concurrency=32,
    window=100,
)
DAY = timedelta(days=1)
TYPES = (EventType.FIRMWARE_STATE_CHANGED, EventType.FIRMWARE_UPGRADE_ENDED)
FACTS = (
    FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING),
    FirmwareUpgradeEnded(
        outcome=Outcome.FAILED, description="", source_version="1", target_version="2", current_version="1", duration=3
    ),
)


class SetClock(SystemClock):
    """A clock whose wall time somebody sets."""

    offset = timedelta()

    def now(self) -> datetime:
        return super().now() + self.offset


@dataclass(frozen=True)
class Node:
    database: Database
    pusher: Pusher
    runner: ReplayRunner
    keeper: Keeper | None

    async def stop(self) -> None:
        await self.runner.stop()
        await self.pusher.stop(1)
        if self.keeper is not None:
            await self.keeper.stop()


@dataclass
class Storm:
    chance: Random
    callback: object
    clock: SetClock = field(default_factory=SetClock)
    nodes: list[Node] = field(default_factory=list)
    application_id: ApplicationId = field(default_factory=lambda: ApplicationId(""))
    secrets: list[str] = field(default_factory=list)
    log: EventLog = field(default_factory=lambda: EventLog(encode=encode_event, projections=[push.fan_out]))
    taken: list = field(default_factory=list)
    """Requests that the receiver has acted upon, whether or not its answer was heard."""

    known: list[Event] = field(default_factory=list)
    present: dict[EventType, SubscriptionId] = field(default_factory=dict)
    owed: dict[SubscriptionId, list[Event]] = field(default_factory=lambda: defaultdict(list))
    resting: bool = False
    held: set[tuple[str, int]] | None = None
    """What happened since a pause had been made; None while there is none, or several nodes may hear of it late."""

    told_in_a_pause: list[tuple[str, int]] = field(default_factory=list)
    is_over: bool = False

    # ---- its parts

    @property
    def database(self) -> Database:
        """The store, by way of any node."""
        return self.chance.choice(self.nodes).database

    async def begin(self, databases: list[Database]) -> None:
        made = await databases[0].write(applications.create, "storm", SEALER, self.clock.now())
        self.application_id = made.application_id
        self.secrets.append(made.signing_secret)
        for place, database in enumerate(databases):
            keeper = None
            if len(databases) > 1:
                roles, life = frozenset({Role.PUSHER}), timedelta(seconds=2)
                keeper = Keeper(database=database, clock=self.clock, name=f"node {place}", roles=roles, life=life)
                await keeper.start()
            pusher = Pusher(self.maker(database), keeper)
            runner = ReplayRunner(database=database, clock=self.clock, most_waiting=10)
            self.nodes.append(Node(database, pusher, runner, keeper))
            await pusher.start()
            await runner.start()
        self.callback.script = self.answer
        await self.subscribe()

    def maker(self, database: Database) -> Callable[[Ownership], Dispatcher]:
        def make(ownership: Ownership) -> Dispatcher:
            return Dispatcher(
                database=database,
                sender=HttpSender(rules=destination_rules(SETTINGS), limits=sender_limits(SETTINGS)),
                clock=self.clock,
                settings=SETTINGS,
                sealer=SEALER,
                ownership=ownership,
                draw=self.chance.random,
            )

        return make

    # ---- how attempts are answered

    async def answer(self, request, writer: asyncio.StreamWriter) -> bool:
        how = "well" if self.is_over else self.chance.choices(*ANSWERS)[0]
        if how in TAKEN:
            self.taken.append(request)
        if self.held is not None and event_of(request) in self.held:
            self.told_in_a_pause.append(event_of(request))
        head, wait = "200 OK", 0.0
        match how:
            case "slowly":
                wait = self.chance.random() * 0.05
            case "just in time":
                wait = SECONDS * 0.9
            case "too late":
                wait = SECONDS * 1.5
            case "not at all":
                return False
            case "without end":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(100_000))
                return False
            case "busy":
                head = f"503 Busy\r\nRetry-After: {self.chance.choice([0, 0, 1])}"
            case int():
                head = f"{how} No"
        await asyncio.sleep(wait)
        writer.write(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())
        return True

    # ---- what is done

    async def happen(self) -> None:
        place = self.chance.choice([0, 0, 1])
        owed_to = self.present.get(TYPES[place])
        events = [
            NewEvent(
                application_id=self.application_id,
                device_id=DeviceId(device),
                occurred_at=self.clock.now(),
                fact=FACTS[place],
            )
            for device in self.chance.sample(DEVICES, self.chance.randint(1, len(DEVICES)))
        ]
        held = self.held
        made = await self.database.write(self.log.append, events)
        self.known += made
        if held is not None and held is self.held:
            new = {(event.device_id, event.sequence) for event in made}
            self.told_in_a_pause += new.intersection(map(event_of, self.callback.requests))
            held |= new
        if owed_to is not None and self.present.get(TYPES[place]) == owed_to:
            self.owed[owed_to] += made

    async def subscribe(self) -> None:
        # Both at one callback, so that a device has one lane.
        for each in TYPES:
            made = await self.database.write(
                subscriptions.subscribe, self.application_id, each, self.callback.url(), self.clock.now()
            )
            self.present[each] = made.subscription_id

    async def unsubscribe_and_subscribe(self) -> None:
        self.held = None
        for _ in range(self.chance.randint(1, 3)):
            # A new one does not rest as the one before it did, and would go on without the other.
            for each in TYPES if self.resting else self.chance.choice([TYPES[:1], TYPES[1:], TYPES]):
                ended = self.present.pop(each)
                self.owed.pop(ended, None)
                await self.database.write(subscriptions.remove, self.application_id, [ended])
            if self.chance.random() < 0.5:
                await self.happen()
            await self.subscribe()

    async def pause(self) -> None:
        # Of two that are called at one place, the other goes on: so both rest at once, and go on at once.
        async def pause_both(tx) -> None:
            for each in self.present.values():
                await standings.pause(tx, each, self.clock.now())

        self.resting = True
        await self.database.write(pause_both)
        if len(self.nodes) == 1 and self.resting:
            self.held = set()

    async def resume(self) -> None:
        async def resume_both(tx) -> None:
            for each in self.present.values():
                await standings.resume(tx, each)

        self.held = None
        await self.database.write(resume_both)
        self.resting = False

    async def rotate(self) -> None:
        overlap = timedelta(seconds=self.chance.choice([0, 0, 1, 60]))
        secret, _ = await self.database.write(
            applications.rotate_signing_secret, self.application_id, SEALER, self.clock.now(), overlap
        )
        self.secrets.append(secret)

    async def replay(self) -> None:
        order = ReplayOrder(
            application_id=self.application_id,
            subscription_ids=tuple(self.present.values()),
            device_id=self.chance.choice([None, DeviceId("d0")]),
            since=None,
            until=None,
            rate=self.chance.choice([50, 1000]),
        )
        await self.database.write(replays.start, order, self.clock.now(), "storm")

    async def cancel(self) -> None:
        for replay_id in await self.database.read(replays.running):
            with suppress(RefusedError):  # it has just ended
                await self.database.write(replays.cancel, replay_id, self.clock.now())

    async def send_again(self) -> None:
        letters, _ = await self.database.read(push.dead_letters, DeliveryFilter(), Page())
        chosen = [(letter.event_id, letter.subscription_id) for letter in letters[:3]]
        chosen += [(event.event_id, each) for event in self.known[-1:] for each in self.present.values()]
        for event_id, subscription_id in chosen:
            with suppress(RefusedError):  # it is of the other type, or was never told
                await self.database.write(push.resend, event_id, subscription_id)

    async def sweep(self) -> None:
        """Remove all that nobody needs any more."""
        late = SetClock()
        late.offset = self.clock.offset + DAY + timedelta(seconds=2)
        settings = RetentionSettings(attempts=DAY, events=DAY)
        await RetentionSweeper(database=self.database, clock=late, settings=settings).sweep()

    async def set_clock(self) -> None:
        self.clock.offset = timedelta(seconds=self.chance.choice([0, 0, -5, 5, -2, 2]))

    async def begin_anew(self) -> None:
        await self.chance.choice(self.nodes).pusher.renew()

    async def hand_over(self) -> None:
        """Have a node give partitions back, and another one take them as soon as they are free."""
        one, other = self.chance.choice(self.nodes), self.chance.choice(self.nodes)
        if one is other or one.keeper is None or other.keeper is None:
            return
        held = [share for share in one.keeper._held if share.startswith("partition")]
        some = self.chance.sample(held, min(len(held), self.chance.choice([1, 8, 64])))
        one.pusher.give_back(some)
        await asyncio.sleep(self.chance.random() * 0.1)
        async with other.keeper._changing:
            other.keeper._take(await other.database.write_urgently(nodes.claim, other.keeper.node_id, some))

    async def blow(self) -> None:
        async with asyncio.TaskGroup() as beside:
            for _ in range(STEPS):
                (step,) = self.chance.choices(*STEPS_AND_WEIGHTS)
                with suppress(RefusedError):
                    await step(self)
                for _ in range(self.chance.randint(0, 3)):
                    beside.create_task(self.happen())
                await asyncio.sleep(self.chance.choice([0, 0, 0.005, 0.03, 0.1]))

    # ---- how it ends

    async def settle(self) -> None:
        """Let everybody be well, and wait until nothing is left to be delivered."""
        self.is_over, self.clock.offset = True, timedelta()
        await self.cancel()
        async with asyncio.timeout(25):
            while (await self.database.read(push.pending, DeliveryFilter(), Page()))[1]:
                assert not any(node.pusher.broken.is_set() for node in self.nodes)
                await self.resume()  # what was answered 410 just now may have been the last of a row
                await asyncio.sleep(0.05)

    async def judge(self) -> None:
        for request in self.callback.requests:
            assert any(is_signed(request, secret) for secret in self.secrets)
        in_order(self.callback.requests)
        taken = in_order(self.taken)
        letters, _ = await self.database.read(push.dead_letters, DeliveryFilter(), Page(0, 1000))
        given_up = {letter.event_id for letter in letters}
        owed = [event for events in self.owed.values() for event in events]
        lost = [it for it in owed if (it.device_id, it.sequence) not in taken and it.event_id not in given_up]
        assert lost == []
        assert self.told_in_a_pause == []


def event_of(request) -> tuple[str, int]:
    """Return the device of a push, and the event's number within it."""
    return json.loads(request.body)["deviceId"], int(request.headers["firmcast-sequence"])


def in_order(requests) -> set[tuple[str, int]]:
    """Return which events these are, of which device; each device's come for the first time in their order.

    What is told again at somebody's wish is marked, and has no place in it.
    """
    known: set[tuple[str, int]] = set()
    live: dict[str, list[int]] = defaultdict(list)
    for request in requests:
        device, sequence = event_of(request)
        if (device, sequence) not in known and "firmcast-replay" not in request.headers:
            live[device].append(sequence)
        known.add((device, sequence))
    for device, sequences in live.items():
        assert sequences == sorted(sequences), device
    return known


TAKEN = ("well", "slowly", "just in time", "too late", "without end")
ANSWERS = (
    ["well", "slowly", "just in time", "too late", "not at all", "without end", "busy", 500, 410, 413],
    [62, 10, 3, 3, 3, 2, 4, 8, 3, 2],
)
STEPS_AND_WEIGHTS: tuple[list[Callable[[Storm], Awaitable[None]]], list[int]] = (
    [
        Storm.happen,
        Storm.subscribe,
        Storm.unsubscribe_and_subscribe,
        Storm.pause,
        Storm.resume,
        Storm.rotate,
        Storm.replay,
        Storm.cancel,
        Storm.send_again,
        Storm.sweep,
        Storm.set_clock,
        Storm.begin_anew,
        Storm.hand_over,
    ],
    [20, 3, 4, 3, 5, 3, 4, 2, 4, 2, 3, 2, 4],
)


def is_signed(request, secret: str) -> bool:
    """Say whether a push has a signature of this secret, whenever it was made."""
    headers = request.headers
    when = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    with suppress(WebhookVerificationError):
        return Webhook(secret).sign(headers["webhook-id"], when, request.body.decode()) in headers["webhook-signature"]
    return False


@pytest.fixture
async def stores(
    request: pytest.FixtureRequest, tmp_path: Path, open_sqlite_store, new_postgres_store: Callable[[], Awaitable[str]]
) -> AsyncIterator[list[Database]]:
    """Return the store by way of each node: one of SQLite, two of PostgreSQL."""
    now = datetime.now(UTC)
    opened: list[SqliteDatabase | PostgresDatabase]
    if request.param == "sqlite":
        opened = [await open_sqlite_store(tmp_path / "store" / "firmcast.db")]
    else:
        url = await new_postgres_store()
        opened = [await PostgresDatabase.open(url, now, shared=SHARED) for _ in range(2)]
    yield list(opened)
    for database in opened:
        await database.close()


@pytest.mark.parametrize("seed", range(int(FIRST), int(END)))
@pytest.mark.parametrize("stores", ["sqlite", "postgres"], indirect=True)
async def test_a_storm_loses_nothing_and_lets_nothing_overtake(stores, seed: int, callback) -> None:
    storm = Storm(Random(seed), callback)
    await storm.begin(stores)
    try:
        await storm.blow()
        await storm.settle()
        await storm.judge()
    finally:
        for node in storm.nodes:
            await node.stop()
