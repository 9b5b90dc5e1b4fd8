"""The address of a package is a coap URI, taken apart into a peer and options as RFC 7252 section 6.4 says."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

DEFAULT_PORT = 5683


class PackageAddressError(ValueError):
    """The text is not a coap URI with a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageAddress:
    """Where a package is: `path` and `query` are the values of the Uri-Path and Uri-Query options."""

    host: str
    port: int
    path: tuple[str, ...]
    query: tuple[str, ...]


def parse_package_address(uri: str) -> PackageAddress:
    """Take a coap URI apart. Raises PackageAddressError."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise PackageAddressError(str(error)) from error
    if parts.scheme != "coap" or not parts.hostname or parts.fragment or port == 0:
        raise PackageAddressError(f"{uri[:80]!r} is not a coap URI")
    segments = parts.path.removeprefix("/").split("/") if parts.path.removeprefix("/") else []
    return PackageAddress(
        host=parts.hostname,
        port=port or DEFAULT_PORT,
        path=tuple(map(unquote, segments)),
        query=tuple(map(unquote, parts.query.split("&"))) if parts.query else (),
    )
