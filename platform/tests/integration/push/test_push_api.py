"""The management API of push over HTTP, in process."""

import asyncio
from datetime import timedelta

import pytest

from firmcast.clock import SystemClock
from firmcast.db.statement import portable
from firmcast.events.model import EventType
from firmcast.ids import EventId
from firmcast.push import api, use_cases
from firmcast.push.management import resends

FAULT = b"HTTP/1.1 500 Fault\r\nContent-Length: 3\r\n\r\nbye"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def answering(text: bytes):
    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        writer.write(text)
        return True

    return script


async def test_what_is_pending_is_listed_and_filtered(world, client) -> None:
    subscription = await world.subscribe("http://127.0.0.1:9/x")
    await world.happen("d1", "d2", "d1")
    listed = (await client.get("/v1/deliveries")).json()
    assert [(item["device_id"], item["sequence"]) for item in listed["deliveries"]] == [
        ("d1", 1),
        ("d2", 1),
        ("d1", 2),
    ]
    assert {key: listed[key] for key in ("page", "page_size", "total")} == {"page": 0, "page_size": 100, "total": 3}
    assert listed["deliveries"][0] == {
        "event_id": 1,
        "subscription_id": subscription,
        "device_id": "d1",
        "sequence": 1,
        "attempts": 0,
        "next_attempt_at": None,
        "reason": None,
        "blocked": False,
    }
    only = (await client.get("/v1/deliveries?device_id=d1&page=1&page_size=1")).json()
    assert ([item["event_id"] for item in only["deliveries"]], only["total"]) == ([3], 2)
    nothing = (await client.get(f"/v1/deliveries?subscription_id={subscription}&event_id=9")).json()
    assert nothing["deliveries"] == []


async def test_dead_letters_and_attempts_are_listed_and_sent_again(world, client, callback) -> None:
    callback.script = answering(FAULT)
    world.settings = world.settings.model_copy(update={"age_limit": timedelta(0)})
    await world.dispatch()
    subscription = await world.subscribe(callback.url())
    await world.happen("d1", "d2", "d3")
    while len(await world.dead()) < 3:
        await asyncio.sleep(0.01)
    letters = (await client.get("/v1/dead-letters")).json()
    assert letters["total"] == 3
    assert letters["dead_letters"][0] | {"died_at": ""} == {
        "event_id": 1,
        "subscription_id": subscription,
        "device_id": "d1",
        "sequence": 1,
        "attempts": 1,
        "reason": "expired",
        "failure": "server_error",
        "died_at": "",
    }
    tried = (await client.get("/v1/attempts?event_id=1")).json()
    assert tried["total"] == 1
    assert tried["attempts"][0] | {"attempted_at": "", "seconds": 0, "attempt_id": 0} == {
        "attempt_id": 0,
        "event_id": 1,
        "subscription_id": subscription,
        "device_id": "d1",
        "number": 1,
        "attempted_at": "",
        "seconds": 0,
        "status": 500,
        "failure": "server_error",
        "detail": "",
        "address": "127.0.0.1",
        "answer": "bye",
    }
    callback.script = answering(OK)
    said = await client.post("/v1/deliveries/resend", json={"event_id": 2, "subscription_id": subscription})
    assert (said.status_code, said.json()) == (200, {"resent": 1, "next": None})
    said = await client.post("/v1/dead-letters/resend", json={"subscription_id": subscription})
    assert (said.status_code, said.json()) == (200, {"resent": 2, "next": None})
    await world.settled()
    assert (await client.get("/v1/dead-letters")).json()["total"] == 0


async def test_more_dead_letters_than_one_transaction_moves(
    world, client, callback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_cases, "RESENT_AT_ONCE", 2)
    callback.script = answering(FAULT)
    world.settings = world.settings.model_copy(update={"age_limit": timedelta(0)})
    await world.dispatch()
    subscription = await world.subscribe(callback.url())
    for _ in range(5):
        await world.happen("d1")
    while len(await world.dead()) < 5:
        await asyncio.sleep(0.01)
    callback.requests.clear()
    callback.script = answering(OK)
    said = await client.post("/v1/dead-letters/resend", json={"subscription_id": subscription})
    assert said.json() == {"resent": 5, "next": None}
    await world.settled()
    assert callback.lanes() == {"d1": [1, 2, 3, 4, 5]}


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/deliveries/resend", {"event_id": 7, "subscription_id": "nobody"}, 404, "not_found"),
        ("/v1/deliveries/resend", {"event_id": 2**70, "subscription_id": "nobody"}, 400, "invalid_request"),
        ("/v1/deliveries/resend", {"event_id": "x", "subscription_id": "nobody"}, 400, "invalid_request"),
        ("/v1/deliveries/resend", {"subscription_id": "nobody"}, 400, "invalid_request"),
        ("/v1/dead-letters/resend", {"subscription_id": "nobody"}, 404, "not_found"),
        ("/v1/dead-letters/resend", {"subscription_id": ""}, 400, "invalid_request"),
        ("/v1/dead-letters/resend", [], 400, "invalid_request"),
    ],
)
async def test_what_cannot_be_sent_again(client, path: str, body: object, status: int, code: str) -> None:
    answer = await client.post(path, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


async def every(client, path: str, key: str, query: str = "") -> list[dict]:
    """Read a list to its end, page by page."""
    found, after = [], ""
    while True:
        page = (await client.get(f"{path}?page_size=3&after={after}{query}")).json()
        assert len(page[key]) <= 3
        found += page[key]
        if page["next"] is None:
            return found
        assert len(page[key]) == 3
        after = page["next"]


async def test_lists_are_read_page_by_page_each_row_once(world, client, callback) -> None:
    callback.script = answering(FAULT)
    world.settings = world.settings.model_copy(update={"age_limit": timedelta(0)})
    dispatcher = await world.dispatch()
    other = await world.subscribe(callback.url("/other"), EventType.FIRMWARE_UPGRADE_ENDED)
    mine = await world.subscribe(callback.url())
    for device in ("a", "b", "a", "c", "a", "b", "a"):
        await world.happen(device)
    while len(await world.dead()) < 7:
        await asyncio.sleep(0.01)
    await dispatcher.stop(1)
    world.dispatchers.remove(dispatcher)
    for device in ("a", "b", "a", "c"):
        await world.happen(device)
    for query, letters, waiting in (
        ("", [1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11]),
        (f"&subscription_id={mine}", [1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11]),
        (f"&subscription_id={other}", [], []),
        ("&device_id=a", [1, 3, 5, 7], [8, 10]),
        (f"&device_id=a&subscription_id={mine}", [1, 3, 5, 7], [8, 10]),
        (f"&device_id=a&subscription_id={other}", [], []),
        ("&device_id=a&event_id=3", [3], []),
        ("&event_id=8", [], [8]),
        ("&device_id=b&event_id=3", [], []),
    ):
        dead = await every(client, "/v1/dead-letters", "dead_letters", query)
        assert [item["event_id"] for item in dead] == letters, query
        found = await every(client, "/v1/deliveries", "deliveries", query)
        assert [item["event_id"] for item in found] == waiting, query
        tried = await every(client, "/v1/attempts", "attempts", query)
        assert sorted(item["event_id"] for item in tried) == letters, query
        numbers = [item["attempt_id"] for item in tried]
        assert numbers == sorted(numbers, reverse=True)
        totals = [(await client.get(f"/v1/{path}?{query[1:]}")).json()["total"] for path in ("attempts", "deliveries")]
        assert totals == [len(letters), len(waiting)]


@pytest.mark.parametrize("after", ["x", "-1", "1e3", "9" * 30, "1--"])
async def test_a_position_that_no_page_named_is_refused_or_harmless(client, after: str) -> None:
    for path in ("attempts", "deliveries", "dead-letters"):
        answer = await client.get(f"/v1/{path}?after={after}")
        assert answer.status_code in (200, 400)
        assert answer.status_code == 400 or after == "1--"


async def test_a_far_page_is_reached_by_going_on(client) -> None:
    answer = await client.get("/v1/attempts?page=101&page_size=100")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_value")


@pytest.mark.parametrize("query", ["page=-1", "page_size=0", "page_size=1001", "event_id=x", "page=99999999999"])
async def test_a_list_with_a_wrong_parameter_is_refused(client, query: str) -> None:
    assert (await client.get(f"/v1/attempts?{query}")).status_code == 400


@pytest.mark.parametrize("method_and_path", ["GET /v1/deliveries", "GET /v1/attempts", "POST /v1/deliveries/resend"])
async def test_strangers_learn_nothing(client, method_and_path: str) -> None:
    method, path = method_and_path.split()
    answer = await client.request(method, path, headers={"authorization": "Bearer guessed"})
    assert (answer.status_code, answer.json()["error_code"]) == (401, "unauthorized")


def test_no_event_has_the_number_that_stands_for_none() -> None:
    assert api._event_id(-5) == resends.event_id_of(2**70) == EventId(0)


async def test_dead_letters_are_sent_again_at_a_pace_and_a_long_call_says_how_to_go_on(
    world, client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_cases, "RESENT_AT_ONCE", 2)
    subscription = await world.subscribe("https://192.0.2.7/a")
    events = await world.happen(*(f"d{number}" for number in range(5)))

    async def bury(tx) -> None:
        await tx.execute_many(
            portable(
                "INSERT INTO dead_letter (event_id, subscription_id, device_id, sequence, attempts, reason, failure,"
                " died_at) VALUES (?1, ?2, ?3, 1, 1, 'expired', 'timeout', 0)"
            ),
            [(event.event_id, subscription, event.device_id) for event in events],
        )
        await tx.execute(portable("DELETE FROM delivery"))

    await world.database.write(bury)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(resends.asyncio, "sleep", sleep)
    monkeypatch.setattr(SystemClock, "monotonic", lambda _clock: 0.0)
    monkeypatch.setattr(resends, "_LONGEST_SECONDS", 0.0)
    body = {"subscription_id": subscription}
    first = (await client.post("/v1/dead-letters/resend", json=body)).json()
    assert first == {"resent": 2, "next": events[1].event_id}
    monkeypatch.setattr(resends, "_LONGEST_SECONDS", 10.0)
    rest = (await client.post("/v1/dead-letters/resend", json={**body, "after": first["next"]})).json()
    assert rest == {"resent": 3, "next": None}
    assert pauses == [2 / world.settings.replay_rate], "as long as two may take, since no time has passed"
    assert await world.pending() == 5


async def test_the_dead_letters_of_one_device_are_sent_again_in_order(world, client, callback) -> None:
    world.settings = world.settings.model_copy(update={"age_limit": timedelta(0)})
    callback.script = answering(FAULT)
    await world.dispatch()
    subscription = await world.subscribe(callback.url())
    await world.happen("d1", "d2", "d1")
    while len(await world.dead()) < 3:
        await asyncio.sleep(0.01)
    callback.requests.clear()
    callback.script = answering(OK)
    body = {"subscription_id": subscription, "device_id": "d1"}
    assert (await client.post("/v1/dead-letters/resend", json=body)).json() == {"resent": 2, "next": None}
    await world.settled()
    assert callback.lanes() == {"d1": [1, 2]}
    assert [letter.device_id for letter in await world.dead()] == ["d2"]
    assert (await client.post("/v1/dead-letters/resend", json=body)).json() == {"resent": 0, "next": None}
