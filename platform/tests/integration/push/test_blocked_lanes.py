"""Where a subscription wants it so, a device's events wait behind one that was given up, until somebody decides."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from firmcast.audit import use_cases as audit
from firmcast.audit.model import AuditFilter
from firmcast.db.page import Page
from firmcast.errors import NotFoundError
from firmcast.events.model import EventType, FirmwareUpgradeEnded, Outcome
from firmcast.ids import SubscriptionId
from firmcast.push import standings, use_cases
from firmcast.push import use_cases as push
from firmcast.push.retry import WhenGivenUp
from firmcast.push.standing import DeliveryPolicy

RESULTS = EventType.FIRMWARE_UPGRADE_ENDED
ENDED = FirmwareUpgradeEnded(
    outcome=Outcome.SUCCEEDED, description="", source_version="1", target_version="2", current_version="2", duration=3
)
DEVICES = [f"d{number}" for number in range(8)]
BLOCKING = DeliveryPolicy(age_limit=timedelta(microseconds=1), when_given_up=WhenGivenUp.BLOCK)


class Receiver:
    """Refuses some sequences of one device until it is mended."""

    def __init__(self, *sequences: int, device: str = "d1") -> None:
        self.refused = {(device, sequence) for sequence in sequences}

    async def __call__(self, received, writer: asyncio.StreamWriter) -> bool:
        key = json.loads(received.body)["deviceId"], int(received.headers["firmcast-sequence"])
        code = 500 if key in self.refused else 200
        writer.write(f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n".encode())
        return True

    def mend(self) -> None:
        self.refused.clear()


async def blocking(world, url: str, event_type: EventType = EventType.FIRMWARE_STATE_CHANGED) -> SubscriptionId:
    subscription = await world.subscribe(url, event_type)
    await world.database.write(standings.set_policy, subscription, BLOCKING)
    return subscription


async def dead(world, count: int) -> None:
    while len(await world.dead()) != count:
        await asyncio.sleep(0.01)


async def until_pending(world, count: int) -> None:
    while await world.pending() != count:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("discarded", [False, True])
async def test_a_lane_stands_until_somebody_decides(world, callback, client, restart: bool, discarded: bool) -> None:
    callback.script = receiver = Receiver(2)
    dispatcher = await world.dispatch()
    subscription = await blocking(world, callback.url())
    for _ in range(4):
        await world.happen(*DEVICES)
    await until_pending(world, 3)
    await dead(world, 1)
    assert callback.lanes() == {device: [1, 2, 3, 4] for device in DEVICES} | {"d1": [1, 2]}
    (waiting, *behind) = (await client.get("/v1/deliveries")).json()["deliveries"]
    assert (waiting["sequence"], waiting["blocked"], waiting["next_attempt_at"]) == (2, True, None)
    assert [(item["sequence"], item["blocked"]) for item in behind] == [(3, False), (4, False)]
    if restart:
        world.kill(dispatcher)
        await world.dispatch()
    await world.happen(*DEVICES)
    await until_pending(world, 4)
    assert callback.lanes()["d1"] == [1, 2], "it stands over new events, and over a restart"

    (letter,) = await world.dead()
    receiver.mend()
    callback.requests.clear()
    if discarded:
        await world.database.write(push.discard, letter.event_id, subscription)
    else:
        await world.database.write(push.resend, letter.event_id, subscription)
    await world.settled()
    assert callback.lanes()["d1"] == ([3, 4, 5] if discarded else [2, 3, 4, 5])
    assert await world.dead() == []


async def test_what_is_sent_again_and_given_up_again_blocks_again(world, callback) -> None:
    callback.script = receiver = Receiver(1, 3)
    await world.dispatch()
    subscription = await blocking(world, callback.url())
    for _ in range(4):
        await world.happen("d1")
    for sequence in (1, 1, 3):
        await dead(world, 1)
        (letter,) = await world.dead()
        assert letter.sequence == sequence
        if len(callback.requests) > 1:
            receiver.refused.discard(("d1", sequence))
        before = len(callback.requests)
        assert await world.database.write(push.resend_dead_letters, subscription) == (1, letter.event_id)
        while len(callback.requests) == before:
            await asyncio.sleep(0.01)
        await asyncio.gather(*(dispatcher._writer.written() for dispatcher in world.dispatchers))
    await world.settled()
    assert callback.lanes() == {"d1": [1, 2, 3, 4]}


async def test_of_two_at_one_callback_the_policy_is_its_own_and_the_lane_is_both_s(world, callback) -> None:
    callback.script = receiver = Receiver(1, 4)
    await world.dispatch()
    await blocking(world, callback.url())
    skipping = await world.subscribe(callback.url(), RESULTS)
    at_once = DeliveryPolicy(age_limit=timedelta(microseconds=1))
    await world.database.write(standings.set_policy, skipping, at_once)
    await world.happen("d1", fact=ENDED)
    await world.happen("d1")
    await until_pending(world, 0)
    assert [letter.sequence for letter in await world.dead()] == [1], "a result that is given up is skipped"
    await world.happen("d1", fact=ENDED)
    await world.happen("d1")
    await world.happen("d1", fact=ENDED)
    await dead(world, 2)
    await until_pending(world, 2)
    assert callback.lanes() == {"d1": [1, 2, 3, 4]}, "a state that is given up holds the result back"
    receiver.mend()
    letter = (await world.dead())[1]
    await world.database.write(push.resend, letter.event_id, letter.subscription_id)
    await until_pending(world, 0)
    assert callback.lanes() == {"d1": [1, 2, 3, 4, 5]}


async def test_a_pause_keeps_the_block(world, callback) -> None:
    callback.script = Receiver(1)
    await world.dispatch()
    subscription = await blocking(world, callback.url())
    await world.happen(*DEVICES)
    await world.happen(*DEVICES)
    await dead(world, 1)
    await until_pending(world, 2)
    await world.database.write(standings.pause, subscription, datetime.now(UTC))
    await world.happen(*DEVICES)
    await world.database.write(standings.resume, subscription)
    await until_pending(world, 3)
    assert callback.lanes() == {device: [1, 2, 3] for device in DEVICES} | {"d1": [1]}
    await world.database.write(push.discard_dead_letters, subscription)
    await world.settled()
    assert callback.lanes()["d1"] == [1, 2, 3]


async def test_many_are_discarded_by_device_or_all_and_named(world, callback, client, monkeypatch) -> None:
    monkeypatch.setattr(use_cases, "RESENT_AT_ONCE", 2)
    world.settings = world.settings.model_copy(update={"age_limit": timedelta(0)})
    callback.script = Receiver(*range(1, 10), device="d1")
    await world.dispatch()
    subscription = await world.subscribe(callback.url())
    events = [(await world.happen("d1"))[0].event_id for _ in range(5)]
    await dead(world, 5)
    callback.script = Receiver(*range(1, 10), device="d2")
    await world.happen("d2", "d2", "d2")
    await dead(world, 8)
    path = "/v1/dead-letters/discard"
    with structlog.testing.capture_logs() as logs:
        one = await client.post(path, json={"subscription_id": subscription, "event_id": events[2]})
        of_device = await client.post(path, json={"subscription_id": subscription, "device_id": "d1"})
    assert (one.json(), of_device.json()) == ({"discarded": 1}, {"discarded": 4})
    named = [entry["event_ids"] for entry in logs if entry["event"] == "push.dead_letters_discarded"]
    assert named == [[events[2]], events[:2], events[3:]]
    assert {letter.device_id for letter in await world.dead()} == {"d2"}
    everything = await client.post(path, json={"subscription_id": subscription})
    again = await client.post(path, json={"subscription_id": subscription})
    assert (everything.json(), again.json(), await world.dead()) == ({"discarded": 3}, {"discarded": 0}, [])
    entries, _ = await world.database.read(audit.listed, AuditFilter(action="push.discard_dead_letters"), Page())
    assert [dict(entry.details) for entry in reversed(entries)] == [
        {"event_id": str(events[2])},
        {"device_id": "d1"},
        {},
        {},
    ]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"subscription_id": "nobody"}, 404, "not_found"),
        ({"subscription_id": "nobody", "event_id": 7}, 404, "not_found"),
        ({"subscription_id": "nobody", "event_id": 7, "device_id": "d"}, 400, "invalid_value"),
        ({"subscription_id": "nobody", "event_id": 0}, 400, "invalid_request"),
        ({"subscription_id": "nobody", "event_id": 2**70}, 400, "invalid_request"),
        ({"subscription_id": "nobody", "event_id": "x"}, 400, "invalid_request"),
        ({"subscription_id": "nobody", "device": "d"}, 400, "invalid_request"),
        ({"event_id": 7}, 400, "invalid_request"),
        ([], 400, "invalid_request"),
    ],
)
async def test_what_cannot_be_discarded(client, body: object, status: int, code: str) -> None:
    answer = await client.post("/v1/dead-letters/discard", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


async def test_what_is_on_its_way_is_no_dead_letter_and_stays(world) -> None:
    subscription = await world.subscribe("https://192.0.2.1:1/x")
    (event,) = await world.happen("d1")
    with pytest.raises(NotFoundError):
        await world.database.write(push.discard, event.event_id, subscription)
    assert await world.database.write(push.discard_dead_letters, subscription) == []
    assert await world.pending() == 1
