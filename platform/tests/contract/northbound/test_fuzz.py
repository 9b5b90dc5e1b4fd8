"""Whatever is sent, the answer is one of the contract's, and a refused request changes nothing."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TEXT = st.text(max_size=300) | st.sampled_from(
    ["", " ", "a\0b", "now", "1", "-1", "9" * 30, "20260101T000000Z", "true"]
)
FIELDS = st.sampled_from(
    [
        "appId",
        "secret",
        "refreshToken",
        "accessToken",
        "notifyType",
        "callbackurl",
        "callbackUrl",
        "nodeId",
        "verifyCode",
        "timeout",
        "psk",
        "isSecure",
        "name",
        "mute",
        "deviceConfig",
        "imsi",
        "location",
        "callback_ca",
        "fileId",
        "targets",
        "policy",
        "devices",
        "deviceGroups",
        "executeType",
        "retryType",
        "retryTimes",
        "endTime",
        "maxDevNum",
        "deviceIds",
        "devGroupId",
        "deviceInfo",
        "scopes",
        "frozen",
        "expires_at",
        "size",
        "event_id",
        "subscription_id",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS | TEXT, inner, max_size=3),
    max_leaves=6,
)
BODIES = st.binary(max_size=200) | st.dictionaries(FIELDS, JSON, max_size=6).map(
    lambda body: json.dumps(body).encode("utf-8", "surrogatepass")
)
PARAMETERS = st.sampled_from(
    [
        "appId",
        "gatewayId",
        "pageNo",
        "pageSize",
        "status",
        "sort",
        "startTime",
        "nodeType",
        "select",
        "cascade",
        "fileType",
        "model",
        "version",
        "application_id",
        "name",
        "page",
        "operationType",
        "operationStatus",
        "subOperationStatus",
        "deviceId",
        "sha256",
    ]
)
QUERIES = st.binary(max_size=60) | st.lists(st.tuples(PARAMETERS, TEXT), max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "surrogatepass")
)
HEADER_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
REFERENCE = Path(__file__).parents[4] / "docs" / "reference"
CALLS = st.sampled_from(
    [
        (method.upper(), path)
        for name in ("openapi-northbound.json", "openapi-management.json")
        for path, methods in json.loads((REFERENCE / name).read_text())["paths"].items()
        for method in methods
        if not path.startswith("/v1/docs")
    ]
)
DEVICES = "/iocm/app/dm/v1.4.0/devices"
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(call=CALLS, body=BODIES, query=QUERIES)
async def test_no_request_makes_the_platform_fail(world, caller, store_dump, call, body, query):
    method, path = call
    world.clock.pass_time(milliseconds=1)
    known = (await caller.call("GET", DEVICES, query=b"gatewayId=&pageNo=0&sort=ASC")).json()["devices"]
    device = known[0]["deviceId"] if known else await world.register(caller)
    # Not the caller's own, which would be frozen or deleted.
    other = (await world.manage("POST", "/v1/applications", {"name": "other"})).json()["application_id"]
    names = {"device_id": device, "application_id": other}
    before = store_dump()
    target = re.sub(r"{(\w+)}", lambda parameter: names.get(parameter[1], "x"), path)
    send = world.manage if path.startswith("/v1/") else caller.call
    answer = await send(method, target, body if method != "GET" else None, query=query)
    assert answer.status_code < 500
    assert answer.status_code == 204 or answer.headers["content-type"] == "application/json"
    if answer.status_code >= 400:
        assert sorted(answer.json()) == ["error_code", "error_desc"]
    if answer.status_code >= 400 or method == "GET" or b'"error_code"' in answer.content:
        assert store_dump() == before


PATHS = st.sampled_from(
    [
        ("fileId",),
        ("targets",),
        ("targets", "devices"),
        ("targets", "deviceGroups"),
        ("targets", "model"),
        ("policy",),
        ("policy", "executeType"),
        ("policy", "startTime"),
        ("policy", "endTime"),
        ("policy", "retryType"),
        ("policy", "retryTimes"),
    ]
)


@FUZZ
@given(changes=st.dictionaries(PATHS, JSON, min_size=1, max_size=3))
async def test_no_change_of_a_good_task_makes_the_platform_fail(world, caller, store_dump, changes):
    known = (await caller.call("GET", DEVICES, query=b"pageNo=0")).json()["devices"]
    device = known[0]["deviceId"] if known else await world.register(caller)
    package = await world.upload(caller)
    body = {
        "fileId": package["package_id"],
        "targets": {"devices": [device]},
        "policy": {"executeType": "custom", "startTime": "20260101T000000Z", "endTime": "20260101T010000Z"},
    }
    for path, value in changes.items():
        if len(path) == 1:
            body[path[0]] = value
        elif isinstance(body[path[0]], dict):
            body[path[0]][path[1]] = value
    before = store_dump()
    sent = json.dumps(body).encode("utf-8", "surrogatepass")
    answer = await caller.call("POST", "/iodm/northbound/v1.5.0/operations/firmwareUpgrade", sent)
    assert answer.status_code in (200, 400, 404)
    if answer.status_code != 200:
        assert store_dump() == before


@FUZZ
@given(
    headers=st.dictionaries(
        st.sampled_from(["app_key", "x-app-key", "authorization", "access_token", "content-type", "content-length"]),
        HEADER_TEXT,
        max_size=5,
    )
)
async def test_no_header_makes_the_platform_fail(world, store_dump, headers):
    before = store_dump()
    answer = await world.call("GET", "/iocm/app/dm/v1.4.0/devices", headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) in [(401, "100025"), (403, "1010005")]
    assert store_dump() == before


@pytest.mark.parametrize("depth", [100_000])
async def test_a_body_that_is_nested_deeply_is_refused(world, caller, refused, depth):
    for body in (b"[" * depth, b'{"a":' * depth):
        answer = await caller.call("POST", "/iodm/app/sub/v1.1.0/subscribe", body)
        refused(answer, 400, "100007", "Bad request message.")
