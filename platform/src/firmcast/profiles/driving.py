"""What is known of a client chooses how it is driven: this is the only place where it does.

Nothing that is known forbids anything: what did not help is tried last. A device counts before its model, and both
before what its registration lets expect.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from firmcast.lwm2m.firmware_update import ResetWay, TransferWay
from firmcast.profiles.model import KnownClient, SeenSilence, SeenWay, Traits, WayVerdict, combined, way_in
from firmcast.profiles.recognition import expected_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverChoices:
    """How a device is driven."""

    read_format: int | None = None
    """The content format that objects are first asked for in; None for the usual one."""
    resets_by: tuple[str, ...] = ()
    resets_not_by: tuple[str, ...] = ()
    cancels: bool | None = None
    """Whether it knows Cancel, as far as that is known."""
    avoided_ways: tuple[TransferWay, ...] = ()
    """The ways for packages that it did not take, or of which it let the address lie; they are tried last."""
    holds_until: datetime | None = None
    """When a way is avoided no more, or objects are read whole again, since that was long ago; None for neither."""
    leaves_objects_unanswered: bool = False
    """It let the read of an object go by, and answered others: its resources are read one by one."""
    has_firmware_object: bool = False
    """It, or another of its model, has told something of Object 5, whatever its registration lists."""
    asks_who_it_is: bool = False
    """Manufacturer and model are read at the next inspection."""

    def reset_ways(self, state: int | None) -> tuple[ResetWay, ...]:
        """Return the ways back to Idle from a state: what helped first, what did not last, the mildest first."""

        def rank(way: ResetWay) -> int:
            if state is None:
                return 1
            named = way_in(state, way)
            if named in self.resets_by:
                return 0
            useless = named in self.resets_not_by or (way is ResetWay.CANCEL and self.cancels is False)
            return 2 if useless else 1

        return tuple(sorted(ResetWay, key=rank))


USUAL: Final = DriverChoices()
"""For a device of which nothing is known."""


def choices_of(known: KnownClient, now: datetime, remembered: timedelta) -> DriverChoices:
    """Return how a device is driven of which so much is known; of ways and of silence what was seen not long ago.

    What was seen of them with another client of the device counts no more, whoever taught it.
    """
    since = now - remembered if known.device.ways_since is None else max(now - remembered, known.device.ways_since)
    avoided = _avoided(known, since)
    seen = combined(known.model, known.device.traits)
    traits = combined(expected_of(known.device.shown), seen)
    silence = _silence(known, since)
    held = [*(way.at for way in avoided.values()), *([] if silence is None else [silence.at])]
    return DriverChoices(
        read_format=traits.read_format,
        resets_by=traits.resets_by,
        resets_not_by=traits.resets_not_by,
        cancels=traits.cancels,
        avoided_ways=tuple(way for way in TransferWay if way.value in avoided),
        holds_until=min(held) + remembered if held else None,
        leaves_objects_unanswered=silence is not None,
        has_firmware_object=seen.read_format is not None or seen.delivery_method is not None,
        asks_who_it_is=not known.device.shown.was_asked,
    )


def _silence(known: KnownClient, since: datetime) -> SeenSilence | None:
    """Return the silence that counts; that of its model does not for a device that was seen to answer."""
    own = known.device.traits
    silence = known.model.silence if own.silence is None and own.read_format is None else own.silence
    return silence if silence is not None and silence.is_silent and silence.at > since else None


def _avoided(known: KnownClient, since: datetime) -> dict[str, SeenWay]:
    def counting(traits: Traits) -> dict[str, SeenWay]:
        return {way: seen for way, seen in traits.ways.items() if seen.at > since}

    both = counting(known.model) | counting(known.device.traits)
    return {way: seen for way, seen in both.items() if seen.did is not WayVerdict.TAKES}
