"""An application may make so many calls in a period, and no stranger can use them up. Contract page, section 1."""

from datetime import timedelta

import pytest

from firmcast.settings import RestSettings

LOGIN = "/iocm/app/sec/v1.1.0/login"
REFRESH = "/iocm/app/sec/v1.1.0/refreshToken"
LOGOUT = "/iocm/app/sec/v1.1.0/logout"
DEVICES = "/iocm/app/dm/v1.4.0/devices?pageNo=0"


@pytest.fixture
def rest_settings():
    return RestSettings(throttle_calls=3, throttle_period=timedelta(seconds=60), feed_calls=5)


def form(caller, secret=None):
    return f"appId={caller.application_id}&secret={secret or caller.credentials.secret}".encode()


async def test_a_call_too_many_is_refused_and_told_when_to_come_again(world, caller, refused):
    world.clock.pass_time(seconds=10)
    assert [(await caller.call("GET", DEVICES)).status_code for _ in range(2)] == [200, 200]
    answer = await caller.call("GET", DEVICES)
    refused(answer, 403, "1010009", "app throttle exceed.")
    assert answer.headers["retry-after"] == "50", "the login ten seconds ago was the first of the three"
    world.clock.pass_time(seconds=49.5)
    assert (await caller.call("GET", DEVICES)).headers["retry-after"] == "1"
    world.clock.pass_time(seconds=0.5)
    assert (await caller.call("GET", DEVICES)).status_code == 200
    assert (await caller.call("GET", DEVICES)).status_code == 403


async def test_logins_and_refreshes_count(world, caller, refused):
    first = (await world.call("POST", LOGIN, form(caller))).json()
    body = {
        "appId": caller.application_id,
        "secret": caller.credentials.secret,
        "refreshToken": first["refreshToken"],
    }
    assert (await world.call("POST", REFRESH, body)).status_code == 200
    refused(await world.call("POST", LOGIN, form(caller)), 403, "1010009", "app throttle exceed.")
    refused(await world.call("POST", REFRESH, body), 403, "1010009", "app throttle exceed.")


async def test_a_stranger_locks_nobody_out(world, caller):
    for _ in range(10):
        assert (await world.call("POST", LOGIN, form(caller, "guessed"))).status_code == 401
        wrong = {"appId": caller.application_id, "secret": "guessed", "refreshToken": "x"}
        assert (await world.call("POST", REFRESH, wrong)).status_code == 401
        assert (await world.call("POST", LOGOUT, {"accessToken": "guessed"})).status_code == 200
        stolen = {"Authorization": "Bearer guessed"}
        assert (await caller.call("GET", DEVICES, headers=stolen)).json()["error_code"] == "1010005"
    assert (await caller.call("GET", DEVICES)).status_code == 200
    assert (await world.call("POST", LOGIN, form(caller))).status_code == 200


async def test_each_application_has_its_own_calls(world, caller):
    assert [(await caller.call("GET", DEVICES)).status_code for _ in range(3)] == [200, 200, 403]
    other = await world.login("somebody else")
    assert (await other.call("GET", DEVICES)).status_code == 200


async def test_what_is_refused_for_another_reason_counts_too(world, caller):
    for _ in range(2):
        assert (await caller.call("GET", "/iodm/northbound/v1.5.0/operations/o")).status_code == 404
    assert (await caller.call("GET", "/iodm/northbound/v1.5.0/operations/o")).status_code == 403


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/stream"])
async def test_reading_events_has_a_limit_of_its_own_and_leaves_the_other_calls(world, caller, refused, path):
    assert [(await caller.call("GET", path)).status_code for _ in range(5)] == [200] * 5
    refused(await caller.call("GET", path), 403, "1010009", "app throttle exceed.")
    assert [(await caller.call("GET", DEVICES)).status_code for _ in range(2)] == [200, 200]
    refused(await caller.call("GET", DEVICES), 403, "1010009", "app throttle exceed.")
    assert (await (await world.login("other")).call("GET", path)).status_code == 200
    world.clock.pass_time(seconds=60)
    assert (await caller.call("GET", path)).status_code == 200
