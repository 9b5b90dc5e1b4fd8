"""Waits are measured by a clock that never steps: a wall clock set forward or back delays and hurries nothing."""

from datetime import datetime, timedelta

from firmcast.clock import Clock


class SteadyTime:
    """Tells times near those of the wall clock, always growing: its time at the start and what has passed since."""

    __slots__ = ("_clock", "_origin", "_started")

    def __init__(self, clock: Clock) -> None:
        """Start from the wall clock's time."""
        self._clock = clock
        self._origin = clock.now()
        self._started = clock.monotonic()

    def set(self, moment: datetime) -> None:
        """Go on from another time, as the one that all nodes go by; nobody may have been told any before."""
        self._origin = moment
        self._started = self._clock.monotonic()

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        return self._origin + timedelta(seconds=self._clock.monotonic() - self._started)
