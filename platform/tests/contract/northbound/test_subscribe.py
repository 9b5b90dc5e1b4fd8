"""The management subscription, section 3 of the contract page."""

import pytest

from firmcast.events.model import EventType
from firmcast.subscriptions import use_cases

SUBSCRIBE = "/iodm/app/sub/v1.1.0/subscribe"
CALLBACK = "https://192.0.2.7:8099/v1.0.0/messageReceiver"


async def stored(world, caller):
    subscriptions, _ = await world.database.read(use_cases.listed, caller.application_id)
    return {subscription.event_type: subscription.callback_url for subscription in subscriptions}


@pytest.mark.parametrize(
    ("notify_type", "event_type"),
    [
        ("fwUpgradeStateChangeNotify", EventType.FIRMWARE_STATE_CHANGED),
        ("fwUpgradeResultNotify", EventType.FIRMWARE_UPGRADE_ENDED),
        ("swUpgradeStateChangeNotify", EventType.SOFTWARE_STATE_CHANGED),
        ("swUpgradeResultNotify", EventType.SOFTWARE_UPGRADE_ENDED),
    ],
)
async def test_each_type_can_be_subscribed_to(world, caller, notify_type, event_type):
    answer = await caller.call("POST", SUBSCRIBE, {"notifyType": notify_type, "callbackurl": CALLBACK})
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", "application/json")
    assert await stored(world, caller) == {event_type: CALLBACK}


@pytest.mark.parametrize("name", ["subscribe_request.json", "subscribe_request_camel.json"])
async def test_both_spellings_of_the_callback_are_read(world, caller, golden, name):
    assert (await caller.call("POST", SUBSCRIBE, golden(name))).status_code == 200
    assert await stored(world, caller) == {EventType.FIRMWARE_STATE_CHANGED: CALLBACK}


async def test_subscribing_again_moves_the_callback(world, caller):
    for port in (8099, 8100):
        body = {"notifyType": "fwUpgradeResultNotify", "callbackurl": f"https://192.0.2.7:{port}/a"}
        assert (await caller.call("POST", SUBSCRIBE, body)).status_code == 200
    assert await stored(world, caller) == {EventType.FIRMWARE_UPGRADE_ENDED: "https://192.0.2.7:8100/a"}


@pytest.mark.parametrize("callback", ["ftp://192.0.2.7:1/", "nonsense", "", " ", None, "https://h:1/" + "a" * 1024])
async def test_a_callback_that_cannot_be_is_refused(world, caller, refused, callback):
    body = {"notifyType": "fwUpgradeResultNotify", "callbackurl": callback}
    answer = await caller.call("POST", SUBSCRIBE, body)
    refused(answer, 400, "100222", "The request callbackurl is illegal.")
    assert await stored(world, caller) == {}


@pytest.mark.parametrize("notify_type", ["deviceAdded", "nonsense", None, 1, [], {}])
async def test_a_type_that_cannot_be_is_refused(world, caller, refused, notify_type):
    answer = await caller.call("POST", SUBSCRIBE, {"notifyType": notify_type, "callbackurl": CALLBACK})
    refused(answer, 400, "100022", "The input is invalid.")
    assert await stored(world, caller) == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"notifyType=a", b"\xff\xfe"])
async def test_what_is_no_object_is_refused(world, caller, refused, body):
    refused(await caller.call("POST", SUBSCRIBE, body), 400, "100007", "Bad request message.")
