"""What push tells of itself, from events in the store to a receiver that answers, fails, or is not there."""

import asyncio
from datetime import UTC, datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families

from firmcast.clock import SystemClock
from firmcast.db.statement import portable
from firmcast.metrics import Metrics
from firmcast.push.backlog_watch import BacklogWatch
from firmcast.push.metrics import PushMetrics

SERVER_ERROR = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"


async def told(metrics: Metrics) -> dict[tuple[str, ...], float]:
    text = (await metrics.exposition()).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def until(condition) -> None:
    """Wait; the test's own time limit bounds it."""
    while not condition():
        await asyncio.sleep(0.01)


def watch(world, metrics: PushMetrics, explains=lambda *_: False, limit=timedelta(minutes=5)) -> BacklogWatch:
    return BacklogWatch(database=world.database, clock=SystemClock(), metrics=metrics, explains=explains, limit=limit)


async def test_attempts_are_counted_by_what_came_of_them(world, callback) -> None:
    metrics = Metrics()
    answers = iter([SERVER_ERROR])

    async def script(_request, writer) -> bool:
        writer.write(next(answers, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        return True

    callback.script = script
    await world.subscribe(callback.url())
    dispatcher = await world.dispatch(PushMetrics(metrics))
    await world.happen("a")
    await until(lambda: len(callback.requests) == 1)
    while not await world.attempts():
        await asyncio.sleep(0.01)
    found = await told(metrics)
    assert found["firmcast_push_attempts_total", "again", "server_error"] == 1
    assert found["firmcast_push_attempts_total", "delivered", ""] == 0
    assert found["firmcast_push_lanes", "waiting"] == 1
    await world.happen("b", "c")
    await until(lambda: len(callback.requests) == 3)
    await dispatcher._writer.written()
    await until(lambda: not dispatcher.in_flight)
    found = await told(metrics)
    assert found["firmcast_push_attempts_total", "delivered", ""] == 2
    assert found["firmcast_push_edge_to_acknowledgement_seconds_count",] == 2
    assert 0 < found["firmcast_push_edge_to_acknowledgement_seconds_sum",] < 60
    assert found["firmcast_push_queued",] == 1
    assert found["firmcast_push_in_flight",] == 0
    assert found["firmcast_push_breakers", "closed"] == 1


async def test_the_oldest_undelivered_event_is_told_for_each_subscription(world, callback) -> None:
    metrics = Metrics()
    looking = watch(world, PushMetrics(metrics))
    await looking.look()
    assert (await told(metrics))["firmcast_push_oldest_undelivered_seconds",] == 0
    before = datetime.now(UTC)
    subscription_id = await world.subscribe(callback.url())
    await world.happen("a", "b")
    await world.happen("a")
    await looking.look()
    found = await told(metrics)
    age = found["firmcast_push_subscription_oldest_undelivered_seconds", subscription_id]
    assert 0 <= age <= (datetime.now(UTC) - before).total_seconds()
    assert found["firmcast_push_subscriptions_behind",] == 1
    await world.dispatch()
    await world.settled()
    await looking.look()
    found = await told(metrics)
    assert found["firmcast_push_oldest_undelivered_seconds",] == 0
    assert ("firmcast_push_subscription_oldest_undelivered_seconds", subscription_id) not in found


async def test_events_that_nobody_consumes_are_a_stall(world, callback) -> None:
    metrics = Metrics()
    looking = watch(world, PushMetrics(metrics), limit=timedelta(microseconds=1))
    await world.subscribe(callback.url())
    await world.happen("a")
    await looking.look()
    await looking.look()
    assert not looking.is_moving
    assert (await told(metrics))["firmcast_push_subscriptions_stalled",] == 1
    await world.dispatch()
    await world.settled()
    await looking.look()
    assert looking.is_moving


async def test_a_receiver_that_fails_is_no_stall(world, callback) -> None:
    async def script(_request, writer) -> bool:
        writer.write(SERVER_ERROR)
        return True

    callback.script = script
    await world.subscribe(callback.url())
    dispatcher = await world.dispatch()
    looking = watch(world, PushMetrics(Metrics()), dispatcher.explains, timedelta(microseconds=1))
    await world.happen("a")
    await until(lambda: len(callback.requests) == 1)
    while not await world.attempts():
        await asyncio.sleep(0.01)
    await looking.look()
    await looking.look()
    assert looking.is_moving


async def test_what_replays_have_yet_to_deliver_is_told(world, callback) -> None:
    metrics = Metrics()
    looking = watch(world, PushMetrics(metrics))
    await world.subscribe(callback.url())
    await world.happen("a", "b", "c")

    async def as_of_a_replay(tx) -> None:
        await tx.execute(portable("UPDATE delivery SET replay = 7 WHERE event_id > 1"))

    await world.database.write(as_of_a_replay)
    await looking.look()
    found = await told(metrics)
    assert found["firmcast_push_replay_backlog",] == 2
    assert found["firmcast_push_replays", "running"] == 0
    assert found["firmcast_push_replay_rate",] == 0
