"""History is told again beside what is told live: with a real store, a real dispatcher and a real receiver."""

import asyncio
import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from firmcast.clock import SystemClock
from firmcast.db.page import Page
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.statement import portable
from firmcast.errors import ConflictError, NotFoundError
from firmcast.events import use_cases as events
from firmcast.events.log import EventLog
from firmcast.events.model import EventType, FirmwareStateChanged, FirmwareUpgradeEnded, NewEvent, Outcome
from firmcast.ids import ApplicationId, DeviceId, EventId, ReplayId, SubscriptionId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.metrics import Count
from firmcast.push import standings
from firmcast.push import use_cases as push
from firmcast.push.envelope import encode_event
from firmcast.push.model import DeliveryFilter
from firmcast.push.replay import runner as runner_module
from firmcast.push.replay import use_cases as replays
from firmcast.push.replay.model import ReplayOrder, ReplayState
from firmcast.push.replay.runner import ReplayRunner
from firmcast.push.scheduling.concurrency import ConcurrencyPolicy
from firmcast.subscriptions import use_cases as subscriptions

REPLAYED_AT_ONCE = ConcurrencyPolicy().start // 4
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
DEVICES = [f"d{number}" for number in range(8)]
APPLICATION = ApplicationId("application")
STATE = FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING)
ENDED = FirmwareUpgradeEnded(
    outcome=Outcome.SUCCEEDED,
    description="",
    source_version="1",
    target_version="2",
    current_version="2",
    duration=3,
)


def answering(text: bytes):
    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        writer.write(text)
        return True

    return script


class Replays:
    """Orders replays and runs them, on as many runners as wanted."""

    def __init__(self, world) -> None:
        self.world = world
        self.runners: list[ReplayRunner] = []

    async def order(
        self,
        *subscriptions: SubscriptionId,
        device: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        rate: int = 10_000,
    ) -> ReplayId:
        order = ReplayOrder(
            application_id=self.world.application_id,
            subscription_ids=subscriptions,
            device_id=DeviceId(device) if device else None,
            since=since,
            until=until,
            rate=rate,
        )
        return await self.world.database.write(replays.start, order, datetime.now(UTC), "test")

    async def run(self, most_waiting: int = 1000) -> ReplayRunner:
        runner = ReplayRunner(database=self.world.database, clock=SystemClock(), most_waiting=most_waiting)
        await runner.start()
        self.runners.append(runner)
        return runner

    async def find(self, replay_id: ReplayId) -> replays.ReplayNow:
        return await self.world.database.read(replays.find, replay_id, 10_000)

    async def ended(self, replay_id: ReplayId) -> replays.ReplayNow:
        """Wait until it is over; the test's own time limit bounds it."""
        while (found := await self.find(replay_id)).replay.state is ReplayState.OPEN:
            await asyncio.sleep(0.01)
        return found

    async def cancel(self, replay_id: ReplayId) -> None:
        await self.world.database.write(replays.cancel, replay_id, datetime.now(UTC))


@pytest.fixture
async def history(world):
    it = Replays(world)
    yield it
    for runner in it.runners:
        await runner.stop()


def is_replay(received) -> bool:
    return received.headers.get("firmcast-replay") == "true"


def lanes(requests) -> dict[str, list[int]]:
    """Every arrival, copies included, by device."""
    found = defaultdict(list)
    for received in requests:
        found[json.loads(received.body)["deviceId"]].append(int(received.headers["firmcast-sequence"]))
    return dict(found)


async def test_history_is_told_again_in_order_marked_and_with_the_same_bytes(world, history, callback) -> None:
    await world.dispatch()
    subscription = await world.subscribe(callback.url())
    for _ in range(5):
        await world.happen(*DEVICES)
    await world.settled()
    told = {received.headers["webhook-id"]: received.body for received in callback.requests}
    callback.requests.clear()
    await history.run()
    found = await history.ended(await history.order(subscription))
    assert (found.replay.state, found.replay.queued, found.replay.passed_over) == (ReplayState.FINISHED, 40, 0)
    assert not found.replay.incomplete
    assert lanes(callback.requests) == {device: [1, 2, 3, 4, 5] for device in DEVICES}
    assert all(is_replay(received) for received in callback.requests)
    assert {received.headers["webhook-id"]: received.body for received in callback.requests} == told
    assert {received.headers["firmcast-attempt"] for received in callback.requests} == {"1"}


async def test_what_is_older_than_the_subscription_is_told_and_what_is_of_another_type_is_not(
    world, history, new_callback
) -> None:
    await world.dispatch()
    await world.happen("d1")
    await world.happen("d1", fact=ENDED)
    await world.happen("d1")
    states, ends = await new_callback(), await new_callback()
    of_states = await world.subscribe(states.url())
    of_ends = await world.subscribe(ends.url(), EventType.FIRMWARE_UPGRADE_ENDED)
    await history.run()
    await history.ended(await history.order(of_states))
    assert (states.lanes(), ends.requests) == ({"d1": [1, 3]}, [])
    await history.ended(await history.order(of_states, of_ends))
    assert lanes(states.requests) == {"d1": [1, 3, 1, 3]}
    assert ends.lanes() == {"d1": [2]}


async def test_states_and_results_of_one_callback_come_in_the_order_of_the_log(world, history, callback) -> None:
    await world.dispatch()
    for _ in range(3):
        await world.happen("d1")
        await world.happen("d1", fact=ENDED)
    both = [
        await world.subscribe(callback.url(), kind)
        for kind in (EventType.FIRMWARE_STATE_CHANGED, EventType.FIRMWARE_UPGRADE_ENDED)
    ]
    await history.run()
    await history.ended(await history.order(*both))
    assert lanes(callback.requests) == {"d1": [1, 2, 3, 4, 5, 6]}


async def test_a_device_and_a_time_are_told_alone(world, history, callback) -> None:
    await world.dispatch()
    await world.happen("d1", "d2")
    since = datetime.now(UTC)
    await world.happen("d1", "d2")
    until = datetime.now(UTC)
    await world.happen("d1", "d2")
    subscription = await world.subscribe(callback.url())
    await history.run()
    await history.ended(await history.order(subscription, since=since, until=until))
    assert lanes(callback.requests) == {"d1": [2], "d2": [2]}
    await history.ended(await history.order(subscription, device="d2"))
    assert lanes(callback.requests) == {"d1": [2], "d2": [2, 1, 2, 3]}
    await history.ended(await history.order(subscription, device="d1", since=since))
    assert lanes(callback.requests) == {"d1": [2, 2, 3], "d2": [2, 1, 2, 3]}
    found = await history.ended(await history.order(subscription, since=datetime.now(UTC)))
    assert (found.replay.state, found.replay.queued) == (ReplayState.FINISHED, 0)


async def test_live_events_come_in_order_and_once_while_history_is_told(world, history, callback) -> None:
    async def script(received, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(0.002)
        writer.write(OK)
        return True

    callback.script = script
    await world.dispatch()
    subscription = await world.subscribe(callback.url())
    for _ in range(40):
        await world.happen(*DEVICES)
    await world.settled()
    callback.requests.clear()
    await history.run(most_waiting=50)
    replay_id = await history.order(subscription)
    for _ in range(20):
        await world.happen(*DEVICES)
    found = await history.ended(replay_id)
    await world.settled()
    live = [received for received in callback.requests if not is_replay(received)]
    assert lanes(live) == {device: list(range(41, 61)) for device in DEVICES}
    again = [received for received in callback.requests if is_replay(received)]
    assert lanes(again) == {device: list(range(1, 41)) for device in DEVICES}
    assert found.replay.queued == 320


async def test_what_is_on_its_way_is_left_alone(world, history, callback) -> None:
    subscription = await world.subscribe(callback.url())
    await world.happen(*DEVICES)
    await history.run()
    replay_id = await history.order(subscription)
    while (found := await history.find(replay_id)).replay.passed_over < 8:
        await asyncio.sleep(0.01)
    assert found.replay.queued == 0
    await world.dispatch()
    await world.settled()
    await history.ended(replay_id)
    assert lanes(callback.requests) == {device: [1] for device in DEVICES}
    assert not any(is_replay(received) for received in callback.requests)


async def test_who_comes_next_goes_on_where_the_last_one_ended(world, history, callback) -> None:
    dispatcher = await world.dispatch()
    subscription = await world.subscribe(callback.url())
    for _ in range(25):
        await world.happen(*DEVICES)
    await world.settled()
    callback.requests.clear()
    replay_id = await history.order(subscription, rate=1000)
    while (await history.find(replay_id)).replay.queued < 200:
        runner = await history.run(most_waiting=20)
        before = (await history.find(replay_id)).replay.cursor
        while (await history.find(replay_id)).replay.cursor == before:
            await asyncio.sleep(0.01)
        assert runner._task is not None
        runner._task.cancel()
        history.runners.remove(runner)
        world.kill(dispatcher)
        dispatcher = await world.dispatch()
    await history.run()
    found = await history.ended(replay_id)
    assert (found.replay.queued, found.replay.passed_over) == (200, 0)
    assert callback.lanes() == {device: list(range(1, 26)) for device in DEVICES}
    assert all(is_replay(received) for received in callback.requests)


async def test_a_step_follows_at_once_on_one_that_found_nothing(world, history, callback, monkeypatch) -> None:
    monkeypatch.setattr(replays, "_LOOKED_AT", 2)
    monkeypatch.setattr(runner_module, "_STEP_SECONDS", 3600.0)
    await world.happen(*(["d1"] * 16), fact=ENDED)
    await world.happen("d1")
    subscription = await world.subscribe(callback.url())
    await world.dispatch()
    await history.order(subscription)
    await history.run()
    while callback.lanes() != {"d1": [17]}:
        await asyncio.sleep(0.01)


async def test_two_runners_make_each_step_once_and_keep_one_pace(world, history, callback) -> None:
    await world.dispatch()
    for _ in range(30):
        await world.happen(*DEVICES)
    subscription = await world.subscribe(callback.url())
    started = datetime.now(UTC)
    replay_id = await history.order(subscription, rate=100)
    for _ in range(3):
        await history.run()
    while (found := await history.find(replay_id)).replay.queued < 60:
        await asyncio.sleep(0.01)
    # Read before the clock is: so it is late, if anything.
    assert found.replay.queued <= 100 * (datetime.now(UTC) - started).total_seconds()
    await history.ended(replay_id)
    assert lanes(callback.requests) == {device: list(range(1, 31)) for device in DEVICES}


async def test_a_receiver_that_does_not_keep_up_is_not_swamped(world, history, callback) -> None:
    release = asyncio.Event()

    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        await release.wait()
        writer.write(OK)
        return True

    for _ in range(50):
        await world.happen(*DEVICES)
    subscription = await world.subscribe(callback.url())
    callback.script = script
    dispatcher = await world.dispatch()
    await history.run(most_waiting=30)
    replay_id = await history.order(subscription)
    while len(callback.requests) < REPLAYED_AT_ONCE:
        await asyncio.sleep(0.01)
    for _ in range(20):
        assert await world.pending() <= 30
        assert dispatcher._lanes.queued <= 30
        await asyncio.sleep(0.02)
    release.set()
    assert (await history.ended(replay_id)).replay.queued == 400
    assert lanes(callback.requests) == {device: list(range(1, 51)) for device in DEVICES}


async def test_what_is_cancelled_stops(world, history, callback) -> None:
    release = asyncio.Event()

    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        await release.wait()
        writer.write(OK)
        return True

    for _ in range(50):
        await world.happen(*DEVICES)
    subscription = await world.subscribe(callback.url())
    callback.script = script
    dispatcher = await world.dispatch()
    await history.run(most_waiting=100)
    replay_id = await history.order(subscription)
    while len(callback.requests) < REPLAYED_AT_ONCE or await world.pending() < 100:
        await asyncio.sleep(0.01)
    (live, *_) = await world.happen(*DEVICES)
    await history.cancel(replay_id)
    assert await world.pending() == 8, "what is live stays"
    assert dispatcher._lanes.queued == 8 + REPLAYED_AT_ONCE, "and of the replay, what is on its way this very moment"
    release.set()
    await world.settled()
    assert len(callback.requests) == 8 + REPLAYED_AT_ONCE
    assert lanes(received for received in callback.requests if not is_replay(received)) == {
        device: [live.sequence] for device in DEVICES
    }
    with pytest.raises(ConflictError, match="cancelled"):
        await history.cancel(replay_id)
    with pytest.raises(NotFoundError):
        await history.cancel(ReplayId(999))


async def test_a_replay_that_is_cancelled_leaves_no_lane_waiting(world, history, callback) -> None:
    callback.script = answering(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
    await world.happen("d1", "d1", "d2")
    subscription = await world.subscribe(callback.url())
    await world.dispatch()
    await history.run()
    replay_id = await history.order(subscription)
    while len(await world.attempts()) < 2:
        await asyncio.sleep(0.01)
    await history.cancel(replay_id)
    callback.script = answering(OK)
    callback.requests.clear()
    await world.happen("d1", "d2")
    await world.settled()
    assert lanes(received for received in callback.requests if not is_replay(received)) == {"d1": [3], "d2": [2]}
    assert await world.database.read(_lane_rows) == 0


async def _lane_rows(tx) -> int:
    return len(await tx.fetch(portable("SELECT 1 FROM lane")))


async def test_one_replay_of_an_application_runs_at_a_time_in_the_order_of_the_wishes(world, history, callback) -> None:
    for _ in range(3):
        await world.happen(*DEVICES)
    subscription = await world.subscribe(callback.url())
    first = await history.order(subscription, rate=1)
    second = await history.order(subscription, device="d1")
    assert ((await history.find(first)).waits, (await history.find(second)).waits) == (False, True)
    await world.dispatch()
    await history.run()
    await history.cancel(first)
    assert (await history.ended(second)).replay.queued == 3
    listed, total = await world.database.read(replays.listed, world.application_id, Page(), 100)
    assert ([found.replay.replay_id for found in listed], total) == ([second, first], 2)


async def test_a_replay_whose_subscription_rests_keeps_no_other_waiting(world, history, callback) -> None:
    for _ in range(3):
        await world.happen(*DEVICES)
    states = await world.subscribe(callback.url())
    ends = await world.subscribe(callback.url(), EventType.FIRMWARE_UPGRADE_ENDED)
    await world.happen("d1", fact=ENDED)
    await world.database.write(standings.pause, states, datetime.now(UTC))
    resting = await history.order(states)
    other = await history.order(ends)
    assert ((await history.find(resting)).waits, (await history.find(other)).waits) == (True, False)
    found = await world.database.read(replays.census, 100)
    assert (found.running, found.waiting, found.rate) == (1, 1, 10_000)
    await world.dispatch()
    made = Count()
    runner = ReplayRunner(database=world.database, clock=SystemClock(), most_waiting=1000, made=made)
    history.runners.append(runner)
    await runner.start()
    await history.ended(other)
    assert (await history.find(resting)).replay.queued == 0
    await world.database.write(standings.resume, states)
    assert (await history.ended(resting)).replay.queued == 24
    assert made.value == 24 + (await history.find(other)).replay.queued
    found = await world.database.read(replays.census, 100)
    assert (found.running, found.waiting, dict(found.ended)) == (0, 0, {ReplayState.FINISHED: 2})


async def test_replays_that_ended_long_ago_are_removed_and_open_ones_stay(world, history, callback) -> None:
    subscription = await world.subscribe(callback.url())
    await world.happen("d1")
    ended, still_open = [await history.order(subscription) for _ in range(2)]
    await history.cancel(ended)
    now = datetime.now(UTC)
    assert await world.database.write(replays.forget, now - timedelta(days=1), 100) == 0
    assert await world.database.write(replays.forget, now + timedelta(days=1), 100) == 1
    assert (await history.find(still_open)).replay.state is ReplayState.OPEN
    with pytest.raises(NotFoundError):
        await history.find(ended)
    assert await history.order(subscription) > still_open, "a number is not given twice"


async def test_a_subscription_that_is_deleted_ends_its_replay(world, history, callback) -> None:
    await world.dispatch()
    for _ in range(3):
        await world.happen(*DEVICES)
    subscription = await world.subscribe(callback.url())
    replay_id = await history.order(subscription, rate=1)
    await history.run()
    await world.database.write(subscriptions.remove, world.application_id, [subscription])
    assert (await history.ended(replay_id)).replay.state is ReplayState.FAILED
    with pytest.raises(NotFoundError):
        await history.order(subscription)


async def test_a_replay_that_meets_a_gap_goes_on_and_says_so(world, history, callback) -> None:
    await world.dispatch()
    for _ in range(4):
        await world.happen("d1")
    subscription = await world.subscribe(callback.url())
    before = await history.order(subscription)
    of_device = await history.order(subscription, device="d1")

    async def forget(tx) -> None:
        await tx.execute(portable("DELETE FROM event WHERE event_id <= ?1"), 2)
        await events.note_forgotten(tx, EventId(2))

    await world.database.write(forget)
    after = await history.order(subscription)
    recent = await history.order(subscription, since=datetime.now(UTC) - timedelta(microseconds=1))
    await history.run()
    for replay_id in (before, of_device, after):
        found = await history.ended(replay_id)
        assert (found.replay.state, found.replay.queued, found.replay.incomplete) == (ReplayState.FINISHED, 2, True)
    assert not (await history.ended(recent)).replay.incomplete
    assert lanes(callback.requests) == {"d1": [3, 4] * 3}


async def test_what_a_replay_delivers_is_no_dead_letter_any_more(world, history, callback) -> None:
    subscription = await world.subscribe(callback.url())
    await _bury(world, subscription, await world.happen("d1", "d2"))
    await world.dispatch()
    await history.run()
    await history.ended(await history.order(subscription))
    assert await world.dead() == []
    assert callback.lanes() == {"d1": [1], "d2": [1]}


async def test_a_dead_letter_that_is_sent_again_is_no_longer_the_replays(world, history, callback) -> None:
    subscription = await world.subscribe(callback.url())
    await _bury(world, subscription, await world.happen("d1", "d2"))
    await history.run()
    replay_id = await history.order(subscription)
    while (await history.find(replay_id)).outstanding < 2:
        await asyncio.sleep(0.01)
    count, _ = await world.database.write(push.resend_dead_letters, subscription, device_id=DeviceId("d1"))
    assert count == 1
    await history.cancel(replay_id)
    pending, _ = await world.database.read(push.pending, DeliveryFilter(), Page())
    assert [item.device_id for item in pending] == ["d1"]
    assert [letter.device_id for letter in await world.dead()] == ["d2"]
    await world.dispatch()
    await world.settled()
    assert callback.lanes() == {"d1": [1]}


async def _bury(world, subscription: SubscriptionId, events) -> None:
    """Make dead letters of deliveries that nobody has taken up."""

    async def bury(tx) -> None:
        await tx.execute_many(
            portable(
                "INSERT INTO dead_letter (event_id, subscription_id, device_id, sequence, attempts, reason, failure,"
                " died_at) VALUES (?1, ?2, ?3, ?4, 1, 'gone', 'gone', 0)"
            ),
            [(event.event_id, subscription, event.device_id, event.sequence) for event in events],
        )
        await tx.execute(portable("DELETE FROM delivery"))

    await world.database.write(bury)


async def test_what_is_sent_again_by_a_person_is_marked(world, callback) -> None:
    subscription = await world.subscribe(callback.url())
    buried = await world.happen("d1")
    await _bury(world, subscription, buried)
    await world.dispatch()
    (delivered,) = await world.happen("d2")
    await world.settled()
    for event in (*buried, delivered):
        await world.database.write(push.resend, event.event_id, subscription)
    await world.settled()
    marks = [(json.loads(received.body)["deviceId"], is_replay(received)) for received in callback.requests]
    assert sorted(marks) == [("d1", True), ("d2", False), ("d2", True)]


def hold_outcomes_up(dispatcher, monkeypatch) -> asyncio.Event:
    """Have no outcome of an attempt written before the event is set."""
    may_write, write = asyncio.Event(), dispatcher._writer._write

    async def slowly(settlements) -> None:
        await may_write.wait()
        await write(settlements)

    monkeypatch.setattr(dispatcher._writer, "_write", slowly)
    return may_write


async def test_what_is_sent_again_before_its_acknowledgement_is_written_is_on_its_way_still(
    world, callback, monkeypatch
) -> None:
    subscription = await world.subscribe(callback.url())
    dispatcher = await world.dispatch()
    may_write = hold_outcomes_up(dispatcher, monkeypatch)
    (event,) = await world.happen("d1")
    while not dispatcher._writer.unwritten:
        await asyncio.sleep(0)
    await world.database.write(push.resend, event.event_id, subscription)
    may_write.set()
    await world.settled()
    assert lanes(callback.requests) == {"d1": [1]}


async def test_what_is_sent_again_after_its_replay_was_cancelled_outlives_the_replays_acknowledgement(
    world, history, callback, monkeypatch
) -> None:
    subscription = await world.subscribe(callback.url())
    dispatcher = await world.dispatch()
    _, event = await world.happen("d2", "d1")
    await world.settled()
    may_write = hold_outcomes_up(dispatcher, monkeypatch)
    # The outcome of one is being written while that of the other, of the replay, is gathered.
    await world.happen("d2")
    while not dispatcher._writer._writing:
        await asyncio.sleep(0)
    callback.requests.clear()
    await history.run()
    replay_id = await history.order(subscription, device="d1")
    while len(dispatcher._writer._gathered) < 1 or not callback.requests:
        await asyncio.sleep(0)
    await history.cancel(replay_id)
    arrived, release = asyncio.Event(), asyncio.Event()

    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        arrived.set()
        await release.wait()
        writer.write(OK)
        return True

    callback.script = script
    await world.database.write(push.resend, event.event_id, subscription)
    await arrived.wait()
    may_write.set()
    await dispatcher._writer.written()
    assert await world.pending() == 1, "else it would be lost with this process"
    release.set()
    await world.settled()
    assert lanes(callback.requests) == {"d1": [1, 1]}
    assert len(await world.attempts()) == 5, "that of the replay is told all the same"


async def test_a_lane_that_stands_still_holds_no_replay_up(world, history, callback) -> None:
    for _ in range(10):
        await world.happen("stands")
    (first, *_) = await world.happen("d1", "d2")
    subscription = await world.subscribe(callback.url())
    for _ in range(10):
        await world.happen("stands")

    async def block(tx) -> None:
        await tx.execute(
            portable(
                "INSERT INTO lane (subscription_id, device_id, event_id, attempts, first_attempted_at, next_attempt_at,"
                " reason, blocked) VALUES (?1, 'stands', ?2, 1, 0, 0, 'refused', 1)"
            ),
            subscription,
            first.event_id + 2,
        )

    await world.database.write(block)
    await world.dispatch()
    await history.run(most_waiting=5)
    replay_id = await history.order(subscription)
    while not {"d1", "d2"} <= callback.lanes().keys():
        await asyncio.sleep(0.01)
    assert "stands" not in callback.lanes()
    assert (await history.find(replay_id)).replay.state is ReplayState.OPEN


async def test_nodes_that_run_one_replay_at_once_make_each_step_once(new_postgres_store) -> None:
    url, now = await new_postgres_store(), datetime.now(UTC)
    nodes = [await PostgresDatabase.open(url, now) for _ in range(3)]
    try:
        log = EventLog(encode=encode_event)
        events_of = [
            NewEvent(application_id=APPLICATION, device_id=DeviceId(f"d{number % 7}"), occurred_at=now, fact=STATE)
            for number in range(700)
        ]
        await nodes[0].write(log.append, events_of)
        made = await nodes[0].write(
            subscriptions.subscribe, APPLICATION, EventType.FIRMWARE_STATE_CHANGED, "http://x", now
        )
        order = ReplayOrder(
            application_id=APPLICATION,
            subscription_ids=(made.subscription_id,),
            device_id=None,
            since=None,
            until=None,
            rate=2_000,
        )
        replay_id = await nodes[0].write(replays.start, order, now, "test")
        runners = [ReplayRunner(database=node, clock=SystemClock(), most_waiting=1_000) for node in nodes]
        for runner in runners:
            await runner.start()
        while (found := await nodes[0].read(replays.find, replay_id, 10_000)).replay.queued < 700:
            await asyncio.sleep(0.01)
        for runner in runners:
            await runner.stop()
        assert (found.replay.queued, found.replay.passed_over, found.outstanding) == (700, 0, 700)
    finally:
        for node in nodes:
            await node.close()
