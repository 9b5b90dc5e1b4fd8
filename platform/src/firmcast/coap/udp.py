"""An endpoint on the sockets of the running loop: it moves datagrams, events and the timer, and decides nothing.

There is a socket for those who speak in clear, one for those who speak through secure sessions, or both; behind them
is one engine.
"""

import asyncio
import random as random_module
from collections.abc import Callable
from functools import partial
from typing import Any

from firmcast.clock import SystemClock
from firmcast.coap.block import LARGEST_SZX, BlockSink
from firmcast.coap.codes import Code
from firmcast.coap.datagram_socket import RECEIVE_BUFFER, DatagramSocket, MakeSocket, bind
from firmcast.coap.dtls.layer import Deliver, Ended, SecureLayer, Transmit
from firmcast.coap.dtls.peers import SECURE_PEER_LENGTH, is_secure
from firmcast.coap.endpoint import Endpoint
from firmcast.coap.events import (
    Event,
    FailureReason,
    ObservationId,
    Peer,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
)
from firmcast.coap.exchange import BlockPace
from firmcast.coap.options import Options
from firmcast.coap.parameters import TransmissionParameters
from firmcast.coap.static_bodies import StaticBody
from firmcast.coap.turns import take_each

_ENDS = (ResponseReceived, RequestFailed)


_BITS_ABOVE_SZX = 6
"""A fragment of 512 bytes, a number of ten bits, takes blocks of 256, which is exponent 4."""


class RequestFailedError(Exception):
    """A request ended without a response, for `reason`."""

    def __init__(self, reason: FailureReason) -> None:
        super().__init__(f"the request got no response: {reason.value}")
        self.reason = reason


class UdpEndpoint:
    """An Endpoint on UDP sockets of the running loop. Every call but `request` and `observe` is immediate."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        on_event: Callable[[Event], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self.endpoint = endpoint
        self._clear: DatagramSocket | None = None
        self._secure: DatagramSocket | None = None
        self._layer: SecureLayer | None = None
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._clock = clock
        self._awaited: dict[tuple[Peer, bytes], asyncio.Future[ResponseReceived]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._flushing = False
        self._closed = False

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        *,
        on_event: Callable[[Event], None] | None = None,
        clock: Callable[[], float] | None = None,
        parameters: TransmissionParameters | None = None,
        random: random_module.Random | None = None,
        receive_buffer: int = RECEIVE_BUFFER,
        reuse_port: bool = False,
    ) -> "UdpEndpoint":
        """Bind a socket and begin to serve it; port 0 takes a free one. Raises OSError when the address cannot be had.

        `clock` returns monotonic seconds; `random` draws message ids, tokens and waits, and by default is the system's.
        """
        udp = cls.closed(on_event=on_event, clock=clock, parameters=parameters, random=random)
        await udp.listen(host, port, receive_buffer=receive_buffer, reuse_port=reuse_port)
        return udp

    @classmethod
    def closed(
        cls,
        *,
        on_event: Callable[[Event], None] | None = None,
        clock: Callable[[], float] | None = None,
        parameters: TransmissionParameters | None = None,
        random: random_module.Random | None = None,
    ) -> "UdpEndpoint":
        """Return one without a socket, for `listen` and `listen_securely`; arguments as in `open`."""
        endpoint = Endpoint(random=random or random_module.SystemRandom(), parameters=parameters)
        return cls(endpoint, on_event=on_event, clock=clock or SystemClock().monotonic)

    async def listen(
        self,
        host: str,
        port: int,
        *,
        receive_buffer: int = RECEIVE_BUFFER,
        reuse_port: bool = False,
        make_socket: MakeSocket = DatagramSocket,
    ) -> None:
        """Serve those who speak in clear. Raises OSError when the address cannot be had."""
        sock = await bind(host, port, receive_buffer=receive_buffer, reuse_port=reuse_port)
        self._clear = make_socket(sock, turn_ended=self.flush, refused=self._unreachable, clock=self._clock)
        self._clear.start(partial(take_each, self.endpoint.receive))

    async def listen_securely(
        self,
        host: str,
        port: int,
        make: Callable[[Deliver, Transmit, Ended], SecureLayer],
        *,
        receive_buffer: int = RECEIVE_BUFFER,
        reuse_port: bool = False,
        make_socket: MakeSocket = DatagramSocket,
    ) -> None:
        """Serve those who speak through the sessions of a layer. Raises OSError when the address cannot be had.

        The engine forgets a peer when its session ends: what goes on in the next one is told anew.
        """
        sock = await bind(host, port, receive_buffer=receive_buffer, reuse_port=reuse_port)
        # A peer whose address refuses is left to the deadlines: the address alone does not say who it is.
        self._secure = make_socket(sock, turn_ended=self.flush, refused=lambda _: None, clock=self._clock)
        self._layer = make(self.endpoint.receive, self._secure.send, self.endpoint.forget)
        self._secure.start(self._layer.receive_all)

    @property
    def address(self) -> Peer:
        """Where those who speak in clear are listened to: host and port, and two more fields for IPv6.

        Without such a socket it is that of the secure one.
        """
        listening = self._clear or self._secure
        if listening is None:
            raise RuntimeError("there is no socket")
        return listening.address

    @property
    def clear_address(self) -> Peer | None:
        """Where those who speak in clear are listened to; None for nowhere."""
        return None if self._clear is None else self._clear.address

    @property
    def secure_address(self) -> Peer | None:
        """Where secure sessions are listened to; None for nowhere."""
        return None if self._secure is None else self._secure.address

    def now(self) -> float:
        """The time that the endpoint is told."""
        return self._clock()

    def close(self, *, silently: bool = False) -> None:
        """End secure sessions, saying so unless `silently`, and close the sockets; awaited requests fail as CANCELLED.

        Closing twice is allowed.
        """
        if self._closed:
            return
        if self._layer is not None and not silently:
            self._layer.close(self._clock())
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for sock in (self._clear, self._secure):
            if sock is not None:
                sock.close()
        for future in self._awaited.values():
            if not future.done():
                future.set_exception(RequestFailedError(FailureReason.CANCELLED))
        self._awaited.clear()

    def has_session(self, peer: Peer) -> bool:
        """Tell whether a secure peer has a session; one in clear has none."""
        return self._layer is not None and is_secure(peer) and self._layer.has_session(peer)

    def largest_szx(self, peer: Peer) -> int:
        """Return the exponent of the largest blocks that a peer takes: half as long as a fragment, which has a head."""
        longest = self._layer.longest_message(peer) if self._layer is not None and is_secure(peer) else None
        return LARGEST_SZX if longest is None else min(LARGEST_SZX, longest.bit_length() - _BITS_ABOVE_SZX)

    # The client role.

    async def request(
        self,
        peer: Peer,
        method: Code,
        *,
        options: Options = (),
        payload: bytes | StaticBody = b"",
        confirmable: bool = True,
        token: bytes | None = None,
        szx: int | None = None,
        max_body: int | None = None,
        whole: bool = True,
        sink: BlockSink | None = None,
        pace: BlockPace | None = None,
        slow: bool = False,
    ) -> ResponseReceived:
        """Ask and wait for the response, of whatever code; fields as in `Endpoint.request`. Raises RequestFailedError.

        A cancelled call abandons its request.
        """
        largest = self.largest_szx(peer)
        token = self.endpoint.request(
            peer,
            method,
            options=options,
            payload=payload,
            now=self._clock(),
            confirmable=confirmable,
            token=token,
            szx=largest if szx is None else min(szx, largest),
            max_body=max_body,
            whole=whole,
            sink=sink,
            pace=pace,
            slow=slow,
        )
        return await self._response(peer, token)

    async def observe(self, peer: Peer, options: Options, token: bytes | None = None) -> ResponseReceived:
        """Begin an observation and wait for its first response; notifications then come as events."""
        return await self._response(peer, self.endpoint.observe(peer, options, self._clock(), token))

    async def cancel_observation(self, peer: Peer, token: bytes) -> ResponseReceived | None:
        """Ask the peer to stop notifying and wait for its answer; None when there was no such observation."""
        if not self.endpoint.cancel_observation(peer, token, self._clock()):
            return None
        return await self._response(peer, token)

    def adopt_observation(self, peer: Peer, token: bytes, *, options: Options = ()) -> None:
        """As `Endpoint.adopt_observation`."""
        self.endpoint.adopt_observation(peer, token, options=options, now=self._clock())
        self.flush()

    async def _response(self, peer: Peer, token: bytes) -> ResponseReceived:
        if self._closed:
            raise RequestFailedError(FailureReason.CANCELLED)
        future: asyncio.Future[ResponseReceived] = self._loop.create_future()
        self._awaited[peer, token] = future
        self.flush()
        try:
            return await future
        except asyncio.CancelledError:
            if not self._closed:
                self.endpoint.cancel_request(peer, token, self._clock())
                self.flush()
            raise
        finally:
            if self._awaited.get((peer, token)) is future:
                del self._awaited[peer, token]

    # The server role.

    def respond(
        self,
        request: RequestReceived,
        code: int,
        *,
        options: Options = (),
        payload: bytes = b"",
        confirmable: bool | None = None,
    ) -> bool:
        """As `Endpoint.respond`."""
        answered = self.endpoint.respond(
            request, code, options=options, payload=payload, now=self._clock(), confirmable=confirmable
        )
        self.flush()
        return answered

    def acknowledge(self, request: RequestReceived) -> None:
        """As `Endpoint.acknowledge`."""
        self.endpoint.acknowledge(request, self._clock())
        self.flush()

    def notify(
        self,
        observation: ObservationId,
        code: int = Code.CONTENT,
        options: Options = (),
        payload: bytes = b"",
        *,
        confirmable: bool = False,
    ) -> bool:
        """As `Endpoint.notify`."""
        told = self.endpoint.notify(observation, code, options, payload, now=self._clock(), confirmable=confirmable)
        self.flush()
        return told

    def forget(self, peer: Peer) -> None:
        """As `Endpoint.forget`."""
        self.endpoint.forget(peer, self._clock())
        self.flush()

    def end_session(self, peer: Peer) -> None:
        """End the secure session with a peer, if there is one, and say so."""
        if self._layer is not None and not self._closed:
            self._layer.end_session(peer, self._clock())
            self.flush()

    # The course of things.

    def flush(self) -> None:
        """Send and tell what the endpoint has ready, and set the timer: wanted after any direct call to `endpoint`."""
        if self._flushing or self._closed:
            return
        self._flushing = True
        try:
            endpoint = self.endpoint
            now = self._clock()
            while not self._closed:
                through_sessions: list[tuple[bytes, Peer]] = []
                for outgoing in endpoint.take_datagrams():
                    datagram, peer = outgoing
                    if len(peer) == SECURE_PEER_LENGTH:
                        through_sessions.append(outgoing)
                    elif self._clear is None:
                        self._unreachable(peer)
                    else:
                        self._clear.send(datagram, peer)
                if through_sessions:
                    self._send_through_sessions(through_sessions, now)
                events = endpoint.take_events()
                if not events:
                    break
                for event in events:
                    self._tell(event)
        finally:
            self._flushing = False
        if not self._closed:
            self._set_timer()

    def _send_through_sessions(self, messages: list[tuple[bytes, Peer]], now: float) -> None:
        unreachable = [peer for _, peer in messages] if self._layer is None else self._layer.send_all(messages, now)
        for peer in unreachable:
            self._unreachable(peer)

    def _unreachable(self, peer: Peer) -> None:
        self.endpoint.unreachable(peer, self._clock())

    def _tell(self, event: Event) -> None:
        if type(event) in _ENDS:
            assert isinstance(event, _ENDS)
            future = self._awaited.pop((event.peer, event.token), None)
            if future is not None:
                _settle(future, event)
                return
        if self._on_event is None or self._closed:
            return
        # One handler's fault must not cost the other events.
        try:
            self._on_event(event)
        except Exception as error:
            context: dict[str, Any] = {"message": "a handler of CoAP events failed", "exception": error}
            self._loop.call_exception_handler(context)

    def _set_timer(self) -> None:
        due = self.endpoint.next_timer()
        if self._layer is not None:
            due = _earlier(due, self._layer.next_timer())
        if self._timer is not None:
            if due is not None and self._timer_at <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer_at = due
            self._timer = self._loop.call_later(max(0.0, due - self._clock()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._clock()
        if self._layer is not None:
            self._layer.handle_timer(now)
        self.endpoint.handle_timer(now)
        self.flush()


def _earlier(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _settle(future: "asyncio.Future[ResponseReceived]", event: ResponseReceived | RequestFailed) -> None:
    if future.done():
        return
    if isinstance(event, ResponseReceived):
        future.set_result(event)
    else:
        future.set_exception(RequestFailedError(event.reason))
