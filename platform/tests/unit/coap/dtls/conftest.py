"""A server and clients of secure sessions on a network in memory, with a clock that the test moves."""

from collections import Counter
from collections.abc import Callable

import pytest

from firmcast.coap.dtls.client import DtlsClient
from firmcast.coap.dtls.parameters import DtlsParameters, HandshakeOutcome
from firmcast.coap.dtls.server import DtlsServer
from firmcast.coap.events import Peer

SERVER: Peer = ("192.0.2.1", 5684)
KEY = bytes(range(16))


class Network:
    """Datagrams go back and forth until none is left."""

    def __init__(self, parameters: DtlsParameters) -> None:
        self.now = 1000.0
        self.keys: dict[str, bytes] = {"device-1": KEY}
        self.answers_look_ups = True
        self.looked_up: list[str] = []
        self.outcomes: Counter[HandshakeOutcome] = Counter()
        self.ended: list[Peer] = []
        self.at_server: list[tuple[bytes, Peer]] = []
        self.at_clients: list[tuple[bytes, Peer]] = []
        self.clients: dict[Peer, DtlsClient] = {}
        self.sent: list[tuple[bytes, Peer]] = []
        """Every datagram of the server, and to whom."""
        self.to_server: list[tuple[bytes, Peer]] = []
        self.to_clients: list[tuple[bytes, Peer]] = []
        self.server = DtlsServer(
            deliver=lambda message, peer, _: self.at_server.append((message, peer)),
            transmit=self._transmit,
            ended=lambda peer, _: self.ended.append(peer),
            look_up=self._look_up,
            count=lambda outcome: self.outcomes.update([outcome]),
            parameters=parameters,
        )

    def client(self, identity: str = "device-1", key: bytes = KEY, address: Peer = ("192.0.2.9", 40000)) -> DtlsClient:
        """Return a client that has just been switched on at an address."""
        made = DtlsClient(
            identity=identity,
            key=key,
            deliver=lambda message, _peer, _now: self.at_clients.append((message, address)),
            transmit=lambda datagram, _: self.to_server.append((datagram, address)),
            ended=lambda _peer, _now: None,
        )
        self.clients[address] = made
        return made

    def run(self) -> None:
        """Let everything arrive."""
        while self.to_server or self.to_clients:
            if self.to_server:
                self.server.receive(*self.to_server.pop(0), self.now)
            else:
                datagram, address = self.to_clients.pop(0)
                if address in self.clients:
                    self.clients[address].receive(datagram, SERVER, self.now)

    def speak(self, client: DtlsClient, message: bytes = b"hello") -> None:
        """Send a message, and let everything arrive."""
        client.send(message, client.peer(SERVER), self.now)
        self.run()

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and do what is due."""
        self.now += seconds
        self.server.handle_timer(self.now)
        self.run()

    def hello(self, address: Peer) -> bytes:
        """Return the ClientHello with which a new client at an address begins; nobody gets it."""
        client = self.client("x", b"y", address)
        client.send(b"", client.peer(SERVER), self.now)
        del self.clients[address]
        return self.to_server.pop()[0]

    def _transmit(self, datagram: bytes, address: Peer) -> None:
        self.sent.append((datagram, address))
        self.to_clients.append((datagram, address))

    def _look_up(self, identity: str) -> None:
        self.looked_up.append(identity)
        if self.answers_look_ups:
            self.server.key_found(identity, self.keys.get(identity), self.now)


@pytest.fixture
def make_network() -> Callable[..., Network]:
    return lambda **limits: Network(DtlsParameters(**limits))


@pytest.fixture
def network(make_network: Callable[..., Network]) -> Network:
    return make_network()
