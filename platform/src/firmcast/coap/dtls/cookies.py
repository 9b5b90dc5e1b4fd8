"""A cookie proves that whoever sends from an address also hears there; nothing is kept until it does.

Source: RFC 6347 section 4.2.1. The cookie is an HMAC over the address; its key is drawn anew every so often, and the
one before is still taken, so that nobody is turned away at the change.
"""

import hmac
import secrets
from typing import Final

from firmcast.coap.events import Peer

COOKIE_LENGTH: Final = 32
_KEY_LENGTH: Final = 32


class Cookies:
    """The cookies of one server. `life` is how long, in seconds, one is taken at least; twice that at the most."""

    def __init__(self, life: float) -> None:
        self._life = life
        self._keys = (secrets.token_bytes(_KEY_LENGTH), secrets.token_bytes(_KEY_LENGTH))
        self._renewed_at: float | None = None

    def make(self, address: Peer, now: float) -> bytes:
        """Return the cookie, 32 bytes, for a socket address."""
        self._renew(now)
        return _mark(self._keys[0], address)

    def is_valid(self, cookie: bytes, address: Peer, now: float) -> bool:
        """Tell whether a cookie was made for this address, and not too long ago."""
        self._renew(now)
        return any(hmac.compare_digest(cookie, _mark(key, address)) for key in self._keys)

    def _renew(self, now: float) -> None:
        if self._renewed_at is None:
            self._renewed_at = now
        passed = now - self._renewed_at
        if passed >= self._life:
            former = self._keys[0] if passed < 2 * self._life else secrets.token_bytes(_KEY_LENGTH)
            self._keys = (secrets.token_bytes(_KEY_LENGTH), former)
            self._renewed_at = now


def _mark(key: bytes, address: Peer) -> bytes:
    return hmac.digest(key, repr(address[:2]).encode(), "sha256")
