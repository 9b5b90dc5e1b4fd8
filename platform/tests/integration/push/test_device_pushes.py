"""Device events on their way to a receiver, and subscriptions that end while much waits for them."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from firmcast.applications import use_cases as applications
from firmcast.db.page import Page
from firmcast.db.statement import portable
from firmcast.devices import registrations, use_cases
from firmcast.devices.model import DeviceDetails, NewRegistration
from firmcast.events.model import EventType
from firmcast.push import use_cases as push
from firmcast.push.model import DeliveryFilter
from firmcast.subscriptions import use_cases as subscriptions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEVICE_TYPES = [
    EventType.DEVICE_ADDED,
    EventType.DEVICE_BOUND,
    EventType.DEVICE_INFO_CHANGED,
    EventType.DEVICE_DELETED,
]
SERVER_ERROR = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"


async def release(_tx, _device_id, _now):
    return None


async def live_through(world) -> str:
    """Have a device made known, come, change and go."""
    write = world.database.write
    device = await write(use_cases.create, world.application_id, "node", "node", NOW, log=world.log)
    told = NewRegistration(
        endpoint_name="node",
        host="192.0.2.9",
        port=5683,
        lifetime_seconds=300,
        binding="U",
        queue_mode=False,
        lwm2m_version="1.1",
        objects="</5/0>",
    )
    made = await write(registrations.register, [told], NOW, log=world.log)
    details = DeviceDetails(name="cellar")
    await write(use_cases.modify, world.application_id, device.device_id, details, NOW, log=world.log)
    await write(use_cases.record_firmware_versions, {device.device_id: "1.6"}, NOW, log=world.log)
    await write(registrations.remove, [made["node"].registration_id], NOW, log=world.log)
    await write(use_cases.delete, world.application_id, device.device_id, NOW, log=world.log, release=release)
    return device.device_id


def bodies(callback):
    return [json.loads(request.body) for request in callback.requests]


async def test_a_life_is_delivered_in_order_though_the_device_is_gone(world, callback) -> None:
    for event_type in DEVICE_TYPES:
        await world.subscribe(callback.url(), event_type)
    device_id = await live_through(world)
    await world.dispatch()
    await world.settled()
    found = bodies(callback)
    assert {body["deviceId"] for body in found} == {device_id}
    assert [body["notifyType"] for body in found] == [
        "deviceAdded",
        "bindDevice",
        "deviceInfoChanged",
        "deviceInfoChanged",
        "deviceInfoChanged",
        "deviceInfoChanged",
        "deviceDeleted",
    ]
    assert [body["deviceInfo"] for body in found[2:6]] == [
        {"status": "ONLINE", "statusDetail": "NONE"},
        {"name": "cellar"},
        {"fwVersion": "1.6"},
        {"status": "OFFLINE", "statusDetail": "NONE"},
    ]
    assert [request.headers["firmcast-sequence"] for request in callback.requests] == [str(n) for n in range(1, 8)]


async def test_who_subscribed_to_one_type_hears_of_no_other(world, callback) -> None:
    await world.subscribe(callback.url(), EventType.DEVICE_DELETED)
    await world.dispatch()
    await live_through(world)
    await world.settled()
    assert [body["notifyType"] for body in bodies(callback)] == ["deviceDeleted"]
    assert callback.requests[0].headers["firmcast-sequence"] == "7"


async def test_a_silent_type_is_kept_and_hears_nothing(world, callback) -> None:
    told = {*DEVICE_TYPES, EventType.FIRMWARE_STATE_CHANGED, EventType.FIRMWARE_UPGRADE_ENDED}
    for event_type in set(EventType) - told:
        await world.subscribe(callback.url(), event_type)
    await world.dispatch()
    await live_through(world)
    await world.happen("d1", "d2")
    assert await world.pending() == 0
    assert callback.requests == []


async def left_of(world, subscription_id) -> int:
    """How much still waits for a subscription, or was given up; attempts are a log and stay."""
    wanted = DeliveryFilter(subscription_id=subscription_id)
    looks = (push.pending, push.dead_letters)
    return sum([(await world.database.read(look, wanted, Page()))[1] for look in looks])


async def lanes(tx):
    return await tx.fetch(portable("SELECT subscription_id FROM lane"))


@pytest.mark.parametrize("ended_by", ["one", "all", "application"])
async def test_a_subscription_that_ends_takes_its_backlog_along_and_no_other(
    world, new_callback, callback, ended_by
) -> None:
    async def refuse(_request, writer) -> bool:
        writer.write(SERVER_ERROR)
        return True

    broken = await new_callback()
    broken.script = refuse
    ending = await world.subscribe(broken.url(), EventType.FIRMWARE_STATE_CHANGED)
    application_id, world.application_id = world.application_id, await another_application(world)
    staying = await world.subscribe(callback.url(), EventType.FIRMWARE_STATE_CHANGED)
    dispatcher = await world.dispatch()
    devices = [f"d{number}" for number in range(400)]
    for number in range(0, 400, 100):
        for owner in (application_id, world.application_id):
            world.application_id = owner
            await world.happen(*[f"{owner}-{device}" for device in devices[number : number + 100]])
    async with asyncio.timeout(20):
        while not await world.attempts():
            await asyncio.sleep(0.01)
        match ended_by:
            case "one":
                await world.database.write(subscriptions.remove, application_id, [ending])
            case "all":
                await world.database.write(subscriptions.remove_matching, application_id)
            case "application":
                await world.database.write(subscriptions.forget_application, application_id)
        while await left_of(world, ending):
            await asyncio.sleep(0.01)
        await world.settled()
        while dispatcher.in_flight:
            await asyncio.sleep(0.01)
        await dispatcher._writer.written()
        while await world.database.read(lanes):  # they go after the last delivery
            await asyncio.sleep(0.01)
    assert await left_of(world, ending) == 0
    assert not dispatcher.broken.is_set()
    assert {body["deviceId"] for body in bodies(callback)} == {f"{world.application_id}-{device}" for device in devices}
    assert len(await world.database.read(subscriptions.all_subscriptions)) == 1
    assert list(await world.database.read(subscriptions.by_ids, [staying])) == [staying]


async def test_the_same_type_again_begins_with_what_happens_after_it(world, callback) -> None:
    first = await world.subscribe(callback.url("/first"))
    await world.happen("d1", "d1")
    await world.database.write(subscriptions.remove_matching, world.application_id)
    second = await world.subscribe(callback.url("/second"))
    (event,) = await world.happen("d1")
    await world.dispatch()
    await world.settled()
    assert first != second
    assert [request.line.split()[1] for request in callback.requests] == ["/second"]
    assert callback.requests[0].headers["webhook-id"] == event.message_id


async def another_application(world):
    credentials = await world.database.write(applications.create, "other", world.sealer, NOW)
    return credentials.application_id
