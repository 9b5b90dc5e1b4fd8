"""An observation is one record at the observer and one at the observed, and neither trusts the other's (RFC 7641)."""

from typing import Protocol

from firmcast.coap.events import ObservationId, Peer
from firmcast.coap.options import Options
from firmcast.coap.reception import RequestKey
from firmcast.coap.transmission import Outcome, Transmission

_HALF = 1 << 23
_FRESH_AFTER = 128.0
SEQUENCE_MASK = 0xFFFFFF


class Observation:
    """What we observe at a peer: `options` are those of the request that began it."""

    __slots__ = ("_at", "_sequence", "fetch", "max_body", "options", "token")

    def __init__(self, token: bytes, options: Options, max_body: int) -> None:
        self.token = token
        self.options = options
        self.max_body = max_body
        self.fetch: bytes | None = None
        """The wire token of the exchange that fetches the rest of the newest notification."""
        self._sequence: int | None = None
        self._at = 0.0

    def take(self, sequence: int, now: float) -> bool:
        """Tell whether a notification is newer than all before it (RFC 7641 section 3.4), and note it if so."""
        previous = self._sequence
        if (
            previous is None
            or (previous < sequence and sequence - previous < _HALF)
            or (previous > sequence and previous - sequence > _HALF)
            or now > self._at + _FRESH_AFTER
        ):
            self._sequence = sequence
            self._at = now
            return True
        return False


class Observer:
    """A peer that observes one of our resources: `key` and `szx` say how it asked."""

    __slots__ = ("confirmed_at", "id", "in_flight", "key", "peer", "sequence", "szx", "token", "waiting")

    def __init__(self, observation: ObservationId, peer: Peer, token: bytes, key: RequestKey, szx: int) -> None:
        self.id = observation
        self.peer = peer
        self.token = token
        self.key = key
        self.szx = szx
        self.sequence = 0
        self.confirmed_at: float | None = None
        self.in_flight: ConfirmableNotification | None = None
        self.waiting: tuple[int, Options, bytes, bool] | None = None

    def next_sequence(self) -> int:
        """Return the next notification's sequence number, 24 bits that wrap."""
        self.sequence = (self.sequence + 1) & SEQUENCE_MASK
        return self.sequence


class NotificationOwner(Protocol):
    """Who goes on after a confirmable notification."""

    def notification_ended(self, observer: Observer, outcome: Outcome, now: float) -> None:
        """Go on after the end of the transmission."""

    def notification_due(self, notification: "ConfirmableNotification", now: float) -> None:
        """Go on after a deadline."""


class ConfirmableNotification(Transmission):
    """A notification that the observer must acknowledge."""

    __slots__ = ("_observer", "_owner")

    def __init__(self, peer: Peer, owner: NotificationOwner, observer: Observer) -> None:
        super().__init__(peer)
        self._owner = owner
        self._observer = observer

    def fire(self, now: float) -> None:
        self._owner.notification_due(self, now)

    def ended(self, outcome: Outcome, now: float) -> None:
        self._owner.notification_ended(self._observer, outcome, now)
