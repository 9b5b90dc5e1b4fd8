"""An answer tells what one attempt came to; it judges nothing."""

from enum import Enum

import msgspec

SNIPPET_BYTES = 1024
"""How much of an answer's body is kept for the log."""


class FailureKind(Enum):
    """Why an attempt ended without an HTTP status."""

    BLOCKED = "blocked"
    """The destination rules forbid every address that the host has, or the operator's proxy forbids the host."""

    UNRESOLVED = "unresolved"
    """The host name has no address, or the resolver did not say."""

    CONNECT = "connect"
    """The connection was refused, or the host cannot be reached."""

    CONNECT_TIMEOUT = "connect_timeout"
    """No connection, TLS included, within the time allowed for it."""

    TLS = "tls"
    """No trusted TLS connection: certificate, host name, protocol or client certificate."""

    TIMEOUT = "timeout"
    """Connected, but no status before the attempt's deadline."""

    CONNECTION_LOST = "connection_lost"
    """The connection ended before a status was received."""

    PROTOCOL = "protocol"
    """What came back is not HTTP."""

    PROXY = "proxy"
    """The operator's proxy cannot be reached or does not know us: it says nothing of the receiver."""

    LOCAL = "local"
    """Our own fault (no file descriptor, no memory, shutting down): it says nothing of the receiver."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The outcome of one attempt; exactly one of `status` and `failure` is set."""

    status: int | None
    """The final HTTP status; known as soon as the head of the answer is complete, whatever its body does."""

    failure: FailureKind | None
    retry_after: str | None = None
    """The value of `Retry-After` as received, when the status is 429 or 503."""

    snippet: bytes = b""
    """The first bytes of the answer's body, at most SNIPPET_BYTES."""

    address: str | None = None
    """The IP address dialled, when there was a connection; the proxy's where one is used."""

    duration: float
    """Seconds from the start of the attempt to its end."""

    detail: str = ""
    """What the HTTP library says of a failure, for the log."""
