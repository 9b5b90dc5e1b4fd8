"""A UDP socket of the running loop, drained: it moves datagrams and decides nothing.

The socket is read directly, up to 64 datagrams a turn of the loop: a DatagramProtocol reads one a turn and costs four
times as much. They are handed over together, since a processor does one thing many times faster than many things in
turns. IP_RECVERR stays off, so an ICMP error reaches nobody's poll and cannot stop the reader, on asyncio and uvloop
alike.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Final, Protocol

from firmcast.coap.events import Peer
from firmcast.coap.turns import Turn

RECEIVE_BUFFER: Final = 4 << 20
_TURN: Final = 64
_LONGEST_DATAGRAM: Final = 4096
_MOST_UNSENT: Final = 10_000
_IP_MTU_DISCOVER: Final = 10
_IP_PMTUDISC_DONT: Final = 0
"""Both as in linux/in.h; the module `socket` has neither."""

Receive = Callable[[Turn, float], None]
"""Takes datagrams with the addresses that they came from, and now."""


class MakeSocket(Protocol):
    """What serves a bound socket: DatagramSocket, or one that stands something between it and the peers."""

    def __call__(
        self,
        sock: socket.socket,
        *,
        turn_ended: Callable[[], None],
        refused: Callable[[Peer], None],
        clock: Callable[[], float],
    ) -> "DatagramSocket":
        """Return what serves the socket; arguments as of DatagramSocket."""
        ...


class DatagramSocket:
    """One bound socket, read from `start` until `close`."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        turn_ended: Callable[[], None],
        refused: Callable[[Peer], None],
        clock: Callable[[], float],
    ) -> None:
        """Take a socket; `refused` is called with an address that the network does not let us send to."""
        self._socket = sock
        self._receive: Receive
        self._turn_ended = turn_ended
        self._refused = refused
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._unsent: list[tuple[bytes, Peer]] = []

    def start(self, receive: Receive) -> None:
        """Begin to read: `receive(datagrams, now)` for those of a turn, and then `turn_ended`."""
        self._receive = receive
        self._loop.add_reader(self._socket.fileno(), self._read)

    @property
    def address(self) -> Peer:
        """The socket's own address: host and port, and two more fields for IPv6."""
        bound: Peer = self._socket.getsockname()
        return bound

    def replace(self, sock: socket.socket) -> None:
        """Go on with another socket, non-blocking and bound; what comes to the present one is lost."""
        self.close()
        self._socket = sock
        self._loop.add_reader(sock.fileno(), self._read)
        if self._unsent:
            self._loop.add_writer(sock.fileno(), self._write)

    def close(self) -> None:
        """Close the socket without a word to anybody."""
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()

    def send(self, datagram: bytes, address: Peer) -> None:
        """Send a datagram, now or as soon as the socket takes it."""
        if self._unsent:
            self._queue(datagram, address)
            return
        try:
            self._socket.sendto(datagram, address)
        except (BlockingIOError, InterruptedError):
            self._queue(datagram, address)
            self._loop.add_writer(self._socket.fileno(), self._write)
        except ConnectionRefusedError:
            # The error belongs to an earlier datagram, perhaps to another peer; retransmission covers this one.
            return
        except OSError:
            self._refused(address)

    def _read(self) -> None:
        receive_from = self._socket.recvfrom
        now = self._clock()
        datagrams: list[tuple[bytes, Peer]] = []
        for _ in range(_TURN):
            try:
                datagrams.append(receive_from(_LONGEST_DATAGRAM))
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                # An error of an earlier datagram, of whom it is not said; the socket goes on.
                continue
        try:
            self._receive(iter(datagrams), now)
        finally:
            self._turn_ended()

    def _queue(self, datagram: bytes, address: Peer) -> None:
        # Beyond the bound a datagram is lost, as the network might have lost it.
        if len(self._unsent) < _MOST_UNSENT:
            self._unsent.append((datagram, address))

    def _write(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        waiting, self._unsent = self._unsent, []
        for datagram, address in waiting:
            self.send(datagram, address)
        self._turn_ended()


async def bind(
    host: str, port: int, *, receive_buffer: int = RECEIVE_BUFFER, reuse_port: bool = False
) -> socket.socket:
    """Return a UDP socket bound to an address; port 0 takes a free one. Raises OSError when it cannot be had."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if sys.platform == "linux":
            # Routers may cut a datagram in pieces; marked otherwise it is lost for good on a narrow way that hides why.
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock
