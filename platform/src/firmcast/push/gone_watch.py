"""A callback is gone when it says so (410) of several devices in a row; of one device it says that of the device.

A receiver that has forgotten a few devices answers 410 to their events for as long as they are offered, and those may
be the only ones that are: so a device that was refused while others were told does not count.
"""

from datetime import datetime
from typing import Final

from firmcast.ids import DeviceId
from firmcast.push.answer import Answer
from firmcast.push.model import GroupId
from firmcast.push.retry import FailureReason, failure_reason

_MOST_REMEMBERED = 1_000


_GONE: Final = 410


class GoneWatch:
    """Hears what one callback answers, and says when it is gone."""

    __slots__ = ("_alone", "_devices", "_in_a_row", "_since")

    def __init__(self, *, since: datetime | None = None, devices: int = 3) -> None:
        """Start without a doubt; what was asked before `since` says nothing, and so many devices make it gone."""
        self._since = since
        self._devices = devices
        self._in_a_row: set[DeviceId] = set()
        self._alone: set[DeviceId] = set()  # refused while others were told

    def refused(self, device_id: DeviceId, asked_at: datetime) -> bool:
        """Take note of a 410; return whether the callback is gone."""
        if device_id not in self._alone and (self._since is None or asked_at >= self._since):
            self._in_a_row.add(device_id)
        return len(self._in_a_row) >= self._devices

    def answered(self, device_id: DeviceId, *, delivered: bool) -> None:
        """Take note of any other answer; what only failed to come is none."""
        if delivered:
            self._alone |= self._in_a_row
            self._alone.discard(device_id)
            if len(self._alone) > _MOST_REMEMBERED:
                self._alone.clear()  # whoever is among them is refused again, before others are told
        self._in_a_row.clear()


class GoneWatches:
    """One for each callback group that has been answered 410; the others cost nothing."""

    __slots__ = ("_watches",)

    def __init__(self) -> None:
        """Start without any."""
        self._watches: dict[GroupId, GoneWatch] = {}

    def is_gone(self, group_id: GroupId, device_id: DeviceId, answer: Answer, asked_at: datetime) -> bool:
        """Take note of an answer; return whether it makes the callback gone, once."""
        watch = self._watches.get(group_id)
        if watch is None and answer.status != _GONE:
            return False
        reason = failure_reason(answer)
        if reason is not FailureReason.GONE:
            if watch is not None and answer.status is not None:
                watch.answered(device_id, delivered=reason is None)
            return False
        if watch is None:
            watch = self._watches[group_id] = GoneWatch()
        if watch.refused(device_id, asked_at):
            del self._watches[group_id]
            return True
        return False

    def begin_anew(self, group_id: GroupId, now: datetime) -> None:
        """Let nothing that was asked so far say anything: the application wants to be called."""
        self._watches[group_id] = GoneWatch(since=now)

    def forget(self, group_id: GroupId) -> None:
        """Forget a group that has ended."""
        self._watches.pop(group_id, None)
