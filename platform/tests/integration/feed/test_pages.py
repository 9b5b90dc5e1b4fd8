"""An application reads its events a page at a time, over HTTPS, on each store."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from feed_site import NOW, OPERATOR, RECEIVERS, Site, deleted, ended, moved, started_site

from firmcast.db.postgres import PostgresDatabase
from firmcast.db.postgres_transaction import run_use_case
from firmcast.events import use_cases as events
from firmcast.events.model import FirmwareStateChanged, NewEvent
from firmcast.feed.cursor import spell_cursor
from firmcast.ids import DeviceId, EventId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push.envelope import attempt_headers

BEGINNING = {"from": "beginning"}


async def read_on(client, query, cursor=None):
    """Return the items of all pages, and the cursor after them."""
    found = []
    while True:
        page = (await client.get("/v1/events", params={**query, **({"after": cursor} if cursor else {})})).json()
        found += page["events"]
        query = {name: value for name, value in query.items() if name != "from"}
        cursor = page["cursor"]
        if not page["more"]:
            return found, cursor


async def test_items_carry_what_pushes_carry_in_the_order_of_the_log(site: Site) -> None:
    app, proof = await site.application()
    other, _ = await site.application("other")
    appended = await site.append(app, ("a", moved()), ("b", moved()), ("a", ended('ü "error_code" \\ \u2028')))
    await site.append(other, ("c", moved()))
    appended += await site.append(app, ("a", deleted()), synthesised=True)
    stored = await site.database.read(events.bodies, [event.event_id for event in appended])
    async with site.client(proof) as client:
        answer = await client.get("/v1/events", params=BEGINNING)
    page = answer.json()
    assert b"error_code" not in answer.content
    assert [item["webhook_id"] for item in page["events"]] == [event.message_id for event in appended]
    for item, event in zip(page["events"], appended, strict=True):
        assert item["body"].encode() == stored[event.event_id].body
        pushed = attempt_headers(
            message_id=event.message_id,
            sequence=event.sequence,
            occurred_at=event.occurred_at,
            synthesised=event.synthesised,
            attempt=1,
            signature=None,
        )
        assert f"webhook-id: {item['webhook_id']}" in pushed
        assert f"firmcast-sequence: {item['sequence']}" in pushed
        assert f"firmcast-occurred-at: {item['occurred_at']}" in pushed
        assert item["synthesised"] == ("firmcast-synthesised: true" in pushed)
        assert item["device_id"] == event.device_id
        assert f'"notifyType":"{item["notify_type"]}"' in item["body"]
    assert page["more"] is False


@pytest.mark.parametrize("limit", [1, 3, 1000])
async def test_pages_together_are_all_events_once(site: Site, limit: int) -> None:
    app, proof = await site.application()
    appended = [(await site.append(app, (f"d{number % 3}", moved())))[0] for number in range(8)]
    async with site.client(proof) as client:
        found, cursor = await read_on(client, {**BEGINNING, "limit": limit})
        assert [item["webhook_id"] for item in found] == [event.message_id for event in appended]
        # The cursor of each item is one to go on after, too.
        rest, _ = await read_on(client, {"limit": limit}, found[4]["cursor"])
        assert rest == found[5:]
        assert await read_on(client, {}, cursor) == ([], cursor)


async def test_without_a_cursor_it_begins_with_what_happens_from_now_on(site: Site) -> None:
    app, proof = await site.application()
    await site.append(app, ("a", moved()))
    async with site.client(proof) as client:
        first = (await client.get("/v1/events")).json()
        assert first["events"] == []
        (event,) = await site.append(app, ("a", moved()))
        found, _ = await read_on(client, {}, first["cursor"])
    assert [item["webhook_id"] for item in found] == [event.message_id]


async def test_it_waits_until_something_comes(site: Site) -> None:
    app, proof = await site.application()
    other, _ = await site.application("other")
    async with site.client(proof) as client:
        cursor = (await client.get("/v1/events")).json()["cursor"]
        waiting = asyncio.ensure_future(client.get("/v1/events", params={"after": cursor, "wait": 60}))
        while not site.watch._waiting:
            await asyncio.sleep(0.01)
        await site.append(other, ("c", moved()))
        (event,) = await site.append(app, ("a", moved()))
        async with asyncio.timeout(50):
            page = (await waiting).json()
    assert [item["webhook_id"] for item in page["events"]] == [event.message_id]


async def test_when_the_wait_is_over_it_answers_with_where_to_go_on(site: Site) -> None:
    app, proof = await site.application()
    other, _ = await site.application("other")
    async with site.client(proof) as client:
        cursor = (await client.get("/v1/events")).json()["cursor"]
        await site.append(other, ("c", moved()))
        page = (await client.get("/v1/events", params={"after": cursor, "wait": 1})).json()
        assert page["events"] == []
        assert page["cursor"] > cursor
        (event,) = await site.append(app, ("a", moved()))
        found, _ = await read_on(client, {}, page["cursor"])
    assert [item["webhook_id"] for item in found] == [event.message_id]


async def test_types_and_a_device_can_be_asked_for(site: Site) -> None:
    app, proof = await site.application()
    one, two, three, four = await site.append(app, ("a", moved()), ("b", deleted()), ("a", ended()), ("a", deleted()))

    async def of(**query):
        return [item["webhook_id"] for item in (await read_on(client, {**BEGINNING, **query}))[0]]

    async with site.client(proof) as client:
        assert await of(device_id="a") == [one.message_id, three.message_id, four.message_id]
        assert await of(notify_type="deviceDeleted") == [two.message_id, four.message_id]
        both = "fwUpgradeStateChangeNotify, FWUPGRADERESULTNOTIFY"
        assert await of(notify_type=both) == [one.message_id, three.message_id]
        assert await of(notify_type="deviceDeleted", device_id="b") == [two.message_id]
        assert await of(notify_type="swUpgradeResultNotify") == []


REFUSED = [
    ({"after": "nonsense"}, 400, "cursor_unknown"),
    ({"after": spell_cursor(EventId(1 << 40))}, 400, "cursor_unknown"),
    ({"after": spell_cursor(EventId(0)), "from": "beginning"}, 400, "100022"),
    ({"from": "tomorrow"}, 400, "100022"),
    ({"limit": "0"}, 400, "100022"),
    ({"limit": "1001"}, 400, "100022"),
    ({"wait": "61"}, 400, "100022"),
    ({"wait": "-1"}, 400, "100022"),
    ({"notify_type": "somethingElse"}, 400, "100022"),
    ({"after": "a" * 65}, 400, "100022"),
]


async def test_what_makes_no_sense_is_refused_in_the_contracts_form(site: Site) -> None:
    _, proof = await site.application()
    async with site.client(proof) as client:
        for query, status, code in REFUSED:
            # A stream has neither a limit nor a wait.
            for path in ["/v1/events"] + ([] if {"limit", "wait"} & set(query) else ["/v1/events/stream"]):
                answer = await client.get(path, params=query)
                assert (answer.status_code, answer.json()["error_code"]) == (status, code), (path, query)
                assert sorted(answer.json()) == ["error_code", "error_desc"]
                assert answer.headers["firmcast-reason"]


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/stream"])
async def test_a_cursor_older_than_what_is_kept_is_told_where_the_log_begins(site: Site, path: str) -> None:
    app, proof = await site.application()
    first, second, third = await site.append(app, ("a", moved()), ("a", moved()), ("a", moved()))
    await site.database.write(events.note_forgotten, second.event_id)
    async with site.client(proof) as client:
        answer = await client.get(path, params={"after": spell_cursor(first.event_id)})
        assert (answer.status_code, answer.json()["error_code"]) == (410, "cursor_expired")
        oldest = answer.headers["firmcast-oldest-cursor"]
        assert oldest in answer.headers["firmcast-reason"]
        for query, cursor in (({}, oldest), (BEGINNING, None)):
            found, _ = await read_on(client, query, cursor)
            assert [item["webhook_id"] for item in found] == [third.message_id]


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/stream"])
async def test_only_an_application_that_proves_itself_reads(site: Site, path: str) -> None:
    _, proof = await site.application()
    for headers, status, code in (
        ({}, 401, "100025"),
        ({"app_key": proof["app_key"]}, 403, "1010005"),
        ({**proof, "authorization": "Bearer wrong"}, 403, "1010005"),
        (OPERATOR, 401, "100025"),
    ):
        async with site.client(headers) as client:
            answer = await client.get(path)
        assert (answer.status_code, answer.json()["error_code"]) == (status, code)


async def test_an_operator_reads_what_an_application_reads(site: Site) -> None:
    app, proof = await site.application()
    await site.append(app, ("a", moved()))
    path = f"/v1/applications/{app}/events"
    async with site.client(proof) as client, site.client(OPERATOR) as operator:
        own = await client.get("/v1/events", params=BEGINNING)
        assert (await operator.get(path, params=BEGINNING)).content == own.content
        assert (await operator.get("/v1/applications/nobody/events")).status_code == 404
        refused = await operator.get(path, params={"after": "nonsense"})
        assert (refused.status_code, refused.json()["error_code"]) == (400, "cursor_unknown")
        assert (await client.get(path)).status_code == 401


async def test_so_many_wait_and_no_more(site: Site) -> None:
    app, proof = await site.application()
    async with site.client(proof) as client:
        waiting = [asyncio.ensure_future(client.get("/v1/events", params={"wait": 60})) for _ in range(RECEIVERS)]
        while len(site.watch._waiting.get(app, ())) < RECEIVERS:
            await asyncio.sleep(0.01)
        refused = await client.get("/v1/events", params={"wait": 60})
        assert (refused.status_code, refused.json()["error_code"]) == (429, "too_many_receivers")
        assert refused.headers["retry-after"]
        assert (await client.get("/v1/events")).status_code == 200  # it does not wait
        await site.append(app, ("a", moved()))
        async with asyncio.timeout(50):
            assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
        again = asyncio.ensure_future(client.get("/v1/events", params={"wait": 60}))
        while not site.watch._waiting:
            await asyncio.sleep(0.01)
        again.cancel()


async def test_who_leaves_while_he_waits_holds_no_place(site: Site) -> None:
    app, proof = await site.application()
    async with site.client(proof) as client:
        for _ in range(RECEIVERS + 1):
            waiting = asyncio.ensure_future(client.get("/v1/events", params={"wait": 60}))
            while not site.watch._waiting:
                await asyncio.sleep(0.01)
            waiting.cancel()
            async with asyncio.timeout(30):
                while site.watch._waiting:
                    await asyncio.sleep(0.01)
        assert app not in site.watch._waiting


async def test_the_platforms_end_answers_who_waits(site: Site) -> None:
    _, proof = await site.application()
    async with site.client(proof) as client:
        waiting = asyncio.ensure_future(client.get("/v1/events", params={"wait": 60}))
        while not site.watch._waiting:
            await asyncio.sleep(0.01)
        await site.watch.stop()
        async with asyncio.timeout(30):
            page = (await waiting).json()
    assert (page["events"], page["more"]) == ([], False)


async def test_an_event_that_is_committed_early_waits_for_one_before_it(
    empty_postgres_store: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    url = await empty_postgres_store()
    database, node = await PostgresDatabase.open(url, NOW), await asyncpg.connect(url)
    state = FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING)
    async with started_site(database, tmp_path) as site:
        app, proof = await site.application()

        async def append(tx):
            new = NewEvent(application_id=app, device_id=DeviceId("early"), occurred_at=NOW, fact=state)
            return await site.log.append(tx, [new])

        await node.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        (early,), _ = await run_use_case(node, append)
        (late,) = await site.append(app, ("late", state))
        assert early.event_id < late.event_id
        async with site.client(proof) as client:
            page = (await client.get("/v1/events", params={**BEGINNING, "wait": 1})).json()
            assert page["events"] == []
            waiting = asyncio.ensure_future(client.get("/v1/events", params={"after": page["cursor"], "wait": 60}))
            while not site.watch._waiting:
                await asyncio.sleep(0.01)
            await node.execute("COMMIT")
            async with asyncio.timeout(50):
                found = (await waiting).json()["events"]
        assert [item["webhook_id"] for item in found] == [early.message_id, late.message_id]
    node.terminate()
    await database.close()
