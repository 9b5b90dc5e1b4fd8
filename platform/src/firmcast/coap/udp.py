"""The one module of `coap` that touches a socket: it moves datagrams, events and the timer, and decides nothing.

The socket is read directly, up to 64 datagrams a turn of the loop: a DatagramProtocol reads one a turn and costs four
times as much. IP_RECVERR stays off, so an ICMP error reaches nobody's poll and cannot stop the reader, on asyncio and
uvloop alike.
"""

import asyncio
import random as random_module
import socket
from collections.abc import Callable
from typing import Any

from firmcast.clock import SystemClock
from firmcast.coap.block import BlockSink
from firmcast.coap.codes import Code
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
from firmcast.coap.options import Options
from firmcast.coap.parameters import TransmissionParameters
from firmcast.coap.static_bodies import StaticBody

_TURN = 64
_LONGEST_DATAGRAM = 4096
_MOST_UNSENT = 10_000
RECEIVE_BUFFER = 4 << 20
_ENDS = (ResponseReceived, RequestFailed)


class RequestFailedError(Exception):
    """A request ended without a response, for `reason`."""

    def __init__(self, reason: FailureReason) -> None:
        super().__init__(f"the request got no response: {reason.value}")
        self.reason = reason


class UdpEndpoint:
    """An Endpoint on a UDP socket of the running loop. Every call but `request` and `observe` is immediate."""

    def __init__(
        self,
        sock: socket.socket,
        endpoint: Endpoint,
        *,
        on_event: Callable[[Event], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self.endpoint = endpoint
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._clock = clock
        self._awaited: dict[tuple[Peer, bytes], asyncio.Future[ResponseReceived]] = {}
        self._unsent: list[tuple[bytes, Peer]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._flushing = False
        self._closed = False
        self._loop.add_reader(sock.fileno(), self._read)

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
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(address)
        except BaseException:
            sock.close()
            raise
        endpoint = Endpoint(random=random or random_module.SystemRandom(), parameters=parameters)
        return cls(sock, endpoint, on_event=on_event, clock=clock or SystemClock().monotonic)

    @property
    def address(self) -> Peer:
        """The socket's own address: host and port, and two more fields for IPv6."""
        bound: Peer = self._socket.getsockname()
        return bound

    def now(self) -> float:
        """The time that the endpoint is told."""
        return self._clock()

    def close(self) -> None:
        """Close the socket without a word to anybody; awaited requests fail as CANCELLED. Closing twice is allowed."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._socket.close()
        for future in self._awaited.values():
            if not future.done():
                future.set_exception(RequestFailedError(FailureReason.CANCELLED))
        self._awaited.clear()

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
    ) -> ResponseReceived:
        """Ask and wait for the response, of whatever code; fields as in `Endpoint.request`. Raises RequestFailedError.

        A cancelled call abandons its request.
        """
        token = self.endpoint.request(
            peer,
            method,
            options=options,
            payload=payload,
            now=self._clock(),
            confirmable=confirmable,
            token=token,
            szx=szx,
            max_body=max_body,
            whole=whole,
            sink=sink,
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

    # The course of things.

    def flush(self) -> None:
        """Send and tell what the endpoint has ready, and set the timer: wanted after any direct call to `endpoint`."""
        if self._flushing or self._closed:
            return
        self._flushing = True
        try:
            endpoint = self.endpoint
            while not self._closed:
                for datagram, peer in endpoint.take_datagrams():
                    self._send(datagram, peer)
                events = endpoint.take_events()
                if not events:
                    break
                for event in events:
                    self._tell(event)
        finally:
            self._flushing = False
        if not self._closed:
            self._set_timer()

    def _read(self) -> None:
        receive_from = self._socket.recvfrom
        receive = self.endpoint.receive
        now = self._clock()
        for _ in range(_TURN):
            try:
                datagram, peer = receive_from(_LONGEST_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                # An error of an earlier datagram, of whom it is not said; the socket goes on.
                continue
            receive(datagram, peer, now)
        self.flush()

    def _send(self, datagram: bytes, peer: Peer) -> None:
        if self._unsent:
            self._queue(datagram, peer)
            return
        try:
            self._socket.sendto(datagram, peer)
        except (BlockingIOError, InterruptedError):
            self._queue(datagram, peer)
            self._loop.add_writer(self._socket.fileno(), self._write)
        except ConnectionRefusedError:
            # The error belongs to an earlier datagram, perhaps to another peer; retransmission covers this one.
            return
        except OSError:
            self.endpoint.unreachable(peer, self._clock())

    def _queue(self, datagram: bytes, peer: Peer) -> None:
        # Beyond the bound a datagram is lost, as the network might have lost it.
        if len(self._unsent) < _MOST_UNSENT:
            self._unsent.append((datagram, peer))

    def _write(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        waiting, self._unsent = self._unsent, []
        for datagram, peer in waiting:
            self._send(datagram, peer)
        self.flush()

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
        self.endpoint.handle_timer(self._clock())
        self.flush()


def _settle(future: "asyncio.Future[ResponseReceived]", event: ResponseReceived | RequestFailed) -> None:
    if future.done():
        return
    if isinstance(event, ResponseReceived):
        future.set_result(event)
    else:
        future.set_exception(RequestFailedError(event.reason))
