"""What stands between a socket and the engine, as both of them see it; server and client are two such."""

from collections.abc import Callable, Iterable
from typing import Protocol

from firmcast.coap.events import Peer
from firmcast.coap.turns import Turn

Deliver = Callable[[bytes, Peer, float], None]
"""Takes a message, the secure peer that sent it, and now."""

Transmit = Callable[[bytes, Peer], None]
"""Takes a datagram and the socket address that it goes to."""

Ended = Callable[[Peer, float], None]
"""Takes the secure peer whose session is over, and now."""


class SecureLayer(Protocol):
    """Datagrams, messages and `now` go in; datagrams and messages come out by callables that it was made with."""

    def receive_all(self, datagrams: Turn, now: float) -> None:
        """Take in the datagrams of a turn, each with its socket address. Never raises on their content."""
        ...

    def send_all(self, messages: Iterable[tuple[bytes, Peer]], now: float) -> list[Peer]:
        """Send messages, each to its peer; return those peers that cannot be reached."""
        ...

    def has_session(self, peer: Peer) -> bool:
        """Tell whether there is a session with a peer."""
        ...

    def longest_message(self, peer: Peer) -> int | None:
        """Return how long a message a peer takes at the most, None where it did not say."""
        ...

    def next_timer(self) -> float | None:
        """When `handle_timer` is wanted next, or None when nothing waits."""
        ...

    def handle_timer(self, now: float) -> None:
        """Do everything that is due."""
        ...

    def end_session(self, peer: Peer, now: float) -> None:
        """End the session with a peer, if there is one, and say so."""
        ...

    def close(self, now: float) -> None:
        """End every session, and say so."""
        ...
