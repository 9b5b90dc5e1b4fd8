"""Pure: whether a failed try is followed by another one, and after what wait.

what happened                              sent again
not reached                                every call
1010009, throttled                         every call: the platform says that it did nothing
502, 503, 504; no answer after sending     calls that may be repeated (`Repeat`)
anything else                              none
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from firmcast_sdk.client.call import Repeat
from firmcast_sdk.errors import (
    ClientError,
    NorthboundError,
    NotReachedError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
)

PASSING_STATUSES: Final = frozenset({502, 503, 504})
LARGEST_EXPONENT: Final = 32  # keeps the doubling within a duration, whatever `tries` says


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a call is tried, and how long it waits between; `RetryPolicy(tries=1)` never tries twice.

    Raises:
        ValueError: a number or a wait makes no sense.
    """

    tries: int = 4
    """All tries of one call, the first included."""

    first_wait: timedelta = timedelta(milliseconds=500)
    """Doubled after each further try; each wait is between half of that and all of it."""

    throttled_wait: timedelta = timedelta(seconds=10)
    """In place of `first_wait` when the platform throttles and does not say for how long."""

    longest_wait: timedelta = timedelta(seconds=65)
    """No wait is longer; where the platform asks for more (`Retry-After`) its refusal is raised instead."""

    longest_total_wait: timedelta = timedelta(minutes=3)
    """Nor are all waits of one call together."""

    jitter: Callable[[], float] = random.random
    """Gives numbers from 0 up to 1, so that many clients do not come back together."""

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError("tries must be at least 1")
        for name in ("first_wait", "throttled_wait", "longest_wait", "longest_total_wait"):
            if getattr(self, name) < timedelta():
                raise ValueError(f"{name} must not be negative")

    def wait(self, error: ClientError, repeat: Repeat, *, tried: int, waited: timedelta) -> timedelta | None:
        """How long to wait after `tried` tries and `waited` in all, the last ended by `error`; None to give up."""
        if tried >= self.tries or not _may_follow(error, repeat):
            return None
        asked = _asked_for(error)
        if asked is None:
            first = self.throttled_wait if isinstance(error, ThrottledError) else self.first_wait
            full = min(self.longest_wait, first * 2 ** min(tried - 1, LARGEST_EXPONENT))
            wait = full * (0.5 + self.jitter() / 2)
        elif asked > self.longest_wait:
            return None
        else:
            wait = min(self.longest_wait, asked + self.first_wait * self.jitter())
        return wait if waited + wait <= self.longest_total_wait else None


def _may_follow(error: ClientError, repeat: Repeat) -> bool:
    match error:
        case NotReachedError() | ThrottledError():
            return True
        case TransportError():
            return repeat is not Repeat.UNLESS_SENT
        case NorthboundError() | UnexpectedAnswerError():
            return error.status in PASSING_STATUSES and repeat is not Repeat.UNLESS_SENT
        case _:
            return False


def _asked_for(error: ClientError) -> timedelta | None:
    return error.retry_after if isinstance(error, NorthboundError | UnexpectedAnswerError) else None
