"""An application follows its events as Server-Sent Events over HTTPS, on each store."""

import asyncio
import contextlib

import httpx2
import pytest
from feed_site import RECEIVERS, Reader, Site, deleted, ended, moved

from firmcast.applications import logins
from firmcast.errors import StoreUnreachableError
from firmcast.feed import event_feed
from firmcast.feed.cursor import parse_cursor


@contextlib.asynccontextmanager
async def stream(client: httpx2.AsyncClient, query=None, **headers: str):
    async with asyncio.timeout(60), client.stream("GET", "/v1/events/stream", params=query, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        reader = Reader(answer)
        assert await reader.next() is None  # where it begins
        assert reader.cursor
        yield reader


async def test_events_come_as_they_happen_and_are_those_of_the_pages(site: Site) -> None:
    app, proof = await site.application()
    (before,) = await site.append(app, ("a", moved()))
    async with site.client(proof) as client:
        async with stream(client, {"from": "beginning"}) as reader:
            found = await reader.events(1)
            await site.append(app, ("b", moved()), ("a", deleted()))
            found += await reader.events(2)
        page = (await client.get("/v1/events", params={"from": "beginning"})).json()
    assert found == page["events"]
    assert found[0]["webhook_id"] == before.message_id


async def test_it_goes_on_after_the_last_event_that_was_received(site: Site) -> None:
    app, proof = await site.application()
    async with site.client(proof) as client:
        async with stream(client) as reader:
            await site.append(app, *[("a", moved())] * 5)
            first = await reader.events(3)
        await site.append(app, ("b", moved()))
        async with stream(client, {"from": "beginning"}, **{"last-event-id": first[-1]["cursor"]}) as reader:
            rest = await reader.events(3)
    assert [item["sequence"] for item in first + rest] == [1, 2, 3, 4, 5, 1]


async def test_from_now_on_is_from_when_the_stream_began(site: Site) -> None:
    app, proof = await site.application()
    await site.append(app, ("a", moved()))
    async with site.client(proof) as client, stream(client) as reader:
        (event,) = await site.append(app, ("a", moved()))
        assert (await reader.events(1))[0]["webhook_id"] == event.message_id


async def test_a_filter_holds_for_all_of_it(site: Site) -> None:
    app, proof = await site.application()
    async with site.client(proof) as client, stream(client, {"notify_type": "deviceDeleted"}) as reader:
        await site.append(app, ("a", moved()), ("b", moved()))
        (event,) = await site.append(app, ("a", deleted()))
        assert (await reader.events(1))[0]["webhook_id"] == event.message_id


async def test_so_many_streams_and_no_more_and_each_that_ends_makes_room(site: Site) -> None:
    _, proof = await site.application()
    async with site.client(proof) as client, contextlib.AsyncExitStack() as streams:
        for _ in range(RECEIVERS - 1):
            await streams.enter_async_context(stream(client))
        async with stream(client):
            refused = await client.get("/v1/events/stream")
            assert (refused.status_code, refused.json()["error_code"]) == (429, "too_many_receivers")
        async with asyncio.timeout(30):
            while (await client.get("/v1/events", params={"wait": 1})).status_code != 200:
                pass


async def test_the_platforms_end_is_the_streams(site: Site) -> None:
    _, proof = await site.application()
    async with site.client(proof) as client, stream(client) as reader:
        await site.watch.stop()
        await reader.end()


async def test_a_store_that_does_not_answer_ends_the_stream_and_the_reader_comes_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, proof = await site.application()
    read_stretch = event_feed.read_stretch

    async def away(*_arguments):
        raise StoreUnreachableError("away")

    async with site.client(proof) as client:
        async with stream(client) as reader:
            monkeypatch.setattr(event_feed, "read_stretch", away)
            (event,) = await site.append(app, ("a", moved()))
            await reader.end()
        monkeypatch.setattr(event_feed, "read_stretch", read_stretch)
        async with stream(client, **{"last-event-id": reader.cursor}) as again:
            assert (await again.events(1))[0]["webhook_id"] == event.message_id


async def test_a_backlog_is_read_as_fast_as_it_is_taken(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    app, proof = await site.application()
    for _ in range(3):  # more than the buffers of a connection hold
        await site.append(app, *[(f"d{number}", ended("x" * 10_000)) for number in range(1000)])
    reads: list[int] = []
    read_stretch = event_feed.read_stretch

    async def counted(*arguments):
        reads.append(1)
        return await read_stretch(*arguments)

    monkeypatch.setattr(event_feed, "read_stretch", counted)
    async with site.client(proof) as client, stream(client, {"from": "beginning"}) as reader:
        found = await reader.events(1)
        seen = 0
        while len(reads) > seen:  # it stops reading the store, since nobody takes what is sent
            seen = len(reads)
            await asyncio.sleep(0.3)
        assert seen < 25
        found += await reader.events(2999)
    positions = [parse_cursor(item["cursor"]) for item in found]
    assert positions == sorted(set(positions))
    assert len(positions) == 3000


class TestSignsOfLife:
    """With a short time between them."""

    @pytest.fixture
    def life_seconds(self) -> float:
        return 0.05

    async def test_a_quiet_stream_tells_that_it_is_alive_and_moves_the_cursor_on(self, site: Site) -> None:
        _, proof = await site.application()
        other, _ = await site.application("other")
        async with site.client(proof) as client, stream(client) as reader:
            began = reader.cursor
            await site.append(other, ("c", moved()))
            while reader.cursor == began:
                assert await reader.next() is None

    async def test_it_ends_with_the_token(self, site: Site) -> None:
        _, proof = await site.application()
        async with site.client(proof) as client, stream(client) as reader:
            await reader.next()
            await site.database.write(logins.logout, proof["authorization"].removeprefix("Bearer "))
            await reader.end()
            refused = await client.get("/v1/events/stream")
            assert refused.status_code == 403
