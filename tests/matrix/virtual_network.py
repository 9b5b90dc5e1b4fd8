"""A clock that stands still until something is due, and a network that loses what its seed says; there are no sockets.

An exchange is what CoAP makes of one request: it is sent again with doubled waits, acted on once, and its answer is
given once more to each repeat (RFC 7252, 4.2 and 4.5).
"""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

ACK_TIMEOUT = 2.0
MAX_RETRANSMIT = 4


class Plan:
    """Something that is to be done at a time, unless it is called off."""

    __slots__ = ("action", "is_off")

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action
        self.is_off = False

    def call_off(self) -> None:
        """Let it not be done."""
        self.is_off = True


class VirtualTime:
    """Seconds since the beginning, and what is to be done when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._plans: list[tuple[float, int, Plan]] = []
        self._serial = 0

    def after(self, delay: float, action: Callable[[], None]) -> Plan:
        """Have something done after a delay; what is due at the same time is done in the order of these calls."""
        self._serial += 1
        plan = Plan(action)
        heappush(self._plans, (self.now + delay, self._serial, plan))
        return plan

    def run(self, *, until: Callable[[], bool], most: int = 100_000) -> None:
        """Let time go on until a condition holds."""
        for _ in range(most):
            if until():
                return
            self.now, _serial, plan = heappop(self._plans)
            if not plan.is_off:
                plan.action()
        raise AssertionError("it never comes to its end")


class Network:
    """What lies between a device and the platform."""

    def __init__(self, time: VirtualTime, random: Random, loss: float) -> None:
        self.time = time
        self.random = random
        self._loss = loss

    def delay(self) -> float:
        """Return how long a datagram takes."""
        return 0.03 + 0.02 * self.random.random()

    def send(self, arrive: Callable[[], None]) -> None:
        """Send one datagram, which arrives or does not."""
        if not self._loss or self.random.random() >= self._loss:
            self.time.after(self.delay(), arrive)


class Exchange:
    """A confirmable request on its way, until `done` is called with its answer or with None for silence.

    `reaches` tells, at an arrival, whether anybody is there; `act` is called then, once, and returns the answer, or
    None to give none. `takes` is the time from the arrival to the answer.
    """

    def __init__(
        self,
        network: Network,
        *,
        reaches: Callable[[], bool],
        act: Callable[[], Any],
        done: Callable[[Any], None],
        takes: float = 0.0,
    ) -> None:
        self._network = network
        self._reaches = reaches
        self._act = act
        self._done = done
        self._takes = takes
        self._wait = ACK_TIMEOUT * (1 + network.random.random() / 2)
        self._left = MAX_RETRANSMIT
        self._answer: list[Any] = []
        self._timer: Plan | None = None
        self.is_over = False
        self._transmit()

    def give_up(self) -> None:
        """Let nobody wait for it any more; what was sent of it may arrive all the same."""
        self.is_over = True
        if self._timer is not None:
            self._timer.call_off()

    def _transmit(self) -> None:
        self._timer = self._network.time.after(self._wait, self._again)
        self._network.send(self._arrived)

    def _again(self) -> None:
        if not self._left:
            self._end(None)
            return
        self._left -= 1
        self._wait *= 2
        self._transmit()

    def _arrived(self) -> None:
        if not self._reaches():
            return
        if not self._answer:
            self._answer.append(self._act())
        answer = self._answer[0]
        if answer is not None:
            self._network.time.after(self._takes, lambda: self._network.send(lambda: self._end(answer)))

    def _end(self, answer: Any) -> None:
        if not self.is_over:
            self.give_up()
            self._done(answer)
