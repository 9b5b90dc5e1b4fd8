"""A feed gives every event once, in order, and tells where to go on, whatever fails meanwhile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast_sdk import NotifyType, TransportError
from firmcast_sdk.client import AsyncEventFeed, EventFeed, FeedItem, FeedPage
from firmcast_sdk.client.calls import events
from firmcast_sdk.wire.encoding import encode_response
from firmcast_sdk.wire.queries import parse_pairs

LIMIT = 3


def item(number: int) -> FeedItem:
    return FeedItem(
        cursor=str(number),
        webhook_id=f"evt_{number}",
        sequence=number,
        notify_type=NotifyType.DEVICE_DELETED,
        device_id="d",
        occurred_at="2026-01-01T12:00:00.000Z",
        synthesised=False,
        body='{"deviceId":"d"}',
    )


class Platform:
    """Answers calls from a log that grows; fails, or has nothing yet, when it is told to."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.size = 0
        self.asked: list[dict[str, object]] = []

    def answer(self, call):
        query = parse_pairs(call.request.query)
        self.asked.append(query)
        after = int(query.get("after", 0))
        match self.steps.pop(0) if self.steps else "more":
            case "fails":
                raise TransportError("cut")
            case "nothing":
                page = FeedPage(events=(), cursor=str(max(after, self.size)), more=False)
            case _:
                self.size += 2
                found = tuple(item(number) for number in range(after + 1, self.size + 1))[:LIMIT]
                page = FeedPage(events=found, cursor=str(found[-1].sequence if found else self.size), more=False)
        reply = type("Reply", (), {"status": 200, "body": encode_response(page), "headers": {}, "retry_after": None})()
        return call.parse(reply)


@given(st.lists(st.sampled_from(["more", "nothing", "fails"]), max_size=20))
def test_nothing_is_missed_and_nothing_comes_twice(steps: list[str]) -> None:
    platform = Platform([*steps])
    feed = EventFeed(events.events(from_beginning=True), platform.answer)
    found: list[int] = []
    while len(found) < 10:
        before = feed.cursor
        try:
            event = next(feed)
        except TransportError:
            assert feed.cursor in (before, str(platform.size))
            continue
        assert feed.cursor == event.cursor
        found.append(event.sequence)
    assert found == list(range(1, 11))


def test_who_goes_on_after_a_cursor_misses_nothing() -> None:
    platform = Platform([])
    feed = EventFeed(events.events(from_beginning=True), platform.answer)
    first = [next(feed).sequence for _ in range(4)]
    again = EventFeed(events.events(after=feed.cursor), platform.answer)
    assert [*first, *(next(again).sequence for _ in range(4))] == list(range(1, 9))


def test_only_the_first_call_says_where_to_begin_and_does_not_wait() -> None:
    platform = Platform(["nothing"])
    wanted = [NotifyType.DEVICE_ADDED, NotifyType.DEVICE_DELETED]
    feed = EventFeed(
        events.events(from_beginning=True, notify_types=wanted, device_id="d", limit=7, wait_seconds=9), platform.answer
    )
    next(feed)
    same = {"notify_type": "deviceAdded,deviceDeleted", "device_id": "d", "limit": "7"}
    assert platform.asked == [{**same, "from": "beginning", "wait": "0"}, {**same, "after": "0", "wait": "9"}]


async def test_on_an_event_loop_it_is_the_same() -> None:
    platform = Platform(["nothing", "fails"])

    async def answer(call):
        return platform.answer(call)

    feed = AsyncEventFeed(events.events(from_beginning=True), answer)
    assert feed.cursor is None
    with pytest.raises(TransportError):
        await anext(feed)
    assert [(await anext(feed)).sequence for _ in range(5)] == [1, 2, 3, 4, 5]
    assert feed.cursor == "5"
