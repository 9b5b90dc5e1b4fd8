"""A peer is remembered while something is under way with it, and one exchange lifetime beyond its last message."""

from itertools import islice

from firmcast.coap.deduplication import ReplyRing
from firmcast.coap.events import Peer
from firmcast.coap.exchange import Exchange
from firmcast.coap.observation import Observation, Observer
from firmcast.coap.reception import Assembly, HeldResponse, PendingRequest, RequestKey
from firmcast.coap.static_bodies import Memo
from firmcast.coap.timers import Timed, Timers
from firmcast.coap.transmission import Transmission

_TOUCH_INTERVAL = 1.0
_SWEEP_BATCH = 2_000
_EVICTION_TRIES = 16


class PeerState:
    """All that is known of one peer, of both roles."""

    __slots__ = (
        "address",
        "allowance",
        "assemblies",
        "backlog",
        "exchanges",
        "held",
        "memo",
        "message_id",
        "notified",
        "observations",
        "observers",
        "pending",
        "rejects_bodies",
        "replies",
        "seen",
        "sign",
        "strays",
        "takes_bodies",
        "transmissions",
    )

    def __init__(self, address: Peer, message_id: int, now: float) -> None:
        self.address = address
        self.message_id = message_id
        self.seen = now
        self.allowance: int | None = None
        """Bytes that may yet be sent to an address that was not shown to be real; None once it was, or we chose it."""
        self.takes_bodies = True
        """Whether it was shown that who is there wants what is asked for in its name, so that a body may be sent."""
        self.rejects_bodies = False
        """It was sent one that it did not ask for."""
        self.sign: Transmission | None = None
        """Asked last whether anybody is there, while a body is held back."""
        self.strays = 0
        """Acknowledgements and resets of nothing that was sent there."""
        self.replies = ReplyRing()
        self.transmissions: dict[int, Transmission] = {}
        self.memo: Memo | None = None
        # As the client:
        self.exchanges: dict[bytes, Exchange] = {}
        self.backlog: dict[bytes, Exchange] = {}
        self.observations: dict[bytes, Observation] = {}
        # As the server:
        self.pending: dict[int, PendingRequest] = {}
        self.observers: dict[bytes, Observer] = {}
        self.notified: dict[int, Observer] = {}
        self.assemblies: dict[RequestKey, Assembly] = {}
        self.held: dict[RequestKey, HeldResponse] = {}

    def next_message_id(self) -> int:
        """Return a message id that this peer has not seen for as long as can be (RFC 7252 section 4.4)."""
        self.message_id = message_id = (self.message_id + 1) & 0xFFFF
        while message_id in self.transmissions:
            self.message_id = message_id = (message_id + 1) & 0xFFFF
        return message_id

    def prove(self) -> None:
        """Take note that whoever sends from this address hears what is sent there."""
        self.allowance = None

    def want_bodies(self) -> None:
        """Take note that whoever is there asks for what it is sent."""
        self.allowance = None
        self.takes_bodies = True

    @property
    def awaits_sign(self) -> bool:
        """Whether a body is held back until there is a sign of who is there."""
        sign = self.sign
        return sign is not None and self.transmissions.get(sign.message_id) is sign

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way with this peer."""
        return not (
            self.exchanges
            or self.backlog
            or self.observations
            or self.transmissions
            or self.pending
            or self.observers
            or self.assemblies
            or self.held
        )


class PeerTable(Timed):
    """Every remembered peer, the one longest without a sign of life first."""

    __slots__ = ("_lifetime", "_limit", "_timers", "states")

    def __init__(self, timers: Timers, *, lifetime: float, limit: int) -> None:
        super().__init__()
        self.states: dict[Peer, PeerState] = {}
        self._timers = timers
        self._lifetime = lifetime
        self._limit = limit

    def touch(self, address: Peer, now: float) -> PeerState | None:
        """Return a known peer's state, noting that it lives."""
        state = self.states.get(address)
        if state is not None and now - state.seen > _TOUCH_INTERVAL:
            self._move_to_end(state, now)
        return state

    def add(self, address: Peer, message_id: int, now: float, *, always: bool) -> PeerState | None:
        """Remember a new peer, forgetting the longest idle one when the table is full.

        Returns None, when the table is full of busy peers, unless `always` says that this one must be taken.
        """
        if len(self.states) >= self._limit and not self._evict(now) and not always:
            return None
        state = self.states[address] = PeerState(address, message_id, now)
        if self.due is None:
            self._timers.set(self, now + self._lifetime)
        return state

    def remove(self, state: PeerState) -> None:
        """Forget a peer of whom nothing is under way any more."""
        self.states.pop(state.address, None)
        if not self.states:
            self._timers.clear(self)

    def fire(self, now: float) -> None:
        """Forget the peers that have been idle for a lifetime; of busy ones forget the replies."""
        for _ in range(_SWEEP_BATCH):
            if not self.states:
                return
            state = next(iter(self.states.values()))
            if state.seen + self._lifetime > now:
                break
            if state.is_idle:
                del self.states[state.address]
            else:
                state.replies.clear()
                state.notified.clear()
                self._move_to_end(state, now)
        if self.states:
            oldest = next(iter(self.states.values()))
            self._timers.set(self, max(now + _TOUCH_INTERVAL, oldest.seen + self._lifetime))

    def _move_to_end(self, state: PeerState, now: float) -> None:
        state.seen = now
        del self.states[state.address]
        self.states[state.address] = state

    def _evict(self, now: float) -> bool:
        """Make room; busy peers that are met go to the end, so that no number of them keeps everybody else out."""
        for state in list(islice(self.states.values(), _EVICTION_TRIES)):
            if state.is_idle:
                del self.states[state.address]
                return True
            self._move_to_end(state, now)
        return False
