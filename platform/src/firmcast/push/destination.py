"""Only public addresses, and those of networks that the operator names, are ever dialled.

What counts is the address that the socket is about to connect to, not the name in the URL. The list of what is not
public is written out here, since the standard library's `is_global` calls several translated and multicast addresses
global. Source: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its successors).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from firmcast.errors import InvalidValueError

LONGEST_URL = 1024
"""The contract types a callback URL as String(1024)."""

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, withdrawn
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, withdrawn
        "3fff::/20",  # documentation
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP_IDENTIFIERS = frozenset({0x00005EFE, 0x02005EFE})

_CHARACTERS = re.compile(r"[!#-;=?-\[\]_a-z~]+")
"""Visible ASCII without the characters that RFC 3986 keeps out of a URL; no blank, no control, no backslash."""

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackUrl:
    """A callback URL that can be dialled; `text` is what is sent to, byte for byte."""

    text: str
    scheme: str
    host: str
    """Without brackets; a name or an address."""

    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRules:
    """The operator's rules for callbacks."""

    allowed_networks: tuple[Network, ...] = ()
    """Networks that may be dialled although they are not public."""

    allowed_ports: frozenset[int] | None = None
    """The ports that may be dialled; None for all."""

    schemes: frozenset[str] = frozenset({"https", "http"})

    def permits(self, address: str, port: int) -> bool:
        """Say whether a socket may connect to `address` (as the resolver spells it) and `port`."""
        if self.allowed_ports is not None and port not in self.allowed_ports:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return self._permits(parsed)

    def check(self, url: CallbackUrl) -> None:
        """Refuse a callback URL that the rules would block at once, whatever its name resolves to.

        Raises:
            InvalidValueError: when the scheme, the port, or the address that the URL spells out is not permitted.
        """
        if url.scheme not in self.schemes:
            raise InvalidValueError("callback_url", f"scheme {url.scheme} is not permitted")
        if self.allowed_ports is not None and url.port not in self.allowed_ports:
            raise InvalidValueError("callback_url", f"port {url.port} is not permitted")
        try:
            address = ip_address(url.host)
        except ValueError:
            return  # a name: judged by the address it has when it is dialled
        if not self._permits(address):
            raise InvalidValueError("callback_url", f"address {address} is not permitted")

    def _permits(self, address: Address) -> bool:
        if isinstance(address, IPv6Address) and address in _MAPPED:
            return self._permits(IPv4Address(int(address) & 0xFFFFFFFF))  # the kernel dials the IPv4 address
        if any(address in network for network in self.allowed_networks):
            return True
        if isinstance(address, IPv4Address):
            return not any(address in network for network in _NOT_PUBLIC_V4)
        if address not in _NAT64 and not _is_public_v6(address):
            return False
        return all(self._permits(embedded) for embedded in _embedded_addresses(address))


def _is_public_v6(address: IPv6Address) -> bool:
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_V6)


def _embedded_addresses(address: IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses to which a gateway would carry traffic for an IPv6 address that may be public."""
    number = int(address)
    last = IPv4Address(number & 0xFFFFFFFF)
    if address in _NAT64:  # RFC 6052
        yield last
    if (number >> 32) & 0xFFFFFFFF in _ISATAP_IDENTIFIERS:  # RFC 5214
        yield last


def parse_callback_url(text: str, *, port_required: bool = True) -> CallbackUrl:
    """Read a callback URL: scheme, host, port and path, nothing that is not sent, nothing ambiguous.

    The contract asks for an explicit port and a path (`http://IP:PORT/` will do, `http://IP:PORT` and
    `http://IP/path` will not); `port_required=False` lets the scheme's own port be left out.

    Raises:
        InvalidValueError: with the reason.
    """
    if len(text) > LONGEST_URL:
        raise InvalidValueError("callback_url", f"longer than {LONGEST_URL} characters")
    if _CHARACTERS.fullmatch(text) is None:
        raise InvalidValueError("callback_url", "holds a character that no URL may hold")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidValueError("callback_url", "not a URL") from error
    if parts.scheme not in {"http", "https"}:
        raise InvalidValueError("callback_url", "must begin with https:// or http://")
    if "@" in parts.netloc:
        raise InvalidValueError("callback_url", "must not hold a user name or password")
    if "#" in text:
        raise InvalidValueError("callback_url", "must not hold a fragment")
    host = _host(parts.hostname or "", parts.netloc)
    if port is None:
        if port_required:
            raise InvalidValueError("callback_url", "must name its port")
        port = 443 if parts.scheme == "https" else 80
    if port == 0:
        raise InvalidValueError("callback_url", "port 0 cannot be dialled")
    if not parts.path:
        raise InvalidValueError("callback_url", "must have a path, / at least")
    return CallbackUrl(text=text, scheme=parts.scheme, host=host, port=port)


def _host(host: str, netloc: str) -> str:
    if netloc.startswith("["):
        try:
            return str(IPv6Address(host))
        except ValueError as error:
            raise InvalidValueError("callback_url", "what stands in brackets is not an IPv6 address") from error
    if _HOST_NAME.fullmatch(host) is None or ".." in host:
        raise InvalidValueError("callback_url", "has no valid host")
    return host
