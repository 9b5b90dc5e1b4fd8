"""What became of an attempt says nothing of a delivery that was made since: not in the store, and not in memory."""

import asyncio
from datetime import UTC, datetime

from firmcast.ids import EventId, SubscriptionId
from firmcast.push import use_cases as push
from firmcast.push.answer import Answer
from firmcast.push.model import Delivery, Settlement
from firmcast.push.replay import use_cases as replays
from firmcast.push.replay.model import ReplayOrder
from firmcast.push.retry import DELIVERED, Dead, DeadReason, FailureReason, RetryAt

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
FOR_GOOD = Dead(reason=DeadReason.EXPIRED, failure=FailureReason.TIMEOUT)
LATER = RetryAt(at=NOW, reason=FailureReason.TIMEOUT, spends_attempt=True, holds_callback=False)


def settlement(delivery: Delivery, verdict) -> Settlement:
    return Settlement(
        delivery=delivery,
        attempt=1,
        attempted_at=NOW,
        first_attempted_at=NOW,
        retried=False,
        answer=Answer(status=200, failure=None, duration=0.1),
        verdict=verdict,
        settled_at=NOW,
    )


async def order(world, subscription: SubscriptionId) -> int:
    wish = ReplayOrder(
        application_id=world.application_id,
        subscription_ids=(subscription,),
        device_id=None,
        since=None,
        until=None,
        rate=10_000,
    )
    replay_id = await world.database.write(replays.start, wish, NOW, "test")
    step = await world.database.read(replays.next_step, replay_id, datetime.now(UTC), 1000)
    assert await world.database.write(replays.make_step, step, datetime.now(UTC))
    return replay_id


async def stored(world, subscription: SubscriptionId) -> list[Delivery]:
    return await world.database.read(push.load, [subscription], EventId(0), 100)


async def made_anew(world) -> tuple[SubscriptionId, Delivery, Delivery]:
    """Return a delivery of a replay that was cancelled, and the one that a person has made in its place."""
    (event,) = await world.happen("d1")
    subscription = await world.subscribe("https://192.0.2.7/a")
    replay_id = await order(world, subscription)
    (former,) = await stored(world, subscription)
    # It was delivered once, so that it may be sent again.
    await world.database.write(push.record_settlements, [settlement(former, LATER)])
    await world.database.write(replays.cancel, replay_id, NOW)
    await world.database.write(push.resend, event.event_id, subscription)
    (present,) = await stored(world, subscription)
    assert present.edition != former.edition
    return subscription, former, present


async def test_an_acknowledgement_of_the_former_leaves_what_was_made_since(world) -> None:
    subscription, former, present = await made_anew(world)
    for verdict in (DELIVERED, FOR_GOOD, LATER):
        recorded = await world.database.write(push.record_settlements, [settlement(former, verdict)])
        # Whoever hears it may have taken the former for it in memory: so he is told.
        assert recorded.made_since == ([] if verdict is LATER else [present])
        assert await stored(world, subscription) == [present], "it waits for nothing either"
    assert await world.dead() == []
    assert len(await world.attempts()) == 4, "what was sent is told all the same"
    recorded = await world.database.write(push.record_settlements, [settlement(present, DELIVERED)])
    assert (recorded.made_since, await stored(world, subscription)) == ([], [])


async def test_of_each_delivery_that_is_made_again_the_edition_is_another(world) -> None:
    subscription = await world.subscribe("https://192.0.2.7/a")
    (event,) = await world.happen("d1")
    seen = []
    for _ in range(3):
        (delivery,) = await stored(world, subscription)
        seen.append(delivery.edition)
        await world.database.write(push.record_settlements, [settlement(delivery, DELIVERED)])
        await world.database.write(push.resend, event.event_id, subscription)
    assert (seen[0], len(set(seen))) == (0, 3)


async def test_what_is_sent_again_while_the_former_is_under_way_comes_once_more(world, callback) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        arrived.set()
        await release.wait()
        writer.write(OK)
        return True

    callback.script = script
    (event,) = await world.happen("d1")
    subscription = await world.subscribe(callback.url())
    await world.dispatch()
    replay_id = await order(world, subscription)
    await arrived.wait()
    (former,) = await stored(world, subscription)
    await world.database.write(push.record_settlements, [settlement(former, LATER)])
    await world.database.write(replays.cancel, replay_id, NOW)
    await world.database.write(push.resend, event.event_id, subscription)
    release.set()
    await world.settled()
    assert [received.headers["firmcast-sequence"] for received in callback.requests] == ["1", "1"]
