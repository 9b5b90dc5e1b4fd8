"""A subscription that is paused, or whose callback is gone, keeps its deliveries, and goes on with the first."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from firmcast.applications import use_cases as applications
from firmcast.db.page import Page
from firmcast.db.statement import portable
from firmcast.errors import StoreFullError
from firmcast.events.model import EventType, FirmwareUpgradeEnded, Outcome
from firmcast.ids import ApplicationId, SubscriptionId
from firmcast.push import standings
from firmcast.push import use_cases as push
from firmcast.push.callbacks import callbacks_of
from firmcast.push.model import DeliveryFilter
from firmcast.push.retry import DeadReason
from firmcast.push.standing import DeliveryPolicy, SubscriptionState
from firmcast.subscriptions import use_cases as subscriptions

RESULTS = EventType.FIRMWARE_UPGRADE_ENDED
ENDED = FirmwareUpgradeEnded(
    outcome=Outcome.SUCCEEDED, description="", source_version="1", target_version="2", current_version="2", duration=3
)
DEVICES = [f"d{number}" for number in range(8)]
SOON = DeliveryPolicy(retry_delays=(timedelta(milliseconds=1),))


def status(code: int) -> bytes:
    return f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n".encode()


def answering(code_of):
    """Return a script that answers with the status that `code_of` says of a request."""

    async def script(received, writer: asyncio.StreamWriter) -> bool:
        writer.write(status(code_of(received)))
        return True

    return script


async def pending_of(world, subscription: SubscriptionId) -> int:
    return (await world.database.read(push.pending, DeliveryFilter(subscription_id=subscription), Page()))[1]


async def pause(world, subscription: SubscriptionId) -> None:
    await world.database.write(standings.pause, subscription, datetime.now(UTC))


async def state_of(world, subscription: SubscriptionId) -> SubscriptionState:
    return (await world.database.read(standings.find, subscription)).state


async def until(world, subscription: SubscriptionId, state: SubscriptionState) -> None:
    while await state_of(world, subscription) is not state:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("restart", [False, True])
async def test_a_paused_subscription_gathers_and_goes_on_with_the_first(
    world, callback, new_callback, restart: bool
) -> None:
    dispatcher = await world.dispatch()
    subscription = await world.subscribe(callback.url())
    await world.happen(*DEVICES)
    await world.settled()
    await pause(world, subscription)
    for _ in range(3):
        await world.happen(*DEVICES)
    if restart:
        world.kill(dispatcher)
        await world.dispatch()
    await world.tell_another(await new_callback())
    assert (len(callback.requests), await pending_of(world, subscription)) == (8, 24)
    await world.database.write(standings.resume, subscription)
    await world.settled()
    assert callback.lanes() == {device: [1, 2, 3, 4] for device in DEVICES}
    assert len(callback.requests) == 32


async def test_of_two_at_one_callback_the_other_goes_on(world, callback) -> None:
    await world.dispatch()
    states = await world.subscribe(callback.url())
    results = await world.subscribe(callback.url(), RESULTS)
    await pause(world, states)
    await world.happen(*DEVICES)
    await world.happen(*DEVICES, fact=ENDED)
    while await pending_of(world, results):
        await asyncio.sleep(0.01)
    assert callback.lanes() == {device: [2] for device in DEVICES}
    await world.database.write(standings.resume, states)
    await world.happen(*DEVICES, fact=ENDED)
    await world.settled()
    assert callback.lanes() == {device: [2, 1, 3] for device in DEVICES}, "what was held comes first from then on"


async def test_a_callback_that_is_gone_is_called_no_more_and_keeps_its_backlog(world, callback, new_callback) -> None:
    callback.script = answering(lambda _received: 410)
    dispatcher = await world.dispatch()
    states = await world.subscribe(callback.url())
    results = await world.subscribe(callback.url(), RESULTS)
    await world.happen(*DEVICES)
    await until(world, states, SubscriptionState.DISABLED)
    assert await state_of(world, results) is SubscriptionState.DISABLED, "the callback is gone for both"
    await world.happen(*DEVICES, fact=ENDED)
    while dispatcher.in_flight:
        await asyncio.sleep(0.01)
    asked = len(callback.requests)
    await world.tell_another(await new_callback())
    assert len(callback.requests) == asked <= len(DEVICES)
    assert (await world.dead(), await world.pending()) == ([], 16)

    callback.script = answering(lambda _received: 200)
    for subscription in (states, results):
        await world.database.write(standings.resume, subscription)
    await world.settled()
    assert callback.lanes() == {device: [1, 2] for device in DEVICES}


async def test_what_is_found_out_on_a_full_disk_is_written_when_there_is_room(
    world, callback, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback.script = answering(lambda _received: 410)
    dispatcher = await world.dispatch()
    subscription = await world.subscribe(callback.url())
    write, refused = world.database.write, []

    async def write_when_there_is_room(use_case, *arguments):
        if use_case is standings.disable and len(refused) < 2:
            refused.append(use_case)
            raise StoreFullError
        return await write(use_case, *arguments)

    monkeypatch.setattr(world.database, "write", write_when_there_is_room)
    await world.happen(*DEVICES)
    await until(world, subscription, SubscriptionState.DISABLED)
    assert len(refused) == 2
    assert not dispatcher.broken.is_set()


@pytest.mark.parametrize("moved", [False, True])
async def test_who_subscribes_again_is_called_again_for_all_that_he_has_there(
    world, callback, new_callback, moved: bool
) -> None:
    callback.script = answering(lambda _received: 410)
    await world.dispatch()
    states = await world.subscribe(callback.url())
    results = await world.subscribe(callback.url(), RESULTS)
    await world.happen(*DEVICES)
    await world.happen(*DEVICES, fact=ENDED)
    await until(world, results, SubscriptionState.DISABLED)
    alive = await new_callback() if moved else callback
    callback.script = answering(lambda _received: 410 if moved else 200)
    assert await world.subscribe(alive.url()) == states
    assert await state_of(world, states) is SubscriptionState.ACTIVE
    assert (await state_of(world, results) is SubscriptionState.DISABLED) == moved, "the old place is still gone"
    if moved:
        assert await world.subscribe(alive.url(), RESULTS) == results
    await world.settled()
    for arrived in alive.lanes().values():
        assert sorted(arrived) == [1, 2]


async def test_a_pause_of_an_operator_outlasts_what_the_application_does(world, callback, new_callback) -> None:
    await world.dispatch()
    subscription = await world.subscribe(callback.url())
    await pause(world, subscription)
    await world.subscribe(callback.url())
    await world.happen("d1")
    await world.tell_another(await new_callback())
    assert (await state_of(world, subscription), await world.pending()) == (SubscriptionState.PAUSED, 1)


async def test_a_pause_while_a_subscription_is_read_for_the_first_time_is_not_passed_by(
    world, callback, new_callback, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.dispatch()
    bystander = await new_callback()
    ours, other = world.application_id, await another_application(world)
    world.application_id = other
    told = await world.subscribe(bystander.url())
    await world.happen("before")
    await world.settled()
    world.application_id = ours

    read_at_first, pause_is_made, reads_again, is_told = (asyncio.Event() for _ in range(4))
    read = world.database.read

    async def slow_read(use_case, *arguments):
        found = await read(use_case, *arguments)
        if use_case is callbacks_of and not read_at_first.is_set():
            read_at_first.set()
            await pause_is_made.wait()
        elif use_case is callbacks_of:
            reads_again.set()
            await is_told.wait()
        return found

    monkeypatch.setattr(world.database, "read", slow_read)
    subscription = await world.subscribe(callback.url())
    await read_at_first.wait()
    await pause(world, subscription)
    pause_is_made.set()
    await reads_again.wait()
    await world.happen("d1")
    world.application_id = other
    await world.happen("after")
    while await pending_of(world, told):
        await asyncio.sleep(0.01)
    is_told.set()
    await world.tell_another(await new_callback())
    assert (len(callback.requests), await pending_of(world, subscription)) == (0, 1)


async def another_application(world) -> ApplicationId:
    return (await world.database.write(applications.create, "other", world.sealer, datetime.now(UTC))).application_id


async def test_a_disabled_subscription_can_be_deleted(world, callback) -> None:
    callback.script = answering(lambda _received: 410)
    await world.dispatch()
    subscription = await world.subscribe(callback.url())
    await world.happen(*DEVICES)
    await until(world, subscription, SubscriptionState.DISABLED)
    await world.database.write(subscriptions.remove, world.application_id, [subscription])
    await world.settled()
    while await world.database.read(rows_of_standing):
        await asyncio.sleep(0.01)


async def rows_of_standing(tx):
    return await tx.fetch(portable("SELECT * FROM standing"))


async def test_what_a_subscription_left_while_nobody_looked_is_cleared_at_the_start(world, callback) -> None:
    subscription = await world.subscribe(callback.url())
    await world.database.write(standings.set_policy, subscription, SOON)
    await world.database.write(subscriptions.remove, world.application_id, [subscription])
    world.database._listeners.clear()
    assert len(await world.database.read(rows_of_standing)) == 1
    await world.dispatch()
    while await world.database.read(rows_of_standing):
        await asyncio.sleep(0.01)


async def test_one_event_that_is_gone_does_not_stop_its_callback(world, callback) -> None:
    """A poison event: it is offered as often as any that the receiver cannot take, then its lane goes on."""
    callback.script = answering(
        lambda it: 410 if b'"d1"' in it.body and it.headers["firmcast-sequence"] == "1" else 200
    )
    await world.dispatch()
    subscription = await world.subscribe(callback.url())
    await world.database.write(standings.set_policy, subscription, SOON)
    for _ in range(3):
        await world.happen(*DEVICES)
    await world.settled()
    (letter,) = await world.dead()
    assert (letter.device_id, letter.sequence, letter.reason, letter.attempts) == ("d1", 1, DeadReason.GONE, 12)
    assert callback.lanes() == {device: [1, 2, 3] for device in DEVICES}
    assert await state_of(world, subscription) is SubscriptionState.ACTIVE


@pytest.mark.parametrize("code", [413, 415, 422])
async def test_a_body_that_a_receiver_never_takes_holds_its_lane_up_for_a_while_only(world, callback, code) -> None:
    callback.script = answering(lambda it: code if it.headers["firmcast-sequence"] == "2" else 200)
    await world.dispatch()
    subscription = await world.subscribe(callback.url())
    await world.database.write(standings.set_policy, subscription, SOON)
    for _ in range(3):
        await world.happen("d1")
    await world.settled()
    (letter,) = await world.dead()
    assert (letter.sequence, letter.reason, letter.attempts) == (2, DeadReason.UNACCEPTABLE, 12)
    sent = [int(received.headers["firmcast-sequence"]) for received in callback.requests]
    assert sent == [1] + [2] * 12 + [3]


async def test_a_policy_is_of_one_subscription_and_holds_from_the_next_attempt(world, callback) -> None:
    callback.script = answering(lambda _received: 500)
    await world.dispatch()
    states = await world.subscribe(callback.url())
    results = await world.subscribe(callback.url(), RESULTS)
    at_once = DeliveryPolicy(age_limit=timedelta(microseconds=1))
    await world.happen("d1", fact=ENDED)
    await world.happen("d2")
    while len(await world.attempts()) < 2:
        await asyncio.sleep(0.01)
    await world.database.write(standings.set_policy, states, at_once)
    while not await world.dead():
        await asyncio.sleep(0.01)
    (letter,) = await world.dead()
    assert (letter.subscription_id, letter.reason) == (states, DeadReason.EXPIRED)
    assert await pending_of(world, results) == 1


async def test_what_failed_before_a_pause_is_not_too_old_after_it(world, callback) -> None:
    callback.script = answering(lambda _received: 500)
    dispatcher = await world.dispatch()
    subscription = await world.subscribe(callback.url())
    await world.happen("d1")
    while not await world.attempts():
        await asyncio.sleep(0.01)
    await pause(world, subscription)
    while dispatcher.in_flight:
        await asyncio.sleep(0.01)
    await world.database.write(long_ago)
    before = len(callback.requests)
    await world.database.write(standings.resume, subscription)
    while len(callback.requests) == before:
        await asyncio.sleep(0.01)
    assert callback.requests[before].headers["firmcast-attempt"] == "1"
    callback.script = answering(lambda _received: 200)
    await world.settled()
    assert await world.dead() == []


async def long_ago(tx) -> None:
    await tx.execute(portable("UPDATE lane SET first_attempted_at = 1"))
