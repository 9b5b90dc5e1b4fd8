"""Upgrade tasks for groups, over the northbound interface: section 6 of the contract page."""

import pytest

OPERATIONS = "/iodm/northbound/v1.5.0/operations"
FIRMWARE = f"{OPERATIONS}/firmwareUpgrade"
GROUPS = "/iocm/app/devgroup/v1.3.0/devGroups"
WORDS = {"deviceType": "WaterMeter", "model": "WM1", "manufacturerName": "Acme"}


@pytest.fixture
async def package_id(world, caller):
    return (await world.upload(caller, version="V1.1.10"))["package_id"]


@pytest.fixture
async def device_ids(world, caller):
    found = []
    for number in range(3):
        device_id = await world.register(caller, f"node-{number}")
        await caller.call("PUT", f"/iocm/app/dm/v1.4.0/devices/{device_id}", WORDS)
        found.append(device_id)
    return found


@pytest.fixture
async def group(caller, device_ids):
    answer = await caller.call("POST", GROUPS, {"name": "north", "deviceIds": device_ids})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def create(caller, package_id, **changed):
    body = {"fileId": package_id, "targets": {"deviceGroups": ["north"], **WORDS}, **changed}
    return await caller.call("POST", FIRMWARE, body)


async def test_a_task_for_a_group_counts_its_devices_once_it_has_started(
    world, caller, package_id, group, device_ids, golden
):
    answer = await create(caller, package_id)
    assert answer.status_code == 200, answer.text
    path = f"{OPERATIONS}/{answer.json()['operationId']}"
    before = (await caller.call("GET", path)).json()
    assert (before["status"], before["staResult"]["total"], before["startTime"]) == ("wait", 0, None)
    assert before["targets"] == {"deviceGroups": ["north"], **WORDS, "devices": None}
    await world.pass_time(seconds=1)
    after = (await caller.call("GET", path)).json()
    assert (after["status"], after["staResult"]["total"], after["staResult"]["wait"]) == ("wait", 3, 3)
    assert after["startTime"] == "20260101T000001Z"
    shares = (await caller.call("GET", f"{path}/subOperations")).json()
    assert sorted(share["deviceId"] for share in shares["data"]) == sorted(device_ids)


async def test_the_manufacturers_name_is_read_in_both_spellings(world, caller, package_id, group):
    targets = {"deviceGroups": ["north"], "deviceType": "WaterMeter", "model": "WM1", "manufactureName": "Acme"}
    assert (await create(caller, package_id, targets=targets)).status_code == 200
    await world.pass_time(seconds=1)
    for spelling in ("manufacturerName", "manufactureName"):
        page = (await caller.call("GET", OPERATIONS, query=f"{spelling}=Acme".encode())).json()
        assert (page["totalCount"], page["totalSize"]) == (1, 1)


async def test_a_task_for_nobody_says_why_it_failed(world, caller, package_id, group):
    targets = {"deviceGroups": ["north"], **WORDS, "model": "WM2"}
    task_id = (await create(caller, package_id, targets=targets)).json()["operationId"]
    await world.pass_time(seconds=1)
    task = (await caller.call("GET", f"{OPERATIONS}/{task_id}")).json()
    assert (task["status"], task["staResult"]["total"], task["stopTime"]) == ("failed", 0, "20260101T000001Z")
    assert task["extendPara"] == {
        "fileVersion": "V1.1.10",
        "detailInfo": "No device of the groups has the device type, the model and the manufacturer of the task",
    }


@pytest.mark.parametrize("names", [["south"], ["north", "south"], [""], ["NORTH"]])
async def test_groups_that_are_not_there_are_refused(caller, package_id, group, refused, names):
    answer = await create(caller, package_id, targets={"deviceGroups": names, **WORDS})
    refused(answer, 400, "123027", "some deviceGroups not found")


async def test_groups_of_another_application_are_not_there(world, caller, package_id, group, refused):
    other = await world.login("somebody else")
    theirs = (await world.upload(other))["package_id"]
    refused(await create(other, theirs), 400, "123027", "some deviceGroups not found")
    refused(await create(other, package_id), 404, "123002", "Device or package file not found.")


async def test_a_package_for_other_devices_is_refused(world, caller, group, refused):
    package = await world.upload(caller, device_type="Kettle")
    refused(
        await create(caller, package["package_id"]),
        400,
        "123016",
        "The parameter is error, targetversion not match with device.",
    )


@pytest.mark.parametrize("policy", [None, {"executeType": "device_online", "retryType": "TRUE", "retryTimes": "2"}])
async def test_the_policy_may_be_null_and_spelt_as_strings(caller, package_id, group, policy):
    task_id = (await create(caller, package_id, policy=policy)).json()["operationId"]
    told = (await caller.call("GET", f"{OPERATIONS}/{task_id}")).json()["policy"]
    assert (told["retryType"], told["retryTimes"]) == ((True, 2) if policy else (False, None))


async def test_the_creation_of_a_task_is_in_the_audit(world, caller, package_id, group):
    task_id = (await create(caller, package_id)).json()["operationId"]
    entries = (await world.manage("GET", "/v1/audit", query=f"subject={task_id}".encode())).json()["entries"]
    assert [(entry["action"], entry["actor"]) for entry in entries] == [("upgrade.create", caller.application_id)]


# --- a request that is sent again -----------------------------------------------------------------------------------


def keyed(key):
    return {"idempotency-key": key}


async def test_a_request_of_one_key_creates_one_task(world, caller, package_id, group):
    body = {"fileId": package_id, "targets": {"deviceGroups": ["north"], **WORDS}}
    spelt = {"policy": None, "targets": {**body["targets"], "devices": None}, "fileId": package_id}
    answers = [await caller.call("POST", FIRMWARE, each, headers=keyed("k 1")) for each in (body, spelt, body)]
    assert len({answer.content for answer in answers}) == 1
    assert (await caller.call("GET", OPERATIONS)).json()["totalCount"] == 1
    other = await caller.call("POST", FIRMWARE, body, headers=keyed("k 2"))
    assert other.content != answers[0].content
    none = [await caller.call("POST", FIRMWARE, body, headers=keyed(" ")) for _ in range(2)]
    assert none[0].content != none[1].content


async def test_a_request_is_answered_again_after_its_window_has_opened(world, caller, package_id, group):
    policy = {"executeType": "custom", "startTime": "20260101T000000Z", "endTime": "20260101T060000Z"}
    body = {"fileId": package_id, "targets": {"deviceGroups": ["north"], **WORDS}, "policy": policy}
    first = await caller.call("POST", FIRMWARE, body, headers=keyed("k"))
    await world.pass_time(minutes=10)
    again = await caller.call("POST", FIRMWARE, body, headers=keyed("k"))
    assert (again.status_code, again.content) == (200, first.content)


async def test_another_request_of_the_same_key_is_refused(caller, package_id, group, device_ids, refused):
    body = {"fileId": package_id, "targets": {"deviceGroups": ["north"], **WORDS}}
    assert (await caller.call("POST", FIRMWARE, body, headers=keyed("k"))).status_code == 200
    answer = await caller.call("POST", FIRMWARE, {**body, "targets": {"devices": device_ids}}, headers=keyed("k"))
    refused(answer, 400, "120015", "Bad request error.")
    assert "'k'" in answer.headers["firmcast-reason"]


@pytest.mark.parametrize("key", ["a" * 129, "tab\there", "caf\u00e9"])
async def test_a_key_that_cannot_be_is_refused(caller, package_id, group, refused, key):
    body = {"fileId": package_id, "targets": {"deviceGroups": ["north"], **WORDS}}
    answer = await caller.call("POST", FIRMWARE, body, headers=keyed(key))
    refused(answer, 400, "120015", "Bad request error.")
    assert (await caller.call("GET", OPERATIONS)).json()["totalCount"] == 0


async def test_applications_have_keys_of_their_own(world, caller, package_id, group):
    body = {"fileId": package_id, "targets": {"deviceGroups": ["north"], **WORDS}}
    first = await caller.call("POST", FIRMWARE, body, headers=keyed("k"))
    other = await world.login("somebody else")
    theirs = (await world.upload(other))["package_id"]
    device_id = await world.register(other, "theirs")
    second = await other.call(
        "POST", FIRMWARE, {"fileId": theirs, "targets": {"devices": [device_id]}}, headers=keyed("k")
    )
    assert (second.status_code, second.content == first.content) == (200, False)
