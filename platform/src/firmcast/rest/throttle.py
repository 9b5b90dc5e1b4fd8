"""In no period of time are more than so many calls of one caller let through; fewer are never refused.

The rule is a sliding log: a call is let through when fewer than the limit were let through in the period that ends
with it. A call that is refused does not count, so a caller that keeps asking is not kept out by asking. A token bucket
would need less memory, and would let almost twice the limit through in one period.

A caller is remembered for one period after its last call that was let through. So memory is bounded by the limit, and
by the number of callers in a period; who calls has proven who it is, and there are as many of those as applications.
"""

from collections import OrderedDict, deque
from datetime import timedelta


class Throttle:
    """What each caller has been let through in the last period. Times are seconds of a clock that never steps back."""

    def __init__(self, calls: int, period: timedelta) -> None:
        """Let `calls` of each caller through in any `period`.

        Raises:
            ValueError: one of them is not positive.
        """
        if calls < 1 or period <= timedelta(0):
            raise ValueError("a throttle needs at least one call, and a period")
        self._calls = calls
        self._period = period.total_seconds()
        # Callers stand in the order of their last call that was let through.
        self._admitted: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        """How many callers are remembered."""
        return len(self._admitted)

    def admit(self, caller: str, now: float) -> float:
        """Return 0 and count the call, or the seconds after which it would be let through."""
        self._forget(now)
        calls = self._admitted.get(caller)
        if calls is None:
            calls = self._admitted[caller] = deque(maxlen=self._calls)
        elif len(calls) == self._calls and (wait := calls[0] + self._period - now) > 0:
            return wait
        calls.append(now)  # of a full one the oldest goes
        self._admitted.move_to_end(caller)
        return 0.0

    def _forget(self, now: float) -> None:
        """Drop those at the front whose last call is a period old; two at the most, so that no call pays for many."""
        for _ in range(2):
            eldest = next(iter(self._admitted), None)
            if eldest is None or self._admitted[eldest][-1] + self._period > now:
                return
            del self._admitted[eldest]
