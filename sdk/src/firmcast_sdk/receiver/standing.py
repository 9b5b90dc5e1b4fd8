"""Pure: whether a push may be handled now is decided here, from what is known of its stream; stores only keep that.

A stream is the events of one device, which happen one after the other and carry numbers that grow; a subscriber does
not see them all. So what must be remembered of a device is the number of the event handled last: nothing up to it is
handled any more. Ids are kept beside it, for platforms that send no numbers and to tell a copy from a step that was
overtaken. An event of no device is a stream of its own.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from firmcast_sdk.events import DeviceId, EventId

REMEMBERED_IDS = 64  # of one stream, the newest


class Standing(Enum):
    """What is known of a push when it arrives."""

    NEW = "new"
    """It may be handled; its stream now belongs to the caller, who must `keep` or `release` it."""

    IN_FLIGHT = "in flight"
    """The handler is running for an event of the same device; the sender is asked to come again."""

    HANDLED = "handled"
    """Its handler ended well; this copy is answered without running it."""

    SUPERSEDED = "superseded"
    """A later event of the same device was handled; this one is answered without running its handler, for good."""


class ClaimLostError(Exception):
    """The claim on a device's events is no longer this handler's: it took longer than the lease without a renewal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushKey:
    """What a store may know a push by; of `event_id` and `sequence` one at least is there."""

    event_id: EventId | None
    """`webhook-id`, the same over retries and replays; None from a platform that sends none."""

    device_id: DeviceId | None
    """Whose event it is; None for an event of no device."""

    sequence: int | None
    """The event's number within its device; None from a platform that sends none."""

    @property
    def stream(self) -> str:
        """The name of what the event is a part of."""
        return f"event {self.event_id}" if self.device_id is None else f"device {self.device_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One wish to handle a push; `token` is another one for each, `repeat` lifts the rule of once and in order."""

    key: PushKey
    token: str
    repeat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """What is known of one stream; a claim without an end lasts as long as its process."""

    last_sequence: int = 0
    handled: tuple[str, ...] = ()
    token: str = ""
    claimed_until: datetime | None = None


def judge(state: StreamState, claim: Claim, now: datetime | None) -> Standing:
    """How the push of `claim` stands; without `now`, no claim ends by time.

    A copy and an overtaken step are told at once, also while another event of the device is being handled.
    """
    key = claim.key
    if not claim.repeat:
        if key.event_id is not None and key.event_id in state.handled:
            return Standing.HANDLED
        if key.device_id is not None and key.sequence is not None and key.sequence <= state.last_sequence:
            unnamed_copy = key.event_id is None and key.sequence == state.last_sequence
            return Standing.HANDLED if unnamed_copy else Standing.SUPERSEDED
    if state.token and (now is None or state.claimed_until is None or now < state.claimed_until):
        return Standing.IN_FLIGHT
    return Standing.NEW


def bounded(state: StreamState, latest: datetime) -> StreamState:
    """The state with no claim that lasts beyond `latest`, as one does from before the clock was set back."""
    if state.claimed_until is not None and state.claimed_until > latest:
        return replace(state, claimed_until=latest)
    return state


def taken(state: StreamState, claim: Claim, until: datetime | None) -> StreamState:
    """The state once `claim` holds the stream, until it is let go or its time is over."""
    return replace(state, token=claim.token, claimed_until=until)


def recorded(state: StreamState, claim: Claim) -> StreamState:
    """The state once the handler of `claim` ended well, whoever holds the stream by now."""
    key = claim.key
    handled = state.handled
    if key.event_id is not None:
        others = tuple(one for one in handled if one != key.event_id)
        handled = (*others, key.event_id)[-REMEMBERED_IDS:]
    return replace(state, handled=handled, last_sequence=max(state.last_sequence, key.sequence or 0))


def let_go(state: StreamState, claim: Claim) -> StreamState:
    """The state once `claim` is given back; what another claim holds stays held."""
    return replace(state, token="", claimed_until=None) if state.token == claim.token else state
