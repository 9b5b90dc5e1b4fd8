"""Until when receivers asked to be left alone: remembered by place, since it outlasts the groups called there."""

from datetime import datetime

from firmcast.push.callback_groups import Place


class Holds:
    """The times that receivers named, of those that are still to come."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        """Start without any."""
        self._until: dict[Place, datetime] = {}

    def note(self, place: Place, until: datetime, now: datetime) -> None:
        """Take note of a time; of two that a receiver named the later counts."""
        self._until = {key: at for key, at in self._until.items() if at > now}
        self._until[place] = max(until, self._until.get(place, until))

    def until(self, place: Place, now: datetime) -> datetime | None:
        """Return when a receiver may be called again; None when it may be now."""
        until = self._until.get(place)
        return until if until is not None and until > now else None
