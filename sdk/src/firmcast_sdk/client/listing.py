"""A list of the platform as an iterator that reads a page when it needs one: blocking, and for an event loop."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Generic, Self, TypeVar

from firmcast_sdk.client.call import Call, Page, Paging
from firmcast_sdk.client.paging import PageWalk

Item = TypeVar("Item")


class Listing(Iterator[Item]):
    """The items of a list, to be gone through once; for one thread.

    Items that are added or deleted meanwhile may be missed, and one that changes is given as it was when its page was
    read. So to delete all that it gives, collect it first: `for device in list(client.devices()): …`.
    """

    def __init__(self, paging: Paging[Item], call: Callable[[Call[Page[Item]]], Page[Item]]) -> None:
        self._walk = PageWalk(paging)
        self._call = call
        self._read_ahead: deque[Page[Item]] = deque()
        self._items: deque[Item] = deque()

    @property
    def page_size(self) -> int:
        """How many items are asked for at a time."""
        return self._walk.page_size

    def total(self) -> int:
        """The number of all when the first page was read; reads that page if need be, and loses nothing of it."""
        if self._walk.total is None and (page := self._next_page()) is not None:
            self._read_ahead.append(page)
        return self._walk.total or 0

    def pages(self) -> Iterator[Page[Item]]:
        """The rest of the list as pages."""
        while (page := self._next_page()) is not None:
            yield page

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        while not self._items:
            page = self._next_page()
            if page is None:
                raise StopIteration
            self._items.extend(page.items)
        return self._items.popleft()

    def _next_page(self) -> Page[Item] | None:
        if self._read_ahead:
            return self._read_ahead.popleft()
        call = self._walk.next_call()
        return None if call is None else self._walk.take(self._call(call))


class AsyncListing(AsyncIterator[Item], Generic[Item]):
    """The items of a list, to be gone through once; for one task.

    Items that are added or deleted meanwhile may be missed, and one that changes is given as it was when its page was
    read. So to delete all that it gives, collect it first: `for device in [one async for one in client.devices()]: …`.
    """

    def __init__(self, paging: Paging[Item], call: Callable[[Call[Page[Item]]], Awaitable[Page[Item]]]) -> None:
        self._walk = PageWalk(paging)
        self._call = call
        self._read_ahead: deque[Page[Item]] = deque()
        self._items: deque[Item] = deque()

    @property
    def page_size(self) -> int:
        """How many items are asked for at a time."""
        return self._walk.page_size

    async def total(self) -> int:
        """The number of all when the first page was read; reads that page if need be, and loses nothing of it."""
        if self._walk.total is None and (page := await self._next_page()) is not None:
            self._read_ahead.append(page)
        return self._walk.total or 0

    async def pages(self) -> AsyncIterator[Page[Item]]:
        """The rest of the list as pages."""
        while (page := await self._next_page()) is not None:
            yield page

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        while not self._items:
            page = await self._next_page()
            if page is None:
                raise StopAsyncIteration
            self._items.extend(page.items)
        return self._items.popleft()

    async def _next_page(self) -> Page[Item] | None:
        if self._read_ahead:
            return self._read_ahead.popleft()
        call = self._walk.next_call()
        return None if call is None else self._walk.take(await self._call(call))
