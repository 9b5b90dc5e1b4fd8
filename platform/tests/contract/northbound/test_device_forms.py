"""Devices in every form that real clients send, by every path that they use. Section 7 of the contract page."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmcast.audit import use_cases as audit
from firmcast.audit.model import AuditFilter
from firmcast.db.page import Page
from firmcast.devices import registrations, use_cases
from firmcast.devices.model import NewRegistration
from firmcast.groups import use_cases as groups
from firmcast_sdk.wire import devices as wire
from firmcast_sdk.wire.decoding import FieldError, decode_struct

CREDENTIALS = "/iocm/app/reg/v1.1.0/deviceCredentials"
SECRET_CREDENTIALS = "/iocm/app/reg/v2.0.0/deviceCredentials"
DEVICES = "/iocm/app/dm/v1.4.0/devices"
REGISTRATION_PATHS = [CREDENTIALS, "/iocm/app/reg/v1.1.0/devices", "/iocm/app/reg/v1.2.0/devices"]
DEVICES_PATHS = [DEVICES, *(f"/iocm/app/dm/v1.{number}.0/devices" for number in (1, 2, 3))]
NODE = "863703030000011"
INVALID = (400, "50400", "The input is invalid.")
NOT_FOUND = (404, "100403", "The device is not existed.")
NOT_AUTHORISED = (403, "100217", "The application hasn't been authorized.")


async def come_online(world, node_id=NODE):
    told = NewRegistration(
        endpoint_name=node_id,
        host="192.0.2.9",
        port=5683,
        lifetime_seconds=300,
        binding="U",
        queue_mode=False,
        lwm2m_version="1.1",
        objects="</5/0>",
    )
    return await world.database.write(registrations.register, [told], world.clock.now(), log=world.log)


async def told(caller, device_id):
    answer = await caller.call("GET", f"{DEVICES}/{device_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()["deviceInfo"]


@pytest.mark.parametrize("path", REGISTRATION_PATHS)
async def test_credentials_answer_alike_by_each_older_path(world, caller, path):
    answer = await caller.call("POST", f"{path}?appId={caller.application_id}", {"verifyCode": NODE, "nodeId": NODE})
    assert answer.status_code == 200
    assert list(answer.json()) == ["deviceId", "verifyCode", "timeout", "psk"]
    one = f"{path}/{answer.json()['deviceId']}"
    assert (await caller.call("GET", one)).json()["activated"] is False
    await come_online(world)
    assert (await caller.call("GET", one)).json()["activated"] is True
    world.clock.pass_time(seconds=301)
    answer = await caller.call("PUT", one, {"verifyCode": "7", "timeout": "60"})
    assert (answer.status_code, answer.json()) == (200, {"verifyCode": "7", "timeout": 60})


@pytest.mark.parametrize("path", DEVICES_PATHS)
async def test_devices_answer_alike_by_each_older_path(world, caller, refused, path):
    device_id = await world.register(caller)
    one = f"{path}/{device_id}"
    answer = await caller.call("PUT", one, {"name": "meter 7"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await caller.call("GET", one)).json()["deviceInfo"]["name"] == "meter 7"
    listed = (await caller.call("GET", f"{path}?pageNo=0")).json()
    assert [device["deviceId"] for device in listed["devices"]] == [device_id]
    answer = await caller.call("DELETE", one, headers={"content-length": "0"})
    assert (answer.status_code, answer.content) == (204, b"")
    for method, body in (("GET", None), ("PUT", {}), ("DELETE", None)):
        refused(await caller.call(method, one, body), *NOT_FOUND)


async def test_one_answer_tells_the_node_type_everywhere(world, caller):
    device_id = await world.register(caller)
    one = (await caller.call("GET", f"{DEVICES}/{device_id}")).json()
    listed = (await caller.call("GET", f"{DEVICES}?pageNo=0&select=imsi")).json()["devices"]
    by_gateway = (await caller.call("GET", f"{DEVICES}?gatewayId={device_id}&pageNo=")).json()["devices"]
    assert listed == by_gateway == [one]
    assert (one["nodeType"], one["gatewayId"]) == ("GATEWAY", device_id)


@pytest.mark.parametrize("word", ["GATEWAY", "gateway", "ENDPOINT", "UNKNOW", "UNKNOWN"])
async def test_trap_14_each_spelling_of_a_node_type_is_a_filter(world, caller, word):
    await world.register(caller)
    answer = await caller.call("GET", f"{DEVICES}?pageNo=0&nodeType={word}")
    assert (answer.status_code, answer.json()["totalCount"]) == (200, 1 if word.upper() == "GATEWAY" else 0)


async def test_trap_9_a_registration_with_everything_that_clients_send_is_taken(world, caller):
    body = {
        "verifyCode": NODE,
        "nodeId": NODE,
        "endUserId": "460011234567890",
        "psk": None,
        "timeout": "0",
        "deviceName": None,
        "groupId": None,
        "imsi": 460011234567890,
        "isSecure": "true",
        "productId": "p",
        "account": None,
        "customFields": [{"fieldName": "a", "fieldType": "string", "fieldValue": 1}],
        "deviceInfo": {
            "nodeId": NODE,
            "name": "meter 7",
            "description": None,
            "manufacturerId": "Acme",
            "manufacturerName": "Acme",
            "mac": "00:11",
            "location": "cellar",
            "deviceType": "WaterMeter",
            "model": "WM1",
            "swVersion": 7,
            "protocolType": "LWM2M",
            "mute": "false",
            "status": None,
            "batteryLevel": 90,
        },
        "deviceInfo2": {"region": None, "timezone": None, "activeServiceCount": None},
        "location": {"accuracy": 1.5, "latitude": 48.1, "longitude": 11.5, "crs": None},
        "tags": [{"tagName": "t", "tagValue": "v", "tagType": None}],
    }
    answer = await caller.call("POST", CREDENTIALS, body)
    assert answer.status_code == 200, answer.text
    info = await told(caller, answer.json()["deviceId"])
    assert {name: value for name, value in info.items() if value is not None} == {
        "nodeId": NODE,
        "name": "meter 7",
        "manufacturerId": "Acme",
        "manufacturerName": "Acme",
        "location": "cellar",
        "deviceType": "WaterMeter",
        "model": "WM1",
        "protocolType": "LWM2M",
        "status": "OFFLINE",
        "statusDetail": "NOT_ACTIVE",
        "mute": "FALSE",
        "isSecurity": "true",
    }
    device = await world.database.read(use_cases.find, caller.application_id, answer.json()["deviceId"])
    assert (device.attributes["imsi"], device.attributes["end_user"]) == ("460011234567890", "460011234567890")


async def test_a_device_name_goes_before_the_one_in_device_info(caller):
    body = {"nodeId": NODE, "deviceName": "a", "deviceInfo": {"name": "b"}}
    answer = await caller.call("POST", CREDENTIALS, body)
    assert (await told(caller, answer.json()["deviceId"]))["name"] == "a"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(863703030000011, "863703030000011"), (5, "5"), (5.0, "5"), (True, "true"), ("urn:imei:1", "urn:imei:1")],
)
async def test_a_number_where_a_text_belongs_is_taken_for_its_digits(caller, sent, kept):
    answer = await caller.call("POST", CREDENTIALS, {"nodeId": sent})
    assert (answer.status_code, answer.json()["verifyCode"]) == (200, kept)


@pytest.mark.parametrize(
    "changed",
    [
        {"deviceInfo": "a"},
        {"deviceInfo": []},
        {"deviceInfo": {"name": []}},
        {"deviceInfo": {"mute": "LOUD"}},
        {"deviceInfo": {"location": "a" * 1025}},
        {"nodeId": {"a": 1}},
        {"groupId": "unknown"},
        {"account": []},
    ],
)
async def test_a_form_that_cannot_be_is_refused_and_changes_nothing(world, caller, refused, changed):
    refused(await caller.call("POST", CREDENTIALS, {"nodeId": NODE, **changed}), *INVALID)
    assert (await caller.call("GET", f"{DEVICES}?pageNo=0")).json()["totalCount"] == 0


async def test_a_new_device_may_be_put_into_a_group(world, caller, refused):
    now = world.clock.now()
    group = await world.database.write(groups.create, caller.application_id, "north", now, max_devices=1)
    answer = await caller.call("POST", CREDENTIALS, {"nodeId": NODE, "groupId": group.group_id})
    assert await world.database.read(groups.member_page, [group.group_id]) == [answer.json()["deviceId"]]
    refused(await caller.call("POST", CREDENTIALS, {"nodeId": "another", "groupId": group.group_id}), *INVALID)
    other = await world.login("somebody else")
    refused(await other.call("POST", CREDENTIALS, {"nodeId": "theirs", "groupId": group.group_id}), *INVALID)


async def test_a_device_is_registered_in_the_other_form(world, caller):
    body = {
        "deviceInfo": {"nodeId": NODE, "deviceType": "WaterMeter", "model": "WM1", "name": "meter 7"},
        "endUserId": None,
        "region": "north",
        "mqttConnect": "true",
        "secret": "0123456789abcdef0123",
        "timeout": 0,
    }
    answer = await caller.call("POST", f"{SECRET_CREDENTIALS}?appId=", body)
    said = answer.json()
    assert answer.status_code == 200
    assert list(said) == ["deviceId", "secret", "verifyCode", "timeout", "psk"]
    assert (said["secret"], said["verifyCode"], said["timeout"]) == ("0123456789abcdef0123", NODE, 0)
    info = await told(caller, said["deviceId"])
    assert (info["nodeId"], info["deviceType"], info["name"]) == (NODE, "WaterMeter", "meter 7")
    assert list(await come_online(world)) == [NODE]


async def test_the_other_form_without_a_secret_tells_none(caller):
    answer = await caller.call("POST", SECRET_CREDENTIALS, {"deviceInfo": {"nodeId": NODE}})
    assert (answer.status_code, answer.json()["secret"], len(answer.json()["psk"])) == (200, None, 32)


@pytest.mark.parametrize(
    "body", [{}, {"deviceInfo": None}, {"deviceInfo": {}}, {"deviceInfo": {"nodeId": " "}}, {"nodeId": NODE}]
)
async def test_the_other_form_needs_a_node_id(caller, refused, body):
    refused(await caller.call("POST", SECRET_CREDENTIALS, body), *INVALID)


NO_KEYS = [
    "",
    " ",
    "012345",
    "0123456",
    "012345678",
    "0" * 33,
    "0" * 34,
    "0123456g",
    "0x123456",
    " 01234567",
    "01234567\n",
]


@pytest.mark.parametrize("psk", [*NO_KEYS, "0123 4567", "01:23:45:67", "٠١٢٣٤٥٦٧"])
async def test_a_key_is_of_8_to_32_hexadecimal_digits(world, caller, refused, psk):
    refused(await caller.call("POST", CREDENTIALS, {"nodeId": NODE, "psk": psk}), *INVALID)
    body = {"deviceInfo": {"nodeId": NODE}, "psk": psk}
    refused(await caller.call("POST", SECRET_CREDENTIALS, body), *INVALID)
    device_id = await world.register(caller)
    answer = await caller.call("PUT", f"{DEVICES}/{device_id}", {"psk": psk})
    refused(answer, 400, "100022", "The input is invalid.")


@pytest.mark.parametrize("psk", ["01234567", "0123456789ABCDEFabcdef0123456789", 12345678])
async def test_a_given_key_is_answered_as_given(caller, psk):
    answer = await caller.call("POST", CREDENTIALS, {"nodeId": NODE, "psk": psk})
    assert (answer.status_code, answer.json()["psk"]) == (200, str(psk))


async def test_100217_devices_of_other_applications_are_not_authorised(world, caller, refused):
    other = (await world.login("somebody else")).application_id
    device_id = await world.register(caller)
    for method, path, body in (
        ("POST", CREDENTIALS, {"nodeId": "a"}),
        ("POST", SECRET_CREDENTIALS, {"deviceInfo": {"nodeId": "a"}}),
        ("PUT", f"{CREDENTIALS}/{device_id}", {}),
        ("GET", f"{CREDENTIALS}/{device_id}", None),
        ("GET", f"{DEVICES}/{device_id}", None),
        ("PUT", f"{DEVICES}/{device_id}", {}),
        ("DELETE", f"{DEVICES}/{device_id}", None),
    ):
        refused(await caller.call(method, f"{path}?appId={other}", body), *NOT_AUTHORISED)
    refused(await caller.call("GET", f"{DEVICES}?pageNo=0&appId={other}"), *NOT_AUTHORISED)


async def test_trap_7_queries_are_read_as_they_are_written(world, caller):
    device_id = await world.register(caller)
    answer = await caller.call("GET", DEVICES, query=b"?&pageNo=0&pageSize=1&")
    assert [device["deviceId"] for device in answer.json()["devices"]] == [device_id]
    answer = await caller.call("GET", f"{DEVICES}/{device_id}", query=b"?&")
    assert answer.status_code == 200


async def test_trap_8_mangled_names_of_a_query_are_read(world, caller):
    await world.register(caller, "first")
    await world.register(caller, "second")
    mangled = b"%00com%5CDevices%00pageNo=0&%00com%5CDevices%00pageSize=2"
    answer = await caller.call("GET", DEVICES, query=mangled)
    assert (answer.json()["pageSize"], len(answer.json()["devices"])) == (2, 2)


async def test_trap_9_a_change_with_nulls_and_its_own_id_changes_nothing_else(world, caller):
    device_id = await world.register(caller, deviceName="meter 7")
    before = await told(caller, device_id)
    names = [field.encode_name for field in msgspec.structs.fields(wire.ModifyDeviceRequest)]
    nothing = dict.fromkeys(names) | {"deviceId": device_id, "customFields": None, "tags": None}
    assert (await caller.call("PUT", f"{DEVICES}/{device_id}", nothing)).status_code == 204
    assert await told(caller, device_id) == before


async def test_trap_12_numbers_go_out_as_numbers_and_truths_as_truths(world, caller):
    registered = (await caller.call("POST", CREDENTIALS, {"nodeId": NODE, "timeout": "60"})).json()
    listed = (await caller.call("GET", f"{DEVICES}?pageNo=0")).json()
    activation = (await caller.call("GET", f"{CREDENTIALS}/{registered['deviceId']}")).json()
    values = [
        registered["timeout"],
        listed["totalCount"],
        listed["pageNo"],
        listed["pageSize"],
        activation["activated"],
    ]
    assert [type(value) for value in values] == [int, int, int, int, bool]
    told_as_text = [value for value in listed["devices"][0]["deviceInfo"].values() if value is not None]
    assert {type(value) for value in told_as_text} == {str}


async def test_trap_13_changing_and_deleting_answer_204_without_a_body(world, caller):
    device_id = await world.register(caller)
    for method, body in (("PUT", {"name": "a"}), ("DELETE", None)):
        answer = await caller.call(method, f"{DEVICES}/{device_id}?cascade=true", body)
        assert (answer.status_code, answer.content) == (204, b"")


async def test_trap_4_no_good_answer_holds_the_word_of_an_error(world, caller):
    device_id = await world.register(caller)
    for path in (f"{DEVICES}/{device_id}", f"{DEVICES}?pageNo=0", f"{CREDENTIALS}/{device_id}"):
        assert b"error_code" not in (await caller.call("GET", path)).content


async def test_trap_10_content_types_of_real_clients_are_taken(world, caller):
    for content_type in ("application/json; charset=UTF-8", "text/plain", ""):
        answer = await caller.call(
            "POST", CREDENTIALS, {"nodeId": f"n{len(content_type)}"}, headers={"content-type": content_type}
        )
        assert answer.status_code == 200


async def test_every_change_is_recorded_and_no_refusal_is(world, caller):
    device_id = await world.register(caller)
    await come_online(world)
    world.clock.pass_time(seconds=301)
    await caller.call("POST", CREDENTIALS, {"nodeId": NODE})
    await caller.call("PUT", f"{CREDENTIALS}/{device_id}", {"verifyCode": "7"})
    await caller.call("PUT", f"{DEVICES}/{device_id}", {"name": "a", "psk": "0123456789"})
    await caller.call("PUT", f"{DEVICES}/{device_id}", {"mute": "LOUD"})
    await caller.call("DELETE", f"{DEVICES}/{device_id}")
    await caller.call("DELETE", f"{DEVICES}/{device_id}")
    entries, _ = await world.database.read(audit.listed, AuditFilter(action="device."), Page())
    assert [(entry.action, entry.actor.name, entry.subject) for entry in reversed(entries)] == [
        (f"device.{verb}", caller.application_id, device_id) for verb in ("create", "refresh", "modify", "delete")
    ]
    assert "0123456789" not in str(entries)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
STRUCTS = [
    wire.RegisterDeviceRequest,
    wire.RegisterSecretDeviceRequest,
    wire.RefreshDeviceRequest,
    wire.ModifyDeviceRequest,
]
FIELDS = sorted({field.encode_name for struct in STRUCTS for field in msgspec.structs.fields(struct)})


@settings(max_examples=200, deadline=None)
@given(struct=st.sampled_from(STRUCTS), body=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8))
def test_any_body_is_read_or_refused_for_a_field(struct, body):
    try:
        record = decode_struct(struct, msgspec.json.encode(body))
    except FieldError as error:
        named = error.field.split(".")[0].split("[")[0]
    else:
        named = FIELDS[0]
        assert type(record) is struct
    assert named in FIELDS


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8))
async def test_any_body_is_answered_in_the_contracts_form(world, caller, body):
    for method, path in (("POST", CREDENTIALS), ("POST", SECRET_CREDENTIALS), ("PUT", f"{DEVICES}/unknown")):
        answer = await caller.call(method, path, body)
        assert answer.status_code in (200, 400, 404)
        assert answer.headers["content-type"] == "application/json"
        if answer.status_code != 200:
            assert list(answer.json()) == ["error_code", "error_desc"]
