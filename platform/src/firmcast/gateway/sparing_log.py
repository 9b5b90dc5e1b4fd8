"""What anybody can bring about by a datagram is logged so many times a minute, and counted beyond: no disk is filled.

All of it is counted in the metrics.
"""

from typing import Final

LINES: Final = 20
_PERIOD: Final = 60.0


class SparingLog:
    """Says which lines of one kind are written. Pure: `now` is an argument, in monotonic seconds."""

    __slots__ = ("_began_at", "_left_out", "_written")

    def __init__(self) -> None:
        self._began_at = float("-inf")
        self._written = 0
        self._left_out = 0

    def left_out_before(self, now: float) -> int | None:
        """Return how many lines were left out since the last one, or None where this one is left out too."""
        if now - self._began_at >= _PERIOD:
            self._began_at = now
            self._written = 0
        if self._written >= LINES:
            self._left_out += 1
            return None
        self._written += 1
        left_out, self._left_out = self._left_out, 0
        return left_out
