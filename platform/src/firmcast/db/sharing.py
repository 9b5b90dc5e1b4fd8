"""What other nodes are to hear of an announcement, in a form that can stand in a row.

What stands in a row may be of another release, or of somebody's hand, so what it says is believed only where it has
the shape that its channel declares: whoever listens need not doubt what he is told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import GenericAlias
from typing import Annotated, Any

import msgspec

from firmcast.db.port import Channel

Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*\Z")]
"""A text that both stores can hold."""

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number that both stores can hold; none that we tell is below 0."""

StoredMoment = Annotated[int, msgspec.Meta(ge=-62_135_596_800_000_000, le=253_402_300_799_999_999)]
"""A stored time (`columns.py`) of the years 1 to 9999."""


def _as_they_are(items: Sequence[Any]) -> Sequence[Any]:
    return items


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedChannel:
    """A channel whose announcements concern every node, not only the one that made them."""

    channel: Channel
    item: Any
    """The type of each of its items in JSON, before `heard`; what does not fit makes no sense."""

    heard_as: Channel | None = None
    """Where the listeners of other nodes hear it; None for the same channel."""

    heard_at_home: bool = False
    """Whether the node that announces hears it there too, in one order with what the others announce."""

    told: Callable[[Sequence[Any]], Sequence[Any]] = _as_they_are
    """Makes what JSON can hold of the items."""

    heard: Callable[[Sequence[Any]], Sequence[Any]] = _as_they_are
    """Makes items of that again."""

    doubted_as: Channel | None = None
    """Where it is heard, without items, that an announcement of this channel makes no sense.

    Whoever listens there then reads for himself what he would have been told; None when a node has to begin anew.
    """


class SharedChannels:
    """All channels that nodes share."""

    def __init__(self, channels: Sequence[SharedChannel] = ()) -> None:
        self._channels = {shared.channel: shared for shared in channels}
        self._decoders = {
            shared.channel: msgspec.json.Decoder(GenericAlias(list, (shared.item,))) for shared in channels
        }

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
        """Return what a text of another node says; None for a channel that this release does not know.

        Raises:
            msgspec.DecodeError: it says nothing that fits its channel.
        """
        shared = self._channels.get(Channel(channel))
        if shared is None:
            return None
        return shared.heard_as or shared.channel, shared.heard(self._decoders[shared.channel].decode(text))

    def doubted(self, channel: str) -> Channel | None:
        """Return where it is heard that an announcement makes no sense; None when that concerns the whole node."""
        shared = self._channels.get(Channel(channel))
        return None if shared is None else shared.doubted_as
