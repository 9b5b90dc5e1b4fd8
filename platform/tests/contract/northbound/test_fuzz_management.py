"""Whatever an operator sends, the answer is an answer; values stand in the fields that each call declares."""

import json
import re

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmcast.rest.authentication import Scope

PEM = "-----BEGIN {0}-----\n{1}\n-----END {0}-----\n"
TEXT = st.text(max_size=80) | st.sampled_from(
    [
        "",
        " ",
        "a\0b",
        "operator",
        "x" * 5000,
        "2026-01-31T12:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "https://192.0.2.1:1/x",
        "https://[::1]:1/",
        "fwUpgradeResultNotify",
        PEM.format("CERTIFICATE", "AAAA"),
        PEM.format("PRIVATE KEY", "AAAA"),
        PEM.format("PUBLIC KEY", "MCowBQYDK2VwAyEA" + "A" * 43 + "="),
        *Scope,
    ]
)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-1, 100) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
FUZZ = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def names_of(struct):
    return [field.encode_name for field in msgspec.structs.fields(struct)] if struct else []


@FUZZ
@given(data=st.data())
async def test_no_management_call_makes_the_platform_fail(world, caller, data):
    calls = [call for call in world.calls if call.path.startswith("/v1/") and call.scope]
    call = data.draw(st.sampled_from(sorted(calls, key=lambda call: (call.path, call.method))))
    named = st.sampled_from([caller.application_id, "operator", "x"])
    path = re.sub(r"\{\w+\}", lambda _: data.draw(named), call.path)
    values = VALUE | named
    body = {name: data.draw(values) for name in names_of(call.body) if data.draw(st.booleans())}
    query = "&".join(f"{name}={data.draw(TEXT)}" for name in names_of(call.query) if data.draw(st.booleans()))
    content = json.dumps(body).encode() if data.draw(st.integers(0, 9)) else data.draw(st.binary(max_size=60))
    answer = await world.manage(call.method, path, content, query=query.encode("utf-8", "surrogatepass"))
    assert answer.status_code < 500, (call.method, path, content, query, answer.text)
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error_code", "error_desc"}
        declared = {error.status for error in call.errors} | {400, 404, 413}
        assert answer.status_code in declared, (call.method, path, content, query, answer.text)
    else:
        assert answer.status_code in {each.status for each in call.answers}


@pytest.mark.parametrize("size", [(1 << 18) + 1])
async def test_a_body_that_is_too_large_is_refused(world, caller, size):
    one = f"/v1/applications/{caller.application_id}"
    for method, path in (
        ("PATCH", one),
        ("PUT", f"{one}/client-certificate"),
        ("POST", "/v1/administrators"),
        ("POST", "/v1/callback-tests"),
    ):
        answer = await world.manage(method, path, b" " * size)
        assert (answer.status_code, answer.json()["error_code"]) == (413, "invalid_request")
