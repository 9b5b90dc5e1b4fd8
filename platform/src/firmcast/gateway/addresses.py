"""A device's address is a host and a port in the store and a socket address on the wire; both are written here only."""

import socket
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import Final

from firmcast.coap.dtls.peers import address_of, is_secure, secure_peer
from firmcast.coap.events import Peer
from firmcast.lwm2m.firmware_update import Protocol

PACKAGE_PATH: Final = "fw"
"""The first segment of the path under which packages are fetched."""

_INTERFACE_BITS: Final = 64
"""Of an IPv6 address; a host draws new ones as it likes (RFC 8981)."""
_MAPPED_BITS: Final = 32
_MAPPED: Final = 0xFFFF
"""What stands before an address of IPv4 that is spelt as one of IPv6."""

SCHEMES: Final[Mapping[Protocol, str]] = MappingProxyType(
    {Protocol.COAP: "coap", Protocol.COAPS: "coaps", Protocol.HTTP: "http", Protocol.HTTPS: "https"}
)
"""By which packages can be fetched here."""


def peer_of(host: str, port: int, identity: str | None = None) -> Peer:
    """Return the peer at a stored address, of secure sessions where it has an identity.

    The zone of a link-local IPv6 host follows its `%`.
    """
    if identity is not None:
        return secure_peer(peer_of(host, port), identity)
    if ":" not in host:
        return host, port
    address, _, zone = host.partition("%")
    return address, port, 0, int(zone) if zone.isdigit() else 0


def stored_address(peer: Peer) -> tuple[str, int]:
    """Return host and port of a peer's socket address, so that `peer_of` gives it back."""
    host, port = str(peer[0]), int(peer[1])
    if len(peer) > 2 and peer[3]:
        return f"{host.partition('%')[0]}%{peer[3]}", port
    return host, port


def is_same_host(one: Peer, other: Peer) -> bool:
    """Tell whether two socket addresses are of one host, or with IPv6 of one network, as of a host's many addresses."""
    if one[0] == other[0] or ":" not in one[0] or ":" not in other[0]:
        return bool(one[0] == other[0])
    first, second = (int(IPv6Address(address[0].partition("%")[0])) for address in (one, other))
    return first >> _INTERFACE_BITS == second >> _INTERFACE_BITS and first >> _MAPPED_BITS != _MAPPED


def uri_host(host: str) -> str:
    """Return the host as a URI spells it: an IPv6 address stands in brackets, without its zone (RFC 3986 3.2.2)."""
    return f"[{host.partition('%')[0]}]" if ":" in host else host


def is_unspecified(host: str) -> bool:
    """Tell whether a socket bound to `host` listens on every address of the machine."""
    return host in ("", "0.0.0.0", "::")  # noqa: S104 -- a comparison, nothing is bound


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a socket that is bound to `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def local_host_towards(peer: Peer) -> str:
    """Return the address of this machine from which datagrams to `peer` leave; nothing is sent. Raises OSError."""
    family = socket.AF_INET6 if ":" in str(peer[0]) else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(peer)
        return str(probe.getsockname()[0])


class PackageAddresses:
    """Writes the URI of a package as a given device can reach it."""

    def __init__(
        self, *, public_host: str, bound_host: str, port: int, secure_port: int = 0, package_url: str = ""
    ) -> None:
        """`package_url` is what URIs of its scheme, HTTP or HTTPS, begin with, whatever is served here."""
        self._host = public_host or ("" if is_unspecified(bound_host) else bound_host)
        self._ports = {Protocol.COAP: port, Protocol.COAPS: secure_port}
        self._package_url = package_url.rstrip("/")

    def add(self, protocol: Protocol, port: int) -> None:
        """Note that packages are fetched by a protocol at a port, too."""
        self._ports[protocol] = port

    def uri(self, token: str, peer: Peer, protocol: Protocol | None = None) -> str:
        """Return `scheme://host:port/fw/<token>`. The token is in the path, since some clients drop the query.

        Without a protocol it is that by which the device is reached: one with a secure session has a `coaps` URI on the
        port of that session, which it may fetch it through.

        Raises:
            OSError: no way leads to `peer` and the settings name no public host.
            KeyError: nothing is served by this protocol.
        """
        if protocol is None:
            protocol = Protocol.COAPS if is_secure(peer) else Protocol.COAP
        scheme = SCHEMES[protocol]
        if self._package_url.startswith(f"{scheme}://"):
            return f"{self._package_url}/{PACKAGE_PATH}/{token}"
        port = self._ports[protocol]
        host = uri_host(self._host or local_host_towards(address_of(peer)))
        return f"{scheme}://{host}:{port}/{PACKAGE_PATH}/{token}"
