"""What is written is what a reader of event streams reads (WHATWG HTML, 9.2.6), and a stream ends in every way."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.feed.event_stream import (
    EventStreamResponse,
    departure,
    told_beginning,
    told_end,
    told_event,
    told_life,
)
from firmcast.feed.places import Places

CURSORS = st.text("ABCabc019-_", min_size=1, max_size=12)


def read(stream: bytes) -> list[tuple[str, str]]:
    """Return (last event id, data) of each event, as the standard says, and of what is no event with data ''."""
    found, last_id, data = [], "", []
    for line in stream.decode().split("\n"):
        if not line:
            found.append((last_id, "\n".join(data)))
            data = []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            last_id = value
        elif name == "data":
            data.append(value)
        else:
            assert name in ("", "retry")
    return found[:-1]


@given(CURSORS, st.lists(st.tuples(CURSORS, st.text(st.characters(codec="utf-8", exclude_characters="\r\n")))))
def test_each_event_has_its_cursor_and_its_data(start: str, events: list[tuple[str, str]]) -> None:
    stream = told_beginning(start)
    for cursor, data in events:
        stream += told_life(start) + told_event(cursor, data.encode()) + told_end("because\nof it")
    assert read(stream)[0] == (start, "")
    assert [(cursor, data) for cursor, data in read(stream) if data] == [
        (cursor, data) for cursor, data in events if data
    ]


async def parts(*given_parts: bytes, then: asyncio.Event | None = None) -> AsyncGenerator[bytes, None]:
    for part in given_parts:
        yield part
    if then is not None:
        await then.wait()


class Connection:
    """What a server gives an application."""

    def __init__(self, *, takes: bool = True) -> None:
        self.left = asyncio.Event()
        self.body = b""
        self.complete = False
        self.takes = takes
        self._asked = False

    async def receive(self):
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message) -> None:
        if message["type"] == "http.response.body":
            if not self.takes:
                await asyncio.Event().wait()
            self.body += message["body"]
            self.complete = not message["more_body"]


async def run(response: EventStreamResponse, connection: Connection) -> None:
    async with asyncio.timeout(30):
        await response({"type": "http"}, connection.receive, connection.send)


async def test_a_stream_that_ends_is_complete() -> None:
    places, connection = Places(1), Connection()
    await run(EventStreamResponse(parts(b"a", b"b"), places.take("x")), connection)
    assert (connection.body, connection.complete, len(places)) == (b"ab", True, 0)


async def test_a_reader_who_leaves_ends_it() -> None:
    places, connection = Places(1), Connection()
    running = asyncio.ensure_future(
        run(EventStreamResponse(parts(b"a", then=asyncio.Event()), places.take("x")), connection)
    )
    connection.left.set()
    await running
    assert not connection.complete
    assert len(places) == 0


async def test_a_reader_who_takes_nothing_is_dropped() -> None:
    places, connection = Places(1), Connection(takes=False)
    asked: list[int] = []

    async def many() -> AsyncGenerator[bytes, None]:
        for number in range(1000):
            asked.append(number)
            yield b"x"

    await run(EventStreamResponse(many(), places.take("x"), stall_seconds=0.01), connection)
    assert asked == [0]
    assert not connection.complete
    assert len(places) == 0


async def test_a_failure_of_the_store_ends_it_and_is_told() -> None:
    places = Places(1)

    async def failing() -> AsyncGenerator[bytes, None]:
        yield b"a"
        raise RuntimeError("no store")

    with pytest.raises(RuntimeError, match="no store"):
        await run(EventStreamResponse(failing(), places.take("x")), Connection())
    assert len(places) == 0


async def test_a_departure_is_told_after_what_is_still_sent() -> None:
    said = [
        {"type": "http.request", "body": b"x", "more_body": True},
        {"type": "http.request", "body": b"x", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive():
        return said.pop(0)

    await departure(receive)
    assert said == []
