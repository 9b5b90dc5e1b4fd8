"""A callback that fails as a whole is asked one question at a time until it answers; then it is loaded slowly.

Closed: as many attempts as its concurrency allows. Open: none. Probing: one, the probe. A success closes it, and the
concurrency begins small again. So a dead callback costs one timer and one attempt at a time, however many lanes wait
behind it, and one that comes back is not knocked over by its own backlog.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from firmcast.ids import DeviceId
from firmcast.push.retry import FailureReason, concerns_callback


class BreakerState(Enum):
    """What may be sent to a callback."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a breaker opens, how it probes, how fast it lets traffic grow again."""

    failures: int = 5
    """So many failures of the whole callback in a row open it, when as many lanes saw them or no lane is well."""

    failing_lanes: int = 20
    """So many lanes failing in a row, for whatever reason, open it too."""

    probe_delays: tuple[timedelta, ...] = (
        timedelta(seconds=1),
        timedelta(seconds=2),
        timedelta(seconds=5),
        timedelta(seconds=10),
        timedelta(seconds=20),
    )
    """The wait before the first probe, the second, …; the last one repeats."""

    jitter_portion: float = 0.25
    """The portion (0 to 1) of each such wait that is drawn at random."""

    recovery: int = 16
    """So many deliveries after it closed a callback counts as well; until then `failures` open it, of any lanes."""


class Breaker:
    """The breaker of one callback; told of every outcome, it says whether anything may be sent."""

    __slots__ = (
        "_draw",
        "_failing_lanes",
        "_failures",
        "_held_until",
        "_policy",
        "_probes",
        "_recovery_left",
        "probe_at",
        "state",
    )

    def __init__(self, policy: BreakerPolicy, draw: Callable[[], float]) -> None:
        """Start closed; `draw` gives a number from 0 to 1 at each call."""
        self._policy = policy
        self._draw = draw
        self.state = BreakerState.CLOSED
        self.probe_at: datetime | None = None
        self._probes = 0
        self._recovery_left = 0
        self._failures = 0
        self._failing_lanes: set[DeviceId] = set()
        self._held_until: datetime | None = None

    def succeeded(self, now: datetime) -> bool:
        """Take note of a delivery; return True when it closed the breaker."""
        if self.state is BreakerState.CLOSED:
            if self._failures or self._failing_lanes:
                self._failures = 0
                self._failing_lanes.clear()
            if self._recovery_left:
                self._recovery_left -= 1
            return False
        if self._held_until is not None and now < self._held_until:
            return False  # a straggler's success does not undo what the receiver asked for
        self._close()
        return True

    def failed(
        self,
        device_id: DeviceId,
        reason: FailureReason,
        now: datetime,
        *,
        probe: bool,
        no_lane_is_well: Callable[[], bool],
    ) -> bool:
        """Take note of a failed attempt; return True when it opened the breaker, or keeps it open after a probe.

        `no_lane_is_well` says whether every lane is in trouble; it is asked only when that matters.
        """
        if reason is FailureReason.LOCAL:
            if probe:
                self._open(now)
            return probe
        if self.state is not BreakerState.CLOSED:
            if probe:
                self._open(now)
            return probe
        self._failing_lanes.add(device_id)
        if concerns_callback(reason):
            self._failures += 1
        if self._should_open(no_lane_is_well):
            self._open(now)
            return True
        return False

    def hold(self, until: datetime) -> bool:
        """Send nothing before `until`, as the receiver asked; return True when the next probe moved."""
        if self._held_until is not None and until <= self._held_until and self.state is BreakerState.OPEN:
            return False
        self._held_until = until if self._held_until is None else max(until, self._held_until)
        self.state = BreakerState.OPEN
        self.probe_at = self._held_until
        return True

    def hasten(self, now: datetime) -> None:
        """Probe as soon as the receiver has not asked us to wait: something has changed that may have mended it."""
        if self.state is BreakerState.OPEN:
            self._probes = 0
            self.probe_at = now if self._held_until is None else max(now, self._held_until)

    def begin_probe(self) -> None:
        """Let one attempt through."""
        self.state = BreakerState.PROBING
        self.probe_at = None

    def _should_open(self, no_lane_is_well: Callable[[], bool]) -> bool:
        if len(self._failing_lanes) >= self._policy.failing_lanes:
            return True
        if self._failures < self._policy.failures:
            return False
        return self._recovery_left > 0 or len(self._failing_lanes) >= self._policy.failures or no_lane_is_well()

    def _open(self, now: datetime) -> None:
        delays = self._policy.probe_delays
        delay = delays[min(self._probes, len(delays) - 1)]
        delay *= 1 - self._policy.jitter_portion * self._draw()
        self._probes += 1
        self.state = BreakerState.OPEN
        self.probe_at = now + delay
        if self._held_until is not None:
            self.probe_at = max(self.probe_at, self._held_until)

    def _close(self) -> None:
        self.state = BreakerState.CLOSED
        self.probe_at = None
        self._recovery_left = self._policy.recovery
        self._probes = 0
        self._failures = 0
        self._failing_lanes.clear()
        self._held_until = None
