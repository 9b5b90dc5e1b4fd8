"""How a device reaches its server, by one socket: in clear, or through secure sessions where it has a key."""

import socket
from collections.abc import Callable
from random import Random

from firmcast.coap.dtls.client import DtlsClient
from firmcast.coap.dtls.layer import Deliver, Ended, Transmit
from firmcast.coap.endpoint import Endpoint
from firmcast.coap.events import Event, Peer
from firmcast.coap.parameters import TransmissionParameters
from firmcast.coap.udp import UdpEndpoint
from firmcast.simulator.network import PERFECT, Network
from firmcast.simulator.network_socket import NetworkSocket
from firmcast.simulator.sleep import SleepHabit, SleepyEndpoint

_RECEIVE_BUFFER = 256 << 10
"""A device hears one server, and thousands of devices may share a machine."""


class Transport:
    """One socket of one device. Made by `open`."""

    def __init__(self, udp: UdpEndpoint, network: Network) -> None:
        self.udp = udp
        self._network = network
        self._socket: NetworkSocket | None = None
        self._client: DtlsClient | None = None

    @classmethod
    async def open(
        cls,
        host: str,
        *,
        identity: str,
        key: bytes | None,
        on_event: Callable[[Event], None],
        on_session_ended: Callable[[], None] = lambda: None,
        clock: Callable[[], float],
        parameters: TransmissionParameters,
        random: Random,
        network: Network | None = None,
        habit: SleepHabit | None = None,
        on_missed: Callable[[], None] = lambda: None,
    ) -> "Transport":
        """Open a socket on a free port of `host`; with a `key`, secure sessions under `identity`.

        Without a `network` it is a perfect one. With a `habit` it is deaf while the device sleeps, and `on_missed` is
        called for what it misses. Raises OSError, and ValueError for an identity that no session can carry.
        """
        endpoint = (
            Endpoint(random=random, parameters=parameters)
            if habit is None
            else SleepyEndpoint(habit, clock=clock, on_missed=on_missed, random=random, parameters=parameters)
        )
        self = cls(UdpEndpoint(endpoint, on_event=on_event, clock=clock), network or Network(PERFECT, random))
        if key is None:
            await self.udp.listen(host, 0, receive_buffer=_RECEIVE_BUFFER, make_socket=self._make_socket)
            return self
        secret = key

        def make(deliver: Deliver, transmit: Transmit, ended: Ended) -> DtlsClient:
            def over(peer: Peer, now: float) -> None:
                ended(peer, now)
                on_session_ended()

            self._client = DtlsClient(identity=identity, key=secret, deliver=deliver, transmit=transmit, ended=over)
            return self._client

        try:
            await self.udp.listen_securely(host, 0, make, receive_buffer=_RECEIVE_BUFFER, make_socket=self._make_socket)
        except BaseException:
            self.udp.close()
            raise
        return self

    def _make_socket(
        self,
        sock: socket.socket,
        *,
        turn_ended: Callable[[], None],
        refused: Callable[[Peer], None],
        clock: Callable[[], float],
    ) -> NetworkSocket:
        self._socket = NetworkSocket(sock, turn_ended=turn_ended, refused=refused, clock=clock, network=self._network)
        return self._socket

    def rebind(self) -> None:
        """Go on from another port without a word to the server, as behind a NAT that forgot this one."""
        if self._socket is not None:
            self._socket.rebind()

    @property
    def scheme(self) -> str:
        """That of the URIs which can be fetched."""
        return "coap" if self._client is None else "coaps"

    def peer(self, address: Peer) -> Peer:
        """Return the server at a socket address."""
        return address if self._client is None else self._client.peer(address)

    def unanswered(self, peer: Peer) -> None:
        """Note that a server does not answer: perhaps it has lost the session, so the next request makes another."""
        if self._client is not None:
            self._client.forget(peer, self.udp.now())
            self.udp.flush()
