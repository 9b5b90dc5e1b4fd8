"""An Endpoint is one socket's CoAP: datagrams, calls and `now` go in; datagrams, events and a deadline come out.

It never blocks, never reads a clock and holds no more than its parameters allow. The driver's contract: after every
call, send what `take_datagrams` returns, handle what `take_events` returns, and call `handle_timer` when `next_timer`
has come.
"""

import random as random_module

from firmcast.coap.block import BlockSink
from firmcast.coap.client import ClientRole
from firmcast.coap.codes import ACK, CON, RST, Code, is_response
from firmcast.coap.events import (
    DownloadProgress,
    EndReason,
    Event,
    FailureReason,
    NotificationReceived,
    NotificationUnmatched,
    ObservationEnded,
    ObservationId,
    Peer,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
    StrayReceived,
    TransferProgress,
    UploadProgress,
)
from firmcast.coap.exchange import BlockPace
from firmcast.coap.message import HEADER_SIZE, Message, MessageFormatError, decode
from firmcast.coap.message_layer import Counters, MessageLayer
from firmcast.coap.options import Options
from firmcast.coap.parameters import TransmissionParameters
from firmcast.coap.server import ServerRole, UploadRoute
from firmcast.coap.static_bodies import (
    STATIC_HEADS,
    BlockServed,
    StaticBody,
    StaticHandler,
    StaticRequest,
)

_CONTINUE = bytes((Code.CONTINUE,))


class Endpoint:
    """Both roles of CoAP over one socket (RFC 7252, RFC 7641, RFC 7959), without I/O."""

    def __init__(
        self,
        *,
        random: random_module.Random,
        parameters: TransmissionParameters | None = None,
    ) -> None:
        self._layer = MessageLayer(random=random, parameters=parameters or TransmissionParameters())
        self._client = ClientRole(self._layer)
        self._server = ServerRole(self._layer)
        self._states = self._layer.peers.states
        self._static_handler: StaticHandler | None = None
        self._block_served: BlockServed | None = None

    # What the driver calls.

    def receive(self, datagram: bytes, peer: Peer, now: float) -> None:
        """Take in one datagram. Never raises on its content."""
        self._layer.counters.received += 1
        state = self._states.get(peer)
        if state is not None and state.memo is not None:
            # The fast path: a block of a static body, asked for with the options that this peer used before. No
            # decoding, no events and no deduplication: a GET of unchanging bytes has the same answer each time (RFC
            # 7252 section 4.5).
            known = STATIC_HEADS.get(datagram[:2])
            memo = state.memo
            if known is not None and datagram.startswith(memo.prefix, known[1]) and self._static_handler:
                head, start = known
                body = self._static_handler(memo.request, peer)
                if body is not None:
                    if body is not memo.body:
                        memo.bind(body)
                    found = memo.tails.get(datagram[start + memo.length :])
                    if found is not None:
                        tail, offset, length = found
                        self._layer.outgoing.append((head + datagram[2:start] + tail, peer))
                        if self._block_served is not None:
                            self._block_served(peer, memo.request.uri_path, offset, length, body.size)
                        return
        if state is not None and datagram[1:2] == _CONTINUE and self._client.receive_continue(state, datagram, now):
            return
        self._receive_decoded(datagram, peer, now)

    def unreachable(self, peer: Peer, now: float) -> None:
        """Note that the network refused a datagram to `peer`: what waits for that peer fails or ends."""
        state = self._states.get(peer)
        if state is not None:
            self._client.unreachable(state, now)
            self._server.unreachable(state)

    def handle_timer(self, now: float) -> None:
        """Do everything that is due at `now`."""
        self._layer.timers.run(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` is wanted next, or None when nothing waits."""
        return self._layer.timers.next_due()

    def take_datagrams(self) -> list[tuple[bytes, Peer]]:
        """Return, and forget, what is to be sent, in order."""
        outgoing = self._layer.outgoing
        if not outgoing:
            return []
        taken = outgoing[:]
        outgoing.clear()
        return taken

    def take_events(self) -> list[Event]:
        """Return, and forget, what happened, in order."""
        events = self._layer.events
        if not events:
            return []
        taken = events[:]
        events.clear()
        return taken

    # The client role.

    def request(
        self,
        peer: Peer,
        method: Code,
        *,
        options: Options = (),
        payload: bytes | StaticBody = b"",
        now: float,
        confirmable: bool = True,
        token: bytes | None = None,
        szx: int | None = None,
        max_body: int | None = None,
        whole: bool = True,
        sink: BlockSink | None = None,
        pace: BlockPace | None = None,
        slow: bool = False,
    ) -> bytes:
        """Ask `peer` and return the request's token; its end is one ResponseReceived or RequestFailed.

        A payload larger than a block travels by Block1, with a cursor of its own over shared bytes; a StaticBody may
        be larger than memory. A response in blocks is fetched to its end, up to `max_body` bytes; `options` may hold
        a Block2 option to begin elsewhere, and with `whole=False` only that one block is fetched. A `sink` takes the
        body's bytes as (offset, bytes) instead of `payload`; it may be called again from offset 0 when the body
        changed under way. `szx` bounds the block size in both directions. `pace` tells how long each block of the
        payload has to wait; `slow` that the peer may take `slow_block_timeout` with its first block, and its last.

        Raises ValueError for a token already in use with this peer and BacklogFullError when too many requests wait
        for it.
        """
        return self._client.request(
            peer,
            method,
            options=options,
            payload=payload,
            now=now,
            confirmable=confirmable,
            token=token,
            szx=szx,
            max_body=max_body,
            whole=whole,
            sink=sink,
            pace=pace,
            slow=slow,
        )

    def cancel_request(self, peer: Peer, token: bytes, now: float) -> bool:
        """Abandon a request of ours: RequestFailed with CANCELLED follows. False when there is none."""
        return self._client.cancel_request(peer, token, now)

    def observe(
        self, peer: Peer, options: Options, now: float, token: bytes | None = None, *, max_body: int | None = None
    ) -> bytes:
        """Ask to observe a resource (GET with Observe 0); return the token of its notifications."""
        return self._client.observe(peer, options, now, token, max_body=max_body)

    def cancel_observation(self, peer: Peer, token: bytes, now: float) -> bool:
        """Stop observing by a GET with Observe 1, whose end is told as for any request; False when there is none."""
        return self._client.cancel_observation(peer, token, now)

    def forget_observation(self, peer: Peer, token: bytes, now: float) -> None:
        """Stop observing without a word: the next notification is unmatched, and reset."""
        self._client.forget_observation(peer, token, now)

    def adopt_observation(self, peer: Peer, token: bytes, *, options: Options = (), now: float | None = None) -> None:
        """Accept notifications of an observation made before a restart or from another address.

        A NotificationUnmatched that waits for this is acknowledged. `options` are those of the observing request;
        without them a notification that needs further blocks is told with its first block only.
        """
        self._client.adopt_observation(peer, token, options=options, now=now)

    # The server role.

    def respond(
        self,
        request: RequestReceived,
        code: int,
        *,
        options: Options = (),
        payload: bytes = b"",
        now: float,
        confirmable: bool | None = None,
    ) -> bool:
        """Answer a request: in its acknowledgement if that is not out yet, else by a message of its own.

        A payload larger than a block is served block by block; its later blocks raise no events while it is held.
        Returns False, and does nothing, when the request was answered before or is no longer known. `confirmable`
        chooses the type of a separate response; by default it is that of the request.
        """
        return self._server.respond(request, code, options=options, payload=payload, now=now, confirmable=confirmable)

    def acknowledge(self, request: RequestReceived, now: float) -> None:
        """Send the empty acknowledgement now; the response follows separately."""
        self._server.acknowledge(request, now)

    def take_leave(self, request: RequestReceived) -> None:
        """Know nothing more of what the sender of `request` said before it: the same bytes are new from now on.

        A device that left and was started anew may count its message ids, and its tokens, from where it once began.
        """
        state = self._states.get(request.peer)
        if state is not None:
            state.replies.keep_only(request.message.message_id)

    def accept_observation(self, request: RequestReceived) -> ObservationId:
        """Register the sender of a request with Observe 0; call it before `respond`, which adds the Observe option."""
        return self._server.accept_observation(request)

    def notify(
        self,
        observation: ObservationId,
        code: int = Code.CONTENT,
        options: Options = (),
        payload: bytes = b"",
        *,
        now: float,
        confirmable: bool = False,
    ) -> bool:
        """Tell an observer the resource's present state; an error code ends the observation. False when it has ended.

        While a confirmable notification waits for its acknowledgement the newest one waits behind it and replaces any
        other.
        """
        return self._server.notify(observation, code, options, payload, now=now, confirmable=confirmable)

    def end_observation(self, observation: ObservationId) -> None:
        """Drop an observer without a word to it and without an event."""
        self._server.end_observation(observation)

    def fast_route(self, handler: StaticHandler, on_block_served: BlockServed | None = None) -> None:
        """Answer GETs for which `handler(request, peer)` returns a StaticBody inside `receive`, without events.

        `handler` is called for every block and must be quick; None passes the request on as an event.
        `on_block_served(peer, path, offset, length, total)` is called after each block, repeats included.
        """
        self._static_handler = handler
        self._block_served = on_block_served
        self._server.fast_route(handler, on_block_served)

    def upload_route(self, handler: UploadRoute) -> None:
        """Let `handler(message, peer)` name a sink for a body that begins, or a code of refusal; None assembles it."""
        self._server.upload_route(handler)

    # Both.

    def vouch(self, peer: Peer) -> None:
        """Take a peer for real, since it knows what only somebody at its address, or at its former one, was told.

        Until then, or until it answers a message of ours, it is sent no more unasked than `amplification` allows.
        """
        state = self._states.get(peer)
        if state is not None:
            state.prove()

    def vouch_for_bodies(self, peer: Peer) -> None:
        """Send a peer whatever it asks for, since somebody on its host was shown to ask for such things.

        Until then, or until it acknowledges a response, a body that is `amplification` times longer than what asked
        for it is held back, as `held_back` says.
        """
        state = self._states.get(peer)
        if state is not None:
            state.want_bodies()

    def takes_bodies(self, peer: Peer) -> bool:
        """Tell whether whatever a peer asks for is sent as it is, and not held back."""
        state = self._states.get(peer)
        return state is None or state.takes_bodies

    def forget(self, peer: Peer, now: float) -> None:
        """Drop everything of a peer; its requests fail as CANCELLED and its observations end as FORGOTTEN."""
        state = self._states.get(peer)
        if state is not None:
            self._client.forget(state, now)
            self._server.forget(state)
            self._layer.peers.remove(state)

    @property
    def counters(self) -> Counters:
        """What was counted since the start, for metrics."""
        return self._layer.counters

    @property
    def peer_count(self) -> int:
        """How many peers are remembered."""
        return len(self._states)

    def _receive_decoded(self, datagram: bytes, peer: Peer, now: float) -> None:
        try:
            message = decode(datagram)
        except MessageFormatError:
            self._reject_malformed(datagram, peer)
            return
        code = message.code
        kind = message.type
        if kind is RST:
            self._receive_reset(message, peer, now)
        elif code == 0:
            self._receive_empty(message, peer, now)
        elif code < 32 and kind is not ACK:
            self._server.receive_request(message, datagram, peer, now)
        elif is_response(code):
            self._client.receive_response(message, datagram, peer, now)
        elif kind is CON:
            self._layer.send_reset(message.message_id, peer)

    def _reject_malformed(self, datagram: bytes, peer: Peer) -> None:
        # RFC 7252 section 4.2: a confirmable message with a format error is rejected by a reset; the rest, and other
        # versions (section 3), in silence.
        self._layer.counters.malformed += 1
        if len(datagram) >= HEADER_SIZE and datagram[0] >> 4 == 0x4:
            self._layer.send_reset(datagram[2] << 8 | datagram[3], peer)

    def _receive_empty(self, message: Message, peer: Peer, now: float) -> None:
        if message.type is CON:
            self._layer.send_reset(message.message_id, peer)
        elif message.type is ACK:
            self._layer.acknowledged(message.message_id, peer, now)

    def _receive_reset(self, message: Message, peer: Peer, now: float) -> None:
        if message.code == Code.EMPTY and not self._layer.reset(message.message_id, peer, now):
            self._server.reset_notification(message.message_id, peer)


__all__ = [
    "DownloadProgress",
    "EndReason",
    "Endpoint",
    "Event",
    "FailureReason",
    "NotificationReceived",
    "NotificationUnmatched",
    "ObservationEnded",
    "ObservationId",
    "Peer",
    "RequestFailed",
    "RequestReceived",
    "ResponseReceived",
    "StaticBody",
    "StaticRequest",
    "StrayReceived",
    "TransferProgress",
    "UploadProgress",
]
