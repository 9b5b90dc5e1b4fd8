"""Replays over HTTP, in process: what may be ordered, how it is told, and what is refused."""

import asyncio

import httpx2
import pytest

from firmcast.clock import SystemClock
from firmcast.events.model import EventType
from firmcast.ids import SubscriptionId
from firmcast.push.replay import api
from firmcast.push.replay.runner import ReplayRunner
from firmcast.rest.application import http_application
from firmcast.rest.authentication import administrator_authentication


@pytest.fixture
async def client(world):
    calls = api.endpoints(
        database=world.database,
        clock=SystemClock(),
        authorise_administrator=administrator_authentication("operators-token"),
        usual_rate=700,
    )
    runner = ReplayRunner(database=world.database, clock=SystemClock(), most_waiting=100)
    await runner.start()
    headers = {"authorization": "Bearer operators-token"}
    transport = httpx2.ASGITransport(http_application(calls))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers) as it:
        yield it
    await runner.stop()


async def test_a_replay_is_ordered_and_followed_to_its_end(world, client, callback) -> None:
    await world.dispatch()
    await world.happen("d1", "d2")
    subscription = await world.subscribe(callback.url())
    said = await client.post("/v1/replays", json={"subscription_id": subscription, "device_id": "d1"})
    assert said.status_code == 201
    told = said.json()
    assert told | {"created_at": ""} == {
        "replay_id": told["replay_id"],
        "application_id": world.application_id,
        "subscription_ids": [subscription],
        "device_id": "d1",
        "since": None,
        "until": None,
        "rate": 700,
        "state": "running",
        "queued": 0,
        "outstanding": 0,
        "passed_over": 0,
        "incomplete": False,
        "created_at": "",
        "created_by": "operator",
        "ended_at": None,
    }
    one = f"/v1/replays/{told['replay_id']}"
    while (told := (await client.get(one)).json())["state"] == "running":
        await asyncio.sleep(0.01)
    assert (told["state"], told["queued"], told["outstanding"]) == ("finished", 1, 0)
    assert told["ended_at"]
    assert callback.lanes() == {"d1": [1]}
    assert (await client.post(f"{one}/cancel")).status_code == 409
    listed = (await client.get("/v1/replays")).json()
    assert (listed["replays"], listed["total"]) == ([told], 1)
    assert (await client.get("/v1/replays?application_id=another")).json()["replays"] == []


async def test_an_application_chooses_among_its_subscriptions_by_type(world, client, callback) -> None:
    states = await world.subscribe(callback.url())
    ends = await world.subscribe(callback.url(), EventType.FIRMWARE_UPGRADE_ENDED)
    body: dict[str, object] = {"application_id": world.application_id}
    said = (await client.post("/v1/replays", json=body)).json()
    assert said["subscription_ids"] == sorted([states, ends])
    body["notify_types"] = ["fwUpgradeResultNotify"]
    said = (await client.post("/v1/replays", json=body)).json()
    assert said["subscription_ids"] == [ends]
    body["notify_types"] = ["deviceAdded"]
    assert (await client.post("/v1/replays", json=body)).status_code == 404


async def test_a_replay_waits_for_the_one_before_it_and_is_cancelled(world, client, callback) -> None:
    for _ in range(5):
        await world.happen("d1")
    subscription = await world.subscribe(callback.url())
    body = {"subscription_id": subscription, "rate": 1, "since": "2020-01-01T00:00:00Z"}
    first = (await client.post("/v1/replays", json=body)).json()
    second = (await client.post("/v1/replays", json=body)).json()
    assert (first["state"], second["state"], first["rate"]) == ("running", "waiting", 1)
    assert first["since"] == "2020-01-01T00:00:00Z"
    for told in (first, second):
        said = await client.post(f"/v1/replays/{told['replay_id']}/cancel")
        assert (said.status_code, said.json()["state"]) == (200, "cancelled")
    assert await world.pending() == 0


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"subscription_id": "nobody"}, 404, "not_found"),
        ({"subscription_id": ""}, 400, "invalid_value"),
        ({"application_id": "both"}, 400, "invalid_value"),
        ({"subscription_id": "", "application_id": "nobody"}, 404, "not_found"),
        ({"notify_types": ["fwUpgradeResultNotify"]}, 400, "invalid_value"),
        ({"device_id": "of nobody"}, 404, "not_found"),
        ({"since": "yesterday"}, 400, "invalid_value"),
        ({"until": "2026-01-01T00:00:00"}, 400, "invalid_value"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, 400, "invalid_value"),
        ({"rate": 0}, 400, "invalid_request"),
        ({"rate": 10_001}, 400, "invalid_request"),
        ({"form": "2020-01-01T00:00:00Z"}, 400, "invalid_request"),
    ],
)
async def test_what_cannot_be_ordered(world, client, change, status, code) -> None:
    subscription = await world.subscribe("http://127.0.0.1:9/x")
    answer = await client.post("/v1/replays", json={"subscription_id": subscription} | change)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert (await client.get("/v1/replays")).json()["total"] == 0


async def test_the_device_of_another_application_is_nothing_to_a_replay(world, client) -> None:
    await world.happen("d1")
    world.application_id = "another"
    subscription: SubscriptionId = await world.subscribe("http://127.0.0.1:9/x")
    answer = await client.post("/v1/replays", json={"subscription_id": subscription, "device_id": "d1"})
    assert answer.status_code == 404


@pytest.mark.parametrize("name", ["0", "7", "x", "9" * 30, "٣"])
async def test_a_replay_that_is_not_there(client, name: str) -> None:
    assert (await client.get(f"/v1/replays/{name}")).status_code == 404
    assert (await client.post(f"/v1/replays/{name}/cancel")).status_code == 404


async def test_strangers_learn_nothing(client) -> None:
    for method, path in (("GET", "/v1/replays"), ("POST", "/v1/replays"), ("POST", "/v1/replays/1/cancel")):
        answer = await client.request(method, path, headers={"authorization": "Bearer guessed"})
        assert answer.status_code == 401
