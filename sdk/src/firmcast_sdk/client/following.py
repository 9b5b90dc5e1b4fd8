"""A feed of the platform as an iterator that waits for what comes next: blocking, and for an event loop."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Self

from firmcast_sdk.client.call import Call, Following
from firmcast_sdk.wire.feed import FeedItem, FeedPage


class _Place:
    """How far a feed has been read, and how far it has been given."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self._read = following.after
        self._items: deque[FeedItem] = deque()
        self.given = following.after

    def next_call(self) -> Call[FeedPage] | None:
        """The call that reads on, None while something is there to be given."""
        return None if self._items else self._following.call(self._read)

    def take(self, part: FeedPage) -> None:
        """Take what a call has read."""
        self._items.extend(part.events)
        self._read = part.cursor
        if not part.events:
            self.given = part.cursor

    def give(self) -> FeedItem:
        """Give the next item."""
        item = self._items.popleft()
        self.given = item.cursor
        return item


class EventFeed(Iterator[FeedItem]):
    """The events of an application as they come, without end; for one thread.

    An error ends it; it can be asked again then, and goes on where it was.
    """

    def __init__(self, following: Following, call: Callable[[Call[FeedPage]], FeedPage]) -> None:
        self._place = _Place(following)
        self._call = call

    @property
    def cursor(self) -> str | None:
        """The cursor to go on after: of the event that was given last, or of where nothing more was; None at first."""
        return self._place.given

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> FeedItem:
        while (call := self._place.next_call()) is not None:
            self._place.take(self._call(call))
        return self._place.give()


class AsyncEventFeed(AsyncIterator[FeedItem]):
    """The events of an application as they come, without end; for one task.

    An error ends it; it can be asked again then, and goes on where it was.
    """

    def __init__(self, following: Following, call: Callable[[Call[FeedPage]], Awaitable[FeedPage]]) -> None:
        self._place = _Place(following)
        self._call = call

    @property
    def cursor(self) -> str | None:
        """The cursor to go on after: of the event that was given last, or of where nothing more was; None at first."""
        return self._place.given

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> FeedItem:
        while (call := self._place.next_call()) is not None:
            self._place.take(await self._call(call))
        return self._place.give()
