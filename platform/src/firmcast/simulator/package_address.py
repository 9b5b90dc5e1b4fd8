"""The address of a package is a coap or coaps URI, taken apart into a peer and options as RFC 7252 section 6.4 says."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

DEFAULT_PORTS = {"coap": 5683, "coaps": 5684}


class PackageAddressError(ValueError):
    """The text is not a coap or coaps URI with a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageAddress:
    """Where a package is: `path` and `query` are the values of the Uri-Path and Uri-Query options."""

    scheme: str = "coap"
    host: str
    port: int
    path: tuple[str, ...]
    query: tuple[str, ...]


def parse_package_address(uri: str) -> PackageAddress:
    """Take a coap or coaps URI apart. Raises PackageAddressError."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise PackageAddressError(str(error)) from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.fragment or port == 0:
        raise PackageAddressError(f"{uri[:80]!r} is not a coap or coaps URI")
    segments = parts.path.removeprefix("/").split("/") if parts.path.removeprefix("/") else []
    return PackageAddress(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or DEFAULT_PORTS[parts.scheme],
        path=tuple(map(unquote, segments)),
        query=tuple(map(unquote, parts.query.split("&"))) if parts.query else (),
    )
