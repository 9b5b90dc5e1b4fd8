"""Fault 23: history is told again while events come in, is broken off, and goes on after a kill."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.faults.calls import manage
from tests.faults.conftest import Scale
from tests.faults.oracle import Arrival, first_arrivals, judge
from tests.faults.processes import Application, Engine, Receiver, in_parts
from tests.faults.test_receivers import LEAST_LATENCY, steady_load, typical_p99

STATES = "firmware.state_changed"
WANTED = {"/states": STATES}
DEVICES = [f"device-{number}" for number in range(100)]
RATE = 200
"""Replays a second: a load that no machine is busy with."""


async def make_history(engine: Engine, receiver: Receiver, events: int) -> Application:
    application = await engine.application(receiver, "application", WANTED)
    history = ((DEVICES[number % len(DEVICES)], STATES) for number in range(events))
    for part in in_parts(history, 500):
        await engine.append(application, part)
    await engine.settled()
    return application


async def order_replay(engine: Engine, application: Application, rate: int) -> str:
    """Have everything told again, and return the path of the replay."""
    body = {"subscription_id": application.subscribers[0].subscription_id, "rate": rate}
    made = await manage(engine, application, "POST", "/v1/replays", json=body)
    return f"/v1/replays/{made['replay_id']}"


async def until_state(engine: Engine, application: Application, replay: str, state: str) -> dict[str, Any]:
    while (told := await manage(engine, application, "GET", replay))["state"] != state:
        await asyncio.sleep(0.05)
    found: dict[str, Any] = told
    return found


def replayed(arrivals: Sequence[Arrival]) -> list[Arrival]:
    return [it for it in arrivals if it.replay == "true"]


def assert_in_order(arrivals: Sequence[Arrival]) -> None:
    for sequences in first_arrivals(arrivals).values():
        assert sequences == sorted(sequences)


@pytest.mark.takes_long
async def test_history_told_again_delays_nothing_that_happens(
    engine: Engine, receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    events = scale(1_000, 2_000, 1_000_000)
    application = await make_history(engine, receiver, events)
    seconds = scale(1.0, 6.0, 30.0)
    before = len(await receiver.all_arrivals())
    await steady_load(engine, application, DEVICES, seconds)
    between = len(await receiver.all_arrivals())
    replay = await order_replay(engine, application, rate=RATE)
    await steady_load(engine, application, DEVICES, seconds)
    during = await receiver.all_arrivals()
    told = await until_state(engine, application, replay, "finished")
    await engine.settled()
    arrivals = await receiver.all_arrivals()
    again = replayed(arrivals)
    # Those of the load before it belong to history too.
    assert told["queued"] == len(again) >= events
    assert set(Counter(it.message_id for it in again).values()) == {1}
    assert_in_order(again)
    live = [it for it in arrivals if it.replay != "true"]
    found = judge(live, await engine.log(), WANTED, engine.acknowledged)
    found.assert_none()
    assert found.duplicates == 0
    baseline = typical_p99(arrivals[before:between])
    beside = typical_p99([it for it in during[between:] if it.replay != "true"])
    share = len(replayed(during)) / len(during[between:])
    spread = again[-1].received_at - again[0].received_at
    tell(f"{len(again)} replays in {spread:.1f} s")
    tell(f"live p99 {beside * 1000:.1f} ms beside {share:.0%} replays, {baseline * 1000:.1f} ms before")
    assert beside < 2 * max(baseline, LEAST_LATENCY)


async def test_a_replay_that_is_cancelled_stops_within_a_second(engine: Engine, receiver: Receiver) -> None:
    application = await make_history(engine, receiver, 2_000)
    came = len(await receiver.all_arrivals())
    replay = await order_replay(engine, application, rate=500)
    await receiver.wait(came + 100)
    await manage(engine, application, "POST", f"{replay}/cancel")
    cancelled_at = time.time()
    await engine.settled()
    await asyncio.sleep(1.5)  # nothing may come: there is no signal of that
    again = replayed(await receiver.all_arrivals())
    assert 100 <= len(again) < 2_000
    assert max(it.received_at for it in again) < cancelled_at + 1
    assert_in_order(again)


async def test_a_replay_goes_on_after_a_kill(
    engine: Engine, receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    events = scale(1_000, 3_000, 20_000)
    application = await make_history(engine, receiver, events)
    replay = await order_replay(engine, application, rate=scale(500, 500, 2_000))
    kills = scale(1, 4, 20)
    for _ in range(kills):
        came = len(await receiver.all_arrivals())
        await receiver.wait(came + events // (2 * kills))
        await engine.kill()
        await engine.start()
    await until_state(engine, application, replay, "finished")
    again = replayed(await receiver.all_arrivals())
    assert {it.message_id for it in again} == {event.message_id for event in await engine.log()}
    assert_in_order(again)
    repeated = len(again) - events
    tell(f"{kills} kills, {repeated} of {events} replayed more than once")
    assert repeated <= engine.most_repeated
