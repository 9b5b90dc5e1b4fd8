"""Handshakes under way: how many, of whom, and which has to go for a newer one."""

from collections import OrderedDict
from enum import Enum, auto
from typing import Protocol

from OpenSSL import SSL

from firmcast.coap.dtls.parameters import DtlsParameters
from firmcast.coap.events import Peer
from firmcast.coap.timers import Timed


class KeyState(Enum):
    """What is known of the key that a handshake needs."""

    UNASKED = auto()
    AWAITED = auto()
    KNOWN = auto()


class Handshake(Timed):
    """One handshake with an address that returned its cookie."""

    __slots__ = (
        "address",
        "connection",
        "deadline",
        "held",
        "identity",
        "key",
        "key_state",
        "longest_message",
        "random",
        "server",
        "taken",
    )

    def __init__(
        self, server: "HandshakeOwner", connection: SSL.Connection, address: Peer, random: bytes, deadline: float
    ) -> None:
        super().__init__()
        self.server = server
        self.connection = connection
        self.address = address
        self.random = random
        """Of its ClientHello: tells a repeat from another handshake."""
        self.deadline = deadline
        self.longest_message: int | None = None
        """What the client takes at the most, where it says so."""
        self.identity = b""
        self.key: bytes | None = None
        self.key_state = KeyState.UNASKED
        self.held: list[bytes] = []
        """Datagrams that wait for the key."""
        self.taken = 0
        """How many datagrams were given to OpenSSL."""

    def fire(self, now: float) -> None:
        """Send again what was lost, or give up."""
        self.server.handshake_due(self, now)


class HandshakeOwner(Protocol):
    """Who is told that a handshake's time has come."""

    def handshake_due(self, handshake: Handshake, now: float) -> None:
        """Take care of it."""
        ...


class Handshakes:
    """The handshakes of one server, oldest first."""

    def __init__(self, parameters: DtlsParameters) -> None:
        self._parameters = parameters
        self._all: OrderedDict[Peer, Handshake] = OrderedDict()
        self._of_host: dict[str, OrderedDict[Peer, Handshake]] = {}
        self._of_identity: dict[bytes, list[Handshake]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def get(self, address: Peer) -> Handshake | None:
        """Return the handshake with an address."""
        return self._all.get(address)

    def to_give_up_for(self, address: Peer) -> Handshake | None:
        """Return the handshake that has to go before one with `address` is added, None where there is room.

        It is the oldest of the host that has most of them: behind the address of a NAT there may be thousands of
        devices, which have all the room that nobody else wants.
        """
        if len(self._all) < self._parameters.half_open_limit:
            return None
        own = self._of_host.get(address[0])
        most = max(self._of_host.values(), key=len)
        crowded = own if own is not None and len(own) >= len(most) else most
        return next(iter(crowded.values()))

    def add(self, handshake: Handshake) -> None:
        """Take in a handshake."""
        self._all[handshake.address] = handshake
        self._of_host.setdefault(handshake.address[0], OrderedDict())[handshake.address] = handshake

    def name(self, handshake: Handshake, identity: bytes) -> None:
        """Note who a handshake says it is."""
        handshake.identity = identity
        self._of_identity.setdefault(identity, []).append(handshake)

    def identities(self) -> list[bytes]:
        """Return all who are named."""
        return list(self._of_identity)

    def of_identity(self, identity: bytes) -> list[Handshake]:
        """Return the handshakes that say they are `identity`."""
        return list(self._of_identity.get(identity, ()))

    def remove(self, handshake: Handshake) -> None:
        """Forget a handshake."""
        address = handshake.address
        if self._all.get(address) is handshake:
            del self._all[address]
            of_host = self._of_host[address[0]]
            del of_host[address]
            if not of_host:
                del self._of_host[address[0]]
        named = self._of_identity.get(handshake.identity, [])
        if handshake in named:
            named.remove(handshake)
            if not named:
                del self._of_identity[handshake.identity]
