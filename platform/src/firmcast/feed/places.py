"""So many calls of one application may wait at one time; whoever comes then is refused at once."""

from collections import Counter
from typing import Self

from firmcast.errors import RefusedError


class NoPlaceError(RefusedError):
    """As many wait as may."""


class Places:
    """The places of everybody."""

    def __init__(self, limit: int) -> None:
        """Give each `limit` places; 0 for as many as he likes."""
        self._limit = limit
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many have a place."""
        return len(self._taken)

    def take(self, who: str) -> "Place":
        """Take a place, which is held until its `with` block ends.

        Raises:
            NoPlaceError: there is none.
        """
        if self._limit and self._taken.get(who, 0) >= self._limit:
            message = f"{self._limit} calls wait for events already"
            raise NoPlaceError(message)
        self._taken[who] += 1
        return Place(self._taken, who)


class Place:
    """A place that was taken."""

    def __init__(self, taken: Counter[str], who: str) -> None:
        self._taken = taken
        self._who = who

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._taken[self._who] -= 1
        if not self._taken[self._who]:
            del self._taken[self._who]
