"""An observer is told the newest state, one confirmable notification at a time, until it says no (RFC 7641)."""

from firmcast.coap.block import Block
from firmcast.coap.codes import MessageType, OptionNumber, is_success
from firmcast.coap.events import EndReason, ObservationEnded, ObservationId
from firmcast.coap.held_responses import HeldResponses
from firmcast.coap.message import Message, encode
from firmcast.coap.message_layer import MessageLayer
from firmcast.coap.observation import ConfirmableNotification, Observer
from firmcast.coap.options import Options, encode_uint, with_option
from firmcast.coap.peers import PeerState
from firmcast.coap.reception import PendingRequest, request_key
from firmcast.coap.transmission import Outcome

_REMEMBERED_NOTIFICATIONS = 16
_END_REASONS = {Outcome.RESET: EndReason.RESET, Outcome.TIMEOUT: EndReason.TIMEOUT}


class Observers:
    """Everybody who observes a resource of ours."""

    __slots__ = ("_by_id", "_held", "_last_id", "_layer")

    def __init__(self, layer: MessageLayer, held: HeldResponses) -> None:
        self._layer = layer
        self._held = held
        self._by_id: dict[ObservationId, Observer] = {}
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def accept(self, state: PeerState, pending: PendingRequest) -> ObservationId:
        """Register the sender of a request as an observer."""
        message = pending.message
        previous = state.observers.get(message.token)
        if previous is not None:
            self._end(state, previous, EndReason.REPLACED)
        while len(state.observers) >= self._layer.parameters.max_observations_per_peer:
            self._end(state, next(iter(state.observers.values())), EndReason.FORGOTTEN)
        self._last_id += 1
        observation = ObservationId(self._last_id)
        asked = message.block2
        szx = self._layer.parameters.block_szx if asked is None else asked.szx
        observer = Observer(observation, state.address, message.token, request_key(message), szx)
        self._by_id[observation] = observer
        state.observers[message.token] = observer
        pending.observation = observation
        return observation

    def options_of_answer(self, observation: ObservationId, code: int, options: Options) -> Options:
        """Return the options of the response that begins an observation; an error ends it before it began."""
        observer = self._by_id.get(observation)
        if observer is None:
            return options
        if not is_success(code):
            self.end(observation)
            return options
        return with_option(options, OptionNumber.OBSERVE, encode_uint(observer.next_sequence()))

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
        """Tell one observer the present state."""
        observer = self._by_id.get(observation)
        if observer is None:
            return False
        if observer.in_flight is not None:
            observer.waiting = (code, options, payload, confirmable)
        else:
            self._send(observer, code, options, payload, now=now, confirmable=confirmable)
        return True

    def end(self, observation: ObservationId) -> None:
        """Drop an observer without an event."""
        observer = self._by_id.get(observation)
        if observer is not None:
            self._silence(observer)
            self._remove(self._layer.peers.states.get(observer.peer), observer)

    def cancel(self, state: PeerState, token: bytes) -> None:
        """End the observation that a peer named by its token, if there is one."""
        observer = state.observers.get(token)
        if observer is not None:
            self._end(state, observer, EndReason.CANCELLED)

    def end_all(self, state: PeerState, reason: EndReason) -> None:
        """End all observations of one peer."""
        for observer in list(state.observers.values()):
            self._end(state, observer, reason)

    def reset(self, state: PeerState, message_id: int) -> None:
        """Note a reset of a non-confirmable notification."""
        observer = state.notified.pop(message_id, None)
        if observer is not None and observer.id in self._by_id:
            self._end(state, observer, EndReason.RESET)

    def notification_due(self, notification: ConfirmableNotification, now: float) -> None:
        """Go on after the deadline of a confirmable notification."""
        self._layer.timed_out(notification, now)

    def notification_ended(self, observer: Observer, outcome: Outcome, now: float) -> None:
        """Go on after a confirmable notification."""
        observer.in_flight = None
        reason = _END_REASONS.get(outcome)
        state = self._layer.peers.states.get(observer.peer)
        if reason is not None:
            if state is not None and observer.id in self._by_id:
                self._end(state, observer, reason)
        elif observer.waiting is not None:
            code, options, payload, confirmable = observer.waiting
            observer.waiting = None
            self._send(observer, code, options, payload, now=now, confirmable=confirmable)

    def _send(
        self, observer: Observer, code: int, options: Options, payload: bytes, *, now: float, confirmable: bool
    ) -> None:
        layer = self._layer
        state = layer.state_of(observer.peer, now)
        since = observer.confirmed_at
        if since is None:
            observer.confirmed_at = since = now
        confirmable = confirmable or now - since >= layer.parameters.notification_confirm_interval
        if is_success(code):
            options = with_option(options, OptionNumber.OBSERVE, encode_uint(observer.next_sequence()))
        asked = Block(0, more=False, szx=observer.szx)
        code, options, payload = self._held.first_block(state, observer.key, asked, code, options, payload, now)
        message_id = state.next_message_id()
        kind = MessageType.CON if confirmable else MessageType.NON
        datagram = encode(Message(kind, int(code), message_id, observer.token, options, payload))
        if confirmable:
            observer.confirmed_at = now
            observer.in_flight = notification = ConfirmableNotification(observer.peer, self, observer)
            notification.message_id = message_id
            layer.transmit(notification, state, datagram, now)
        else:
            while len(state.notified) >= _REMEMBERED_NOTIFICATIONS:
                del state.notified[next(iter(state.notified))]
            state.notified[message_id] = observer
            layer.outgoing.append((datagram, observer.peer))
        if not is_success(code):
            self._remove(state, observer)

    def _end(self, state: PeerState, observer: Observer, reason: EndReason) -> None:
        self._silence(observer)
        self._remove(state, observer)
        self._layer.events.append(
            ObservationEnded(peer=state.address, token=observer.token, reason=reason, observation=observer.id)
        )

    def _silence(self, observer: Observer) -> None:
        if observer.in_flight is not None:
            self._layer.drop(observer.in_flight)
            observer.in_flight = None

    def _remove(self, state: PeerState | None, observer: Observer) -> None:
        self._by_id.pop(observer.id, None)
        observer.waiting = None
        if state is not None and state.observers.get(observer.token) is observer:
            del state.observers[observer.token]
