"""Login, refreshToken and logout answer as the contract page says in its section 2."""

import pytest

LOGIN = "/iocm/app/sec/v1.1.0/login"
REFRESH = "/iocm/app/sec/v1.1.0/refreshToken"
LOGOUT = "/iocm/app/sec/v1.1.0/logout"
DEVICES = "/iocm/app/dm/v1.4.0/devices?pageNo=0"


def form(caller, **changed):
    words = {"appId": caller.application_id, "secret": caller.credentials.secret, **changed}
    return "&".join(f"{name}={value}" for name, value in words.items()).encode()


async def test_login_answers_the_five_fields_in_order(world, caller, golden):
    answer = await world.call("POST", LOGIN, form(caller))
    said = answer.json()
    expected = (
        golden("login_response.json")
        .replace(b"8e4d1b0f2c", said["accessToken"].encode())
        .replace(b"57aa90d31e", said["refreshToken"].encode())
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.content == expected


@pytest.mark.parametrize(
    "spell",
    [
        lambda body: body.replace(b"secret=", b"Secret="),
        lambda body: body.replace(b"appId=", b"APPID="),
        lambda body: b"&" + body + b"&",
        lambda body: body + b"&unknown=1",
    ],
)
async def test_login_takes_every_spelling_of_the_form(world, caller, spell):
    assert (await world.call("POST", LOGIN, spell(form(caller)))).status_code == 200


async def test_login_takes_json_too(world, caller):
    body = {"appId": caller.application_id, "secret": caller.credentials.secret}
    assert (await world.call("POST", LOGIN, body)).status_code == 200


@pytest.mark.parametrize("changed", [{"secret": "wrong"}, {"appId": "unknown"}])
async def test_wrong_credentials_are_refused_alike(world, caller, refused, changed):
    answer = await world.call("POST", LOGIN, form(caller, **changed))
    refused(answer, 401, "100208", "AppId or secret is not right.")
    assert "firmcast-reason" not in answer.headers


@pytest.mark.parametrize("body", [b"", b"appId=a", b"secret=b", b"appId=&secret=b", b"appId=a&secret=%20", b"{}"])
async def test_missing_credentials_are_refused(world, refused, body):
    refused(await world.call("POST", LOGIN, body), 400, "102202", "Required Parameter is null or empty.")


@pytest.mark.parametrize(
    "body", [b"appId=%00&secret=b", b"appId=" + b"a" * 257 + b"&secret=b", b'{"appId":[],"secret":"b"}']
)
async def test_impossible_credentials_are_refused(world, refused, body):
    refused(await world.call("POST", LOGIN, body), 400, "100022", "The input is invalid.")


async def test_a_new_login_ends_the_old_token_after_a_grace(world, caller):
    await world.call("POST", LOGIN, form(caller))
    assert (await caller.call("GET", DEVICES)).status_code == 200
    world.clock.pass_time(seconds=11)
    assert (await caller.call("GET", DEVICES)).status_code == 403


async def test_a_token_ends_a_grace_after_its_hour(world, caller, refused):
    world.clock.pass_time(seconds=3609)
    assert (await caller.call("GET", DEVICES)).status_code == 200
    world.clock.pass_time(seconds=2)
    refused(await caller.call("GET", DEVICES), 403, "1010005", "Invalid access token or appId.")


async def test_refresh_gives_new_tokens_and_ends_the_refresh_token(world, caller, refused):
    first = (await world.call("POST", LOGIN, form(caller))).json()
    body = {
        "appId": caller.application_id,
        "secret": caller.credentials.secret,
        "refreshToken": first["refreshToken"],
    }
    answer = await world.call("POST", REFRESH, body)
    assert answer.status_code == 200
    assert list(answer.json()) == ["scope", "tokenType", "expiresIn", "accessToken", "refreshToken"]
    caller.token = answer.json()["accessToken"]
    assert (await caller.call("GET", DEVICES)).status_code == 200
    world.clock.pass_time(seconds=11)
    refused(await world.call("POST", REFRESH, body), 401, "100006", "Refresh access token failed.")


async def test_an_access_token_does_not_refresh(world, caller, refused):
    body = {"appId": caller.application_id, "secret": caller.credentials.secret, "refreshToken": caller.token}
    refused(await world.call("POST", REFRESH, body), 401, "100006", "Refresh access token failed.")


async def test_refresh_needs_the_secret(world, caller, refused):
    body = {"appId": caller.application_id, "secret": "wrong", "refreshToken": caller.token}
    refused(await world.call("POST", REFRESH, body), 401, "100208", "AppId or secret is not right.")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"{}", b'{"appId":"a","secret":"b","refreshToken":null}'])
async def test_a_bad_refresh_is_refused(world, refused, body):
    refused(await world.call("POST", REFRESH, body), 400, "100022", "The input is invalid.")


async def test_logout_ends_the_token_and_answers_nothing(world, caller, refused):
    answer = await world.call("POST", LOGOUT, {"accessToken": caller.token})
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", "application/json")
    refused(await caller.call("GET", DEVICES), 403, "1010005", "Invalid access token or appId.")
    assert (await world.call("POST", LOGOUT, {"accessToken": caller.token})).status_code == 200


async def test_a_rotated_secret_ends_what_the_old_one_gave(world, caller, refused):
    path = f"/v1/applications/{caller.application_id}/secret"
    rotated = await world.manage("POST", path, {"overlap_seconds": 0})
    assert rotated.status_code == 200
    refused(await caller.call("GET", DEVICES), 403, "1010005", "Invalid access token or appId.")
    refused(await world.call("POST", LOGIN, form(caller)), 401, "100208", "AppId or secret is not right.")
    assert (await world.call("POST", LOGIN, form(caller, secret=rotated.json()["secret"]))).status_code == 200


async def test_a_frozen_application_is_refused_on_every_call(world, caller, refused):
    body = {"appId": caller.application_id, "secret": caller.credentials.secret, "refreshToken": "any"}
    await world.manage("POST", f"/v1/applications/{caller.application_id}/freeze")
    frozen = (400, "100247", "Operation not allowed. The application has been frozen.")
    refused(await caller.call("GET", DEVICES), *frozen)
    refused(await world.call("POST", LOGIN, form(caller)), *frozen)
    refused(await world.call("POST", REFRESH, body), *frozen)
    # Whoever cannot prove to be it learns nothing of it.
    refused(
        await world.call("POST", LOGIN, form(caller, secret="guessed")), 401, "100208", "AppId or secret is not right."
    )
    stranger = {"Authorization": "Bearer guessed"}
    refused(await caller.call("GET", DEVICES, headers=stranger), 403, "1010005", "Invalid access token or appId.")
    await world.manage("POST", f"/v1/applications/{caller.application_id}/unfreeze")
    refused(await caller.call("GET", DEVICES), 403, "1010005", "Invalid access token or appId.")
    assert (await world.call("POST", LOGIN, form(caller))).status_code == 200


async def test_both_secrets_log_in_while_they_overlap(world, caller):
    rotated = (await world.manage("POST", f"/v1/applications/{caller.application_id}/secret")).json()
    assert rotated["overlap_ends_at"] == "2026-01-02T00:00:00Z"
    assert (await world.call("POST", LOGIN, form(caller))).status_code == 200
    assert (await world.call("POST", LOGIN, form(caller, secret=rotated["secret"]))).status_code == 200
    world.clock.pass_time(days=1)
    assert (await world.call("POST", LOGIN, form(caller))).status_code == 401
    assert (await world.call("POST", LOGIN, form(caller, secret=rotated["secret"]))).status_code == 200
