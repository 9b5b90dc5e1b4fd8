"""Fault 19: a subscription is ended, and moved under a new secret, with thousands queued and dozens in flight."""

import asyncio
import time
from dataclasses import replace

from tests.faults.calls import manage
from tests.faults.conftest import Scale
from tests.faults.oracle import judge
from tests.faults.processes import Application, Engine, Receiver, in_parts

STATES = "firmware.state_changed"
WANTED = {"/states": STATES}
CONCURRENCY = 256
"""Attempts under way at most for one subscription, as it is when nobody sets it."""

DOZENS = 32


async def queue_up(engine: Engine, receiver: Receiver, application: Application, events: int) -> None:
    """Have many events committed for a callback that takes its time, and return when it is at its limit."""
    await receiver.behave("/states", delay=0.3)
    for part in in_parts(((f"device-{number % 200}", STATES) for number in range(events)), 500):
        await engine.append(application, part)
    while (await receiver.numbers("/states"))["in_flight"] < DOZENS:
        await asyncio.sleep(0.01)


async def test_of_an_ended_subscription_nothing_begins_any_more(
    engine: Engine, receiver: Receiver, scale: Scale
) -> None:
    application = await engine.application(receiver, "application", WANTED)
    await queue_up(engine, receiver, application, scale(2_000, 10_000, 10_000))
    subscription_id = application.subscribers[0].subscription_id
    await engine.ask("unsubscribe", application_id=application.application_id, subscription_id=subscription_id)
    ended_at = time.time()
    await engine.settled()
    await asyncio.sleep(0.5)  # nothing may come: there is no signal of that
    late = [it for it in await receiver.all_arrivals() if it.received_at > ended_at]
    assert len(late) <= CONCURRENCY
    assert all(it.received_at < ended_at + 0.25 for it in late), "what came later was begun later"
    found = judge(receiver.arrivals, await engine.log(), WANTED, engine.acknowledged)
    found.assert_none(but="lost")


async def test_a_callback_that_moves_is_called_where_it_is_now(
    engine: Engine, receiver: Receiver, scale: Scale
) -> None:
    application = await engine.application(receiver, "application", WANTED)
    await queue_up(engine, receiver, application, scale(2_000, 10_000, 10_000))
    rotated = await manage(
        engine, application, "POST", f"/v1/applications/{application.application_id}/signing-secret", json={}
    )
    secrets = [application.signing_secret, rotated["signing_secret"]]
    await receiver.ask("secrets", path="/states", secrets=secrets)
    await receiver.ask("secrets", path="/elsewhere", secrets=secrets)
    await engine.ask(
        "subscribe",
        application_id=application.application_id,
        event_type=STATES,
        url=receiver.url("/elsewhere"),
    )
    moved_at = time.time()
    await engine.settled()
    arrivals = await receiver.all_arrivals()
    late = [it for it in arrivals if it.path == "/states" and it.received_at > moved_at]
    assert len(late) <= CONCURRENCY
    assert all(it.received_at < moved_at + 0.25 for it in late)
    after = [it for it in arrivals if it.path == "/elsewhere"]
    assert after
    assert all(list(it.signed_with) == [0, 1] for it in after), "while they overlap, either verifies"
    # To the order of a device it is one callback, wherever it is.
    as_one = [replace(it, path="/states") for it in arrivals]
    found = judge(as_one, await engine.log(), WANTED, engine.acknowledged)
    found.assert_none()
    assert found.duplicates == 0


async def test_a_paused_subscription_is_kept_its_events_and_told_them_in_order(
    engine: Engine, receiver: Receiver, scale: Scale
) -> None:
    application = await engine.application(receiver, "application", WANTED)
    await queue_up(engine, receiver, application, scale(1_000, 10_000, 10_000))
    one = f"/v1/subscriptions/{application.subscribers[0].subscription_id}"
    await manage(engine, application, "POST", f"{one}/pause")
    paused_at = time.time()
    while (await receiver.numbers("/states"))["in_flight"]:
        await asyncio.sleep(0.01)
    came = len(await receiver.all_arrivals())
    assert all(it.received_at < paused_at + 0.25 for it in receiver.arrivals)
    await engine.append(application, [(f"device-{number}", STATES) for number in range(200)])
    # A restart does not wake it.
    await engine.kill()
    await engine.start()
    await asyncio.sleep(1)  # nothing may come: there is no signal of that
    assert len(await receiver.all_arrivals()) == came
    await receiver.behave("/states")
    await manage(engine, application, "POST", f"{one}/resume")
    await engine.settled()
    found = judge(await receiver.all_arrivals(), await engine.log(), WANTED, engine.acknowledged)
    found.assert_none()
    assert found.duplicates <= engine.most_repeated
