"""Only public addresses, and those of networks that the operator names, are ever dialled.

What counts is the address that the socket is about to connect to, not the name in the URL. The list of what is not
public is written out here, since the standard library's `is_global` calls several translated and multicast addresses
global. Source: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its successors).

An IPv6 address that carries an IPv4 address is two addresses, and both must be permitted: somewhere on the way a
gateway takes the inner one out and goes there.
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
NAT64 = IPv6Network("64:ff9b::/96")
"""What translators use unless they were told otherwise (RFC 6052)."""
_NAT64_LENGTHS = frozenset({32, 40, 48, 56, 64, 96})
_ENDING_IN_V4 = tuple(
    IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible, withdrawn
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
    )
)
_PLAIN_V6 = frozenset({IPv6Address("::"), IPv6Address("::1")})
_ISATAP_IDENTIFIERS = frozenset({0x00005EFE, 0x02005EFE})

_CHARACTERS = re.compile(r"[!#-;=?-\[\]_a-z~]+")
"""Visible ASCII without the characters that RFC 3986 keeps out of a URL; no blank, no control, no backslash."""

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
"""A part of an IPv4 address as `inet_aton` takes it: hexadecimal, octal or decimal."""

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

    nat64_networks: tuple[IPv6Network, ...] = (NAT64,)
    """Where a translator makes IPv4 addresses of IPv6 ones; only those in them count.

    Their prefixes are 32, 40, 48, 56, 64 or 96 bits long (RFC 6052).
    """

    allowed_ports: frozenset[int] | None = None
    """The ports that may be dialled; None for all."""

    schemes: frozenset[str] = frozenset({"https", "http"})

    def __post_init__(self) -> None:
        """Check the prefixes.

        Raises:
            ValueError: no translator has a prefix of such a length.
        """
        for network in self.nat64_networks:
            if network.prefixlen not in _NAT64_LENGTHS:
                raise ValueError(f"{network} is none of /32, /40, /48, /56, /64 and /96")

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
        address = spelt_address(url.host)
        if address is not None and not self._permits(address):
            raise InvalidValueError("callback_url", f"address {address} is not permitted")

    def check_for_proxy(self, url: CallbackUrl) -> None:
        """Refuse a callback URL that a proxy must not be asked for, since it looks names up and not we.

        Raises:
            InvalidValueError: as of `check`, or when the name means the machine of whoever looks it up.
        """
        self.check(url)
        name = url.host.lower().removesuffix(".")
        if name == "localhost" or name.endswith(".localhost"):
            raise InvalidValueError("callback_url", f"{name} is the proxy itself")

    def _permits(self, address: Address) -> bool:
        if isinstance(address, IPv6Address) and address in _MAPPED:
            return self._permits(IPv4Address(int(address) & 0xFFFFFFFF))  # the kernel dials the IPv4 address
        if not (self._is_public(address) or any(address in network for network in self.allowed_networks)):
            return False
        if isinstance(address, IPv4Address):
            return True
        return all(self._permits(embedded) for embedded in self._embedded_addresses(address))

    def _is_public(self, address: Address) -> bool:
        if isinstance(address, IPv4Address):
            return not any(address in network for network in _NOT_PUBLIC_V4)
        if any(address in network for network in self.nat64_networks):
            return True  # as public as what it embeds
        return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_V6)

    def _embedded_addresses(self, address: IPv6Address) -> Iterator[IPv4Address]:
        """Yield the IPv4 addresses to which somebody on the way would carry what is sent to an IPv6 address."""
        number = int(address)
        last = IPv4Address(number & 0xFFFFFFFF)
        for network in self.nat64_networks:
            if address in network:
                yield _translated(number, network.prefixlen)
        if any(address in network for network in _ENDING_IN_V4) and address not in _PLAIN_V6:
            yield last
        if (number >> 32) & 0xFFFFFFFF in _ISATAP_IDENTIFIERS:  # RFC 5214
            yield last
        if address.sixtofour is not None:  # RFC 3056
            yield address.sixtofour
        if address.teredo is not None:  # RFC 4380: a server, and a client behind it
            yield from address.teredo


def _translated(number: int, prefix_length: int) -> IPv4Address:
    """Return what a translator takes out of an address: 32 bits behind the prefix, the octet at bit 64 left out."""
    if prefix_length == 96:
        return IPv4Address(number & 0xFFFFFFFF)
    without = (number >> 64) << 56 | number & ((1 << 56) - 1)
    return IPv4Address((without >> (120 - prefix_length - 32)) & 0xFFFFFFFF)


def spelt_address(host: str) -> Address | None:
    """Return the address that a host spells out, None for a name.

    `127.1`, `0x7f000001` and `2130706433` are addresses as well: whoever dials them reads them so.
    """
    try:
        return ip_address(host)
    except ValueError:
        pass
    parts = host.removesuffix(".").split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    *leading, last = (_number(part) for part in parts)
    if any(number > 0xFF for number in leading) or last >= 1 << 8 * (4 - len(leading)):
        return None
    for place, number in enumerate(leading):
        last |= number << 8 * (3 - place)
    return IPv4Address(last)


def _number(digits: str) -> int:
    if digits[:2] in {"0x", "0X"}:
        return int(digits, 16)
    return int(digits, 8 if digits[0] == "0" else 10)


def parse_callback_url(text: str, *, port_required: bool = True) -> CallbackUrl:
    """Read a callback URL: scheme, host, port and path, nothing that is not sent, nothing ambiguous.

    The contract asks for an explicit port and a path (`http://IP:PORT/` will do, `http://IP:PORT` and
    `http://IP/path` will not); `port_required=False` lets the scheme's own port be left out.

    Raises:
        InvalidValueError: with the reason.
    """
    if len(text) > LONGEST_URL:
        raise InvalidValueError("callback_url", f"longer than {LONGEST_URL} characters")
    if not text.isascii():
        raise InvalidValueError("callback_url", "must be ASCII: spell a host xn--… and a path in percents")
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
            address = IPv6Address(host)
        except ValueError as error:
            raise InvalidValueError("callback_url", "what stands in brackets is not an IPv6 address") from error
        if address.scope_id is not None:
            raise InvalidValueError("callback_url", "an address with a zone means something on one machine only")
        return str(address)
    if _HOST_NAME.fullmatch(host) is None or ".." in host:
        raise InvalidValueError("callback_url", "has no valid host")
    return host
