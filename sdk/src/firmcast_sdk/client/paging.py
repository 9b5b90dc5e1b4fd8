"""Pure: which page of a list comes next, and what of it is new, whatever happens to the list meanwhile.

A list is read by offset: items that are added meanwhile push others onto the next page again, and items that vanish
pull some back onto a page already read. What the page before held is not given twice; what was pulled back is missed.
The walk ends at an empty page and at the end that the platform tells; a list that goes on repeating itself is an error.
"""

from dataclasses import replace
from typing import Final, Generic, TypeVar

from firmcast_sdk.client.call import Call, Page, Paging
from firmcast_sdk.errors import UnexpectedAnswerError

Item = TypeVar("Item")
PAGES_WITHOUT_NEWS: Final = 100
"""In a row; fewer can come of a list that grows as fast as it is read."""


class PageWalk(Generic[Item]):
    """The way through one list from its first page to its last."""

    def __init__(self, paging: Paging[Item]) -> None:
        self._paging = paging
        self._page_no = 0
        self._ended = False
        self._before: frozenset[str] = frozenset()
        self._without_news = 0
        self.total: int | None = None
        """The number of all when the first page was read; None before that."""

    @property
    def page_size(self) -> int:
        """How many items are asked for at a time."""
        return self._paging.page_size

    def next_call(self) -> Call[Page[Item]] | None:
        """The call that reads the next page; None at the end."""
        return None if self._ended else self._paging.call(self._page_no)

    def take(self, page: Page[Item]) -> Page[Item]:
        """The page that was asked for, without what the page before held.

        Raises:
            UnexpectedAnswerError: page after page holds the same.
        """
        if self.total is None:
            self.total = page.total
        names = [self._paging.identify(item) for item in page.items]
        new = tuple(item for item, name in zip(page.items, names, strict=True) if name not in self._before)
        self._without_news = 0 if new else self._without_news + 1
        self._before = frozenset(names)
        self._page_no += 1
        size = page.page_size if page.page_size > 0 else self._paging.page_size
        self._ended = not page.items or self._page_no * size >= page.total
        if not self._ended and self._without_news == PAGES_WITHOUT_NEWS:
            raise UnexpectedAnswerError("the list repeats itself", status=200)
        return replace(page, items=new)
