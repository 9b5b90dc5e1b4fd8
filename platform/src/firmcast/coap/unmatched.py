"""A notification that nobody here asked for waits a moment for the application to claim it, and then is reset.

After a restart, or a change of the device's address, such a notification belongs to an observation that is worth
keeping: a reset would end it at the device (RFC 7641 section 3.6).
"""

from firmcast.coap.codes import CON, is_success, named
from firmcast.coap.deduplication import Reply
from firmcast.coap.events import NotificationUnmatched, Peer
from firmcast.coap.message import Message
from firmcast.coap.message_layer import MessageLayer
from firmcast.coap.timers import Timed


class Unmatched(Timed):
    """A notification that waits to be adopted."""

    __slots__ = ("_owner", "at", "message", "peer", "reply")

    def __init__(self, owner: "UnmatchedNotifications", peer: Peer, message: Message, reply: Reply, at: float) -> None:
        super().__init__()
        self._owner = owner
        self.peer = peer
        self.message = message
        self.reply = reply
        self.at = at

    def fire(self, now: float) -> None:
        self._owner.due(self, now)


class UnmatchedNotifications:
    """The notifications that wait, by peer and token."""

    __slots__ = ("_layer", "_waiting")

    def __init__(self, layer: MessageLayer) -> None:
        self._layer = layer
        self._waiting: dict[tuple[Peer, bytes], Unmatched] = {}

    def receive(self, message: Message, datagram: bytes, reply: Reply | None, peer: Peer, now: float) -> None:
        """Take in a response that matches nothing: keep a notification, reset or ignore anything else.

        `reply` is the place for its reply where the peer is known already.
        """
        sequence = message.observe
        layer = self._layer
        full = len(self._waiting) >= layer.parameters.max_unmatched
        wanted = sequence is not None and is_success(message.code) and not full
        if wanted and reply is None:
            state = layer.state_of_caller(peer, now)
            reply = None if state is None else layer.admit(state, message.message_id, datagram, now)
        if not wanted or reply is None or sequence is None:
            layer.note_stray(peer)
            if message.type is CON:
                rejection = layer.send_reset(message.message_id, peer)
                if reply is not None:
                    reply.datagram = rejection
            return
        previous = self._waiting.pop((peer, message.token), None)
        if previous is not None:
            layer.timers.clear(previous)
        waiting = self._waiting[peer, message.token] = Unmatched(self, peer, message, reply, now)
        layer.timers.set(waiting, now + layer.parameters.unmatched_timeout)
        layer.events.append(
            NotificationUnmatched(
                peer=peer,
                token=message.token,
                code=named(message.code),
                options=message.options,
                payload=message.payload,
                message=message,
                sequence=sequence,
            )
        )

    def take(self, peer: Peer, token: bytes) -> Unmatched | None:
        """Return, and forget, what waits for this adoption."""
        waiting = self._waiting.pop((peer, token), None)
        if waiting is not None:
            self._layer.timers.clear(waiting)
        return waiting

    def accept(self, waiting: Unmatched) -> None:
        """Acknowledge an adopted notification where it asks for it."""
        if waiting.message.type is CON:
            message_id = waiting.message.message_id
            waiting.reply.datagram = self._layer.send_acknowledgement(message_id, waiting.peer)

    def due(self, waiting: Unmatched, _now: float) -> None:
        """Reset a notification that nobody adopted, so that its sender stops."""
        self._waiting.pop((waiting.peer, waiting.message.token), None)
        waiting.reply.datagram = self._layer.send_reset(waiting.message.message_id, waiting.peer)

    def forget(self, peer: Peer) -> None:
        """Drop what waits from one peer."""
        for key in [key for key in self._waiting if key[0] == peer]:
            self._layer.timers.clear(self._waiting.pop(key))
