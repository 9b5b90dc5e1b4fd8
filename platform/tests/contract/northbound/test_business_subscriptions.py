"""Business subscriptions, section 4 of the contract page."""

import msgspec
import pytest

from firmcast.audit import use_cases as audit
from firmcast.audit.model import AuditFilter
from firmcast.db.page import Page
from firmcast.events.model import EventType
from firmcast.subscriptions import api, use_cases
from firmcast_sdk.wire.subscriptions import SubscribableType

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
OLDEST = "/iocm/app/sub/v1.1.0/subscribe"
OLDER = ["/iocm/app/sub/v1.2.0/subscribe", OLDEST]
MANAGEMENT = "/iodm/app/sub/v1.1.0/subscribe"
CALLBACK = "https://192.0.2.7:8099/v1.0.0/messageReceiver"
OTHER_CALLBACK = "https://192.0.2.7:8099/other?token=a&b=c"
UPGRADE_TYPES = [
    "swUpgradeStateChangeNotify",
    "swUpgradeResultNotify",
    "fwUpgradeStateChangeNotify",
    "fwUpgradeResultNotify",
]


async def subscribe(caller, notify_type="deviceAdded", callback=CALLBACK, **said):
    answer = await caller.call("POST", SUBSCRIPTIONS, {"notifyType": notify_type, "callbackUrl": callback, **said})
    assert answer.status_code == 201, answer.text
    return answer.json()["subscriptionId"]


async def types(world, caller):
    """The types that an application has subscribed to."""
    found, _ = await world.database.read(use_cases.listed, caller.application_id)
    return {subscription.event_type for subscription in found}


async def actions(world):
    entries, _ = await world.database.read(audit.listed, AuditFilter(action="subscription."), Page())
    return [(entry.action, entry.actor.name, entry.subject) for entry in reversed(entries)]


# ---------------------------------------------------------------------- subscribing


@pytest.mark.parametrize("notify_type", [member.value for member in SubscribableType])
async def test_each_type_is_taken_kept_and_listed(world, caller, notify_type):
    answer = await caller.call("POST", SUBSCRIPTIONS, {"notifyType": notify_type, "callbackUrl": CALLBACK})
    body = {"subscriptionId": answer.json()["subscriptionId"], "notifyType": notify_type, "callbackUrl": CALLBACK}
    assert (answer.status_code, answer.content) == (201, msgspec.json.encode(body))
    assert answer.headers["content-type"] == "application/json"
    listed = await caller.call("GET", SUBSCRIPTIONS, query=f"notifyType={notify_type}".encode())
    assert listed.json()["subscriptions"] == [body]


def test_each_type_of_the_contract_is_one_type_of_event():
    assert set(api.EVENT_TYPES) == set(SubscribableType)
    assert set(api.EVENT_TYPES.values()) == set(EventType)


@pytest.mark.parametrize("query", [b"ownerFlag=true", b"ownerFlag=false", b"ownerFlag=", b"?&ownerFlag=FALSE&", b""])
async def test_trap_7_the_owner_flag_changes_nothing_for_an_applications_own_devices(caller, query):
    body = {"notifyType": "deviceAdded", "callbackUrl": CALLBACK}
    assert (await caller.call("POST", SUBSCRIPTIONS, body, query=query)).status_code == 201


@pytest.mark.parametrize("path", [SUBSCRIPTIONS, *OLDER])
@pytest.mark.parametrize(
    "name",
    [
        "business_subscribe_request.json",
        "business_subscribe_request_nulls.json",
        "business_subscribe_request_older.json",
    ],
)
async def test_traps_9_and_14_each_path_takes_each_spelling_and_nulls(world, caller, golden, path, name):
    answer = await caller.call("POST", path, golden(name))
    assert answer.status_code == 201
    listed = (await caller.call("GET", SUBSCRIPTIONS)).json()["subscriptions"]
    assert [subscription["callbackUrl"] for subscription in listed] == [CALLBACK]
    assert await types(world, caller) == {EventType.DEVICE_ADDED}


async def test_trap_3_the_oldest_path_answers_201_and_nothing_to_read(caller, refused):
    """The Java client's method returns nothing and throws on a body; the Go client insists on 201."""
    body = b'{"callbackurl":"https://192.0.2.7:8099/v1.0.0/messageReceiver","notifyType":"deviceDataChanged"}'
    java = {"content-type": "application/json; charset=UTF-8"}
    answer = await caller.call("POST", OLDEST, body, headers=java)
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["content-type"] == "application/json"
    refused(await caller.call("POST", OLDEST, body, headers=java), 409, "100227", "The resource is conflicted.")


@pytest.mark.parametrize("channel", ["HTTP", "http", "", None])
async def test_our_channel_can_be_named(caller, channel):
    await subscribe(caller, channel=channel)


@pytest.mark.parametrize("channel", ["MQTTS", "pigeon"])
async def test_a_channel_that_we_do_not_have_is_refused(world, caller, refused, channel):
    body = {"notifyType": "deviceAdded", "callbackUrl": CALLBACK, "channel": channel}
    refused(await caller.call("POST", SUBSCRIPTIONS, body), 400, "100022", "The input is invalid.")
    assert await types(world, caller) == set()


@pytest.mark.parametrize("path", [SUBSCRIPTIONS, *OLDER])
async def test_a_type_that_is_subscribed_to_is_a_conflict(world, caller, refused, path):
    first = await subscribe(caller)
    body = {"notifyType": "DEVICEADDED", "callbackUrl": OTHER_CALLBACK}
    refused(await caller.call("POST", path, body), 409, "100227", "The resource is conflicted.")
    kept = await caller.call("GET", f"{SUBSCRIPTIONS}/{first}")
    assert kept.json()["callbackUrl"] == CALLBACK
    assert await types(world, await world.login("other")) == set()
    await subscribe(await world.login("another"))


@pytest.mark.parametrize("callback", ["ftp://192.0.2.7:1/", "nonsense", "", " ", None, "https://h:1/" + "a" * 1024])
async def test_a_callback_that_cannot_be_is_refused(world, caller, refused, callback):
    answer = await caller.call("POST", SUBSCRIPTIONS, {"notifyType": "deviceAdded", "callbackUrl": callback})
    refused(answer, 400, "100222", "The request callbackurl is illegal.")
    assert await types(world, caller) == set()


async def test_a_body_without_a_callback_is_refused(caller, refused):
    answer = await caller.call("POST", SUBSCRIPTIONS, {"notifyType": "deviceAdded"})
    refused(answer, 400, "100222", "The request callbackurl is illegal.")


@pytest.mark.parametrize("notify_type", ["weatherChanged", "", None, 1, [], {}])
async def test_a_type_that_cannot_be_is_refused(caller, refused, notify_type):
    answer = await caller.call("POST", SUBSCRIPTIONS, {"notifyType": notify_type, "callbackUrl": CALLBACK})
    refused(answer, 400, "100022", "The input is invalid.")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe"])
async def test_what_is_no_object_is_refused(caller, refused, body):
    refused(await caller.call("POST", SUBSCRIPTIONS, body), 400, "100007", "Bad request message.")


async def test_another_applications_devices_are_not_authorised(world, caller, refused):
    other = await world.login("other")
    words = "The application hasn't been authorized."
    body = {"notifyType": "deviceAdded", "callbackUrl": CALLBACK}
    query = f"appId={other.application_id}".encode()
    for answer in (
        await caller.call("POST", SUBSCRIPTIONS, {**body, "appId": other.application_id}),
        await caller.call("POST", SUBSCRIPTIONS, body, query=query),
        await caller.call("GET", SUBSCRIPTIONS, query=query),
        await caller.call("GET", f"{SUBSCRIPTIONS}/a", query=query),
        await caller.call("DELETE", f"{SUBSCRIPTIONS}/a", query=query),
        await caller.call("DELETE", SUBSCRIPTIONS, query=query),
    ):
        refused(answer, 403, "100217", words)
    own = f"appId={caller.application_id}".encode()
    assert (await caller.call("POST", SUBSCRIPTIONS, body, query=own)).status_code == 201


async def test_callbacks_at_several_hosts_are_allowed(world, caller):
    await subscribe(caller, "deviceAdded", "https://192.0.2.7:8099/a")
    await subscribe(caller, "deviceDeleted", "https://192.0.2.8:8100/a")
    assert len(await types(world, caller)) == 2


# ---------------------------------------------------------------------- reading


async def test_one_subscription_is_read(caller):
    subscription_id = await subscribe(caller, "bindDevice")
    answer = await caller.call("GET", f"{SUBSCRIPTIONS}/{subscription_id}", query=b"appId=")
    expected = {"subscriptionId": subscription_id, "notifyType": "bindDevice", "callbackUrl": CALLBACK}
    assert (answer.status_code, answer.content) == (200, msgspec.json.encode(expected))


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_subscription_that_is_not_the_applications_is_not_found(world, caller, refused, method):
    theirs = await subscribe(await world.login("other"))
    for subscription_id in (theirs, "unknown", "a" * 300, "%00"):
        answer = await caller.call(method, f"{SUBSCRIPTIONS}/{subscription_id}")
        refused(answer, 404, "100225", "The resource is not found")


async def test_the_list_is_the_contracts(caller, golden):
    await subscribe(caller, "deviceAdded")
    await caller.call("POST", MANAGEMENT, {"notifyType": "fwUpgradeResultNotify", "callbackurl": CALLBACK})
    answer = await caller.call("GET", SUBSCRIPTIONS, query=b"pageNo=0&pageSize=2")
    whole = msgspec.json.decode(golden("subscription_list.json"))
    assert answer.status_code == 200
    assert list(answer.json()) == list(whole)
    assert [list(one) for one in answer.json()["subscriptions"]] == [list(one) for one in whole["subscriptions"]]
    assert {one["notifyType"] for one in answer.json()["subscriptions"]} == {"deviceAdded", "fwUpgradeResultNotify"}


@pytest.mark.parametrize(
    ("query", "page_no", "page_size", "count"),
    [
        (b"", 0, 25, 25),
        (b"pageNo=", 0, 25, 25),
        (b"pageSize=3", 0, 25, 25),
        (b"pageNo=0", 0, 10, 10),
        (b"pageNo=2", 2, 10, 5),
        (b"pageNo=3", 3, 10, 0),
        (b"?&pageNo=1&pageSize=4&", 1, 4, 4),
        (b"PAGENO=6&PageSize=4", 6, 4, 1),
    ],
)
async def test_pages_begin_at_0_and_without_a_number_there_are_none(caller, query, page_no, page_size, count):
    for member in SubscribableType:
        await subscribe(caller, member.value)
    answer = (await caller.call("GET", SUBSCRIPTIONS, query=query)).json()
    assert (answer["totalCount"], answer["pageNo"], answer["pageSize"]) == (25, page_no, page_size)
    assert len(answer["subscriptions"]) == count


@pytest.mark.parametrize(
    "query", [b"pageNo=-1", b"pageNo=a", b"pageNo=0&pageSize=0", b"pageNo=0&pageSize=1001", b"notifyType=weather"]
)
async def test_a_list_that_cannot_be_is_refused(caller, refused, query):
    refused(await caller.call("GET", SUBSCRIPTIONS, query=query), 400, "100022", "The input is invalid.")


async def test_trap_8_names_with_nul_bytes_are_read_behind_the_last(caller, golden):
    wanted = await subscribe(caller, "deviceAdded")
    await subscribe(caller, "deviceDeleted")
    answer = await caller.call("GET", SUBSCRIPTIONS, query=golden("subscription_query_mangled.form"))
    assert [one["subscriptionId"] for one in answer.json()["subscriptions"]] == [wanted]


async def test_an_application_lists_its_own_alone(world, caller):
    await subscribe(await world.login("other"))
    assert (await caller.call("GET", SUBSCRIPTIONS)).json() == {
        "totalCount": 0,
        "pageNo": 0,
        "pageSize": 0,
        "subscriptions": [],
    }


# ---------------------------------------------------------------------- deleting


async def test_trap_13_a_deletion_is_204_and_empty(world, caller):
    subscription_id = await subscribe(caller)
    for path in (f"{SUBSCRIPTIONS}/{subscription_id}", SUBSCRIPTIONS):
        answer = await caller.call("DELETE", path, headers={"Content-Length": "0"})
        assert (answer.status_code, answer.content) == (204, b"")
    assert await types(world, caller) == set()
    await subscribe(caller)


async def test_trap_8_a_deletion_without_a_filter_deletes_every_one_of_the_application(world, caller):
    other = await world.login("other")
    await subscribe(other)
    for notify_type in ("deviceAdded", *UPGRADE_TYPES):
        await subscribe(caller, notify_type)
    assert (await caller.call("DELETE", SUBSCRIPTIONS)).status_code == 204
    assert await types(world, caller) == set()
    assert await types(world, other) == {EventType.DEVICE_ADDED}


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (b"notifyType=deviceAdded", {EventType.DEVICE_DELETED, EventType.DEVICE_BOUND}),
        (b"callbackUrl=" + CALLBACK.encode(), {EventType.DEVICE_BOUND}),
        (b"?&callbackUrl=" + CALLBACK.encode() + b"&notifyType=deviceDeleted",
         {EventType.DEVICE_ADDED, EventType.DEVICE_BOUND}),
        (b"callbackUrl=https%3A%2F%2F192.0.2.7%3A8099%2Fother%3Ftoken%3Da%26b%3Dc",
         {EventType.DEVICE_ADDED, EventType.DEVICE_DELETED}),
        (b"notifyType=bindDevice&callbackUrl=" + CALLBACK.encode(), None),
        (b"callbackUrl=https://192.0.2.7:8099/v1.0.0", None),
        (b"notifyType=messageConfirm", None),
        (b"channel=", set()),
        (b"channel=HTTP", set()),
        (b"channel=http&notifyType=", set()),
        (b"channel=MQTTS", None),
        (b"channel=pigeon", None),
        (b"channel=MQTTS&notifyType=deviceAdded", None),
        (b"channel=Http&notifyType=deviceAdded", {EventType.DEVICE_DELETED, EventType.DEVICE_BOUND}),
    ],
)  # fmt: skip
async def test_filters_of_a_deletion_hold_together(world, caller, query, left):
    await subscribe(caller, "deviceAdded")
    await subscribe(caller, "deviceDeleted")
    await subscribe(caller, "bindDevice", OTHER_CALLBACK)
    everything = await types(world, caller)
    assert (await caller.call("DELETE", SUBSCRIPTIONS, query=query)).status_code == 204
    assert await types(world, caller) == (everything if left is None else left)


async def test_a_deletion_of_an_unknown_type_is_refused_and_deletes_nothing(world, caller, refused):
    await subscribe(caller)
    answer = await caller.call("DELETE", SUBSCRIPTIONS, query=b"notifyType=weather")
    refused(answer, 400, "100022", "The input is invalid.")
    assert await types(world, caller) == {EventType.DEVICE_ADDED}


# ---------------------------------------------------------------------- both kinds


@pytest.mark.parametrize("notify_type", UPGRADE_TYPES)
async def test_both_kinds_are_one(world, caller, refused, notify_type):
    managed = {"notifyType": notify_type, "callbackurl": CALLBACK}
    assert (await caller.call("POST", MANAGEMENT, managed)).status_code == 200
    listed = (await caller.call("GET", SUBSCRIPTIONS)).json()["subscriptions"]
    assert [(one["notifyType"], one["callbackUrl"]) for one in listed] == [(notify_type, CALLBACK)]
    business = {"notifyType": notify_type, "callbackUrl": OTHER_CALLBACK}
    refused(await caller.call("POST", SUBSCRIPTIONS, business), 409, "100227", "The resource is conflicted.")
    one = f"{SUBSCRIPTIONS}/{listed[0]['subscriptionId']}"
    assert (await caller.call("POST", MANAGEMENT, {**managed, "callbackurl": OTHER_CALLBACK})).status_code == 200
    assert (await caller.call("GET", one)).json()["callbackUrl"] == OTHER_CALLBACK
    assert (await caller.call("DELETE", one)).status_code == 204
    await subscribe(caller, notify_type)


async def test_every_change_is_recorded_and_no_refusal(world, caller):
    await caller.call("POST", MANAGEMENT, {"notifyType": UPGRADE_TYPES[0], "callbackurl": CALLBACK})
    first = await subscribe(caller, callback=OTHER_CALLBACK)
    await caller.call("POST", SUBSCRIPTIONS, {"notifyType": "deviceAdded", "callbackUrl": CALLBACK})
    await caller.call("DELETE", f"{SUBSCRIPTIONS}/{first}")
    await caller.call("DELETE", f"{SUBSCRIPTIONS}/{first}")
    await caller.call("DELETE", SUBSCRIPTIONS)
    recorded = await actions(world)
    managed = recorded[0][2]
    assert recorded == [
        ("subscription.set", caller.application_id, managed),
        ("subscription.create", caller.application_id, first),
        ("subscription.delete", caller.application_id, first),
        ("subscription.delete", caller.application_id, managed),
    ]
    entries, _ = await world.database.read(audit.listed, AuditFilter(subject=first), Page())
    assert entries[-1].details == {"event_type": "device.added", "callback": "192.0.2.7:8099"}


async def test_a_stranger_changes_nothing(world, caller, refused):
    subscription_id = await subscribe(caller)
    calls = [
        ("POST", SUBSCRIPTIONS), ("GET", SUBSCRIPTIONS), ("DELETE", SUBSCRIPTIONS),
        ("GET", f"{SUBSCRIPTIONS}/{subscription_id}"), ("DELETE", f"{SUBSCRIPTIONS}/{subscription_id}"),
    ]  # fmt: skip
    for method, path in calls:
        answer = await world.call(method, path, headers={"app_key": caller.application_id, "Authorization": "Bearer x"})
        refused(answer, 403, "1010005", "Invalid access token or appId.")
    assert await types(world, caller) == {EventType.DEVICE_ADDED}
