"""What is counted of the deliveries still to be made is what there is, whatever made them come or go."""

from datetime import UTC, datetime

from firmcast.clock import SystemClock
from firmcast.db.statement import portable
from firmcast.ids import EventId, SubscriptionId
from firmcast.push import use_cases as push
from firmcast.push.answer import Answer
from firmcast.push.model import Settlement
from firmcast.push.replay import use_cases as replays
from firmcast.push.replay.model import ReplayOrder
from firmcast.push.retry import DELIVERED, Blocked, Dead, DeadReason, FailureReason
from firmcast.push.store import undelivered as undelivered_store
from firmcast.push.undelivered import UndeliveredKeeper, UndeliveredWarnings, of_application, undelivered
from firmcast.subscriptions import use_cases as subscriptions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GIVEN_UP = {"reason": DeadReason.EXPIRED, "failure": FailureReason.TIMEOUT}


async def settle(world, subscription: SubscriptionId, count: int, verdict=DELIVERED) -> None:
    settlements = [
        Settlement(
            delivery=delivery,
            attempt=1,
            attempted_at=NOW,
            first_attempted_at=NOW,
            retried=False,
            answer=Answer(status=200, failure=None, duration=0.1),
            verdict=verdict,
            settled_at=NOW,
        )
        for delivery in await world.database.read(push.load, [subscription], EventId(0), count)
    ]
    await world.database.write_apart(push.record_settlements, settlements)
    # The same once more changes nothing: it may be written again when nobody knows whether it was.
    await world.database.write_apart(push.record_settlements, settlements)


async def counted(world) -> int:
    """Return what is counted of the application, after a look that it is true."""
    assert await world.database.read(undelivered_store.differences) == {}
    return await world.database.read(of_application, world.application_id)


def keeper(world) -> UndeliveredKeeper:
    return UndeliveredKeeper(database=world.database, clock=SystemClock())


async def test_what_comes_and_goes_is_counted(world) -> None:
    subscription = await world.subscribe("https://192.0.2.7/a")
    assert await counted(world) == 0
    events = await world.happen("d1", "d2", "d3", "d4", "d5", "d6")
    assert await counted(world) == 6
    await settle(world, subscription, 2)
    await settle(world, subscription, 1, Dead(**GIVEN_UP))
    assert await counted(world) == 3
    await settle(world, subscription, 1, Blocked(**GIVEN_UP))
    assert await counted(world) == 3, "what its lane stands for is still to be delivered"
    await world.database.write(push.discard, events[3].event_id, subscription)
    assert await counted(world) == 2
    await world.database.write(push.resend, events[2].event_id, subscription)
    assert await counted(world) == 3
    order = ReplayOrder(
        application_id=world.application_id,
        subscription_ids=(subscription,),
        device_id=None,
        since=None,
        until=None,
        rate=1000,
    )
    replay_id = await world.database.write(replays.start, order, NOW, "test")
    step = await world.database.read(replays.next_step, replay_id, datetime.now(UTC), 1000)
    await world.database.write(replays.make_step, step, datetime.now(UTC))
    assert await counted(world) == 6, "of what was on its way there is one"
    await world.database.write(replays.cancel, replay_id, NOW)
    assert await counted(world) == 3


async def test_a_subscription_that_ended_counts_for_nobody_and_leaves_nothing(world) -> None:
    subscription = await world.subscribe("https://192.0.2.7/a")
    await world.happen("d1", "d2")
    await world.database.write(subscriptions.remove, world.application_id, [subscription])
    assert await counted(world) == 0
    found = await world.database.read(undelivered)
    assert (dict(found.of_subscriptions), dict(found.of_applications)) == ({}, {})
    await world.database.write(push.discard_subscription, subscription)
    assert await counted(world) == 0
    await keeper(world).fold()
    assert await rows(world) == 0


async def rows(world) -> int:
    async def count(tx) -> int:
        return len(await tx.fetch(portable("SELECT 1 FROM undelivered")))

    return await world.database.read(count)


async def test_what_transactions_have_added_becomes_one_row(world) -> None:
    await world.subscribe("https://192.0.2.7/a")
    for _ in range(5):
        await world.happen("d1")
    await keeper(world).fold()
    assert (await rows(world), await counted(world)) == (1, 5)


async def test_what_is_counted_wrongly_is_put_right(world) -> None:
    subscription = await world.subscribe("https://192.0.2.7/a")
    await world.happen("d1", "d2", "d3")

    async def as_another_release(tx) -> None:
        await tx.execute(portable("DELETE FROM delivery WHERE sequence = 1 AND device_id = 'd1'"))

    await world.database.write(as_another_release)
    assert await world.database.read(undelivered_store.differences) == {subscription: -1}
    await keeper(world).correct()
    assert await counted(world) == 2


def test_an_application_is_warned_of_once_each_time(capsys) -> None:
    warnings = UndeliveredWarnings(100)
    told = []
    for waiting in (79, 80, 99, 100, 101, 99, 100, 10, 80):
        warnings.look({"a1": waiting, "a2": 5})
        told.append(capsys.readouterr().out.count("application_id"))
        assert set(warnings.at_limit) == ({"a1"} if waiting >= 100 else set())
    assert told == [0, 1, 0, 1, 0, 1, 1, 1, 1]


def test_without_a_limit_nobody_is_warned_of() -> None:
    warnings = UndeliveredWarnings(0)
    warnings.look({"a1": 10**9})
    assert not warnings.at_limit
