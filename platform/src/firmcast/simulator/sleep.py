"""A sleepy device is deaf a while after it last sent anything; whatever comes then is lost to it."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from firmcast.coap.endpoint import Endpoint
from firmcast.coap.events import Peer
from firmcast.coap.parameters import TransmissionParameters


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepHabit:
    """When a device in queue mode listens."""

    awake_for: float = 20.0
    """Seconds that it listens after it last sent anything."""
    update_every: float = 60.0
    """Seconds between two updates of its registration, for which it wakes."""

    def __post_init__(self) -> None:
        if self.awake_for <= 0 or self.update_every <= 0:
            raise ValueError("awake_for and update_every are more than zero")


class SleepyEndpoint(Endpoint):
    """An endpoint that hears nothing while its device sleeps; `on_missed` is called for each datagram that is lost."""

    def __init__(
        self,
        habit: SleepHabit,
        *,
        clock: Callable[[], float],
        on_missed: Callable[[], None],
        random: Random,
        parameters: TransmissionParameters,
    ) -> None:
        super().__init__(random=random, parameters=parameters)
        self._habit = habit
        self._clock = clock
        self._on_missed = on_missed
        self._awake_until = clock()

    def receive(self, datagram: bytes, peer: Peer, now: float) -> None:
        if now < self._awake_until:
            super().receive(datagram, peer, now)
        else:
            self._on_missed()

    def take_datagrams(self) -> list[tuple[bytes, Peer]]:
        taken = super().take_datagrams()
        if taken:
            self._awake_until = self._clock() + self._habit.awake_for
        return taken
