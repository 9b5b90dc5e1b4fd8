"""The traps that real clients set, numbered as in section 10 of the contract page."""

import json

import pytest

LOGIN = "/iocm/app/sec/v1.1.0/login"
SUBSCRIBE = "/iodm/app/sub/v1.1.0/subscribe"
CREDENTIALS = "/iocm/app/reg/v1.1.0/deviceCredentials"
DEVICES = "/iocm/app/dm/v1.4.0/devices"
OPERATIONS = "/iodm/northbound/v1.5.0/operations"
CATEGORY = "/iodm/northbound/v1.5.0/category"
CALLBACK = "https://192.0.2.7:8099/v1.0.0/messageReceiver"


async def test_trap_3_empty_answers_name_their_type_and_have_no_body(world, caller):
    subscribed = await caller.call("POST", SUBSCRIBE, {"notifyType": "fwUpgradeResultNotify", "callbackurl": CALLBACK})
    package = await world.upload(caller)
    deleted = await caller.call("DELETE", f"{CATEGORY}/{package['package_id']}")
    for answer in (subscribed, deleted):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["content-length"] == "0"


async def test_trap_4_errors_are_json_strings_and_successes_never_say_error_code(world, caller):
    refusals = [
        await caller.call("GET", "/nothing"),
        await caller.call("POST", SUBSCRIBE, b"<html>"),
        await caller.call("PUT", LOGIN),
        await world.call("GET", DEVICES),
    ]
    for answer in refusals:
        assert answer.headers["content-type"] == "application/json"
        assert list(answer.json()) == ["error_code", "error_desc"]
        assert all(isinstance(value, str) for value in answer.json().values())
    device_id = await world.register(caller)
    successes = [
        await caller.call("GET", f"{DEVICES}/{device_id}"),
        await caller.call("GET", DEVICES, query=b"pageNo=0"),
        await caller.call("GET", CATEGORY),
    ]
    assert all("error_code" not in answer.text for answer in successes)


@pytest.mark.parametrize(
    "headers",
    [
        {"app_key": "{id}", "Authorization": "bearer {token}"},
        {"app_key": "{id}", "Authorization": "Bearer {token}"},
        {"app_key": "{id}", "Authorization": "BEARER  {token}"},
        {"App_key": "{id}", "Access_token": "{token}"},
        {"APP_KEY": "{id}", "access_token": "{token}"},
        {"x-app-key": "{id}", "Authorization": "Bearer {token}"},
    ],
)
async def test_trap_5_and_6_who_calls_is_read_however_it_is_spelt(world, caller, headers):
    sent = {name: value.format(id=caller.application_id, token=caller.token) for name, value in headers.items()}
    assert (await world.call("GET", CATEGORY, headers=sent)).status_code == 200


@pytest.mark.parametrize(
    "query", [b"?&pageNo=0&pageSize=1", b"&pageNo=0&pageSize=1", b"pageNo=0&pageSize=1&", b"?&pageSize=1&pageNo=0&&"]
)
async def test_trap_7_queries_are_read_however_they_are_joined(world, caller, query):
    await world.register(caller)
    answer = await caller.call("GET", DEVICES, query=query)
    assert (answer.status_code, answer.json()["pageSize"]) == (200, 1)


async def test_trap_8_names_mangled_with_nul_are_read_after_the_last_one(world, caller):
    await world.upload(caller, version="1.6")
    await world.upload(caller, version="1.7")
    query = b"%00Package%5CQueryInDTO%00version=1.7&%00*%00pageSize=5"
    found = (await caller.call("GET", CATEGORY, query=query)).json()
    assert ([package["version"] for package in found["data"]], found["pageSize"]) == (["1.7"], 5)


async def test_trap_8_escaped_slashes_are_slashes(world, caller):
    body = b'{"notifyType":"fwUpgradeResultNotify","callbackurl":"https:\\/\\/192.0.2.7:8099\\/a"}'
    assert (await caller.call("POST", SUBSCRIBE, body)).status_code == 200


async def test_trap_9_explicit_nulls_further_keys_and_quoted_numbers_are_tolerated(world, caller, golden):
    answer = await caller.call("POST", CREDENTIALS, golden("register_device_request_nulls.json"))
    assert (answer.status_code, answer.json()["timeout"]) == (200, 0)
    device_id = answer.json()["deviceId"]
    nulls = dict.fromkeys(
        [
            "name",
            "endUser",
            "mute",
            "manufacturerId",
            "manufacturerName",
            "deviceType",
            "model",
            "location",
            "protocolType",
            "deviceConfig",
            "region",
            "organization",
            "timezone",
            "psk",
            "imsi",
            "ip",
            "tags",
        ]
    )
    body = {**nulls, "deviceId": device_id, "isSecure": "true"}
    assert (await caller.call("PUT", f"{DEVICES}/{device_id}", body)).status_code == 204


@pytest.mark.parametrize("content_type", ["application/json; charset=UTF-8", "text/plain", "application/json", ""])
async def test_trap_10_any_content_type_will_do(world, caller, content_type):
    body = {"notifyType": "fwUpgradeResultNotify", "callbackurl": CALLBACK}
    answer = await caller.call("POST", SUBSCRIBE, body, headers={"Content-Type": content_type})
    assert answer.status_code == 200


async def test_trap_10_a_delete_may_say_that_its_body_is_empty(world, caller):
    device_id = await world.register(caller)
    answer = await caller.call("DELETE", f"{DEVICES}/{device_id}", b"", headers={"Content-Length": "0"})
    assert answer.status_code == 204


async def test_trap_12_numbers_are_numbers_and_booleans_booleans(world, caller):
    device_id = await world.register(caller)
    text = (await caller.call("GET", f"{CREDENTIALS}/{device_id}")).text
    assert '"activated":false' in text
    page = json.loads((await caller.call("GET", CATEGORY)).text)
    assert [type(page[name]) for name in ("pageNo", "pageSize", "totalCount")] == [int, int, int]


async def test_trap_13_statuses_are_exact(world, caller):
    device_id = await world.register(caller)
    form = f"appId={caller.application_id}&secret={caller.credentials.secret}".encode()
    assert (await world.call("POST", LOGIN, form)).status_code == 200
    assert (await caller.call("PUT", f"{DEVICES}/{device_id}", {"name": "a"})).status_code == 204
    assert (await caller.call("DELETE", f"{DEVICES}/{device_id}")).status_code == 204


@pytest.mark.parametrize("name", ["callbackurl", "callbackUrl", "CALLBACKURL", " callbackurl"])
async def test_trap_14_the_callback_is_read_in_every_spelling(world, caller, name):
    body = {" notifyType": "fwUpgradeResultNotify", name: CALLBACK}
    assert (await caller.call("POST", SUBSCRIBE, body)).status_code == 200


@pytest.mark.parametrize("name", [b"manufacturerName", b"manufactureName"])
async def test_trap_14_the_manufacturer_is_read_in_both_spellings(world, caller, name):
    await world.upload(caller, manufacturer_name="Acme")
    await world.upload(caller, manufacturer_name="Other")
    assert (await caller.call("GET", CATEGORY, query=name + b"=Acme")).json()["totalCount"] == 1


async def created(world, caller, **changed):
    package = await world.upload(caller)
    body = {"fileId": package["package_id"], "targets": {"devices": [await world.register(caller)]}, **changed}
    answer = await caller.call("POST", f"{OPERATIONS}/firmwareUpgrade", body)
    assert answer.status_code == 200, answer.text
    return answer.json()["operationId"]


async def test_trap_9_a_policy_of_null_is_none(world, caller):
    task_id = await created(world, caller, policy=None)
    policy = (await caller.call("GET", f"{OPERATIONS}/{task_id}")).json()["policy"]
    assert (policy["executeType"], policy["retryType"]) == ("now", False)


async def test_trap_9_targets_under_a_key_of_null_are_none(world, caller, golden, refused):
    answer = await caller.call("POST", f"{OPERATIONS}/firmwareUpgrade", golden("create_upgrade_null_key.json"))
    refused(answer, 400, "123022", "deviceGroups and devices cannot be null together")


async def test_trap_12_counts_are_numbers_and_maps_are_objects(world, caller):
    task_id = await created(world, caller)
    task = (await caller.call("GET", f"{OPERATIONS}/{task_id}")).json()
    assert {type(count) for count in task["staResult"].values()} == {int}
    assert isinstance(task["extendPara"], dict)
    (share,) = (await caller.call("GET", f"{OPERATIONS}/{task_id}/subOperations")).json()["data"]
    assert isinstance(share["extendInfo"], dict)


@pytest.mark.parametrize("word", ["fail", "failed", "FAIL", "Failed"])
async def test_trap_14_failure_is_read_in_every_spelling(world, caller, word):
    task_id = await created(world, caller)
    for query in (f"?operationStatus={word}", f"/{task_id}/subOperations?subOperationStatus={word}"):
        answer = await caller.call("GET", OPERATIONS + query)
        assert (answer.status_code, answer.json()["totalCount"]) == (200, 0)


async def test_trap_14_the_task_list_tells_its_total_under_both_names(world, caller):
    await created(world, caller)
    said = (await caller.call("GET", OPERATIONS)).json()
    assert (said["totalCount"], said["totalSize"]) == (1, 1)


async def test_trap_4_a_name_that_says_error_code_is_told_without_that_text(world, caller):
    device_id = await world.register(caller)
    path = f"/iocm/app/dm/v1.4.0/devices/{device_id}"
    assert (await caller.call("PUT", path, {"name": "error_code"})).status_code == 204
    answer = await caller.call("GET", path)
    assert answer.json()["deviceInfo"]["name"] == "error_code"
    assert b"error_code" not in answer.content
