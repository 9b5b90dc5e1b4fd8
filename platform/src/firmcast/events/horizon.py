"""How far the log is final: up to which position nothing can appear any more, whoever is writing now.

On SQLite positions are given in the order of commits, so all that is there is final. On PostgreSQL another node may
hold a lower position than one that is committed, and commit it later: whoever read past it would never see it. So a
reader asks for two things, one after the other: the last position that was given, then which transactions are writing
to the log. One that holds a position at or before the first was among the second, unless it had ended by then. So the
position is final as soon as all of them have ended.

The numbers of a snapshot cannot say this. Its `xmax` is one past the last transaction that *ended*, and one that is
still open may have that number or a higher one.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from firmcast.ids import EventId

_MOST_OPEN: Final = 64
"""Observations that are kept while writers that they saw are still open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen of the end of the log."""

    position: EventId
    """The last position that had been given; 0 when there was none."""
    writers: frozenset[str]
    """Names of the transactions that were open and wrote to the log, seen after the position; none is used again."""


class Horizon:
    """What observations, given in the order in which they were made, say together."""

    def __init__(self) -> None:
        self._final = EventId(0)
        self._open: deque[tuple[EventId, set[str]]] = deque()
        """Positions that are not final yet, growing, and for each the writers that it waits for."""

    @property
    def final(self) -> EventId:
        """The position up to which the log is final; it never goes back.

        A reader finds all of it, but for what is deleted, on a view of the store that is taken from now on.
        """
        return self._final

    @property
    def is_settled(self) -> bool:
        """Whether all that was observed is final, so that only new events can move it."""
        return not self._open

    def observe(self, seen: Observation) -> EventId:
        """Take an observation and return the position that is final now."""
        for _, awaited in self._open:
            awaited.intersection_update(seen.writers)
        while self._open and not self._open[0][1]:
            self._reach(self._open.popleft()[0])
        if not seen.writers:
            self._open.clear()
            self._reach(seen.position)
        elif seen.position > self._last():
            if len(self._open) == _MOST_OPEN:
                self._open.pop()  # the newest: so the oldest, which ends first, is still waited for
            self._open.append((seen.position, set(seen.writers)))
        return self._final

    def _last(self) -> EventId:
        return self._open[-1][0] if self._open else self._final

    def _reach(self, position: EventId) -> None:
        self._final = max(self._final, position)
