"""The base URL is taken apart and judged here, before anything is sent anywhere."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from firmcast_sdk.errors import AddressError

_SCHEMES = {"http": 80, "https": 443}
_PORTS = range(1, 65536)
_NAME = re.compile(r"(?=.{1,253}\.?$)([^\W_]([\w-]{0,61}[^\W_])?\.)*[^\W_]([\w-]{0,61}[^\W_])?\.?")
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformAddress:
    """Where a platform is reached; `prefix` is "" or a path without a slash at its end."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """The address that `url` names, such as https://platform.example:8743 or https://gate.example/iot.

        Without a port it is the scheme's own.

        Raises:
            AddressError: it is no address; the message says what is wrong with it.
        """
        if not url or any(one.isspace() or not one.isprintable() for one in url):
            raise _wrong(url, "is empty or holds blanks")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise _wrong(url, f"cannot be read: {error}") from None
        if parts.scheme not in _SCHEMES:
            raise _wrong(url, "must begin with https:// or http://")
        if parts.username is not None or parts.password is not None:
            raise _wrong("", "must not hold a name or a password; app_id and secret are given apart")
        if "?" in url or "#" in url:
            raise _wrong(url, "must end with its path: no query, no fragment")
        host = parts.hostname or ""
        if not _is_host(host):
            raise _wrong(url, "names no host")
        if port is not None and port not in _PORTS:
            raise _wrong(url, "has a port that is not from 1 to 65535")
        if not _PATH.fullmatch(parts.path) or {".", ".."} & set(parts.path.split("/")):
            raise _wrong(url, "has a path with empty, dotted or unencoded parts")
        return cls(scheme=parts.scheme, host=host, port=port or _SCHEMES[parts.scheme], prefix=parts.path.rstrip("/"))

    @property
    def url(self) -> str:
        """The address written out, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _NAME.fullmatch(host) is not None
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _wrong(url: str, message: str) -> AddressError:
    return AddressError(f"the base URL {repr(url[:200]) + ' ' if url else ''}{message}")
