"""What other nodes are to hear of an announcement, in a form that can stand in a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from firmcast.db.port import Channel


def _as_they_are(items: Sequence[Any]) -> Sequence[Any]:
    return items


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedChannel:
    """A channel whose announcements concern every node, not only the one that made them."""

    channel: Channel
    heard_as: Channel | None = None
    """Where the listeners of other nodes hear it; None for the same channel."""

    heard_at_home: bool = False
    """Whether the node that announces hears it there too, in one order with what the others announce."""

    told: Callable[[Sequence[Any]], Sequence[Any]] = _as_they_are
    """Makes what JSON can hold of the items."""

    heard: Callable[[Sequence[Any]], Sequence[Any]] = _as_they_are
    """Makes items of that again."""


class SharedChannels:
    """All channels that nodes share."""

    def __init__(self, channels: Sequence[SharedChannel] = ()) -> None:
        self._channels = {shared.channel: shared for shared in channels}

    def __bool__(self) -> bool:
        """Say whether there is any."""
        return bool(self._channels)

    @property
    def heard_at_home(self) -> list[str]:
        """The channels of which a node reads its own announcements too."""
        return [shared.channel for shared in self._channels.values() if shared.heard_at_home]

    def texts(self, announced: Sequence[tuple[Channel, Sequence[object]]]) -> list[tuple[Channel, str]]:
        """Return what the other nodes are to be told of one commit."""
        gathered: dict[Channel, list[object]] = {}
        for channel, items in announced:
            shared = self._channels.get(channel)
            if shared is not None:
                gathered.setdefault(channel, []).extend(shared.told(items))
        return [(channel, msgspec.json.encode(items).decode()) for channel, items in gathered.items()]

    def read(self, channel: str, text: str) -> tuple[Channel, Sequence[object]] | None:
        """Return what a text of another node says; None for a channel that this release does not know."""
        shared = self._channels.get(Channel(channel))
        if shared is None:
            return None
        return shared.heard_as or shared.channel, shared.heard(msgspec.json.decode(text))
