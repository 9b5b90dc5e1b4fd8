"""Bytes of packages leave at a bounded rate: for all devices together, and for each.

Who is about to send reserves its bytes, and is told how long to wait first. Reservations are served in the order in
which they come, and nobody has more than one at a time, a block or a chunk: so each of those who wait has the same
share, and one that takes its time takes nobody else's. Bytes are those of packages, without headers.
"""

from collections.abc import Callable
from typing import Final

from firmcast.clock import SystemClock

CHUNK: Final = 1 << 12
"""Bytes that who is not bound to blocks reserves at once."""
_BURST_SECONDS: Final = 0.25
"""So much of a rate that was not used may be made up for."""


class Rate:
    """Bytes a second, as a line of reservations without gaps. Pure: `now` is an argument, in monotonic seconds."""

    __slots__ = ("_free_at", "_per_second", "_slack")

    def __init__(self, per_second: float) -> None:
        """Let `per_second` bytes leave in a second, more than 0."""
        self._per_second = per_second
        self._slack = max(_BURST_SECONDS, CHUNK / per_second)
        self._free_at = float("-inf")

    def wait(self, now: float) -> float:
        """Return how many seconds a reservation would have to wait."""
        return max(0.0, self._free_at - self._slack - now)

    def reserve(self, size: int, now: float) -> float:
        """Take the place of `size` bytes in the line; return the seconds until it comes."""
        wait = self.wait(now)
        self._free_at = max(self._free_at, now) + size / self._per_second
        return wait


class Pace:
    """The rates that hold for one device: its own, and that of all."""

    __slots__ = ("_clock", "_rates", "waiting")

    def __init__(self, rates: tuple[Rate, ...], clock: Callable[[], float]) -> None:
        self._rates = rates
        self._clock = clock
        self.waiting = 0
        """Answers that wait for their place."""

    def may_send(self) -> bool:
        """Tell whether bytes may leave at once, and nothing waits that came before them."""
        now = self._clock()
        return not self.waiting and all(rate.wait(now) <= 0 for rate in self._rates)

    def reserve(self, size: int) -> float:
        """Take the place of `size` bytes; return the seconds to wait before they are sent."""
        now = self._clock()
        return max(rate.reserve(size, now) for rate in self._rates)


class Pacing:
    """Makes the paces of devices that share a rate."""

    def __init__(self, *, together: int = 0, each: int = 0, clock: Callable[[], float] | None = None) -> None:
        """Bound bytes a second of all devices and of each; 0 for no bound. `clock` returns monotonic seconds."""
        self._each = each
        self._shared = (Rate(together),) if together else ()
        self._clock = clock or SystemClock().monotonic

    def pace(self) -> Pace | None:
        """Return the pace of one more device; None where nothing is bounded."""
        own = (Rate(self._each),) if self._each else ()
        return Pace(own + self._shared, self._clock) if own or self._shared else None
