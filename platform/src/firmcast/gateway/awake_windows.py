"""A device in queue mode listens for a while after it was heard, and then no more until it is heard again.

Any sign of life opens its window, or opens it anew: a registration or an update, a notification, a Send, a block that
it fetches or acknowledges, an answer. Outside the window nothing is sent to it. Whoever is not in queue mode always
listens. Sources: OMA LwM2M Core 1.0 section 8.3 and 1.1 section 6.5 (Queue Mode); the time is MAX_TRANSMIT_WAIT of RFC
7252 4.8.2 unless the settings know better.
"""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from firmcast.gateway.live_devices import LiveDevice, LiveDevices
from firmcast.ids import RegistrationId

_SHORTEST_SLEEP: Final = 0.001

Tell = Callable[[LiveDevice], None]


class AwakeWindows:
    """The windows of all live devices. Each has one entry on a heap, so that an extension costs nothing.

    The time is that of the settings for whoever has none of its own.
    """

    def __init__(
        self, live: LiveDevices, *, window: float, clock: Callable[[], float], on_awake: Tell, on_asleep: Tell
    ) -> None:
        """Open windows of `window` seconds by a monotonic `clock`.

        `on_awake` is called when a device is heard outside its window, `on_asleep` when its window ends.
        """
        self._live = live
        self._window = window
        self._clock = clock
        self._on_awake = on_awake
        self._on_asleep = on_asleep
        self._heap: list[tuple[float, RegistrationId]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._stopped = False

    def is_awake(self, device: LiveDevice) -> bool:
        """Tell whether a device can be talked to."""
        return not device.queue_mode or self._clock() < device.awake_until

    def heard(self, device: LiveDevice) -> None:
        """Open the window of a device of which anything was heard, and say so if it was closed."""
        if device.queue_mode:
            was_awake = self.is_awake(device)
            self.open(device)
            if not was_awake:
                self._on_awake(device)

    def open(self, device: LiveDevice, *, heard_before: float = 0.0) -> None:
        """Open the window of a device that was heard `heard_before` seconds ago, without a word to anybody."""
        if not device.queue_mode:
            return
        device.heard_at = self._clock() - heard_before
        device.awake_until = device.heard_at + self.length(device)
        if device.window_watched_at is None or device.window_watched_at > device.awake_until:
            self._watch(device)

    def length(self, device: LiveDevice) -> float:
        """Return how many seconds the window of a device is open after it was heard."""
        return self._window if device.awake_window is None else device.awake_window

    def set_length(self, device: LiveDevice, seconds: float | None) -> None:
        """Have the window of a device be open for so long after it was heard last; None for as long as any other."""
        if seconds == device.awake_window:
            return
        was_awake = self.is_awake(device)
        device.awake_window = seconds
        if not device.queue_mode or device.heard_at is None:
            return
        device.awake_until = device.heard_at + self.length(device)
        if self.is_awake(device):
            self._watch(device)
        if was_awake is not self.is_awake(device):
            (self._on_asleep if was_awake else self._on_awake)(device)

    def unanswered(self, device: LiveDevice) -> None:
        """Take a device that did not answer for one whose window was shorter."""
        if device.queue_mode and self.is_awake(device):
            device.awake_until, device.heard_at = self._clock(), None
            self._on_asleep(device)

    def stop(self) -> None:
        """Watch no more windows."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _watch(self, device: LiveDevice) -> None:
        if self._stopped:
            return
        device.window_watched_at = device.awake_until
        heappush(self._heap, (device.awake_until, device.registration_id))
        self._set_timer()

    def _set_timer(self) -> None:
        if self._stopped or not self._heap:
            return
        due = self._heap[0][0]
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        delay = max(_SHORTEST_SLEEP, due - self._clock())
        self._timer = asyncio.get_running_loop().call_later(delay, self._due)

    def _due(self) -> None:
        self._timer = None
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            watched, registration_id = heappop(self._heap)
            device = self._live.by_registration(registration_id)
            if device is None or device.window_watched_at != watched:
                continue  # it is over, or has another window since
            if device.awake_until > now:
                device.window_watched_at = device.awake_until
                heappush(self._heap, (device.awake_until, registration_id))
                continue
            device.window_watched_at = None
            if device.queue_mode and device.awake_until >= watched:
                # Otherwise it was found asleep, and that was said, before the end of its window.
                self._on_asleep(device)
        self._set_timer()
