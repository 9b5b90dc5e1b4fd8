"""A body goes to whoever has shown that he asks for it; the answer to anybody else waits until he has.

The sign is the reset that an empty confirmable message is met by (RFC 7252 section 4.3), four bytes for four, and the
proof the acknowledgement of what is sent then: whoever did not ask for it rejects it. Who gives no sign is sent as
small a block as what he asked with allows; clients go on in blocks of that size (RFC 7959 section 2.4).
"""

from dataclasses import dataclass
from typing import Final

from firmcast.coap.block import Block, decode_block
from firmcast.coap.codes import ACK, BLOCK2, CON, Code, OptionNumber
from firmcast.coap.deduplication import Reply
from firmcast.coap.events import Peer
from firmcast.coap.held_responses import HeldResponses
from firmcast.coap.message import Message, encode, encode_fields
from firmcast.coap.message_layer import MessageLayer
from firmcast.coap.options import Options, first_value, with_option
from firmcast.coap.peers import PeerState
from firmcast.coap.reception import request_key
from firmcast.coap.transmission import Outcome, Transmission

_PING: Final = b"\x40\x00"
_PINGS: Final = 2
_MOST_STRAYS: Final = 16
"""Acknowledgements and resets of nothing, after which a right one may have been guessed: its number has 16 bits."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What would be answered to a request."""

    request: Message
    reply: Reply
    code: int
    options: Options
    payload: bytes


class SeparateResponse(Transmission):
    """A confirmable response of its own; what comes back tells whether it was asked for."""

    __slots__ = ("_layer",)

    def __init__(self, peer: Peer, layer: MessageLayer) -> None:
        super().__init__(peer)
        self._layer = layer

    def fire(self, now: float) -> None:
        self._layer.timed_out(self, now)

    def ended(self, outcome: Outcome, _now: float) -> None:
        state = self._layer.peers.states.get(self.peer)
        if state is None or state.takes_bodies:
            return
        if outcome is Outcome.ACKNOWLEDGED and state.strays <= _MOST_STRAYS:
            state.want_bodies()
        elif outcome is Outcome.RESET:
            state.rejects_bodies = True


class _Sign(Transmission):
    """A question whether anybody is there, and the answer that waits for it.

    Zephyr takes it for a request of no method, and acknowledges it with an error.
    """

    __slots__ = ("_owner", "answer")

    is_any_answer_good = True

    def __init__(self, peer: Peer, owner: "HeldBackAnswers", answer: Answer) -> None:
        super().__init__(peer)
        self._owner = owner
        self.answer = answer

    def fire(self, now: float) -> None:
        self._owner.sign_due(self, now)

    def ended(self, outcome: Outcome, now: float) -> None:
        self._owner.go_on(self, outcome, now)


class HeldBackAnswers:
    """The answers to those who may not be there."""

    __slots__ = ("_held", "_layer")

    def __init__(self, layer: MessageLayer, held: HeldResponses) -> None:
        self._layer = layer
        self._held = held

    def exceeds(self, request: Message, options: Options, payload: bytes) -> bool:
        """Tell whether an answer is so much longer than its request that somebody could be hit by it."""
        size = len(encode_fields(ACK, 0, 0, request.token, options, payload))
        return size > self._layer.parameters.amplification * len(encode(request))

    def hold(self, state: PeerState, answer: Answer, *, acknowledged: bool, now: float) -> None:
        """Ask for a sign before an answer goes out; where that makes no sense, send a piece of it at once."""
        request = answer.request
        confirmable = request.type is CON
        self._layer.counters.withheld += 1
        if not confirmable or state.rejects_bodies or state.awaits_sign:
            self._send_piece(state, answer, separate=acknowledged or not confirmable, now=now)
            return
        if not acknowledged:
            answer.reply.datagram = self._layer.send_acknowledgement(request.message_id, state.address)
        sign = _Sign(state.address, self, answer)
        sign.message_id = state.next_message_id()
        state.sign = sign
        datagram = _PING + sign.message_id.to_bytes(2, "big")
        self._layer.transmit(sign, state, datagram, now, unasked=True)

    def sign_due(self, sign: _Sign, now: float) -> None:
        """Ask once more, or go on without a sign."""
        if sign.attempts + 1 < _PINGS:
            self._layer.timed_out(sign, now)
        else:
            self._layer.drop(sign)
            self.go_on(sign, Outcome.TIMEOUT, now)

    def go_on(self, sign: _Sign, outcome: Outcome, now: float) -> None:
        """Send what waited: all of it to somebody who is there, and who may prove now that he wants it."""
        state = self._layer.peers.states.get(sign.peer)
        if state is None:
            return
        answer = sign.answer
        if state.takes_bodies or (outcome is not Outcome.TIMEOUT and state.strays <= _MOST_STRAYS):
            self._send_separately(state, answer, unasked=False, now=now)
        else:
            self._send_piece(state, answer, separate=True, now=now)

    def _send_piece(self, state: PeerState, answer: Answer, *, separate: bool, now: float) -> None:
        """Send as small a block as may be sent to anybody, or where that is none, that there is nothing for now."""
        request = answer.request
        room = self._layer.parameters.amplification * len(encode(request))
        if state.allowance is not None:
            room = min(room, state.allowance)
        piece = self._piece(state, answer, room, now)
        if separate:
            self._send_separately(state, piece, unasked=True, now=now)
            return
        datagram = encode_fields(ACK, piece.code, request.message_id, request.token, piece.options, piece.payload)
        answer.reply.datagram = datagram
        self._layer.answer(state, datagram)

    def _send_separately(self, state: PeerState, answer: Answer, *, unasked: bool, now: float) -> None:
        request = answer.request
        separate = SeparateResponse(state.address, self._layer)
        separate.confirmable = request.type is CON
        separate.message_id = state.next_message_id()
        datagram = encode_fields(
            request.type, answer.code, separate.message_id, request.token, answer.options, answer.payload
        )
        self._layer.transmit(separate, state, datagram, now, unasked=unasked)

    def _piece(self, state: PeerState, answer: Answer, room: int, now: float) -> Answer:
        request = answer.request
        value = first_value(answer.options, BLOCK2)
        block = None if value is None else decode_block(value)
        for szx in range((6 if block is None else block.szx) - 1, -1, -1):
            size = 1 << (szx + 4)
            if size >= room:
                continue
            if block is None:
                asked = Block(0, more=False, szx=szx)
                code, options, payload = self._held.first_block(
                    state, request_key(request), asked, answer.code, answer.options, answer.payload, now
                )
            else:
                smaller = Block(block.offset >> (szx + 4), more=True, szx=szx)
                options = with_option(answer.options, OptionNumber.BLOCK2, smaller.encode())
                code, payload = answer.code, answer.payload[:size]
            if len(encode_fields(ACK, 0, 0, request.token, options, payload)) <= room:
                return Answer(request, answer.reply, code, options, payload)
        return Answer(request, answer.reply, int(Code.SERVICE_UNAVAILABLE), (), b"")
