"""Where callbacks are reached through the operator's proxy, and which are dialled directly nevertheless.

Everything goes through a tunnel (CONNECT), plain HTTP too: the proxy learns a host and a port, and no push.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from urllib.parse import unquote, urlsplit

from firmcast.push.destination import Network, spelt_address

_HOST = re.compile(r"\.?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy that makes tunnels."""

    address: str
    """`http://host:port`, without the credentials."""

    user: str = ""
    password: str = field(default="", repr=False)
    direct_networks: tuple[Network, ...] = ()
    """Addresses that a URL spells out and that are not reached through it."""

    direct_hosts: tuple[str, ...] = ()
    """Names, in lower case, that are not either; `.example.com` stands for everything below it."""

    def carries(self, host: str) -> bool:
        """Say whether a host, as a callback URL names it, is reached through the proxy."""
        address = spelt_address(host)
        if address is not None:
            return not any(address in network for network in self.direct_networks)
        name = host.lower().removesuffix(".")
        return not any(name == known or (known[0] == "." and name.endswith(known)) for known in self.direct_hosts)


def parse_proxy(url: str, direct: Sequence[str]) -> Proxy:
    """Read `http://user:password@host:port`, and the networks and hosts that are reached without it.

    Raises:
        ValueError: of what is wrong; it never tells the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme != "http" or not parts.hostname or port is None or parts.path not in {"", "/"}:
        raise ValueError("must be http://host:port, with user:password@ before the host if need be")
    if not url.isascii() or not url.isprintable() or " " in url or parts.query or parts.fragment:
        raise ValueError("holds what no such URL holds; spell special characters of a password in percents")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if "\0" in user + password or ":" in user:
        raise ValueError("holds a user name or password that cannot be sent")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    networks, hosts = [], []
    for each in direct:
        try:
            networks.append(ip_network(each))
        except ValueError as error:
            if "/" in each or _HOST.fullmatch(each.lower()) is None or spelt_address(each) is not None:
                raise ValueError(f"{each!r} is neither a network nor a host: {error}") from None
            hosts.append(each.lower())
    return Proxy(
        address=f"http://{host}:{port}",
        user=user,
        password=password,
        direct_networks=tuple(networks),
        direct_hosts=tuple(hosts),
    )
