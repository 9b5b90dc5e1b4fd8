"""Lanes of which only a place in the store is in memory: blocked ones, and parked ones that wait for their time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from firmcast.ids import DeviceId, EventId

_FIRST_PAUSE: Final = timedelta(seconds=1)
_LONGEST_PAUSE: Final = timedelta(seconds=30)
"""Parked lanes come back together, since the backlog is read through for them: soon at first, and each time after
twice the pause of the last one, until none is parked any more."""


@dataclass(slots=True)
class _Parked:
    position: EventId
    due_at: datetime
    behind_replay: bool
    """True when a replay is at its head, which no live event waits for."""


class AbsentLanes:
    """Where the lanes of one group are read on that have no rows in memory."""

    __slots__ = ("_blocked", "_parked", "_pause", "return_at")

    def __init__(self) -> None:
        """Start with none."""
        self._blocked: dict[DeviceId, EventId] = {}
        self._parked: dict[DeviceId, _Parked] = {}
        self._pause = _FIRST_PAUSE
        self.return_at: datetime | None = None
        """When the first parked ones come back."""

    def __contains__(self, device_id: DeviceId) -> bool:
        return device_id in self._blocked or device_id in self._parked

    @property
    def blocked(self) -> int:
        """How many stand still until somebody acts."""
        return len(self._blocked)

    @property
    def parked(self) -> int:
        """How many wait for their time."""
        return len(self._parked)

    def is_blocked(self, device_id: DeviceId) -> bool:
        """Say whether a lane stands still until somebody acts."""
        return device_id in self._blocked

    def block(self, device_id: DeviceId, position: EventId) -> None:
        """Have a lane stand still, to be read on from an event."""
        parked = self._parked.pop(device_id, None)
        if parked is not None:
            position = min(position, parked.position)
        self._blocked[device_id] = min(position, self._blocked.get(device_id, position))

    def unblock(self, device_id: DeviceId) -> EventId | None:
        """Let a lane go on; return from where, or None when it was not blocked."""
        return self._blocked.pop(device_id, None)

    def park(self, device_id: DeviceId, position: EventId, due_at: datetime, *, behind_replay: bool) -> None:
        """Have a lane wait in the store; `plan_return` follows."""
        self._parked[device_id] = _Parked(position, due_at, behind_replay)

    def note_row(self, device_id: DeviceId, event_id: EventId, now: datetime, *, is_live: bool) -> bool:
        """Take note of a row of an absent lane; return True when the lane is to come back sooner because of it."""
        if device_id in self._blocked:
            self.block(device_id, event_id)
            return False
        parked = self._parked[device_id]
        parked.position = min(parked.position, event_id)
        if not is_live or not parked.behind_replay:
            return False
        parked.behind_replay = False
        parked.due_at = min(parked.due_at, now)
        return True

    def plan_return(self, now: datetime) -> datetime | None:
        """Return when parked ones come back; None when there are none."""
        if not self._parked:
            self.return_at = None
            self._pause = _FIRST_PAUSE
            return None
        first = min(parked.due_at for parked in self._parked.values())
        self.return_at = max(first, now + self._pause)
        return self.return_at

    def take_back(self, now: datetime | None) -> EventId | None:
        """Park no longer what is due, or all when `now` is None; return from where to read on, if at all."""
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        back = [device for device, parked in self._parked.items() if now is None or parked.due_at <= now]
        return min((self._parked.pop(device).position for device in back), default=None)

    def keep_only(self, is_mine: Callable[[DeviceId], bool]) -> None:
        """Forget those of other devices."""
        self._blocked = {device_id: at for device_id, at in self._blocked.items() if is_mine(device_id)}
        self._parked = {device_id: parked for device_id, parked in self._parked.items() if is_mine(device_id)}
