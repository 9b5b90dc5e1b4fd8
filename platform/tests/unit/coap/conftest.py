"""Two endpoints on a virtual clock, with a network between them that loses, repeats and reorders as its seed says."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

import pytest

from firmcast.coap.endpoint import Endpoint, Event, Peer, RequestReceived
from firmcast.coap.message import Message, decode, encode
from firmcast.coap.parameters import TransmissionParameters

CLIENT: Peer = ("client", 1)
SERVER: Peer = ("server", 5683)


class Network:
    """`handler(request)` is called for what the server is asked; everything told to either side is kept."""

    def __init__(
        self,
        *,
        seed: int = 1,
        loss: float = 0.0,
        repeats: float = 0.0,
        delay: tuple[float, float] = (0.01, 0.01),
        client: TransmissionParameters | None = None,
        server: TransmissionParameters | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.loss = loss
        self.repeats = repeats
        self.delay = delay
        self.now = 0.0
        self.client = Endpoint(random=random.Random(seed + 1), parameters=client)
        self.server = Endpoint(random=random.Random(seed + 2), parameters=server)
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []
        self.sent: list[tuple[Peer, bytes]] = []
        self.handler: Callable[[RequestReceived], None] = lambda request: None
        self._wire: list[tuple[float, int, Peer, bytes, Peer]] = []
        self._plans: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        self._serial += 1
        heappush(self._plans, (when, self._serial, action))

    def run(self, *, until: float = float("inf"), most: int = 200_000) -> None:
        """Go on until nothing is under way, or the clock has reached `until`."""
        for _ in range(most):
            self._collect()
            times = [self.client.next_timer(), self.server.next_timer()]
            times += [queue[0][0] for queue in (self._wire, self._plans) if queue]
            due = [time for time in times if time is not None]
            if not due or min(due) > until:
                if until != float("inf"):
                    self.now = max(self.now, until)
                return
            self.now = max(self.now, min(due))
            self._deliver()
            self.client.handle_timer(self.now)
            self.server.handle_timer(self.now)
            while self._plans and self._plans[0][0] <= self.now:
                heappop(self._plans)[2]()
        raise AssertionError("the engines never come to rest")

    def messages(self, sender: Peer) -> list[Message]:
        """Everything that one side sent, lost or not."""
        return [decode(datagram) for source, datagram in self.sent if source == sender]

    def _deliver(self) -> None:
        while self._wire and self._wire[0][0] <= self.now:
            _, _, source, datagram, target = heappop(self._wire)
            endpoint = self.client if target == CLIENT else self.server
            endpoint.receive(datagram, source, self.now)

    def _collect(self) -> None:
        busy = True
        while busy:
            busy = False
            for endpoint, address, told in (
                (self.client, CLIENT, self.client_events),
                (self.server, SERVER, self.server_events),
            ):
                for datagram, target in endpoint.take_datagrams():
                    self._put(datagram, address, target)
                events = endpoint.take_events()
                told.extend(events)
                busy = busy or bool(events)
                if address == SERVER:
                    for event in events:
                        if isinstance(event, RequestReceived):
                            self.handler(event)

    def _put(self, datagram: bytes, source: Peer, target: Peer) -> None:
        self.sent.append((source, datagram))
        copies = 1 + (self.random.random() < self.repeats)
        for _ in range(copies):
            if self.random.random() >= self.loss:
                self._serial += 1
                arrival = self.now + self.random.uniform(*self.delay)
                heappush(self._wire, (arrival, self._serial, source, datagram, target))


@dataclass
class Lone:
    """One endpoint, and a peer whose every message the test writes by hand."""

    endpoint: Endpoint
    peer: Peer = ("peer", 1)
    now: float = 0.0
    events: list[Event] = field(default_factory=list)

    def give(self, message: Message | bytes, peer: Peer | None = None) -> list[Message]:
        """Hand in a message; return what the endpoint sends."""
        datagram = message if isinstance(message, bytes) else encode(message)
        self.endpoint.receive(datagram, peer or self.peer, self.now)
        return self.taken()

    def wait(self, seconds: float) -> list[Message]:
        """Let time pass, firing what is due; return what the endpoint sends."""
        end = self.now + seconds
        sent = []
        while (due := self.endpoint.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.endpoint.handle_timer(self.now)
            sent += self.taken()
        self.now = end
        return sent

    def taken(self) -> list[Message]:
        """Return what the endpoint has ready to send."""
        self.events += self.endpoint.take_events()
        return [decode(datagram) for datagram, _ in self.endpoint.take_datagrams()]

    def told(self) -> list[Event]:
        """Return what the endpoint told since the last call."""
        self.events += self.endpoint.take_events()
        told, self.events = self.events, []
        return told


@pytest.fixture(scope="session")
def network() -> type[Network]:
    return Network


@pytest.fixture(scope="session")
def lone() -> Callable[..., Lone]:
    def build(**parameters: float) -> Lone:
        chosen = TransmissionParameters(**parameters)  # type: ignore[arg-type]  # each test knows its field's type
        return Lone(Endpoint(random=random.Random(7), parameters=chosen))

    return build
