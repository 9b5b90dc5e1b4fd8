"""The message layer carries messages and knows which of them wait; what they mean is the roles' affair (RFC 7252)."""

import random as random_module
from dataclasses import dataclass

from firmcast.coap.deduplication import Reply
from firmcast.coap.dtls.peers import is_secure
from firmcast.coap.events import Event, Peer, StrayReceived
from firmcast.coap.message import encode
from firmcast.coap.parameters import TransmissionParameters
from firmcast.coap.peers import PeerState, PeerTable
from firmcast.coap.timers import Timers
from firmcast.coap.transmission import Outcome, Transmission

ACK_HEAD = b"\x60\x00"
RST_HEAD = b"\x70\x00"


@dataclass(slots=True)
class Counters:
    """Counts since the start."""

    received: int = 0
    """Datagrams that came, whatever they were."""
    malformed: int = 0
    """Datagrams that are no CoAP."""
    repeated: int = 0
    """Messages that came again."""
    retransmitted: int = 0
    """Messages of ours that were sent again."""
    given_up: int = 0
    """Messages of ours that were not acknowledged in the end."""
    refused: int = 0
    """Requests that were turned away since too much of their peer, or of all peers, was held already."""
    too_large: int = 0
    """Bodies in blocks that are larger than what is taken."""
    withheld: int = 0
    """Messages of ours, and explanations of an error, that would have been too much for an address that nobody has
    shown to be real."""


class MessageLayer:
    """Outgoing datagrams, events, timers, peers and the transmissions under way: what both roles share."""

    __slots__ = ("_jitter", "counters", "events", "outgoing", "parameters", "peers", "random", "timers")

    def __init__(self, *, random: random_module.Random, parameters: TransmissionParameters) -> None:
        self.random = random
        # Waits need not be unguessable, and the system's source of randomness costs a call of the kernel for each.
        self._jitter = random_module.Random(random.getrandbits(64)).random  # noqa: S311 -- no secret
        self.parameters = parameters
        self.timers = Timers()
        self.peers = PeerTable(self.timers, lifetime=parameters.exchange_lifetime, limit=parameters.max_peers)
        self.outgoing: list[tuple[bytes, Peer]] = []
        self.events: list[Event] = []
        self.counters = Counters()

    def state_of(self, peer: Peer, now: float) -> PeerState:
        """Return the state of a peer that we address, remembering it if need be."""
        state = self.peers.touch(peer, now)
        if state is None:
            state = self.peers.add(peer, self.random.randrange(0x10000), now, always=True)
            assert state is not None
            state.takes_bodies = not self._may_be_false(peer)
        return state

    def state_of_caller(self, peer: Peer, now: float) -> PeerState | None:
        """Return the state of a peer that addresses us, or None when there is no room for another one."""
        state = self.peers.touch(peer, now)
        if state is None:
            state = self.peers.add(peer, self.random.randrange(0x10000), now, always=False)
            if state is None:
                self.counters.refused += 1
            elif self._may_be_false(peer):
                state.allowance = 0
                state.takes_bodies = False
        return state

    def _may_be_false(self, peer: Peer) -> bool:
        return self.parameters.amplification > 0 and not is_secure(peer)

    def send_acknowledgement(self, message_id: int, peer: Peer) -> bytes:
        """Send an empty acknowledgement and return its datagram."""
        return self._send_empty(ACK_HEAD, message_id, peer)

    def send_reset(self, message_id: int, peer: Peer) -> bytes:
        """Send a reset and return its datagram."""
        return self._send_empty(RST_HEAD, message_id, peer)

    def _send_empty(self, head: bytes, message_id: int, peer: Peer) -> bytes:
        datagram = head + message_id.to_bytes(2, "big")
        state = self.peers.states.get(peer)
        if state is not None and state.allowance is not None:
            state.allowance -= len(datagram)
        self.outgoing.append((datagram, peer))
        return datagram

    def admit(self, state: PeerState, message_id: int, datagram: bytes, now: float) -> Reply | None:
        """Take note of a message, and return the place for its reply.

        None when the message is a repeat; then its reply, where it had one, has been sent again.
        """
        if state.allowance is not None:
            state.allowance += self.parameters.amplification * len(datagram)
        reply = state.replies.admit(message_id, hash(datagram), now, self.parameters)
        if reply is None:
            self.counters.repeated += 1
            former = state.replies.reply_to(message_id)
            if former:
                self.answer(state, former)
        return reply

    def answer(self, state: PeerState, datagram: bytes) -> None:
        """Send what was asked for."""
        if state.allowance is not None:
            state.allowance -= len(datagram)
        self.outgoing.append((datagram, state.address))

    def _send_unasked(self, state: PeerState, datagram: bytes) -> None:
        """Send what nobody asked for, or what was sent before, unless it is too much for whom it may hit."""
        allowance = state.allowance
        if allowance is None or len(datagram) <= allowance - self._owed(state):
            self.answer(state, datagram)
        else:
            self.counters.withheld += 1

    def _owed(self, state: PeerState) -> int:
        """Return how many bytes may be wanted yet for the answers that a peer waits for."""
        return self.parameters.amplification * sum(len(encode(each.message)) for each in state.pending.values())

    def transmit(
        self,
        transmission: Transmission,
        state: PeerState,
        datagram: bytes,
        now: float,
        *,
        unasked: bool = False,
        first_wait: float = 0.0,
    ) -> None:
        """Send a datagram of ours, whose message id `transmission` already holds, and wait for its end.

        It is not sent again before `first_wait` is over, in seconds, in the place of `ack_timeout` where that is less.
        """
        parameters = self.parameters
        transmission.datagram = datagram
        transmission.attempts = 0
        state.transmissions[transmission.message_id] = transmission
        if transmission.confirmable:
            factor = 1.0 + (parameters.ack_random_factor - 1.0) * self._jitter()
            transmission.timeout = parameters.ack_timeout * factor
        else:
            transmission.timeout = parameters.response_timeout
        self.timers.set(transmission, now + transmission.timeout + max(0.0, first_wait - parameters.ack_timeout))
        if unasked:
            self._send_unasked(state, datagram)
        else:
            self.answer(state, datagram)

    def timed_out(self, transmission: Transmission, now: float) -> None:
        """Send a confirmable message once more, or give it up."""
        if transmission.confirmable and transmission.attempts < self.parameters.max_retransmit:
            transmission.attempts += 1
            transmission.timeout *= 2
            self.counters.retransmitted += 1
            self.timers.set(transmission, now + transmission.timeout)
            state = self.peers.states.get(transmission.peer)
            if state is not None:
                self._send_unasked(state, transmission.datagram)
            return
        self.counters.given_up += 1
        self.drop(transmission)
        transmission.ended(Outcome.TIMEOUT, now)

    def drop(self, transmission: Transmission) -> None:
        """Stop transmitting, without telling the owner."""
        self.timers.clear(transmission)
        state = self.peers.states.get(transmission.peer)
        if state is not None and state.transmissions.get(transmission.message_id) is transmission:
            del state.transmissions[transmission.message_id]

    def note_stray(self, peer: Peer) -> None:
        """Tell that a peer speaks of what was not sent from here."""
        if self.parameters.tells_strays:
            self.events.append(StrayReceived(peer=peer))

    def acknowledged(self, message_id: int, peer: Peer, now: float) -> None:
        """Note an empty acknowledgement; one for a message that does not wait for it is ignored."""
        state = self.peers.touch(peer, now)
        transmission = None if state is None else state.transmissions.get(message_id)
        if state is not None and transmission is not None and transmission.confirmable:
            state.prove()
            self.drop(transmission)
            transmission.ended(Outcome.ACKNOWLEDGED, now)
        elif transmission is None:
            self._take_for_stray(state, peer)

    def _take_for_stray(self, state: PeerState | None, peer: Peer) -> None:
        if state is not None:
            state.strays += 1
        self.note_stray(peer)

    def reset(self, message_id: int, peer: Peer, now: float) -> bool:
        """Note a reset; return whether a message waited that it rejects."""
        state = self.peers.touch(peer, now)
        transmission = None if state is None else state.transmissions.get(message_id)
        if state is None or transmission is None:
            self._take_for_stray(state, peer)
            return False
        state.prove()
        self.drop(transmission)
        transmission.ended(Outcome.RESET, now)
        return True
