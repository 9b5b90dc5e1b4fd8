"""A client shows what it is when it registers and is read; its traits are how it was seen to behave, if it was.

What is known of a model is what was seen of any device of it; what is known of a device goes before that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from firmcast.ids import DeviceId
from firmcast.lwm2m.firmware_update import ResetWay

_FAMILY: Final = re.compile(r"[^0-9]*[0-9]+")
_LONGEST_KEY_PART: Final = 80


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client says of itself; empty where it says nothing."""

    lwm2m_version: str = ""
    binding: str = ""
    queue_mode: bool = False
    object_version: str = ""
    """Of the Firmware Update object, as its link tells it."""
    content_formats: tuple[int, ...] = ()
    """That its root link lists."""
    objects: tuple[int, ...] = ()
    """The numbers of the objects that it has."""
    manufacturer: str = ""
    """/3/0/0"""
    model: str = ""
    """/3/0/1"""
    version: str = ""
    """/3/0/3"""
    was_asked: bool = False
    """True when manufacturer and model were read, whatever came of it."""

    @property
    def model_key(self) -> str:
        """Names the model: manufacturer, model and firmware family; empty while neither of the first two is known."""
        if not self.manufacturer and not self.model:
            return ""
        return f"{self.maker_key}|{_key_part(firmware_family(self.version))}"

    @property
    def maker_key(self) -> str:
        """Names the model without its firmware; empty while it is not known."""
        return maker_key(self.manufacturer, self.model)


def maker_key(manufacturer: str, model: str) -> str:
    """Return what names the devices of a model, whatever firmware they run; empty while neither is known."""
    return "|".join(_key_part(part) for part in (manufacturer, model)) if manufacturer or model else ""


def _key_part(part: str) -> str:
    return part.replace("|", "/")[:_LONGEST_KEY_PART]


def firmware_family(version: str) -> str:
    """Return what versions of one kind of firmware have in common: all up to the first number, such as `v2` of v2.1."""
    found = _FAMILY.match(version)
    return found[0] if found else version


def is_another_client(before: Shown, after: Shown) -> bool:
    """Tell whether a device has another client than before: where both tell something that does not change by itself.

    A later version of the same family is no other one: each upgrade that succeeds brings such a version.
    """
    pairs = (
        (before.manufacturer, after.manufacturer),
        (before.model, after.model),
        (firmware_family(before.version), firmware_family(after.version)),
        (before.objects, after.objects),
        (before.object_version, after.object_version),
        (before.lwm2m_version, after.lwm2m_version),
    )
    return any(earlier and later and earlier != later for earlier, later in pairs)


class WayVerdict(StrEnum):
    """What came of a way for packages."""

    TAKES = "takes"
    REFUSES = "refuses"
    """It takes none so, whatever it says of itself."""
    LEAVES = "leaves"
    """It took an address, and asked for nothing: it, or the network where it is."""


class SeenWay(msgspec.Struct, frozen=True, gc=False):
    """What was last seen of a way, and when."""

    did: WayVerdict
    at: datetime


class SeenSilence(msgspec.Struct, frozen=True, gc=False):
    """Whether the read of an object was last left without any answer, and when."""

    is_silent: bool
    at: datetime


class Traits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a client was seen to behave; None, or nothing, where that was not seen yet."""

    read_format: int | None = None
    """The content format in which it answers the read of an object."""
    refuses_objects: bool | None = None
    """It answers the read of an object in no format that was asked for: its resources are read one by one."""
    silence: SeenSilence | None = None
    """Whether it leaves the read of an object in a format that it does not know unanswered, and answers others."""
    observes: bool | None = None
    """It lets its state be observed."""
    cancels: bool | None = None
    """It knows Cancel (/5/0/10)."""
    resources: tuple[int, ...] = ()
    """Those of /5/0 that it lists when it is discovered."""
    delivery_method: int | None = None
    """/5/0/9"""
    resets_by: tuple[str, ...] = ()
    """What was seen to bring it back to Idle, as state and way: `1 cancel`."""
    resets_not_by: tuple[str, ...] = ()
    """What did not."""
    shows_downloading_when_written: bool | None = None
    """It shows state 1 while a package is written to it."""
    forgets_state: bool | None = None
    """After the reboot that ends an update state and result are 0: only the version tells of the success."""
    notifies_end: bool | None = None
    """It notifies the end of an update; else it registers anew, and the end is read."""
    failed_install_returns_to: int | None = None
    """The state in which a failed installation leaves it."""
    defers: bool | None = None
    """It puts installations off (result 11)."""
    largest_block: int | None = None
    """Bytes of the blocks in which it fetches packages."""
    ways: dict[str, SeenWay] = {}
    """What came of the ways for packages: `coap`, `coaps`, `http`, `https`, `written`."""

    def ways_that(self, did: WayVerdict) -> tuple[str, ...]:
        """Return the ways of which that was last seen."""
        return tuple(sorted(way for way, seen in self.ways.items() if seen.did is did))


NO_TRAITS: Final = Traits()

NO_ANSWER: Final = "no answer"
"""What a check notes, of a request that is known to be left unanswered, in place of a code."""


def taught_by(traits: Traits) -> Traits:
    """Return what a device teaches of its model: not what may be so only in the network where it is."""
    ways = {way: seen for way, seen in traits.ways.items() if seen.did is not WayVerdict.LEAVES}
    return msgspec.structs.replace(traits, ways=ways)


class ClientProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a client."""

    shown: Shown = Shown()
    traits: Traits = NO_TRAITS
    ways_since: datetime | None = None
    """What came of ways, and of reads that were left unanswered, before counts no more, of its model neither.

    It has another client since.
    """
    forgotten_at: datetime | None = None
    """What was noted of the device before teaches nothing: somebody had it forgotten."""


NO_PROFILE: Final = ClientProfile()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownClient:
    """What is known of one device's client, and of its model."""

    device: ClientProfile
    model: Traits = NO_TRAITS


class WindowOf(StrEnum):
    """For whom an awake window was set."""

    DEVICE = "device"
    MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwakeWindow:
    """How long devices listen after they were heard, as an operator says."""

    about: WindowOf
    name: str
    """The id of a device, or the `maker_key` of a model."""
    length: timedelta


class Findings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a device did when it was checked; codes such as `2.05`, empty for what was not tried."""

    formats: dict[str, str] = {}
    """The answer to a read of /5/0 by the content format asked for; one that cannot be understood has a word more.

    After NO_ANSWER nothing more was asked for.
    """
    read_format: int | None = None
    """The first that brought its state."""
    told: dict[str, str] = {}
    """What was read of it, by path."""
    is_listed: bool = True
    """False where its registration lists its objects, and not Object 5."""
    is_absent: bool = False
    """It answers each read of Object 5 with 4.04."""
    discover: str = ""
    resources: tuple[int, ...] = ()
    """Of /5/0, as discovered."""
    observe: str = ""
    observed: bool = False
    """True when it took the observation on, and did not only answer."""
    cancel: str = ""
    """Of that observation; NO_ANSWER where none came."""
    reset: str = ""
    """The answer to an empty Package URI while it was Idle."""
    not_reset: str = ""
    """Why no reset was tried."""
    after_reset: str = ""
    """State and result afterwards."""
    failure: str = ""
    """Why the check ended early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The latest check of a device."""

    device_id: DeviceId
    requested_at: datetime
    ended_at: datetime | None
    """None while it waits for the device."""
    findings: Findings


def way_in(state: int, way: ResetWay) -> str:
    """Return how a way of going back to Idle is written down, tried in a state."""
    return f"{state} {way.value}"


_CONTRARY: Final = {"resets_by": "resets_not_by", "resets_not_by": "resets_by"}
"""What was seen to work, and what not: what is seen later takes the place of the contrary."""


def combined(earlier: Traits, later: Traits) -> Traits:
    """Return both; where both tell something the later one counts."""
    said: dict[str, Any] = {
        field: value for field in Traits.__struct_fields__ if (value := getattr(later, field)) not in (None, ())
    }
    for field, contrary in _CONTRARY.items():
        seen = {*getattr(earlier, field), *getattr(later, field)}
        said[field] = tuple(sorted(seen - {*getattr(later, contrary)}))
    said["ways"] = _last_seen(earlier.ways, later.ways)
    silences = [traits.silence for traits in (later, earlier) if traits.silence is not None]
    said["silence"] = max(silences, key=lambda seen: seen.at, default=None)
    return msgspec.structs.replace(earlier, **said)


def _last_seen(earlier: Mapping[str, SeenWay], later: Mapping[str, SeenWay]) -> dict[str, SeenWay]:
    """Return what was last seen of each way; at the same time what is said later."""
    both = dict(earlier)
    for way, seen in later.items():
        if way not in both or seen.at >= both[way].at:
            both[way] = seen
    return dict(sorted(both.items()))


def without_ways_before(traits: Traits, since: datetime | None) -> Traits:
    """Return the traits without what was seen of ways, and of silence, by then."""
    if since is None:
        return traits
    silence = traits.silence if traits.silence is not None and traits.silence.at > since else None
    ways = {way: seen for way, seen in traits.ways.items() if seen.at > since}
    return msgspec.structs.replace(traits, ways=ways, silence=silence)


def shown_later(earlier: Shown, later: Shown) -> Shown:
    """Return what is shown, where what is said later counts, and what is not said stays."""
    said = {field: value for field in Shown.__struct_fields__ if (value := getattr(later, field)) not in ("", (), None)}
    return msgspec.structs.replace(earlier, **{**said, "was_asked": earlier.was_asked or later.was_asked})
