"""The client role: requests of ours go one by one to each peer, and each ends in exactly one event.

Responses are matched by token, acknowledgements by message id; what a response means is decided by its exchange.
"""

from firmcast.coap.block import BlockError, BlockSink
from firmcast.coap.codes import ACK, CON, Code, OptionNumber, is_success, named
from firmcast.coap.events import (
    DownloadProgress,
    EndReason,
    FailureReason,
    NotificationReceived,
    ObservationEnded,
    Peer,
    RequestFailed,
    ResponseReceived,
    TransferProgress,
)
from firmcast.coap.exchange import BlockPace, Exchange, Purpose, Step
from firmcast.coap.message import LONGEST_TOKEN, Message
from firmcast.coap.message_layer import MessageLayer
from firmcast.coap.observation import Observation
from firmcast.coap.options import Options, unsupported_critical_option, with_option, without
from firmcast.coap.peers import PeerState
from firmcast.coap.static_bodies import StaticBody
from firmcast.coap.transmission import Outcome
from firmcast.coap.unmatched import UnmatchedNotifications

_TOKEN_SIZE = 4


class BacklogFullError(Exception):
    """Too many requests wait for this peer."""


class ClientRole:
    """Exchanges and observations of ours."""

    def __init__(self, layer: MessageLayer) -> None:
        self._layer = layer
        self._unmatched = UnmatchedNotifications(layer)

    # What the application asks for.

    def request(
        self,
        peer: Peer,
        method: int,
        *,
        options: Options,
        payload: bytes | StaticBody,
        now: float,
        confirmable: bool,
        token: bytes | None,
        szx: int | None,
        max_body: int | None,
        whole: bool,
        sink: BlockSink | None,
        pace: BlockPace | None = None,
        slow: bool = False,
        purpose: Purpose = Purpose.REQUEST,
    ) -> bytes:
        """Begin an exchange, or queue it behind the others of its peer."""
        parameters = self._layer.parameters
        state = self._layer.state_of(peer, now)
        if len(state.backlog) >= parameters.max_backlog_per_peer:
            raise BacklogFullError(f"{len(state.backlog)} requests wait for this peer")
        exchange = Exchange(
            peer,
            self,
            token=self._checked_token(state, token, purpose),
            method=int(method),
            options=options,
            payload=payload,
            confirmable=confirmable,
            szx=parameters.block_szx if szx is None else min(szx, parameters.block_szx),
            max_body=parameters.max_body if max_body is None else max_body,
            restarts=parameters.max_block_restarts,
            asks_size=parameters.asks_block_size_early,
            whole=whole,
            sink=sink,
            pace=pace,
            slow=slow,
            purpose=purpose,
        )
        self._enqueue(state, exchange, now)
        return exchange.token

    def observe(self, peer: Peer, options: Options, now: float, token: bytes | None, *, max_body: int | None) -> bytes:
        """Begin an observation."""
        return self.request(
            peer,
            Code.GET,
            options=with_option(options, OptionNumber.OBSERVE, b""),
            payload=b"",
            now=now,
            confirmable=True,
            token=token,
            szx=None,
            max_body=max_body,
            whole=True,
            sink=None,
            purpose=Purpose.OBSERVE,
        )

    def cancel_observation(self, peer: Peer, token: bytes, now: float) -> bool:
        """Ask the peer to stop notifying (RFC 7641 section 3.6)."""
        state = self._layer.peers.states.get(peer)
        observation = None if state is None else state.observations.pop(token, None)
        if state is None or observation is None:
            return False
        self._drop_fetch(state, observation, now)
        self.request(
            peer,
            Code.GET,
            options=with_option(observation.options, OptionNumber.OBSERVE, b"\x01"),
            payload=b"",
            now=now,
            confirmable=True,
            token=token,
            szx=None,
            max_body=observation.max_body,
            whole=True,
            sink=None,
            purpose=Purpose.CANCEL,
        )
        return True

    def forget_observation(self, peer: Peer, token: bytes, now: float) -> None:
        """Let the next notification be unmatched."""
        state = self._layer.peers.states.get(peer)
        observation = None if state is None else state.observations.pop(token, None)
        if state is not None and observation is not None:
            self._drop_fetch(state, observation, now)

    def adopt_observation(self, peer: Peer, token: bytes, *, options: Options, now: float | None) -> None:
        """Accept an observation that this engine did not begin."""
        waiting = self._unmatched.take(peer, token)
        at = now if now is not None else (0.0 if waiting is None else waiting.at)
        state = self._layer.state_of(peer, at)
        observation = state.observations.get(token)
        if observation is None:
            plain = without(options, OptionNumber.OBSERVE)
            observation = Observation(token, plain, self._layer.parameters.max_body)
            state.observations[token] = observation
        state.prove()
        if waiting is not None:
            observation.take(waiting.message.observe or 0, waiting.at)
            self._unmatched.accept(waiting)

    def cancel_request(self, peer: Peer, token: bytes, now: float) -> bool:
        """Abandon a request, under way or queued."""
        state = self._layer.peers.states.get(peer)
        if state is None:
            return False
        for exchange in (*state.exchanges.values(), *state.backlog.values()):
            if exchange.token == token and exchange.purpose is not Purpose.FETCH:
                self._fail(state, exchange, FailureReason.CANCELLED, now)
                return True
        return False

    def unreachable(self, state: PeerState, now: float) -> None:
        """Fail everything that waits for a peer that is not there."""
        self._fail_all(state, FailureReason.UNREACHABLE, now)

    def forget(self, state: PeerState, now: float) -> None:
        """Fail everything that waits for a peer, and end its observations."""
        self._fail_all(state, FailureReason.CANCELLED, now)
        self._unmatched.forget(state.address)
        for token in list(state.observations):
            del state.observations[token]
            self._layer.events.append(ObservationEnded(peer=state.address, token=token, reason=EndReason.FORGOTTEN))

    # What the peer answers.

    def receive_response(self, message: Message, datagram: bytes, peer: Peer, now: float) -> None:
        """Take in a message with a response code."""
        state = self._layer.peers.touch(peer, now)
        if message.type is ACK:
            if state is None:
                self._layer.note_stray(peer)
            elif unsupported_critical_option(message.options) is None:
                self._receive_piggybacked(state, message, now)
            return
        reply = None
        if state is not None:
            reply = self._layer.admit(state, message.message_id, datagram, now)
            if reply is None:
                return
        if unsupported_critical_option(message.options) is not None:
            # RFC 7252 section 5.4.1: such a response is rejected.
            if message.type is CON:
                self._layer.send_reset(message.message_id, peer)
            return
        exchange = None if state is None else state.exchanges.get(message.token)
        observation = None if state is None else state.observations.get(message.token)
        if state is None or reply is None or (exchange is None and observation is None):
            self._unmatched.receive(message, datagram, reply, peer, now)
            return
        if message.type is CON:
            reply.datagram = self._layer.send_acknowledgement(message.message_id, peer)
        if exchange is not None and not _is_notification_to_cancel(exchange, message):
            state.prove()
            self._advance(state, exchange, message, now)
        elif observation is not None:
            self._receive_notification(state, observation, message, now)

    def receive_continue(self, state: PeerState, datagram: bytes, now: float) -> bool:
        """Take in a 2.31 that is exactly what was expected; return whether it was."""
        message_id = int.from_bytes(datagram[2:4], "big")
        exchange = state.transmissions.get(message_id)
        if type(exchange) is not Exchange or exchange.expected != datagram or not exchange.accept_expected():
            return False
        state.prove()
        del state.transmissions[message_id]
        self._layer.events.append(
            TransferProgress(peer=exchange.peer, token=exchange.token, sent=exchange.sent, total=exchange.total)
        )
        self._send(state, exchange, now)
        return True

    def _receive_piggybacked(self, state: PeerState, message: Message, now: float) -> None:
        transmission = state.transmissions.get(message.message_id)
        if isinstance(transmission, Exchange) and transmission.wire_token == message.token:
            state.prove()
            self._advance(state, transmission, message, now)
        elif transmission is None:
            self._layer.note_stray(state.address)
        elif transmission.is_any_answer_good:
            self._layer.acknowledged(message.message_id, state.address, now)

    def _advance(self, state: PeerState, exchange: Exchange, message: Message, now: float) -> None:
        uploading = exchange.sent < exchange.total
        step = exchange.accept(message)
        if step is Step.IGNORE:
            return
        self._layer.drop(exchange)
        noted = exchange.purpose is Purpose.OBSERVE and exchange.first is message
        if noted and not isinstance(step, FailureReason):
            self._note_observation(state, exchange, message, now)
        if step is Step.CONTINUE:
            self._report_progress(exchange, uploading=uploading)
            self._send(state, exchange, now)
        elif step is Step.COMPLETE:
            self._complete(state, exchange, now)
        else:
            assert isinstance(step, FailureReason)
            self._fail(state, exchange, step, now)

    def _note_observation(self, state: PeerState, exchange: Exchange, message: Message, now: float) -> None:
        sequence = message.observe
        if not exchange.observing or sequence is None:
            state.observations.pop(exchange.token, None)
            return
        plain = without(exchange.options, OptionNumber.OBSERVE)
        observation = Observation(exchange.token, plain, exchange.max_body)
        observation.take(sequence, now)
        state.observations[exchange.token] = observation
        # From here on the token belongs to the notifications; the blocks that are left go under another (RFC 7641
        # section 3.2).
        del state.exchanges[exchange.wire_token]
        exchange.wire_token = self._new_token(state)
        state.exchanges[exchange.wire_token] = exchange

    def _report_progress(self, exchange: Exchange, *, uploading: bool) -> None:
        if exchange.purpose is Purpose.FETCH:
            return
        if uploading and exchange.sent:
            self._layer.events.append(
                TransferProgress(peer=exchange.peer, token=exchange.token, sent=exchange.sent, total=exchange.total)
            )
        if exchange.download is not None:
            total = None if exchange.first is None else exchange.first.size2
            received = exchange.download.received
            self._layer.events.append(
                DownloadProgress(peer=exchange.peer, token=exchange.token, received=received, total=total)
            )

    # Notifications.

    def _receive_notification(self, state: PeerState, observation: Observation, message: Message, now: float) -> None:
        try:
            block2 = message.block2
        except BlockError:
            return
        sequence = message.observe
        ended = sequence is None or not is_success(message.code)
        if sequence is not None and not observation.take(sequence, now):
            return
        self._drop_fetch(state, observation, now)
        if block2 is not None and block2.more and not ended and observation.options:
            self._fetch_rest(state, observation, message, now)
            return
        self._tell_notification(state.address, observation.token, message, message.payload, sequence or 0)
        if ended:
            state.observations.pop(observation.token, None)
            self._layer.events.append(
                ObservationEnded(peer=state.address, token=observation.token, reason=EndReason.REFUSED)
            )

    def _fetch_rest(self, state: PeerState, observation: Observation, message: Message, now: float) -> None:
        parameters = self._layer.parameters
        exchange = Exchange(
            state.address,
            self,
            token=observation.token,
            method=int(Code.GET),
            options=observation.options,
            szx=parameters.block_szx,
            max_body=observation.max_body,
            restarts=parameters.max_block_restarts,
            purpose=Purpose.FETCH,
        )
        exchange.wire_token = observation.fetch = self._new_token(state)
        step = exchange.resume(message)
        if step is Step.CONTINUE:
            self._enqueue(state, exchange, now)
        elif isinstance(step, FailureReason):
            self._fail(state, exchange, step, now)

    def _drop_fetch(self, state: PeerState, observation: Observation, now: float) -> None:
        if observation.fetch is None:
            return
        exchange = state.exchanges.pop(observation.fetch, None) or state.backlog.pop(observation.fetch, None)
        observation.fetch = None
        if exchange is not None:
            self._layer.drop(exchange)
            self._start_waiting(state, now)

    def _tell_notification(self, peer: Peer, token: bytes, message: Message, payload: bytes, sequence: int) -> None:
        self._layer.events.append(
            NotificationReceived(
                peer=peer,
                token=token,
                code=named(message.code),
                options=message.options,
                payload=payload,
                message=message,
                sequence=sequence,
            )
        )

    # The course of an exchange.

    def exchange_due(self, exchange: Exchange, now: float) -> None:
        """Go on after a deadline of an exchange."""
        if exchange.paused:
            state = self._layer.peers.states.get(exchange.peer)
            if state is not None:
                self._send_now(state, exchange, now)
        elif not exchange.waiting:
            self._layer.timed_out(exchange, now)
        elif now < exchange.response_due:
            # It was received, and its separate response is lost, or is from before a reboot: that does no harm twice.
            self._send_again(exchange, now)
        else:
            self._end(exchange, FailureReason.TIMEOUT, now)

    def exchange_ended(self, exchange: Exchange, outcome: Outcome, now: float) -> None:
        """Go on after the end of the transmission of an exchange's message."""
        if outcome is Outcome.ACKNOWLEDGED:
            self._wait_for_response(exchange, now)
        elif outcome is Outcome.RESET:
            self._end(exchange, FailureReason.RESET, now)
        else:
            self._end(exchange, FailureReason.TIMEOUT, now)

    def _wait_for_response(self, exchange: Exchange, now: float) -> None:
        parameters = self._layer.parameters
        exchange.waiting = True
        if not exchange.response_due:
            exchange.response_due = now + parameters.response_timeout
        due = exchange.response_due
        patience = max(parameters.response_patience, parameters.slow_block_timeout if exchange.is_slow else 0.0)
        again = now + patience
        if exchange.may_be_sent_anew and again + parameters.max_transmit_span < due:
            due = again
        self._layer.timers.set(exchange, due)

    def _send_again(self, exchange: Exchange, now: float) -> None:
        state = self._layer.peers.states.get(exchange.peer)
        if state is not None:
            self._layer.counters.retransmitted += 1
            self._send_now(state, exchange, now)

    def _end(self, exchange: Exchange, reason: FailureReason, now: float) -> None:
        state = self._layer.peers.states.get(exchange.peer)
        if state is not None:
            self._fail(state, exchange, reason, now)

    def _enqueue(self, state: PeerState, exchange: Exchange, now: float) -> None:
        if len(state.exchanges) < self._layer.parameters.nstart and not state.backlog:
            self._start(state, exchange, now)
        else:
            state.backlog[exchange.wire_token] = exchange

    def _start(self, state: PeerState, exchange: Exchange, now: float) -> None:
        state.exchanges[exchange.wire_token] = exchange
        self._send(state, exchange, now)

    def _send(self, state: PeerState, exchange: Exchange, now: float) -> None:
        exchange.response_due = 0.0
        pause = exchange.pause()
        if pause > 0:
            exchange.paused = True
            self._layer.timers.set(exchange, now + pause)
        else:
            self._send_now(state, exchange, now)

    def _send_now(self, state: PeerState, exchange: Exchange, now: float) -> None:
        exchange.paused = False
        exchange.waiting = False
        exchange.message_id = state.next_message_id()
        try:
            datagram = exchange.next_datagram()
        except OSError:
            self._fail(state, exchange, FailureReason.BLOCK_FAILED, now)
            return
        first_wait = self._layer.parameters.slow_block_timeout if exchange.is_slow else 0.0
        self._layer.transmit(exchange, state, datagram, now, unasked=True, first_wait=first_wait)

    def _start_waiting(self, state: PeerState, now: float) -> None:
        while state.backlog and len(state.exchanges) < self._layer.parameters.nstart:
            exchange = state.backlog.pop(next(iter(state.backlog)))
            self._start(state, exchange, now)

    def _leave(self, state: PeerState, exchange: Exchange) -> None:
        self._layer.drop(exchange)
        for table in (state.exchanges, state.backlog):
            if table.get(exchange.wire_token) is exchange:
                del table[exchange.wire_token]

    def _complete(self, state: PeerState, exchange: Exchange, now: float) -> None:
        self._leave(state, exchange)
        message = exchange.first
        assert message is not None
        if exchange.purpose is Purpose.FETCH:
            # The body may be that of a later state, fetched anew because it changed; the notification is this one.
            self._tell_notification(state.address, exchange.token, message, exchange.payload, exchange.sequence)
        else:
            self._layer.events.append(
                ResponseReceived(
                    peer=exchange.peer,
                    token=exchange.token,
                    code=named(message.code),
                    options=message.options,
                    payload=exchange.payload,
                    message=message,
                    observing=exchange.purpose is Purpose.OBSERVE and exchange.observing,
                    body_size=exchange.body_size,
                )
            )
        self._start_waiting(state, now)

    def _fail(self, state: PeerState, exchange: Exchange, reason: FailureReason, now: float) -> None:
        self._leave(state, exchange)
        if exchange.purpose is Purpose.OBSERVE:
            state.observations.pop(exchange.token, None)
        self._layer.events.append(RequestFailed(peer=exchange.peer, token=exchange.token, reason=reason))
        self._start_waiting(state, now)

    def _fail_all(self, state: PeerState, reason: FailureReason, now: float) -> None:
        # The backlog is emptied first, or the end of one exchange would start the next.
        waiting = list(state.backlog.values())
        state.backlog.clear()
        for exchange in (*state.exchanges.values(), *waiting):
            self._fail(state, exchange, reason, now)

    # Tokens.

    def _checked_token(self, state: PeerState, token: bytes | None, purpose: Purpose) -> bytes:
        if token is None:
            return self._new_token(state)
        if len(token) > LONGEST_TOKEN:
            raise ValueError("a token has at most 8 bytes")
        observed = token in state.observations and purpose is Purpose.REQUEST
        if token in state.exchanges or token in state.backlog or observed:
            raise ValueError("this token is in use with this peer")
        return token

    def _new_token(self, state: PeerState) -> bytes:
        while True:
            token = self._layer.random.randbytes(_TOKEN_SIZE)
            if token not in state.exchanges and token not in state.backlog and token not in state.observations:
                return token


def _is_notification_to_cancel(exchange: Exchange, message: Message) -> bool:
    # While we wait for the answer to a cancellation its token may still bring notifications, which are not that answer.
    return exchange.purpose is Purpose.CANCEL and message.observe is not None
