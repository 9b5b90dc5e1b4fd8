"""How fast a replay goes: a token bucket in one number, which stands in the store and so holds for all nodes together.

The number is a time: up to it deliveries have been paid for. What has passed since then buys more, but no more than a
second's worth, so a replay that was held up does not make up for it at once.
"""

from datetime import datetime, timedelta
from typing import Final

_MOST_SAVED: Final = timedelta(seconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)


def allowance(paid_until: datetime, now: datetime, rate: int) -> int:
    """Return how many deliveries may be written now, at `rate` a second."""
    return (now - _start(paid_until, now)) // _MICROSECOND * rate // 1_000_000


def pay(paid_until: datetime, now: datetime, count: int, rate: int) -> datetime:
    """Return up to when is paid for after `count` more, which is not more than the allowance."""
    return _start(paid_until, now) + timedelta(microseconds=-(-count * 1_000_000 // rate))


def _start(paid_until: datetime, now: datetime) -> datetime:
    """Return from when on time has been saved; a clock that was set back far does not stop a replay for as long."""
    if paid_until > now + _MOST_SAVED:
        return now
    return min(max(paid_until, now - _MOST_SAVED), now)
