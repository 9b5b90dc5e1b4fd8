"""The HTTP library is named here alone, and imported only when a client is made: receivers do without it."""

import importlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from firmcast_sdk.client.address import PlatformAddress
from firmcast_sdk.client.call import Request
from firmcast_sdk.errors import (
    ClientExtraMissingError,
    NotReachedError,
    TransportError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    import httpx2

USER_AGENT: Final = "firmcast-sdk"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOptions:
    """How the platform is reached, one HTTP/1.1 request at a time on each connection.

    Proxies and certificate files that the environment names are not used: what is not said here does not happen.

    Raises:
        ValueError: a time-out is not positive, or a number below 1.
    """

    connect_timeout: timedelta = timedelta(seconds=10)
    """For the connection, TLS included."""

    read_timeout: timedelta = timedelta(seconds=30)
    """For each wait for bytes of the answer, and for each write of the request."""

    total_timeout: timedelta | None = timedelta(seconds=60)
    """For one try from its start to the last byte of its answer; None for no limit. The blocking client looks at it
    whenever bytes of a body have come."""

    verify: bool | str | Path | ssl.SSLContext = True
    """True: the system's certificate authorities; a path: those of a PEM file; False: no verification, for trials."""

    client_certificate: tuple[str, str] | str | None = None
    """PEM file of certificate and key, or a pair of files."""

    proxy: str | None = None
    """URL of an HTTP proxy, http:// or https://, with name and password in it when it wants them."""

    connections: int = 20
    """Open at one time; further calls of the same client wait for a free one."""

    largest_answer: int = 16 * 2**20
    """Bytes of an answer; a longer one is an UnexpectedAnswerError."""

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "read_timeout", "total_timeout"):
            value = getattr(self, name)
            if value is not None and value <= timedelta():
                raise ValueError(f"{name} must be positive")
        for name in ("connections", "largest_answer"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")


def http_library() -> Any:
    """The HTTP library; raises ClientExtraMissingError when it is not installed."""
    try:
        return importlib.import_module("httpx2")
    except ImportError as error:
        raise ClientExtraMissingError("the client needs firmcast-sdk[client]") from error


def client_arguments(address: PlatformAddress, options: TransportOptions) -> dict[str, Any]:
    """What either client of the HTTP library is made with."""
    library = http_library()
    connect, read = options.connect_timeout.total_seconds(), options.read_timeout.total_seconds()
    if options.total_timeout is not None:
        connect, read = (min(one, options.total_timeout.total_seconds()) for one in (connect, read))
    return {
        "base_url": address.url,
        "headers": {"user-agent": USER_AGENT, "accept": "application/json", "accept-encoding": "identity"},
        "timeout": library.Timeout(connect=connect, read=read, write=read, pool=read),
        "limits": library.Limits(
            max_connections=options.connections, max_keepalive_connections=options.connections, keepalive_expiry=5
        ),
        "verify": _context(options),
        "proxy": options.proxy,
        "follow_redirects": False,
        "trust_env": False,
    }


def request_arguments(request: Request) -> dict[str, Any]:
    """What the HTTP library is to send."""
    return {
        "method": request.method,
        "url": request.target,
        "headers": request.headers,
        "content": request.body or None,
    }


def lower_case(headers: "httpx2.Headers") -> Mapping[str, str]:
    """The headers of an answer by their names in lower case."""
    return {name.lower(): value for name, value in headers.items()}


def transport_error(request: Request, error: Exception) -> TransportError:
    """What the HTTP library's `error` means for the caller: above all whether the request can have arrived."""
    library = http_library()
    never_sent = (
        library.ConnectError,
        library.ConnectTimeout,
        library.PoolTimeout,
        library.ProxyError,
        library.UnsupportedProtocol,
        library.LocalProtocolError,
    )
    kind = NotReachedError if isinstance(error, never_sent) else TransportError
    return kind(f"{request.method} {request.path}: {str(error) or type(error).__name__}")


def too_late(request: Request) -> TransportError:
    """The total time-out has passed."""
    return TransportError(f"{request.method} {request.path}: not answered in full within the total time-out")


def too_long(status: int, limit: int) -> UnexpectedAnswerError:
    """The answer has more bytes than are read."""
    return UnexpectedAnswerError(f"the answer is longer than {limit} bytes", status=status)


def _context(options: TransportOptions) -> ssl.SSLContext:
    match options.verify:
        case ssl.SSLContext():
            context = options.verify
        case True:
            context = ssl.create_default_context()
        case False:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        case _:
            context = ssl.create_default_context(cafile=str(options.verify))
    match options.client_certificate:
        case str() as both:
            context.load_cert_chain(both)
        case (certificate, key):
            context.load_cert_chain(certificate, key)
        case None:
            pass
    return context
