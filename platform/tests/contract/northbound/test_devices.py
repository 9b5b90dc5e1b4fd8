"""Devices, section 7 of the contract page."""

import pytest

from firmcast.devices import registrations, use_cases
from firmcast.devices.model import NewRegistration

CREDENTIALS = "/iocm/app/reg/v1.1.0/deviceCredentials"
DEVICES = "/iocm/app/dm/v1.4.0/devices"
OPERATIONS = "/iodm/northbound/v1.5.0/operations"
NODE = "863703030000011"


async def come_online(world, node_id=NODE, lifetime=300):
    told = NewRegistration(
        endpoint_name=node_id,
        host="192.0.2.9",
        port=5683,
        lifetime_seconds=lifetime,
        binding="U",
        queue_mode=False,
        lwm2m_version="1.1",
        objects="</5/0>",
    )
    return await world.database.write(registrations.register, [told], world.clock.now(), log=world.log)


async def count(world, caller):
    _, total = await world.database.read(use_cases.listed, caller.application_id, now=world.clock.now())
    return total


@pytest.mark.parametrize("name", ["register_device_request.json", "register_device_request_nulls.json"])
async def test_registering_answers_the_four_fields_in_order(world, caller, golden, name):
    answer = await caller.call("POST", CREDENTIALS, golden(name))
    said = answer.json()
    expected = (
        golden("register_device_response.json")
        .replace(b"3e3c1d2a-7f58-4c55-9d0b-0b6a8a5f1c11", said["deviceId"].encode())
        .replace(b'"timeout":180', b'"timeout":0')
        .replace(b"5a9c0f1e2d3b4a69", said["psk"].encode())
    )
    assert (answer.status_code, answer.content) == (200, expected)
    assert len(said["psk"]) == 32


async def test_a_device_is_given_180_seconds_to_come(world, caller):
    answer = await caller.call("POST", f"{CREDENTIALS}?appId={caller.application_id}", {"nodeId": NODE})
    assert answer.json()["timeout"] == 180
    assert answer.json()["verifyCode"] == NODE
    world.clock.pass_time(seconds=181)
    assert await come_online(world) == {}


async def test_a_given_key_is_kept_sealed(world, caller):
    await world.register(caller, psk="0123456789abcdef")
    sealed = (await world.database.read(use_cases.sealed_keys, [NODE]))[NODE]
    assert b"0123456789abcdef" not in sealed
    assert world.sealer.open(sealed, "device pre-shared key") == b"0123456789abcdef"


async def test_a_known_node_is_refused(world, caller, refused):
    await world.register(caller)
    again = {"nodeId": NODE, "verifyCode": NODE}
    refused(await caller.call("POST", CREDENTIALS, again), 400, "100426", "The nodeId is duplicated.")
    await come_online(world)
    refused(await caller.call("POST", CREDENTIALS, again), 400, "100416", "The device has already been binded.")
    other = await world.login("somebody else")
    refused(await other.call("POST", CREDENTIALS, again), 400, "100416", "The device has already been binded.")


async def test_a_device_that_missed_its_time_is_registered_anew_under_its_id(world, caller, refused):
    former = await world.register(caller, timeout=60)
    other = await world.login("somebody else")
    world.clock.pass_time(seconds=61)
    refused(await other.call("POST", CREDENTIALS, {"nodeId": NODE}), 400, "100426", "The nodeId is duplicated.")
    assert await world.register(caller, timeout=60) == former
    assert list(await come_online(world)) == [NODE]


@pytest.mark.parametrize(
    "changed",
    [
        {"nodeId": None},
        {"nodeId": ""},
        {"nodeId": " "},
        {"nodeId": "a" * 257},
        {"nodeId": ["a"]},
        {"nodeId": "a\nb"},
        {"nodeId": "a\0b"},
        {"timeout": -1},
        {"timeout": 2**31},
        {"timeout": "soon"},
        {"timeout": 1e300},
        {"timeout": True},
        {"psk": "0123"},
        {"psk": "0" * 33},
        {"psk": "notahexkey"},
        {"isSecure": "perhaps"},
    ],
)
async def test_a_registration_that_cannot_be_is_refused(world, caller, refused, changed):
    body = {"nodeId": NODE, "verifyCode": NODE, **changed}
    refused(await caller.call("POST", CREDENTIALS, body), 400, "50400", "The input is invalid.")
    assert await count(world, caller) == 0


@pytest.mark.parametrize("verify_code", ["", " ", "a\nb"])
async def test_a_verify_code_that_cannot_be_is_refused(world, caller, refused, verify_code):
    answer = await caller.call("POST", CREDENTIALS, {"nodeId": NODE, "verifyCode": verify_code})
    refused(answer, 400, "100003", "Invalid verify code.")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff"])
async def test_what_is_no_object_is_refused(world, caller, refused, body):
    device_id = await world.register(caller)
    for method, path in (
        ("POST", CREDENTIALS),
        ("PUT", f"{CREDENTIALS}/{device_id}"),
        ("PUT", f"{DEVICES}/{device_id}"),
    ):
        refused(await caller.call(method, path, body), 400, "100007", "Bad request message.")


async def test_activation_is_told_as_a_boolean(world, caller, golden):
    device_id = await world.register(caller, deviceName="meter 7")
    path = f"{CREDENTIALS}/{device_id}"
    expected = golden("device_activation.json").replace(b"3e3c1d2a-7f58-4c55-9d0b-0b6a8a5f1c11", device_id.encode())
    answer = await caller.call("GET", path)
    assert (answer.status_code, answer.content) == (200, expected.replace(b"true", b"false"))
    await come_online(world)
    assert (await caller.call("GET", path)).content == expected


async def test_credentials_of_a_device_that_is_away_are_replaced(world, caller, golden, refused):
    device_id = await world.register(caller)
    path = f"{CREDENTIALS}/{device_id}"
    body = golden("refresh_device_request.json")
    refused(await caller.call("PUT", path, body), 400, "100610", "Device is not active.")
    await come_online(world)
    refused(await caller.call("PUT", path, body), 400, "100611", "Device is online.")
    world.clock.pass_time(seconds=301)
    answer = await caller.call("PUT", path, body)
    assert (answer.status_code, answer.content) == (200, golden("refresh_device_response.json"))
    assert await come_online(world) == {}
    assert list(await come_online(world, "863703030000022")) == ["863703030000022"]


async def test_credentials_are_not_moved_onto_another_device(world, caller, refused):
    device_id = await world.register(caller)
    await world.register(caller, "863703030000022")
    await come_online(world)
    world.clock.pass_time(seconds=301)
    answer = await caller.call("PUT", f"{CREDENTIALS}/{device_id}", {"nodeId": "863703030000022"})
    refused(answer, 400, "100426", "The nodeId is duplicated.")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", CREDENTIALS + "/{}"),
        ("PUT", CREDENTIALS + "/{}"),
        ("GET", DEVICES + "/{}"),
        ("PUT", DEVICES + "/{}"),
        ("DELETE", DEVICES + "/{}"),
    ],
)
async def test_an_unknown_device_and_another_ones_are_refused_alike(world, caller, refused, method, path):
    theirs = await world.register(await world.login("somebody else"))
    for device_id in ("unknown", theirs, "%00", "a" * 300, "%ff%fe"):
        answer = await caller.call(method, path.format(device_id), b"{}" if method == "PUT" else None)
        refused(answer, 404, "100403", "The device is not existed.")


async def test_a_device_is_told_as_the_contract_says(world, caller, golden):
    device_id = await world.register(caller)
    modified = await caller.call("PUT", f"{DEVICES}/{device_id}", golden("modify_device_request.json"))
    assert (modified.status_code, modified.content) == (204, b"")
    await world.database.write(use_cases.record_firmware_versions, {device_id: "1.3"}, world.clock.now(), log=world.log)
    answer = await caller.call("GET", f"{DEVICES}/{device_id}?select=imsi")
    whole = golden("device.json")
    expected = (
        whole[: whole.index(b'"services"')]
        .replace(b"3e3c1d2a", device_id.encode())
        .replace(b"20170216T080541Z", b"20260101T000000Z")
        .replace(b'"mute":null', b'"mute":"FALSE"')
        + b'"services":[]}'
    )
    assert (answer.status_code, answer.content) == (200, expected)
    await come_online(world)
    told = (await caller.call("GET", f"{DEVICES}/{device_id}")).json()["deviceInfo"]
    assert (told["status"], told["statusDetail"]) == ("ONLINE", "NONE")


async def test_modifying_leaves_what_is_not_said(world, caller):
    device_id = await world.register(caller)
    path = f"{DEVICES}/{device_id}"
    await caller.call("PUT", path, {"name": "meter 7", "location": "cellar", "isSecure": "true"})
    body = {"deviceId": "x", "name": None, "model": "WM1", "psk": "00112233", "deviceConfig": None, "imsi": 4711}
    assert (await caller.call("PUT", path, body)).status_code == 204
    told = (await caller.call("GET", path)).json()["deviceInfo"]
    assert (told["name"], told["location"], told["isSecurity"], told["model"]) == ("meter 7", "cellar", "true", "WM1")


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "a" * 257},
        {"name": []},
        {"mute": "LOUD"},
        {"psk": "xyz"},
        {"deviceConfig": "a"},
        {"deviceConfig": {"dataConfig": {"dataAgingTime": 91}}},
        {"name": "a\0"},
    ],
)
async def test_a_change_that_cannot_be_is_refused(world, caller, refused, changed):
    device_id = await world.register(caller)
    before = (await caller.call("GET", f"{DEVICES}/{device_id}")).content
    answer = await caller.call("PUT", f"{DEVICES}/{device_id}", {"model": "WM1", **changed})
    refused(answer, 400, "100022", "The input is invalid.")
    assert (await caller.call("GET", f"{DEVICES}/{device_id}")).content == before


async def test_deleting_forgets_the_device_and_ends_its_upgrade(world, caller, refused):
    device_id = await world.register(caller)
    await come_online(world)
    body = {"fileId": (await world.upload(caller))["package_id"], "targets": {"devices": [device_id]}}
    task = (await caller.call("POST", f"{OPERATIONS}/firmwareUpgrade", body)).json()["operationId"]
    answer = await caller.call("DELETE", f"{DEVICES}/{device_id}?appId=&cascade=true")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await caller.call("GET", f"{OPERATIONS}/{task}")).json()["status"] == "stop"
    refused(await caller.call("DELETE", f"{DEVICES}/{device_id}"), 404, "100403", "The device is not existed.")
    assert await world.database.read(registrations.live, world.clock.now()) == []


async def listed(caller, query):
    answer = await caller.call("GET", DEVICES, query=query)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["totalCount", "pageNo", "pageSize", "devices"]
    return answer.json()


async def test_the_list_is_paged_and_sorted(world, caller):
    ids = []
    for number in range(5):
        ids.append(await world.register(caller, f"node-{number}"))
        world.clock.pass_time(seconds=1)
    await world.register(await world.login("somebody else"), "theirs")
    first = await listed(caller, b"pageNo=0")
    assert (first["totalCount"], first["pageNo"], first["pageSize"]) == (5, 0, 1)
    assert [device["deviceId"] for device in first["devices"]] == [ids[4]]
    second = await listed(caller, b"pageNo=1&pageSize=2&sort=asc")
    assert [device["deviceId"] for device in second["devices"]] == ids[2:4]
    assert (await listed(caller, b"pageNo=9&pageSize=2"))["devices"] == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"status=ONLINE", ["online"]),
        (b"status=OFFLINE", ["early", "late"]),
        (b"status=ABNORMAL", []),
        (b"nodeType=ENDPOINT", []),
        (b"nodeType=GATEWAY&sort=ASC", ["early", "online", "late"]),
        (b"deviceType=WaterMeter", ["late"]),
        (b"startTime=20260101T000001Z", ["online", "late"]),
        (b"endTime=20260101T000000Z", ["early"]),
        (b"startTime=&status=&deviceType=", ["early", "online", "late"]),
    ],
)
async def test_the_list_is_filtered(world, caller, query, expected):
    ids = {}
    for name in ("early", "online", "late"):
        ids[name] = await world.register(caller, name)
        world.clock.pass_time(seconds=1)
    await come_online(world, "online")
    await caller.call("PUT", f"{DEVICES}/{ids['late']}", {"deviceType": "WaterMeter"})
    found = await listed(caller, b"pageNo=0&pageSize=10&" + query)
    assert {device["deviceInfo"]["nodeId"] for device in found["devices"]} == set(expected)
    assert found["totalCount"] == len(expected)


async def test_a_gateway_is_listed_without_a_page(world, caller):
    device_id = await world.register(caller)
    await world.register(caller, "another")
    found = await listed(caller, f"gatewayId={device_id}".encode())
    assert [device["deviceId"] for device in found["devices"]] == [device_id]


async def test_the_list_needs_a_gateway_or_a_page(world, caller, refused):
    answer = await caller.call("GET", DEVICES)
    refused(answer, 400, "100218", "The gatewayId and pageNo can't be both null.")


@pytest.mark.parametrize(
    "query",
    [
        b"pageNo=-1",
        b"pageNo=x",
        b"pageNo=99999999999999999999",
        b"pageNo=9223372036854775807&pageSize=1000",
        b"pageNo=0&pageSize=0",
        b"pageNo=0&pageSize=1001",
        b"pageNo=0&status=SLEEPING",
        b"pageNo=0&sort=RANDOM",
        b"pageNo=0&startTime=yesterday",
        b"pageNo=0&deviceType=%00",
        b"pageNo=0&nodeType=THING",
    ],
)
async def test_filters_that_cannot_be_are_refused(world, caller, refused, query):
    answer = await caller.call("GET", DEVICES, query=query)
    refused(answer, 400, "100216", "The application input is invalid.")
