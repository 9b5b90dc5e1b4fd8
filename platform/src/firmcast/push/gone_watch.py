"""A callback is gone when it says so (410) of several devices in a row; of one device it says that of the device.

A receiver that has forgotten a few devices answers 410 to their events for as long as they are offered, and those may
be the only ones that are: so a device that was refused while others were told does not count.

Where nodes share the devices of a callback, the row is one of all nodes: what each has heard is news for the others. A
refusal is news only after a while, since where others are told meanwhile it means nothing.
"""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from firmcast.ids import DeviceId
from firmcast.push.answer import Answer
from firmcast.push.model import GroupId
from firmcast.push.retry import FailureReason, failure_reason

_MOST_REMEMBERED: Final = 1_000
_OK: Final = 200
_REDIRECTED: Final = 300
_GONE: Final = 410


class Said(StrEnum):
    """What an answer says of the callback."""

    GONE = "gone"
    TAKEN = "taken"
    """It takes what it is sent: who was refused meanwhile was refused alone."""

    FAILED = "failed"
    """It is there, no more."""


class Hearsay(NamedTuple):
    """What a node has heard that others have to know."""

    device_id: DeviceId
    said: Said
    asked_at: datetime


class GoneWatch:
    """Hears what one callback answers, and says when it is gone."""

    __slots__ = ("_alone", "_devices", "_in_a_row", "_news", "_since", "_told")

    def __init__(self, *, since: datetime | None = None, devices: int = 3) -> None:
        """Start without a doubt; what was asked before `since` says nothing, and so many devices make it gone."""
        self._since = since
        self._devices = devices
        self._in_a_row: dict[DeviceId, datetime] = {}  # with when they were asked about
        self._alone: set[DeviceId] = set()  # refused while others were told
        self._news: list[Hearsay] = []
        self._told = False  # other nodes know of some of the row

    def refused(self, device_id: DeviceId, asked_at: datetime) -> bool:
        """Take note of a 410; return whether the callback is gone."""
        if device_id not in self._alone and (self._since is None or asked_at >= self._since):
            if device_id not in self._in_a_row:
                self._news.append(Hearsay(device_id, Said.GONE, asked_at))
            self._in_a_row[device_id] = asked_at
        return self._is_gone

    def answered(self, device_id: DeviceId, *, delivered: bool, asked_at: datetime | None = None) -> None:
        """Take note of any other answer; what only failed to come is none."""
        if delivered:
            self._acquit(set(self._in_a_row))
            self._alone.discard(device_id)
        self._news.clear()
        if self._told and asked_at is not None:
            self._news.append(Hearsay(device_id, Said.TAKEN if delivered else Said.FAILED, asked_at))
        self._told = False
        self._in_a_row.clear()

    def hear(self, news: Hearsay) -> bool:
        """Take note of what another node has heard; return whether the callback is gone."""
        if news.said is Said.GONE:
            self._in_a_row[news.device_id] = news.asked_at
            self._told = True
            return self._is_gone
        before = {device for device, asked_at in self._in_a_row.items() if asked_at <= news.asked_at}
        if news.said is Said.TAKEN:
            self._acquit(before)
        self._in_a_row = {device: at for device, at in self._in_a_row.items() if device not in before}
        self._news = [each for each in self._news if each.device_id not in before]
        return False

    def contradict(self, device_id: DeviceId, taken_at: datetime) -> None:
        """Say to others that the callback took something that was asked later than what they were refused."""
        self._news.append(Hearsay(device_id, Said.TAKEN, taken_at))

    def take_news(self) -> list[Hearsay]:
        """Return what the other nodes have to know and have not been told."""
        news, self._news = self._news, []
        self._told = self._told or any(each.said is Said.GONE for each in news)
        return news

    @property
    def has_news(self) -> bool:
        """Say whether there is something that the other nodes have to know."""
        return bool(self._news)

    @property
    def _is_gone(self) -> bool:
        return len(self._in_a_row) >= self._devices

    def _acquit(self, devices: set[DeviceId]) -> None:
        self._alone |= devices
        if len(self._alone) > _MOST_REMEMBERED:
            self._alone.clear()  # whoever is among them is refused again, before others are told


class GoneWatches:
    """One for each callback group that has been answered 410; the others cost nothing."""

    __slots__ = ("_on_news", "_taken_at", "_watches")

    def __init__(self, on_news: Callable[[GroupId, Said], None] | None = None) -> None:
        """Start without any; where nodes share the devices, `on_news` is called when there is something to tell."""
        self._watches: dict[GroupId, GoneWatch] = {}
        self._on_news = on_news
        self._taken_at: dict[GroupId, datetime] = {}  # when the last that was taken was asked, where others may ask

    def is_gone(self, group_id: GroupId, device_id: DeviceId, answer: Answer, asked_at: datetime) -> bool:
        """Take note of an answer; return whether it makes the callback gone, once."""
        status, watch = answer.status, self._watches.get(group_id)
        if self._on_news is not None and status is not None and _OK <= status < _REDIRECTED:
            self._taken_at[group_id] = asked_at
        if watch is None and status != _GONE:
            return False
        reason = failure_reason(answer)
        if reason is FailureReason.GONE:
            if watch is None:
                watch = self._watches[group_id] = GoneWatch()
            if watch.refused(device_id, asked_at):
                del self._watches[group_id]
                return True
            self._tell(group_id, watch, Said.GONE)
        elif watch is not None and status is not None:
            watch.answered(device_id, delivered=reason is None, asked_at=asked_at)
            self._tell(group_id, watch, Said.FAILED)
        return False

    def hear(self, group_id: GroupId, news: Hearsay) -> bool:
        """Take note of what another node has heard; return whether it makes the callback gone, once."""
        watch = self._watches.get(group_id)
        if news.said is not Said.GONE:
            if watch is not None:
                watch.hear(news)
            return False
        if watch is None:
            watch = self._watches[group_id] = GoneWatch()
        taken_at = self._taken_at.get(group_id)
        if taken_at is not None and taken_at >= news.asked_at:
            watch.contradict(news.device_id, taken_at)
            self._tell(group_id, watch, Said.TAKEN)
            return False
        if watch.hear(news):
            del self._watches[group_id]
            return True
        return False

    def take_news(self, group_id: GroupId) -> list[Hearsay]:
        """Return what the other nodes have to know and have not been told."""
        watch = self._watches.get(group_id)
        return [] if watch is None else watch.take_news()

    def begin_anew(self, group_id: GroupId, now: datetime) -> None:
        """Let nothing that was asked so far say anything: the application wants to be called."""
        self._watches[group_id] = GoneWatch(since=now)

    def forget(self, group_id: GroupId) -> None:
        """Forget a group that has ended."""
        self._watches.pop(group_id, None)
        self._taken_at.pop(group_id, None)

    def _tell(self, group_id: GroupId, watch: GoneWatch, said: Said) -> None:
        if self._on_news is not None and watch.has_news:
            self._on_news(group_id, said)
