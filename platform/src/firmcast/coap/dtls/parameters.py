"""Every number that bounds secure sessions in time or memory is a field here; and what can become of a handshake."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, kw_only=True)
class DtlsParameters:
    """Times in seconds, limits in counts or bytes."""

    handshake_deadline: float = 30.0
    """From a valid cookie to the end of the handshake. With a wrong key it never ends: DTLS drops what it cannot
    verify, and neither side says so."""
    half_open_limit: int = 1024
    """Handshakes under way at one time; beyond it the oldest of the host that has most of them is given up."""
    session_limit: int = 10_000
    """Sessions at one time, at some 4 KiB each; beyond it the one that was silent longest ends."""
    sessions_of_identity: int = 4
    """The same for one identity; a device that came from another port leaves its former session behind."""
    idle_limit: float = 86_400.0
    """A session of which nothing is heard for so long ends."""
    cookie_life: float = 60.0
    """How long a cookie is taken at least."""
    datagrams_of_handshake: int = 64
    """Datagrams taken of one handshake; one without losses has two."""
    held_datagrams: int = 8
    """Datagrams of one handshake that wait for its key to be looked up."""
    largest_datagram: int = 1232
    """Bytes of a datagram of a handshake: what IPv6 carries everywhere (RFC 8200 section 5) less the headers."""


class HandshakeOutcome(Enum):
    """What became of a handshake, or of a datagram that belongs to none."""

    COMPLETED = "completed"
    UNKNOWN_IDENTITY = "unknown_identity"
    """No key is known for who it said it is; it was told so (alert 115)."""
    STALLED = "stalled"
    """It did not end before the deadline: the key is wrong, or the peer is gone."""
    CROWDED_OUT = "crowded_out"
    """Given up for a newer one."""
    REPLACED = "replaced"
    """The peer began again."""
    REVOKED = "revoked"
    """The key was replaced, or its device deleted, while it was under way."""
    FAILED = "failed"
    """No common suite, or a message that is none."""
    CHALLENGED = "challenged"
    """A hello without a valid cookie was answered by one; nothing was kept."""
    STRAY = "stray"
    """A datagram of no session and no handshake was dropped."""
