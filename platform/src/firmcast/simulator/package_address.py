"""The address of a package is a URI, taken apart into a peer and what is asked of it.

For coap and coaps that is options, as RFC 7252 section 6.4 says; for http and https a request target (RFC 9112 3.2.1).
"""

from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

DEFAULT_PORTS = {"coap": 5683, "coaps": 5684, "http": 80, "https": 443}


class PackageAddressError(ValueError):
    """The text is not a URI of one of these schemes with a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageAddress:
    """Where a package is: `path` and `query` are the values of the Uri-Path and Uri-Query options.

    `target` is path and query as they are spelt.
    """

    scheme: str = "coap"
    host: str
    port: int
    path: tuple[str, ...]
    query: tuple[str, ...]
    target: str = "/"

    def without_query(self) -> "PackageAddress":
        """Return the address as a client asks for it that drops queries."""
        return replace(self, query=(), target=self.target.partition("?")[0])


def parse_package_address(uri: str) -> PackageAddress:
    """Take a URI apart. Raises PackageAddressError."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise PackageAddressError(str(error)) from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.fragment or port == 0:
        raise PackageAddressError(f"{uri[:80]!r} is not the URI of a package")
    segments = parts.path.removeprefix("/").split("/") if parts.path.removeprefix("/") else []
    return PackageAddress(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or DEFAULT_PORTS[parts.scheme],
        path=tuple(map(unquote, segments)),
        query=tuple(map(unquote, parts.query.split("&"))) if parts.query else (),
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )
