"""What came in one turn of the loop is taken in one by one, and a fault over one of them costs none of the others."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from firmcast.coap.events import Peer

Turn: TypeAlias = Iterator[tuple[bytes, Peer]]
"""Datagrams or messages, each with whom it came from, in order."""


def take_each(take: Callable[[bytes, Peer, float], None], turn: Turn, now: float) -> None:
    """Let `take` have each of them; where it raises, the others come before that is told."""
    try:
        for content, peer in turn:
            take(content, peer, now)
    except Exception:
        take_each(take, turn, now)
        raise
