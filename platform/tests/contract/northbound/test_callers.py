"""Every call proves who makes it, and whatever goes wrong is told in the one form of the contract."""

import pytest

DEVICES = "/iocm/app/dm/v1.4.0/devices?pageNo=0"
CALLS = [
    ("POST", "/iodm/app/sub/v1.1.0/subscribe"),
    ("POST", "/iocm/app/reg/v1.1.0/deviceCredentials"),
    ("PUT", "/iocm/app/reg/v1.1.0/deviceCredentials/d"),
    ("GET", "/iocm/app/reg/v1.1.0/deviceCredentials/d"),
    ("GET", "/iocm/app/dm/v1.4.0/devices"),
    ("GET", "/iocm/app/dm/v1.4.0/devices/d"),
    ("PUT", "/iocm/app/dm/v1.4.0/devices/d"),
    ("DELETE", "/iocm/app/dm/v1.4.0/devices/d"),
    ("GET", "/iodm/northbound/v1.5.0/category"),
    ("GET", "/iodm/northbound/v1.5.0/category/f"),
    ("DELETE", "/iodm/northbound/v1.5.0/category/f"),
    ("POST", "/iodm/northbound/v1.5.0/operations/firmwareUpgrade"),
    ("POST", "/iodm/northbound/v1.5.0/operations/softwareUpgrade"),
    ("GET", "/iodm/northbound/v1.5.0/operations"),
    ("GET", "/iodm/northbound/v1.5.0/operations/o"),
    ("GET", "/iodm/northbound/v1.5.0/operations/o/subOperations"),
]
MANAGEMENT_CALLS = [
    ("POST", "/v1/applications"),
    ("GET", "/v1/applications"),
    ("GET", "/v1/applications/a"),
    ("POST", "/v1/applications/a/secret"),
    ("PUT", "/v1/applications/a/callback-ca"),
    ("POST", "/v1/firmware"),
    ("GET", "/v1/firmware"),
    ("GET", "/v1/firmware/f"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_no_app_key_is_told_before_anything_else(world, caller, refused, method, path):
    answer = await world.call(method, path, b"{", headers={"Authorization": f"Bearer {caller.token}"})
    refused(answer, 401, "100025", "AppId for auth not exist.")


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YTpi"}])
async def test_no_valid_token_is_refused(world, caller, refused, method, path, headers):
    answer = await world.call(method, path, b"{", headers={"app_key": caller.application_id, **headers})
    refused(answer, 403, "1010005", "Invalid access token or appId.")


async def test_a_token_is_good_for_its_own_application_only(world, caller, refused):
    other = await world.login("somebody else")
    answer = await caller.call("GET", DEVICES, headers={"app_key": other.application_id})
    refused(answer, 403, "1010005", "Invalid access token or appId.")


@pytest.mark.parametrize(("method", "path"), MANAGEMENT_CALLS)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_the_management_api_needs_the_administrators_token(world, method, path, headers):
    answer = await world.call(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error_code"] == "unauthorized"


@pytest.mark.parametrize("path", ["/", "/iocm", "/iodm/northbound/v1.5.0/nothing", "/iocm/app/dm/v1.4.0/devices/"])
async def test_an_unknown_path_is_told_in_the_contracts_form(world, caller, refused, path):
    refused(await caller.call("GET", path), 404, "100225", "The resource is not found")


async def test_a_method_that_a_path_does_not_have(world, caller, refused):
    answer = await caller.call("PATCH", "/iocm/app/dm/v1.4.0/devices/d")
    refused(answer, 405, "100007", "Bad request message.")
    assert answer.headers["allow"]


@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if call[0] in ("POST", "PUT")])
async def test_a_body_over_the_limit_is_not_read(world, caller, refused, method, path):
    answer = await caller.call(method, path, b" " * ((1 << 20) + 1))
    refused(answer, 413, "100022", "The input is invalid.")


async def test_unknown_management_paths_are_told_in_the_same_form(world):
    answer = await world.manage("GET", "/v1/nothing")
    assert (answer.status_code, answer.json()["error_code"]) == (404, "not_found")
    answer = await world.manage("DELETE", "/v1/applications")
    assert (answer.status_code, answer.json()["error_code"]) == (405, "method_not_allowed")


async def test_health_and_readiness_need_no_token(world):
    assert (await world.call("GET", "/v1/health")).json() == {"status": "alive"}
    assert (await world.call("GET", "/v1/readiness")).json() == {"status": "ready", "parts": {"store": True}}


@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if call[1].startswith("/iocm/")])
async def test_another_owner_is_not_named(world, caller, refused, method, path):
    other = await world.login("somebody else")
    answer = await caller.call(method, f"{path}?pageNo=0&appId={other.application_id}", b"{}")
    refused(answer, 403, "100217", "The application hasn't been authorized.")
