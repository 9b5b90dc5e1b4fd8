"""A UDP socket behind a network that loses, delays and rebinds; with perfect conditions it only counts."""

import asyncio
import socket
from collections.abc import Callable

from firmcast.coap.datagram_socket import DatagramSocket, Receive
from firmcast.coap.events import Peer
from firmcast.coap.turns import Turn
from firmcast.simulator.network import PERFECT, Network


class NetworkSocket(DatagramSocket):
    """As DatagramSocket, with a `network` between it and the peers."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        turn_ended: Callable[[], None],
        refused: Callable[[Peer], None],
        clock: Callable[[], float],
        network: Network,
    ) -> None:
        super().__init__(sock, turn_ended=turn_ended, refused=refused, clock=clock)
        self._network = network
        self._is_perfect = network.conditions == PERFECT
        self._deliver: Receive
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        network.bound()

    def start(self, receive: Receive) -> None:
        self._deliver = receive
        super().start(self._count if self._is_perfect else self._arrived)

    def close(self) -> None:
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        super().close()

    def send(self, datagram: bytes, address: Peer) -> None:
        now = self._clock()
        if self._is_perfect:
            counters = self._network.counters
            counters.sent += 1
            counters.bytes_sent += len(datagram)
            super().send(datagram, address)
            return
        if self._network.send(datagram, address, now):
            self.rebind()
        self._move(now)

    def rebind(self) -> None:
        """Go on from another port, as behind a NAT that forgot this one; what is on its way to it is lost."""
        if self._is_closed:
            return
        self.replace(another_port(self.address))
        self._is_closed = False
        self._network.counters.rebindings += 1
        self._set_timer(self._clock())

    def _count(self, datagrams: Turn, now: float) -> None:
        received = list(datagrams)
        counters = self._network.counters
        counters.received += len(received)
        counters.bytes_received += sum(len(datagram) for datagram, _ in received)
        self._deliver(iter(received), now)

    def _arrived(self, datagrams: Turn, now: float) -> None:
        for datagram, address in datagrams:
            self._network.arrive(datagram, address, now)
            self._move(now)

    def _move(self, now: float) -> None:
        for moved in self._network.due(now):
            if self._is_closed:
                return
            if moved.outward:
                super().send(moved.datagram, moved.address)
            else:
                self._deliver(iter([(moved.datagram, moved.address)]), now)
        self._set_timer(now)

    def _set_timer(self, now: float) -> None:
        due = self._network.next_due()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_later(max(0.0, due - now), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._move(self._clock())
        self._turn_ended()


def another_port(address: Peer) -> socket.socket:
    """Return a socket on another free port of the same host. Raises OSError when there is none."""
    family = socket.AF_INET if len(address) == 2 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind((address[0], 0, *address[2:]))
    except BaseException:
        sock.close()
        raise
    return sock
