"""The server role: each request is told once, answered once, and a repeat of it gets the same answer (RFC 7252)."""

from firmcast.coap.block import SMALLEST_BLOCK, Block, BlockError
from firmcast.coap.codes import ACK, BLOCK1, BLOCK2, CON, NON, Code, OptionNumber
from firmcast.coap.deduplication import Reply
from firmcast.coap.events import EndReason, ObservationId, Peer, RequestReceived
from firmcast.coap.held_back import Answer, HeldBackAnswers, SeparateResponse
from firmcast.coap.held_responses import HeldResponses
from firmcast.coap.message import Message, blocks_and_observe, encode_fields
from firmcast.coap.message_layer import MessageLayer
from firmcast.coap.observers import Observers
from firmcast.coap.options import Options, first_value, sort_options, unsupported_critical_option
from firmcast.coap.peers import PeerState
from firmcast.coap.reception import PendingRequest, request_key
from firmcast.coap.static_bodies import BlockServed, StaticHandler
from firmcast.coap.static_routes import StaticRoutes
from firmcast.coap.uploads import BlockAnswer, UploadRoute, Uploads

_PROXY_OPTIONS = (OptionNumber.PROXY_URI, OptionNumber.PROXY_SCHEME)
GET = int(Code.GET)
IPATCH = int(Code.IPATCH)
_REPEATABLE_METHODS = (GET, int(Code.FETCH))
_ERRORS = int(Code.BAD_REQUEST)


class ServerRole:
    """Requests of peers, from their first byte to their answer."""

    def __init__(self, layer: MessageLayer) -> None:
        self._layer = layer
        self._held = HeldResponses(layer)
        self._held_back = HeldBackAnswers(layer, self._held)
        self._observers = Observers(layer, self._held)
        self._uploads = Uploads(layer)
        self._static: StaticRoutes | None = None

    def fast_route(self, handler: StaticHandler, on_block_served: BlockServed | None) -> None:
        """Serve the static bodies that `handler` names."""
        self._static = StaticRoutes(self._layer, handler, on_block_served)

    def upload_route(self, handler: UploadRoute) -> None:
        """Let `handler` take bodies as they arrive."""
        self._uploads.upload_route(handler)

    # What peers ask.

    def receive_request(self, message: Message, datagram: bytes, peer: Peer, now: float) -> None:
        """Take in a message with a request code."""
        static = self._static
        if static is not None and message.code == GET and static.answer(message, peer, now):
            return
        layer = self._layer
        state = layer.state_of_caller(peer, now)
        if state is None:
            return
        message_id = message.message_id
        reply = layer.admit(state, message_id, datagram, now)
        if reply is None:
            return
        pending = state.pending.get(message_id)
        if pending is not None and pending.reply.digest == reply.digest:
            # So many messages came since that the first is no longer known, but it still waits for its answer.
            layer.counters.repeated += 1
            return
        if message.code > IPATCH or unsupported_critical_option(message.options) is not None:
            self._refuse(state, message, reply)
            return
        try:
            block1, block2, observe = blocks_and_observe(message.options)
        except BlockError:
            self._answer(state, message, reply, Code.BAD_REQUEST, (), b"")
            return
        if block1 is not None:
            self._receive_block(state, message, reply, block1, now)
        elif block2 is not None and block2.number > 0 and self._serve_later(state, message, reply, block2, now):
            return
        else:
            payload = message.payload
            self._tell(state, message, reply, payload, len(payload), None, observe, now)

    def _refuse(self, state: PeerState, message: Message, reply: Reply) -> None:
        unsupported = unsupported_critical_option(message.options)
        if unsupported is None:
            self._answer(state, message, reply, Code.METHOD_NOT_ALLOWED, (), b"")
        elif unsupported in _PROXY_OPTIONS:
            self._answer(state, message, reply, Code.PROXYING_NOT_SUPPORTED, (), b"")
        elif message.type is CON:
            text = f"option {unsupported}".encode()
            self._answer(state, message, reply, Code.BAD_OPTION, (), text)
        else:
            # RFC 7252 section 5.4.1: a non-confirmable message is rejected instead.
            reply.datagram = self._layer.send_reset(message.message_id, state.address)

    def _receive_block(self, state: PeerState, message: Message, reply: Reply, block: Block, now: float) -> None:
        taken = self._uploads.receive(state, message, block, now)
        if isinstance(taken, BlockAnswer):
            self._answer(state, message, reply, taken.code, taken.options, b"")
        else:
            self._tell(state, message, reply, taken.payload, taken.size, taken.block1, message.observe, now)

    def _serve_later(self, state: PeerState, message: Message, reply: Reply, block: Block, now: float) -> bool:
        found = self._held.later_block(state, request_key(message), block, now)
        if found is not None:
            if not state.takes_bodies and self._held_back.exceeds(message, *found[1:]):
                self._layer.counters.withheld += 1
                found = int(Code.SERVICE_UNAVAILABLE), (), b""
            self._answer(state, message, reply, *found)
            return True
        if message.code in _REPEATABLE_METHODS:
            return False
        self._answer(state, message, reply, Code.REQUEST_ENTITY_INCOMPLETE, (), b"")
        return True

    def _tell(
        self,
        state: PeerState,
        message: Message,
        reply: Reply,
        payload: bytes,
        size: int,
        block1: bytes | None,
        observe: int | None,
        now: float,
    ) -> None:
        layer = self._layer
        parameters = layer.parameters
        if len(state.pending) >= parameters.max_pending_per_peer:
            layer.counters.refused += 1
            self._answer(state, message, reply, Code.SERVICE_UNAVAILABLE, (), b"")
            return
        pending = PendingRequest(state.address, message, reply, self._pending_due)
        pending.block1 = block1
        state.pending[message.message_id] = pending
        wait = parameters.ack_delay if message.type is CON else parameters.exchange_lifetime
        layer.timers.set(pending, now + wait)
        if observe is not None:
            observe = observe if observe <= 1 and message.code in _REPEATABLE_METHODS else None
            if observe == 1:
                self._observers.cancel(state, message.token)
        layer.events.append(
            RequestReceived(
                peer=state.address,
                method=message.code,
                token=message.token,
                options=message.options,
                payload=payload,
                observe=observe,
                message=message,
                body_size=size,
            )
        )

    # What the application answers.

    def respond(
        self,
        request: RequestReceived,
        code: int,
        *,
        options: Options,
        payload: bytes,
        now: float,
        confirmable: bool | None,
    ) -> bool:
        """Answer a request."""
        message = request.message
        state = self._layer.peers.states.get(request.peer)
        pending = None if state is None else state.pending.get(message.message_id)
        if state is None or pending is None or pending.message is not message:
            return False
        del state.pending[message.message_id]
        self._layer.timers.clear(pending)
        if pending.observation is not None:
            options = self._observers.options_of_answer(pending.observation, code, options)
        code = int(code)
        is_bounded = state.allowance is not None
        if is_bounded and payload and code >= _ERRORS and self._held_back.exceeds(message, options, payload):
            self._layer.counters.withheld += 1
            payload = b""
        if len(payload) > SMALLEST_BLOCK or first_value(message.options, BLOCK2) is not None:
            code, options, payload = self._held.first_block(
                state, request_key(message), message.block2, code, options, payload, now
            )
        if pending.block1 is not None:
            options = sort_options([*options, (BLOCK1, pending.block1)])
        if not state.takes_bodies and code < _ERRORS and self._held_back.exceeds(message, options, payload):
            answer = Answer(message, pending.reply, code, options, payload)
            self._held_back.hold(state, answer, acknowledged=pending.acknowledged, now=now)
            return True
        if not pending.acknowledged:
            self._answer(state, message, pending.reply, code, options, payload)
            return True
        message_id = state.next_message_id()
        if confirmable is False:
            datagram = encode_fields(NON, code, message_id, message.token, options, payload)
            self._layer.answer(state, datagram)
            return True
        separate = SeparateResponse(state.address, self._layer)
        separate.message_id = message_id
        datagram = encode_fields(CON, code, message_id, message.token, options, payload)
        self._layer.transmit(separate, state, datagram, now)
        return True

    def acknowledge(self, request: RequestReceived, now: float) -> None:
        """Send the empty acknowledgement of a request."""
        found = self._pending_of(request)
        if found is not None:
            self._acknowledge(found[1], now)

    def accept_observation(self, request: RequestReceived) -> ObservationId:
        """Register the observer of an unanswered request; raise ValueError for any other."""
        found = self._pending_of(request)
        if found is None or request.observe != 0:
            raise ValueError("only an unanswered request with Observe 0 begins an observation")
        return self._observers.accept(*found)

    def notify(
        self,
        observation: ObservationId,
        code: int,
        options: Options,
        payload: bytes,
        *,
        now: float,
        confirmable: bool,
    ) -> bool:
        """Tell an observer the present state."""
        return self._observers.notify(observation, int(code), options, payload, now=now, confirmable=confirmable)

    def end_observation(self, observation: ObservationId) -> None:
        """Drop an observer."""
        self._observers.end(observation)

    # What the network and the clock say.

    def reset_notification(self, message_id: int, peer: Peer) -> None:
        """Note a reset that rejects no transmission: it may reject a non-confirmable notification."""
        state = self._layer.peers.states.get(peer)
        if state is not None:
            self._observers.reset(state, message_id)

    def unreachable(self, state: PeerState) -> None:
        """Stop sending to a peer that is not there."""
        self._observers.end_all(state, EndReason.UNREACHABLE)
        self._stop_sending(state)

    def forget(self, state: PeerState) -> None:
        """Drop everything of one peer."""
        self._observers.end_all(state, EndReason.FORGOTTEN)
        self._stop_sending(state)
        self._uploads.forget(state)
        self._held.forget(state)
        for pending in list(state.pending.values()):
            self._remove(state, pending)

    def _stop_sending(self, state: PeerState) -> None:
        for transmission in list(state.transmissions.values()):
            self._layer.drop(transmission)

    def _pending_due(self, pending: PendingRequest, now: float) -> None:
        if pending.message.type is CON and not pending.acknowledged:
            self._acknowledge(pending, now)
            return
        state = self._layer.peers.states.get(pending.peer)
        if state is not None:
            self._remove(state, pending)

    def _acknowledge(self, pending: PendingRequest, now: float) -> None:
        if pending.acknowledged or pending.message.type is not CON:
            return
        pending.acknowledged = True
        message_id = pending.message.message_id
        pending.reply.datagram = self._layer.send_acknowledgement(message_id, pending.peer)
        self._layer.timers.set(pending, now + self._layer.parameters.exchange_lifetime)

    def _pending_of(self, request: RequestReceived) -> tuple[PeerState, PendingRequest] | None:
        state = self._layer.peers.states.get(request.peer)
        if state is None:
            return None
        pending = state.pending.get(request.message.message_id)
        if pending is None or pending.message is not request.message:
            return None
        return state, pending

    def _remove(self, state: PeerState, pending: PendingRequest) -> None:
        self._layer.timers.clear(pending)
        if state.pending.get(pending.message.message_id) is pending:
            del state.pending[pending.message.message_id]

    def _answer(
        self, state: PeerState, message: Message, reply: Reply, code: int, options: Options, payload: bytes
    ) -> None:
        if message.type is CON:
            datagram = encode_fields(ACK, code, message.message_id, message.token, options, payload)
            reply.datagram = datagram
        else:
            message_id = state.next_message_id()
            datagram = encode_fields(NON, code, message_id, message.token, options, payload)
        # As `MessageLayer.answer`, without its call: nothing else is done as often.
        if state.allowance is not None:
            state.allowance -= len(datagram)
        self._layer.outgoing.append((datagram, state.address))


__all__ = ["ServerRole", "UploadRoute"]
