"""A peer of a secure session is its socket address and who it proved to be; nobody else is the same peer.

So whatever the engine keeps of a peer (repeats, observations, half a body) never passes from one device to another that
later sends from the same address, nor from a secure session to somebody who sends in clear.
"""

from typing import Final

from firmcast.coap.events import Peer

SECURE_PEER_LENGTH: Final = 5
"""By its length the tuple of a secure peer differs from any socket address."""


def secure_peer(address: Peer, identity: str) -> Peer:
    """Return the peer behind a socket address of IPv4 or IPv6 that holds the key of `identity`."""
    host, port, *more = address
    flow, scope = more or (0, 0)
    return host, port, flow, scope, identity


def is_secure(peer: Peer) -> bool:
    """Tell whether a peer is reached through a secure session only."""
    return len(peer) == SECURE_PEER_LENGTH


def identity_of(peer: Peer) -> str | None:
    """Return who a peer proved to be; None for one that speaks in clear."""
    return peer[4] if len(peer) == SECURE_PEER_LENGTH else None


def address_of(peer: Peer) -> Peer:
    """Return the socket address that datagrams to a peer go to."""
    if len(peer) != SECURE_PEER_LENGTH:
        return peer
    return peer[:4] if ":" in peer[0] else peer[:2]
