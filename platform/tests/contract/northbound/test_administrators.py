"""`/v1/administrators`: tokens with scopes, shown once, and nobody hands out more than he has."""

import pytest

from firmcast.administrators import use_cases
from firmcast.audit import use_cases as audit
from firmcast.audit.model import AuditFilter
from firmcast.db.page import Page
from firmcast.rest.application import http_application
from firmcast.rest.authentication import EVERY_SCOPE, Scope, administrator_authentication

ALL = sorted(EVERY_SCOPE)
TOKENS = "/v1/administrators"


async def make(world, name="night shift", scopes=("applications:read",), by=None, **said):
    body = {"name": name, "scopes": list(scopes), **said}
    return await world.manage("POST", TOKENS, body, headers=bearer(by) if by else {})


def bearer(token):
    return {"authorization": f"Bearer {token}"}


async def test_a_token_is_shown_once_and_works_until_it_is_revoked(world):
    answer = await make(world, scopes=["push:read", "applications:read"])
    said = answer.json()
    token = said.pop("token")
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert said | {"token_id": ""} == {
        "token_id": "",
        "name": "night shift",
        "scopes": ["applications:read", "push:read"],
        "created_at": "2026-01-01T00:00:00Z",
        "created_by": "operator",
        "expires_at": None,
        "last_used_at": None,
    }
    one = f"{TOKENS}/{said['token_id']}"
    assert (await world.manage("GET", one)).json() == said
    listed = (await world.manage("GET", TOKENS)).json()["administrators"]
    assert [item["name"] for item in listed] == ["operator", "night shift"]
    assert token not in (await world.manage("GET", TOKENS)).text
    assert (await world.call("GET", "/v1/applications", headers=bearer(token))).status_code == 200
    assert (await world.manage("DELETE", one)).status_code == 204
    assert (await world.call("GET", "/v1/applications", headers=bearer(token))).status_code == 401
    assert (await world.manage("GET", one)).status_code == 404
    assert (await world.manage("DELETE", one)).status_code == 404


async def test_whoami_tells_the_token_that_is_held(world):
    assert (await world.manage("GET", "/v1/whoami")).json() == {
        "token_id": "operator",
        "name": "operator",
        "scopes": ALL,
        "expires_at": None,
    }
    made = (await make(world, scopes=["audit:read"], expires_at="2026-01-01T03:00:00+02:00")).json()
    assert (await world.call("GET", "/v1/whoami", headers=bearer(made["token"]))).json() == {
        "token_id": made["token_id"],
        "name": "night shift",
        "scopes": ["audit:read"],
        "expires_at": "2026-01-01T01:00:00Z",
    }


async def test_a_token_ends_by_itself(world):
    token = (await make(world, expires_at="2026-01-01T01:00:00Z")).json()["token"]
    world.clock.pass_time(minutes=59, seconds=59)
    assert (await world.call("GET", "/v1/whoami", headers=bearer(token))).status_code == 200
    world.clock.pass_time(seconds=1)
    assert (await world.call("GET", "/v1/whoami", headers=bearer(token))).status_code == 401


async def test_the_missing_scope_is_named(world):
    token = (await make(world)).json()["token"]
    answer = await world.call("POST", "/v1/applications", {"name": "a"}, headers=bearer(token))
    assert (answer.status_code, answer.json()) == (
        403,
        {"error_code": "not_allowed", "error_desc": "this needs a token with the scope applications:write"},
    )
    assert (await world.manage("GET", "/v1/applications")).json() == {"applications": []}


async def test_nobody_hands_out_more_than_he_has(world):
    maker = (await make(world, "maker", ["administrators:write", "push:read"])).json()["token"]
    world.clock.pass_time(seconds=1)
    assert (await make(world, "a", ["push:read"], by=maker)).status_code == 201
    refused = await make(world, "b", ["push:read", "push:write", "audit:read"], by=maker)
    assert (refused.status_code, refused.json()["error_code"]) == (403, "not_allowed")
    assert "audit:read, push:write" in refused.json()["error_desc"]
    shown = (await world.manage("GET", TOKENS)).json()["administrators"]
    assert [(item["name"], item["created_by"]) for item in shown[1:]] == [("maker", "operator"), ("a", "maker")]


@pytest.mark.parametrize(("asked", "status"), [("", 403), ("2026-01-01T01:00:01Z", 403), ("2026-01-01T01:00:00Z", 201)])
async def test_a_token_makes_none_that_outlives_it(world, asked, status):
    scopes = ["administrators:write"]
    maker = (await make(world, "maker", scopes, expires_at="2026-01-01T01:00:00Z")).json()["token"]
    assert (await make(world, "made", scopes, by=maker, expires_at=asked)).status_code == status


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ({"name": "operator"}, 400, "invalid_value"),
        ({"name": "a" * 65}, 400, "invalid_value"),
        ({"name": "a\nb"}, 400, "invalid_value"),
        ({"name": " "}, 400, "invalid_request"),
        ({"name": "taken"}, 409, "conflict"),
        ({"scopes": []}, 400, "invalid_value"),
        ({"scopes": ["everything"]}, 400, "invalid_value"),
        ({"scopes": "audit:read"}, 400, "invalid_request"),
        ({"scopes": None}, 400, "invalid_request"),
        ({"scopes": ["audit:read"] * 65}, 400, "invalid_request"),
        ({"expires_at": "2026-01-01T00:00:00Z"}, 400, "invalid_value"),
        ({"expires_at": "2027-01-01T00:00:00"}, 400, "invalid_value"),
        ({"expires_at": "tomorrow"}, 400, "invalid_value"),
        ({"expires_at": "0001-01-01T00:00:00+23:00"}, 400, "invalid_value"),
    ],
)
async def test_what_cannot_be_made(world, said, status, code):
    assert (await make(world, "taken")).status_code == 201
    answer = await world.manage("POST", TOKENS, {"name": "new", "scopes": ["audit:read"], **said})
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert len((await world.manage("GET", TOKENS)).json()["administrators"]) == 2


async def test_the_operators_own_token_cannot_be_deleted(world):
    answer = await world.manage("DELETE", f"{TOKENS}/operator")
    assert (answer.status_code, answer.json()["error_code"]) == (409, "conflict")
    assert (await world.manage("GET", f"{TOKENS}/operator")).json()["created_at"] is None


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic b3BlcmF0b3JzLXRva2Vu", "operators-token"])
async def test_what_is_no_bearer_token_opens_nothing(world, authorization):
    assert (await world.call("GET", "/v1/whoami", headers={"authorization": authorization})).status_code == 401


async def test_an_empty_token_of_the_settings_opens_nothing(world):
    calls = [call for call in world.calls if getattr(call, "path", "") == "/v1/whoami"]
    assert len(calls) == 1
    authorise = administrator_authentication("")

    async def whoami(request):
        await authorise(request, None)

    from starlette.routing import Route

    world.asgi = http_application([Route("/v1/whoami", whoami)])
    for headers in ({}, {"authorization": "Bearer "}):
        assert (await world.call("GET", "/v1/whoami", headers=headers)).status_code == 401


async def test_a_use_is_noted_once_a_minute(world, monkeypatch):
    made = (await make(world)).json()
    noted = []
    note_use = use_cases.note_use

    async def noting(tx, token_id, now):
        noted.append(now)
        await note_use(tx, token_id, now)

    monkeypatch.setattr(use_cases, "note_use", noting)
    for _ in range(13):
        assert (await world.call("GET", "/v1/whoami", headers=bearer(made["token"]))).status_code == 200
        world.clock.pass_time(seconds=10)
    shown = (await world.manage("GET", f"{TOKENS}/{made['token_id']}")).json()
    assert (len(noted), shown["last_used_at"]) == (3, "2026-01-01T00:02:00Z")


async def test_the_token_is_not_in_the_store(world):
    made = (await make(world)).json()

    async def dump(tx):
        from firmcast.db.statement import portable

        return str(await tx.fetch(portable("SELECT * FROM administrator_token")))

    text = await world.database.read(dump)
    assert made["token_id"] in text
    assert made["token"] not in text


async def test_tokens_leave_their_trace(world):
    made = (await make(world, expires_at="2027-01-01T00:00:00Z")).json()
    await make(world, scopes=["nonsense"])
    await world.manage("DELETE", f"{TOKENS}/{made['token_id']}")
    await world.manage("DELETE", f"{TOKENS}/{made['token_id']}")
    entries, _ = await world.database.read(audit.listed, AuditFilter(), Page())
    told = [(entry.actor.name, entry.action, entry.subject, dict(entry.details)) for entry in entries]
    assert told == [
        ("operator", "administrator.delete", made["token_id"], {"name": "night shift"}),
        (
            "operator",
            "administrator.create",
            made["token_id"],
            {"name": "night shift", "scopes": "applications:read", "expires_at": "2027-01-01T00:00:00+00:00"},
        ),
    ]


def test_scopes_are_spelt_alike():
    assert all(scope.value == scope.name.lower().replace("_", ":") for scope in Scope)
