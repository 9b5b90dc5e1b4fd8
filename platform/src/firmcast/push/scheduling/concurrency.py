"""How many attempts of one callback may be under way is found out by trying, and nobody has to set it.

It grows while it is what holds deliveries back and answers come; it is halved when the receiver shows that it is too
much. Until that happens for the first time it doubles with each round trip, and then grows by a sixteenth. So the rate
follows the receiver: one that is far away gets many attempts at once, one that is weak gets few.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from firmcast.push.retry import FailureReason, concerns_callback

_TOO_MUCH: Final = frozenset(
    {
        FailureReason.TIMEOUT,
        FailureReason.THROTTLED,
        FailureReason.UNAVAILABLE,
        FailureReason.CONNECT,
        FailureReason.CONNECTION_LOST,
    }
)

_SLOW_GROWTH: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyPolicy:
    """Attempts under way of one callback."""

    least: int = 4
    """However often it is halved."""

    start: int = 16
    """At the start, when nothing is known."""

    restart: int = 2
    """When the callback answers again after its breaker was open."""

    most: int = 256


def casts_doubt(reason: FailureReason) -> bool:
    """Say whether a failure leaves it open that the callback answers anybody at all."""
    return reason in _TOO_MUCH or concerns_callback(reason)


class Concurrency:
    """The window of one callback; told of every outcome."""

    __slots__ = ("_doubling", "_halved_at", "_policy", "used_up", "window")

    def __init__(self, policy: ConcurrencyPolicy) -> None:
        """Start with what the policy says."""
        self._policy = policy
        self.window: float = min(policy.start, policy.most)
        """Attempts that may be under way; a fraction counts only when it has become a whole."""
        self.used_up = False
        """True while deliveries wait for nothing but this window."""
        self._doubling = True
        self._halved_at: datetime | None = None

    def succeeded(self) -> None:
        """Take note of an answer that was well."""
        if self.used_up and self.window < self._policy.most:
            growth = 1 if self._doubling else 1 / min(self.window, _SLOW_GROWTH)
            self.window = min(self.window + growth, self._policy.most)

    def failed(self, reason: FailureReason, sent_at: datetime, now: datetime) -> None:
        """Take note of a failure; what was sent before the window was halved says nothing of the new one."""
        if reason not in _TOO_MUCH or (self._halved_at is not None and sent_at < self._halved_at):
            return
        self._halved_at = now
        self._doubling = False
        if self.window > self._policy.least:
            self.window = max(self.window / 2, self._policy.least)

    def restart(self) -> None:
        """Begin small again, as the callback has come back."""
        self.window = min(self._policy.restart, self._policy.most)
        self._doubling = True
