"""Writes wait in two lines: what somebody waits for goes first, what nobody waits for goes between, and is never left.

In each line they keep the order in which they came. A transaction begins with one write, and others may join it; a
write that goes behind begins one, and joins none, so nobody's commit waits for more than one of them.
"""

from collections import deque
from enum import Enum
from typing import Final, Generic, TypeVar

WriteT = TypeVar("WriteT")

LONGEST_BEHIND: Final = 0.05
"""Seconds after which a write that goes behind has the next turn but one at the latest, whatever else waits."""


class Rank(Enum):
    """Which line a write waits in."""

    PROMPT = "prompt"
    """A device, an application or an operator waits for it."""

    BEHIND = "behind"
    """Nobody does: what became of pushes, deadlines that have passed, what is too old."""


class WriteQueue(Generic[WriteT]):
    """Both lines; whoever writes owns it. Times are seconds of one clock that never steps back."""

    def __init__(self) -> None:
        """Start empty."""
        self._prompt: deque[WriteT] = deque()
        self._behind: deque[tuple[float, WriteT]] = deque()
        self._behind_was_last = False

    def __len__(self) -> int:
        return len(self._prompt) + len(self._behind)

    def put(self, write: WriteT, rank: Rank, now: float) -> None:
        """Have a write wait at the end of its line."""
        if rank is Rank.PROMPT:
            self._prompt.append(write)
        else:
            self._behind.append((now, write))

    def first(self, now: float) -> tuple[WriteT, Rank]:
        """Take the write that the next transaction begins with.

        Raises:
            IndexError: none waits.
        """
        if self._prompt and not self._is_overdue(now):
            self._behind_was_last = False
            return self._prompt.popleft(), Rank.PROMPT
        self._behind_was_last = True
        return self._behind.popleft()[1], Rank.BEHIND

    def joining(self) -> WriteT | None:
        """Take the next write that may join a transaction that has begun; None when there is none."""
        return self._prompt.popleft() if self._prompt else None

    def clear(self) -> list[WriteT]:
        """Take all that wait, to be refused."""
        waiting = [*self._prompt, *(write for _, write in self._behind)]
        self._prompt.clear()
        self._behind.clear()
        return waiting

    def _is_overdue(self, now: float) -> bool:
        """Say whether one that goes behind has waited long enough, and prompt ones have had a turn since the last."""
        return bool(self._behind) and not self._behind_was_last and now - self._behind[0][0] >= LONGEST_BEHIND
