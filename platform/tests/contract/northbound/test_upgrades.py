"""Upgrade tasks, section 6 of the contract page."""

import pytest

from firmcast.devices import commands, registrations
from firmcast.devices.model import NewRegistration
from firmcast.upgrades.model import CommandAnswered, ResourcesReported, TransferProgressed

OPERATIONS = "/iodm/northbound/v1.5.0/operations"
FIRMWARE = f"{OPERATIONS}/firmwareUpgrade"
SOFTWARE = f"{OPERATIONS}/softwareUpgrade"
DEVICES = "/iocm/app/dm/v1.4.0/devices"
GROUP = {"deviceGroups": ["north"], "deviceType": "WaterMeter", "model": "WM1", "manufacturerName": "Acme"}
WINDOW = {"executeType": "custom", "startTime": "20260101T000000Z", "endTime": "20260101T060000Z"}


@pytest.fixture
async def package_id(world, caller):
    return (await world.upload(caller, version="V1.1.10"))["package_id"]


@pytest.fixture
async def device_id(world, caller):
    return await world.register(caller)


@pytest.fixture
def create(caller, package_id, device_id):
    """Create a task; what is given takes the place of what is usual, None leaves it out."""

    async def call(path=FIRMWARE, **changed):
        body = {"fileId": package_id, "targets": {"devices": [device_id]}, **changed}
        return await caller.call("POST", path, {name: value for name, value in body.items() if value is not None})

    return call


async def count(caller):
    return (await caller.call("GET", OPERATIONS)).json()["totalCount"]


async def test_a_task_is_told_as_the_contract_says(caller, create, golden, device_id):
    created = await create(policy={"executeType": "now"})
    assert created.status_code == 200
    task_id = created.json()["operationId"]
    assert created.content == golden("create_upgrade_response.json").replace(b"7ee1e0a4", task_id.encode())
    expected = (
        golden("operation.json")
        .replace(b"7ee1e0a4", task_id.encode())
        .replace(b"3e3c1d2a", device_id.encode())
        .replace(b'"startTime":"20260101T000001Z"', b'"startTime":null')
        .replace(b'"status":"processing"', b'"status":"wait"')
        .replace(b'"wait":0,"processing":1', b'"wait":1,"processing":0')
    )
    one = await caller.call("GET", f"{OPERATIONS}/{task_id}")
    assert (one.status_code, one.content) == (200, expected)
    page = await caller.call("GET", OPERATIONS)
    assert page.status_code == 200
    assert page.content == b'{"data":[' + expected + b'],"pageNo":0,"pageSize":10,"totalCount":1,"totalSize":1}'


async def test_a_devices_share_is_told_as_the_contract_says(caller, create, device_id):
    task_id = (await create()).json()["operationId"]
    answer = await caller.call("GET", f"{OPERATIONS}/{task_id}/subOperations")
    said = answer.json()
    assert answer.status_code == 200
    assert list(said) == ["data", "pageNo", "pageSize", "totalCount"]
    assert (said["pageNo"], said["pageSize"], said["totalCount"]) == (0, 10, 1)
    (share,) = said["data"]
    assert list(share) == [
        "subOperationId",
        "createTime",
        "startTime",
        "stopTime",
        "operateType",
        "deviceId",
        "status",
        "detailInfo",
        "extendInfo",
    ]
    assert list(share["extendInfo"]) == ["upgradeTime", "sourceVersion", "curVersion", "downloadTime", "targetVersion"]
    assert (share["deviceId"], share["status"], share["operateType"]) == (device_id, "wait", "firmware_upgrade")
    assert (share["createTime"], share["stopTime"], share["detailInfo"]) == ("20260101T000000Z", None, None)
    assert share["extendInfo"]["targetVersion"] == "V1.1.10"


@pytest.mark.parametrize("name", ["create_upgrade_nulls.json", "create_upgrade_devices.json"])
async def test_bodies_of_real_clients_are_read(caller, golden, world, package_id, device_id, name):
    other = await world.register(caller, "another")
    body = (
        golden(name)
        .replace(b"c8f9", package_id.encode())
        .replace(b"3e3c1d2a", device_id.encode())
        .replace(b"8b20f477", other.encode())
    )
    answer = await caller.call("POST", FIRMWARE, body)
    assert answer.status_code == 200, answer.text
    task = (await caller.call("GET", f"{OPERATIONS}/{answer.json()['operationId']}")).json()
    assert task["staResult"]["total"] == (2 if b"custom" in body else 1)


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (None, {"executeType": "now", "startTime": None, "endTime": None, "retryType": False, "retryTimes": None}),
        (
            {"executeType": "DEVICE_ONLINE", "retryType": "true", "retryTimes": "5"},
            {"executeType": "device_online", "startTime": None, "endTime": None, "retryType": True, "retryTimes": 5},
        ),
        (
            {**WINDOW, "retryType": False, "retryTimes": 3},
            {**WINDOW, "retryType": False, "retryTimes": None},
        ),
        (
            {"retryType": False, "startTime": "20200101T000000Z"},
            {"executeType": "now", "startTime": None, "endTime": None, "retryType": False, "retryTimes": None},
        ),
    ],
)
async def test_the_policy_is_kept(caller, create, policy, told):
    task_id = (await create(policy=policy)).json()["operationId"]
    assert (await caller.call("GET", f"{OPERATIONS}/{task_id}")).json()["policy"] == told


BAD_REQUEST = ("120015", "Bad request error.")
NO_TARGETS = ("123022", "deviceGroups and devices cannot be null together")
BOTH_TARGETS = ("123023", "deviceGroups and devices cannot be exist together")
TOO_MANY = ("123024", "The number of deviceGroups or devices reached upper limit")
EXECUTE_TYPE = ("123025", "executeType is error or can not to be null")
TIMES = ("123026", "startTime or endTime is null or error")
RETRIES = ("123028", "retryTimes is null or beyond the limit")


@pytest.mark.parametrize(
    ("targets", "error"),
    [
        (None, NO_TARGETS),
        ({}, NO_TARGETS),
        ({"null": ["sss"]}, NO_TARGETS),
        ({"devices": [], "deviceGroups": []}, NO_TARGETS),
        ({"devices": None, "deviceGroups": None}, NO_TARGETS),
        ({"devices": ["d"], "deviceGroups": ["g"]}, BOTH_TARGETS),
        ({"devices": [str(number) for number in range(257)]}, TOO_MANY),
        ({**GROUP, "deviceGroups": [str(number) for number in range(257)]}, TOO_MANY),
        ({**GROUP, "manufacturerName": None}, ("123019", "manufacturerName is null.")),
        ({**GROUP, "deviceType": ""}, ("123020", "deviceType is null")),
        ({"deviceGroups": ["north"], "manufacturerName": "a", "deviceType": "b"}, ("123021", "model is null.")),
        (GROUP, ("123027", "some deviceGroups not found")),
        ({"devices": "d"}, BAD_REQUEST),
        ({"devices": [["d"]]}, BAD_REQUEST),
        ({"devices": ["a\0b"]}, BAD_REQUEST),
        ({**GROUP, "model": "a" * 257}, BAD_REQUEST),
    ],
)
async def test_targets_that_cannot_be_are_refused(caller, create, refused, targets, error):
    for path in (FIRMWARE,):
        refused(await create(path, targets=targets), 400, *error)
    assert await count(caller) == 0


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        ({"executeType": "tomorrow"}, EXECUTE_TYPE),
        ({"executeType": ""}, EXECUTE_TYPE),
        ({"executeType": ["now"]}, EXECUTE_TYPE),
        ({"executeType": "custom"}, TIMES),
        ({**WINDOW, "startTime": None}, TIMES),
        ({**WINDOW, "endTime": None}, TIMES),
        ({**WINDOW, "endTime": "2026-01-01"}, TIMES),
        ({**WINDOW, "startTime": 20260101}, TIMES),
        ({**WINDOW, "startTime": "20260102T000000Z"}, ("123032", "startTime can not be later than the endTime")),
        ({**WINDOW, "startTime": "20251231T235959Z"}, ("123033", "startTime can not be earlier than the now")),
        ({**WINDOW, "endTime": "20260101T000459Z"}, ("123034", "endtime must be greater than 5 minutes")),
        ({"retryType": True}, RETRIES),
        ({"retryType": True, "retryTimes": 0}, RETRIES),
        ({"retryType": True, "retryTimes": 6}, RETRIES),
        ({"retryType": True, "retryTimes": "many"}, RETRIES),
        ({"retryType": "perhaps"}, BAD_REQUEST),
        ("now", BAD_REQUEST),
    ],
)
async def test_policies_that_cannot_be_are_refused(caller, create, refused, policy, error):
    refused(await create(policy=policy), 400, *error)
    assert await count(caller) == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b'{"targets":{"devices":["d"]}}'])
@pytest.mark.parametrize("path", [FIRMWARE, SOFTWARE])
async def test_what_is_no_request_is_refused(caller, refused, path, body):
    answer = await caller.call("POST", path, body)
    if body == b"{}":  # both mandatory fields are missing: either may be named
        assert answer.json()["error_code"] in ("120015", "123022")
    else:
        refused(answer, 400, *BAD_REQUEST)


@pytest.mark.parametrize("file_id", ["", " ", 256 * "a" + "a", [], {}])
async def test_a_file_id_that_cannot_be_is_refused(create, refused, file_id):
    refused(await create(fileId=file_id), 400, *BAD_REQUEST)


async def test_an_unknown_package_or_device_is_told(world, caller, create, refused, device_id):
    other = await world.login("somebody else")
    theirs = await world.upload(other)
    their_device = await world.register(other, "their device")
    unknown = ("123002", "Device or package file not found.")
    refused(await create(fileId="unknown"), 404, *unknown)
    refused(await create(fileId=theirs["package_id"]), 404, *unknown)
    refused(await create(targets={"devices": [device_id, "unknown"]}), 404, *unknown)
    refused(await create(targets={"devices": [their_device]}), 404, *unknown)
    assert await count(caller) == 0


@pytest.mark.parametrize("field", ["device_type", "model", "manufacturer_name"])
async def test_a_package_for_other_devices_is_refused(world, caller, create, refused, device_id, field):
    wire_name = {"device_type": "deviceType", "model": "model", "manufacturer_name": "manufacturerName"}[field]
    await caller.call("PUT", f"{DEVICES}/{device_id}", {wire_name: "Fridge"})
    package = await world.upload(caller, **{"device_type": "", field: "Kettle"})
    refused(
        await create(fileId=package["package_id"]),
        400,
        "123016",
        "The parameter is error, targetversion not match with device.",
    )


async def test_a_device_named_twice_is_upgraded_once(caller, create, device_id):
    task_id = (await create(targets={"devices": [device_id, device_id]})).json()["operationId"]
    assert (await caller.call("GET", f"{OPERATIONS}/{task_id}")).json()["staResult"]["total"] == 1


async def test_software_upgrades_are_refused_clearly(caller, create, refused):
    answer = await create(SOFTWARE)
    refused(answer, 400, *BAD_REQUEST)
    assert "software" in answer.headers["firmcast-reason"]
    assert await count(caller) == 0


@pytest.mark.parametrize("path", [OPERATIONS + "/{}", OPERATIONS + "/{}/subOperations"])
async def test_an_unknown_task_is_told(world, create, refused, path):
    theirs = (await create()).json()["operationId"]
    other = await world.login("somebody else")
    for task_id in ("unknown", "%00", "a" * 300, theirs):
        answer = await other.call("GET", path.format(task_id))
        refused(answer, 404, "123009", "The requested task does not exist.")


@pytest.mark.parametrize("path", [OPERATIONS, OPERATIONS + "/t/subOperations"])
@pytest.mark.parametrize("query", [b"pageNo=-1", b"pageSize=0", b"pageSize=101", b"pageNo=9223372036854775807"])
async def test_pages_out_of_range_are_refused(caller, refused, path, query):
    answer = await caller.call("GET", path, query=query)
    refused(answer, 400, "123029", "pageNo or pageSize beyond the limit.")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (OPERATIONS, b"pageNo=x"),
        (OPERATIONS, b"operationType=haircut"),
        (OPERATIONS, b"operationStatus=great"),
        (OPERATIONS, b"deviceId=" + b"a" * 257),
        (OPERATIONS, b"model=%00"),
        (OPERATIONS + "/t/subOperations", b"subOperationStatus=great"),
        (OPERATIONS + "/t/subOperations", b"pageSize=x"),
    ],
)
async def test_filters_that_cannot_be_are_refused(caller, refused, path, query):
    refused(await caller.call("GET", path, query=query), 400, *BAD_REQUEST)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["late", "early"]),
        ("?&operationType=firmware_upgrade", ["late", "early"]),
        ("operationType=software_upgrade", []),
        ("operationStatus=WAIT", ["late", "early"]),
        ("operationStatus=processing", []),
        ("operationStatus=fail", []),
        ("operationStatus=failed", []),
        ("operationStatus=success", []),
        ("operationStatus=stop", []),
        ("deviceId={early}", ["early"]),
        ("deviceId=unknown", []),
        ("deviceType=WaterMeter", ["late"]),
        ("model=WM1", ["late"]),
        ("manufacturerName=Acme", ["late"]),
        ("manufactureName=Acme", ["late"]),
        ("model=WM2", []),
        ("pageSize=1", ["late"]),
        ("pageNo=1&pageSize=1", ["early"]),
    ],
)
async def test_tasks_are_filtered_and_paged(world, caller, query, expected):
    devices, tasks = {}, {}
    for name, words in (
        ("early", {"device_type": "Kettle"}),
        ("late", {"device_type": "WaterMeter", "model": "WM1", "manufacturer_name": "Acme"}),
    ):
        package = await world.upload(caller, **words)
        devices[name] = await world.register(caller, name)
        body = {"fileId": package["package_id"], "targets": {"devices": [devices[name]]}}
        tasks[(await caller.call("POST", FIRMWARE, body)).json()["operationId"]] = name
        world.clock.pass_time(seconds=1)
    answer = await caller.call("GET", OPERATIONS, query=query.format(**devices).encode())
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert [tasks[task["operationId"]] for task in said["data"]] == expected
    assert said["totalCount"] == said["totalSize"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [(b"", 3), (b"subOperationStatus=Wait", 3), (b"subOperationStatus=FAIL", 0), (b"subOperationStatus=failed", 0)],
)
async def test_shares_are_filtered_and_paged(world, caller, create, query, expected):
    devices = [await world.register(caller, f"node-{number}") for number in range(3)]
    task_id = (await create(targets={"devices": devices})).json()["operationId"]
    path = f"{OPERATIONS}/{task_id}/subOperations"
    seen = []
    for number in range(3):
        said = (await caller.call("GET", path, query=query + f"&pageNo={number}&pageSize=2".encode())).json()
        assert said["totalCount"] == expected
        seen += [share["deviceId"] for share in said["data"]]
    assert sorted(seen) == (sorted(devices) if expected else [])


async def come_online(world, node_id):
    told = NewRegistration(
        endpoint_name=node_id,
        host="192.0.2.9",
        port=5683,
        lifetime_seconds=86400,
        binding="U",
        queue_mode=False,
        lwm2m_version="1.1",
        objects="</5/0>",
    )
    await world.database.write(registrations.register, [told], world.clock.now(), log=world.log)


async def test_how_a_task_ended_is_told_in_the_words_of_its_place(world, caller, create):
    """One device runs the version already, one never comes, one is taken away."""
    nodes = ("runs-it", "never-comes", "taken-away")
    devices = {node: await world.register(caller, node) for node in nodes}
    await come_online(world, "runs-it")
    task_id = (await create(targets={"devices": list(devices.values())})).json()["operationId"]
    path = f"{OPERATIONS}/{task_id}"
    await world.pass_time(seconds=5)
    under_way = (await caller.call("GET", path)).json()
    assert (under_way["status"], under_way["startTime"], under_way["stopTime"]) == (
        "processing",
        "20260101T000005Z",
        None,
    )
    (order,) = await world.database.read(commands.waiting, [devices["runs-it"]])
    told = ResourcesReported(state=0, result=0, firmware_version="V1.1.10")
    await world.report(devices["runs-it"], CommandAnswered(command_id=order.command_id, resources=told))
    await caller.call("DELETE", f"{DEVICES}/{devices['taken-away']}")
    for _ in range(3):
        await world.pass_time(hours=25)
    caller = await world.login_as(caller.credentials)

    task = (await caller.call("GET", path)).json()
    assert task["status"] == "failed"
    assert task["staResult"] == {
        "total": 3,
        "wait": 0,
        "processing": 0,
        "success": 1,
        "fail": 0,
        "stop": 1,
        "timeout": 1,
    }
    shares = (await caller.call("GET", f"{path}/subOperations")).json()["data"]
    words = {share["deviceId"]: share["status"] for share in shares}
    assert {node: words[device_id] for node, device_id in devices.items()} == {
        "runs-it": "success",
        "never-comes": "fail",
        "taken-away": "stop",
    }
    for word, node in (("success", "runs-it"), ("FAILED", "never-comes"), ("Stop", "taken-away")):
        query = f"subOperationStatus={word}".encode()
        found = (await caller.call("GET", f"{path}/subOperations", query=query)).json()
        assert ([share["deviceId"] for share in found["data"]], found["totalCount"]) == ([devices[node]], 1)
    (failed,) = [share for share in shares if share["status"] == "fail"]
    assert failed["detailInfo"]
    assert failed["stopTime"] == task["stopTime"]
    for word, expected in (("fail", 1), ("FAILED", 1), ("success", 0), ("wait", 0), ("processing", 0), ("stop", 0)):
        query = f"operationStatus={word}".encode()
        assert (await caller.call("GET", OPERATIONS, query=query)).json()["totalCount"] == expected


async def test_a_device_that_ran_the_version_already_shows_how_long_it_took(world, caller, create):
    device_id = await world.register(caller, "runs-it")
    await come_online(world, "runs-it")
    task_id = (await create(targets={"devices": [device_id]})).json()["operationId"]
    await world.pass_time(seconds=0)
    (order,) = await world.database.read(commands.waiting, [device_id])
    told = ResourcesReported(state=0, result=0, firmware_version="V1.1.10")
    world.clock.pass_time(seconds=42)
    await world.report(device_id, CommandAnswered(command_id=order.command_id, resources=told))
    (share,) = (await caller.call("GET", f"{OPERATIONS}/{task_id}/subOperations")).json()["data"]
    assert share["status"] == "success"
    assert share["extendInfo"]["upgradeTime"] == "42"
    assert share["extendInfo"]["curVersion"] == share["extendInfo"]["targetVersion"] == "V1.1.10"
    assert (await caller.call("GET", f"{OPERATIONS}/{task_id}")).json()["status"] == "success"


async def test_a_device_that_is_tried_again_counts_as_waiting_until_it_has_succeeded(world, caller, create):
    device_id = await world.register(caller, "has-no-room")
    await come_online(world, "has-no-room")
    policy = {"executeType": "now", "retryType": True, "retryTimes": 1}
    task_id = (await create(targets={"devices": [device_id]}, policy=policy)).json()["operationId"]
    path = f"{OPERATIONS}/{task_id}"
    await world.pass_time(seconds=0)
    idle = ResourcesReported(state=0, result=0, firmware_version="V1.0", protocols=(0,), delivery_method=0)

    async def answer(told):
        (order,) = await world.database.read(commands.waiting, [device_id])
        await world.report(device_id, CommandAnswered(command_id=order.command_id, resources=told))

    async def share():
        (found,) = (await caller.call("GET", f"{path}/subOperations")).json()["data"]
        return found

    await answer(idle)
    await answer(ResourcesReported())
    await world.report(device_id, ResourcesReported(state=1, result=0))
    await world.report(device_id, ResourcesReported(state=0, result=2))
    failed = await share()
    assert (failed["status"], failed["detailInfo"]) == ("fail", "Not enough storage for the new firmware package")
    between = (await caller.call("GET", path)).json()
    assert (between["status"], between["stopTime"], between["staResult"]["fail"]) == ("processing", None, 1)

    await world.pass_time(seconds=1)
    assert (await share())["status"] == "processing"
    await answer(idle)
    await world.report(device_id, TransferProgressed(finished=False))
    world.clock.pass_time(seconds=30)
    await world.report(device_id, ResourcesReported(state=2, result=0))
    await answer(ResourcesReported())
    world.clock.pass_time(seconds=11)
    done = ResourcesReported(state=0, result=1, firmware_version="V1.1.10")
    await world.report(device_id, done)
    succeeded = await share()
    assert (succeeded["subOperationId"], succeeded["status"]) == (failed["subOperationId"], "success")
    assert succeeded["detailInfo"] is None
    assert succeeded["extendInfo"] == {
        "upgradeTime": "41",
        "sourceVersion": "V1.0",
        "curVersion": "V1.1.10",
        "downloadTime": "30",
        "targetVersion": "V1.1.10",
    }
    ended = (await caller.call("GET", path)).json()
    assert (ended["status"], ended["staResult"]["success"], ended["stopTime"]) == ("success", 1, "20260101T000042Z")
