"""States and results of a device arrive in one order at one callback; two callbacks do not concern each other."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from firmcast.applications import use_cases as applications
from firmcast.db.page import Page
from firmcast.events.model import EventType, FirmwareUpgradeEnded, Outcome
from firmcast.push import use_cases as push
from firmcast.push.callbacks import callbacks_of
from firmcast.push.model import DeliveryFilter
from firmcast.push.retry import FailureReason
from firmcast.push.scheduling.concurrency import ConcurrencyPolicy
from firmcast.subscriptions import use_cases as subscriptions

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
FAULT = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"
ENDED = FirmwareUpgradeEnded(
    outcome=Outcome.SUCCEEDED, description="", source_version="1", target_version="2", current_version="2", duration=3
)
RESULTS = EventType.FIRMWARE_UPGRADE_ENDED
MANY = [f"d{number}" for number in range(60)]
FEW = MANY[:8]


async def upgrade(world, devices: list[str]) -> None:
    """Let four states (1, 2, 3, 0) and a result of each device happen, all in one transaction for each."""
    for _ in range(4):
        await world.happen(*devices)
    await world.happen(*devices, fact=ENDED)


def answering(answers: Callable[[dict, dict], Awaitable[bytes | None]]):
    """Return a script that answers with what `answers` says of body and headers; None keeps the caller waiting."""

    async def script(received, writer: asyncio.StreamWriter) -> bool:
        answer = await answers(json.loads(received.body), received.headers)
        if answer is None:
            await asyncio.Event().wait()
        writer.write(answer)
        return True

    return script


@pytest.mark.parametrize("left_over", [False, True])
async def test_the_result_comes_after_the_last_state(world, callback, left_over: bool) -> None:
    chance = Random(20261124)
    failing = {device: str(chance.randint(1, 10)) for device in chance.sample(MANY, 15)}

    async def answers(body: dict, headers: dict) -> bytes:
        for _ in range(chance.randint(0, 20)):
            await asyncio.sleep(0)
        spoilt = failing.get(body["deviceId"]) == headers["firmcast-sequence"] and headers["firmcast-attempt"] == "1"
        return FAULT if spoilt else OK

    callback.script = answering(answers)
    world.settings = world.settings.model_copy(update={"window": 100})
    if not left_over:
        await world.dispatch()
    await world.subscribe(callback.url())
    await world.subscribe(callback.url(), RESULTS)
    for _ in range(2):
        await upgrade(world, MANY)
    if left_over:
        await world.dispatch()
    await world.settled()
    assert callback.lanes() == {device: list(range(1, 11)) for device in MANY}
    assert len(callback.requests) == 600 + 15
    assert await world.dead() == []


async def test_one_delivery_of_a_device_is_under_way_whichever_subscription_it_belongs_to(world, callback) -> None:
    under_way: list[str] = []
    most = 0

    async def answers(body: dict, _headers: dict) -> bytes:
        nonlocal most
        under_way.append(body["deviceId"])
        most = max(most, under_way.count(body["deviceId"]))
        for _ in range(10):
            await asyncio.sleep(0)
        under_way.remove(body["deviceId"])
        return OK

    callback.script = answering(answers)
    await world.dispatch()
    await world.subscribe(callback.url())
    await world.subscribe(callback.url(), RESULTS)
    for _ in range(3):
        await upgrade(world, FEW)
    await world.settled()
    assert most == 1


async def test_a_state_that_fails_holds_the_result_of_that_device_back(world, callback) -> None:
    mended = asyncio.Event()

    async def answers(body: dict, headers: dict) -> bytes:
        spoilt = (body["deviceId"], headers["firmcast-sequence"]) == ("d0", "4") and not mended.is_set()
        return FAULT if spoilt else OK

    callback.script = answering(answers)
    await world.dispatch()
    await world.subscribe(callback.url())
    await world.subscribe(callback.url(), RESULTS)
    await upgrade(world, FEW)
    while await world.pending() > 2:
        await asyncio.sleep(0.01)
    assert callback.lanes()["d0"] == [1, 2, 3, 4]
    mended.set()
    await world.settled()
    assert callback.lanes() == {device: [1, 2, 3, 4, 5] for device in FEW}


async def test_two_urls_stay_apart_and_a_black_hole_delays_its_own_only(world, callback, new_callback) -> None:
    hanging = await new_callback()

    async def nothing(_body: dict, _headers: dict) -> None:
        return None

    hanging.script = answering(nothing)
    await world.dispatch()
    await world.subscribe(hanging.url())
    results = await world.subscribe(callback.url("/results"), RESULTS)
    for _ in range(3):
        await upgrade(world, MANY)
    while (await world.database.read(push.pending, DeliveryFilter(subscription_id=results), Page()))[1]:
        await asyncio.sleep(0.01)
    assert callback.lanes() == {device: [5, 10, 15] for device in MANY}
    assert all(sequences == [1] for sequences in hanging.lanes().values())
    assert len(hanging.requests) == min(len(MANY), ConcurrencyPolicy().start)


async def test_a_subscription_that_joins_later_takes_its_place_in_the_order(world, callback) -> None:
    await world.dispatch()
    await world.subscribe(callback.url())
    await upgrade(world, FEW)
    making = asyncio.create_task(world.subscribe(callback.url(), RESULTS))
    for _ in range(10):
        await upgrade(world, FEW)
    await making
    await upgrade(world, FEW)
    await world.settled()
    for arrived in callback.lanes().values():
        assert arrived == sorted(arrived)
        assert arrived[-5:] == [56, 57, 58, 59, 60]
        assert [sequence for sequence in arrived if sequence % 5] == [n for n in range(1, 61) if n % 5]


@pytest.mark.parametrize("moved", [False, True])
async def test_nothing_is_sent_to_an_application_while_news_of_its_subscriptions_is_read(
    world, callback, new_callback, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    elsewhere, bystander = await new_callback(), await new_callback()
    bystanders = await world.database.write(applications.create, "bystander", world.sealer, datetime.now(UTC))
    ours = world.application_id
    dispatcher = await world.dispatch()
    await world.subscribe(callback.url())
    if moved:
        await world.subscribe(elsewhere.url(), RESULTS)
    world.application_id = bystanders.application_id
    await world.subscribe(bystander.url())
    await world.happen("other")
    await world.settled()
    world.application_id = ours
    asked, gate = asyncio.Event(), asyncio.Event()
    read = world.database.read

    async def slow_read(query, *arguments):
        if query is callbacks_of:
            asked.set()
            await gate.wait()
        return await read(query, *arguments)

    monkeypatch.setattr(world.database, "read", slow_read)
    await world.subscribe(callback.url(), RESULTS)
    await asked.wait()
    await world.happen("d0", fact=ENDED)
    await world.happen("d0")
    world.application_id = bystanders.application_id
    await world.happen("other")
    while len(bystander.requests) < 2:
        await asyncio.sleep(0.01)
    assert (callback.requests, elsewhere.requests, dispatcher.in_flight) == ([], [], 0)
    gate.set()
    await world.settled()
    assert (callback.lanes(), elsewhere.requests) == ({"d0": [1, 2]}, [])


async def test_results_that_move_to_the_url_of_the_states_join_their_lanes(world, callback, new_callback) -> None:
    hanging = await new_callback()
    held, release = asyncio.Event(), asyncio.Event()

    async def nothing(_body: dict, _headers: dict) -> None:
        return None

    async def when_released(_body: dict, _headers: dict) -> bytes:
        held.set()
        await release.wait()
        return OK

    hanging.script = answering(nothing)
    callback.script = answering(when_released)
    world.settings = world.settings.model_copy(update={"attempt_timeout": timedelta(seconds=1)})
    await world.dispatch()
    await world.subscribe(callback.url())
    results = await world.subscribe(hanging.url(), RESULTS)
    await upgrade(world, FEW)
    await held.wait()
    while len(hanging.requests) < len(FEW):
        await asyncio.sleep(0.01)
    assert await world.subscribe(callback.url(), RESULTS) == results
    await upgrade(world, FEW)
    release.set()
    await world.settled()
    assert callback.lanes() == {device: list(range(1, 11)) for device in FEW}
    assert len(callback.requests) == 10 * len(FEW), "what was under way was delivered by that, not once more"
    failed = [attempt for attempt in await world.attempts() if attempt.failure is not None]
    assert {attempt.failure for attempt in failed} == {FailureReason.TIMEOUT}
    assert len(failed) == len(FEW), "each result was tried once at its old place"


async def test_subscriptions_that_move_apart_and_together_lose_and_repeat_nothing(
    world, callback, new_callback
) -> None:
    other = await new_callback()
    dispatcher = await world.dispatch()
    await world.subscribe(callback.url())
    await world.subscribe(callback.url(), RESULTS)
    for turn in range(12):
        moving = asyncio.create_task(world.subscribe((other, callback)[turn % 2].url(), RESULTS))
        await upgrade(world, FEW)
        await moving
    await world.settled()
    arrived = [(json.loads(it.body)["deviceId"], int(it.headers["firmcast-sequence"])) for it in callback.requests]
    elsewhere = [(json.loads(it.body)["deviceId"], int(it.headers["firmcast-sequence"])) for it in other.requests]
    assert sorted(arrived + elsewhere) == sorted((device, number) for device in FEW for number in range(1, 61))
    assert all(sequence % 5 == 0 for _, sequence in elsewhere)
    for sequences in callback.lanes().values():
        states = [sequence for sequence in sequences if sequence % 5]
        assert states == sorted(states)
    assert not dispatcher.broken.is_set()


async def test_when_one_subscription_ends_the_other_goes_on(world, callback) -> None:
    held, release = asyncio.Event(), asyncio.Event()

    async def when_released(_body: dict, _headers: dict) -> bytes:
        held.set()
        await release.wait()
        return OK

    callback.script = answering(when_released)
    dispatcher = await world.dispatch()
    await world.subscribe(callback.url())
    results = await world.subscribe(callback.url(), RESULTS)
    for _ in range(3):
        await upgrade(world, FEW)
    await held.wait()
    await world.database.write(subscriptions.remove, world.application_id, [results])
    await upgrade(world, FEW)
    release.set()
    await world.settled()
    assert callback.lanes() == {device: [n for n in range(1, 21) if n % 5] for device in FEW}
    assert not dispatcher.broken.is_set()


async def test_subscribing_again_where_one_is_changes_nothing(world, callback) -> None:
    await world.dispatch()
    for _ in range(5):
        await world.subscribe(callback.url())
        await world.subscribe(callback.url(), RESULTS)
        await upgrade(world, FEW)
    await world.settled()
    assert callback.lanes() == {device: list(range(1, 26)) for device in FEW}
    assert len(callback.requests) == 25 * len(FEW)


async def test_a_result_given_up_is_sent_again_between_the_states_that_wait(world, callback) -> None:
    async def answers(_body: dict, headers: dict) -> bytes:
        return FAULT if headers["firmcast-sequence"] == "5" and not kept else OK

    kept: list[str] = []
    world.settings = world.settings.model_copy(update={"age_limit": timedelta(0)})
    callback.script = answering(answers)
    await world.dispatch()
    await world.subscribe(callback.url())
    results = await world.subscribe(callback.url(), RESULTS)
    await upgrade(world, ["d0"])
    await upgrade(world, ["d0"])
    await world.settled()
    (letter,) = await world.dead()
    assert (letter.sequence, letter.subscription_id) == (5, results)
    kept.append("mended")
    await world.database.write(push.resend, letter.event_id, results)
    await world.settled()
    assert [int(it.headers["firmcast-sequence"]) for it in callback.requests] == [*range(1, 11), 5]
    assert (await world.dead(), await world.pending()) == ([], 0)


async def test_after_a_kill_both_subscriptions_go_on_in_one_order(world, callback) -> None:
    await world.subscribe(callback.url())
    await world.subscribe(callback.url(), RESULTS)
    for _ in range(6):
        dispatcher = await world.dispatch()
        before = len(callback.requests)
        await upgrade(world, FEW)
        while len(callback.requests) < before + 3:
            await asyncio.sleep(0)
        world.kill(dispatcher)
    await world.dispatch()
    await world.settled()
    assert callback.lanes() == {device: list(range(1, 31)) for device in FEW}


async def test_a_backlog_of_both_is_read_in_the_order_of_the_log(world, callback) -> None:
    states = await world.subscribe(callback.url())
    results = await world.subscribe(callback.url(), RESULTS)
    for _ in range(3):
        await upgrade(world, FEW)
    whole = await world.database.read(push.load, [results, states], 0, 1_000)
    assert [row.event_id for row in whole] == sorted(row.event_id for row in whole)
    assert {row.subscription_id for row in whole} == {states, results}
    assert len(whole) == 15 * len(FEW)
    read, after = [], 0
    while page := await world.database.read(push.load, [states, results], after, 7):
        read += page
        after = page[-1].event_id
    assert read == whole
    assert whole[0].application_id == world.application_id
    assert whole[0].occurred_at <= datetime.now(UTC)
