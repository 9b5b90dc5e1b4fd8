"""A push is signed the Standard Webhooks way: HMAC-SHA256 over id, time of the attempt and body.

An application that asked for it has its pushes signed with an Ed25519 key as well, over the same bytes.

Source: the Standard Webhooks specification, sections "Signature scheme" and "Webhook headers".
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmcast.errors import InvalidValueError

_PREFIX = "whsec_"
_BLOCK_BYTES = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHORTEST_KEY_BYTES = 24
_LONGEST_KEY_BYTES = 64


class Signature(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The two header values that differ between attempts."""

    timestamp: str
    """`webhook-timestamp`: seconds since 1970 of the attempt, never of the event."""

    value: str
    """`webhook-signature`: one `v1,…` for each secret and one `v1a,…` for each private key, separated by blanks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key, and until when it is signed with; None for as long as nobody changes it."""

    key: bytes
    """Of a secret, or the 32 bytes of an Ed25519 private key."""
    ends_at: datetime | None = None


class Signer:
    """Signs for one subscription. Key states are prepared once and copied for each signature."""

    __slots__ = ("_private_keys", "_states", "_timestamp")

    def __init__(self, keys: Sequence[bytes | SigningKey], private_keys: Sequence[SigningKey] = ()) -> None:
        """Take the keys of secrets, newest first; more than one while a secret is being rotated. So with Ed25519 keys.

        Raises:
            ValueError: when there is no key that stays.
        """
        given = [key if isinstance(key, SigningKey) else SigningKey(key=key) for key in keys]
        if all(key.ends_at is not None for key in given):
            raise ValueError("a signer needs a key that does not end")
        self._private_keys = tuple(
            (Ed25519PrivateKey.from_private_bytes(private.key), private.ends_at) for private in private_keys
        )
        self._states = tuple((*_key_states(key.key), key.ends_at) for key in given)
        self._timestamp = (_EPOCH, "0")

    def sign(self, message_id: str, attempted_at: datetime, body: bytes) -> Signature:
        """Sign one attempt with every key that has not ended by then.

        Raises:
            ValueError: when `attempted_at` is naive.
        """
        moment, timestamp = self._timestamp
        if moment is not attempted_at:  # attempts that begin together have the same
            if attempted_at.tzinfo is None:
                raise ValueError("attempted_at must be aware")
            timestamp = str(int(attempted_at.timestamp()))
            self._timestamp = (attempted_at, timestamp)
        content = f"{message_id}.{timestamp}.".encode() + body
        signatures = []
        for inner, outer, ends_at in self._states:
            if ends_at is not None and attempted_at >= ends_at:
                continue
            digest, mac = inner.copy(), outer.copy()
            digest.update(content)
            mac.update(digest.digest())
            signatures.append("v1," + binascii.b2a_base64(mac.digest(), newline=False).decode())
        for private, ends_at in self._private_keys:
            if ends_at is None or attempted_at < ends_at:
                signatures.append("v1a," + binascii.b2a_base64(private.sign(content), newline=False).decode())
        return Signature(timestamp=timestamp, value=" ".join(signatures))


def _key_states(key: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """Return SHA-256 as a key begins it, inside and outside (RFC 2104); the standard library's HMAC copies more."""
    if len(key) > _BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    padded = key.ljust(_BLOCK_BYTES, b"\0")
    inner, outer = bytes(byte ^ 0x36 for byte in padded), bytes(byte ^ 0x5C for byte in padded)
    return hashlib.sha256(inner), hashlib.sha256(outer)


def parse_secret(secret: str) -> bytes:
    """Return the key that a secret such as `whsec_…` spells in base64.

    Raises:
        InvalidValueError: when it is not base64, or not 24 to 64 bytes long.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError as error:
        raise InvalidValueError("secret", "not base64") from error
    if not _SHORTEST_KEY_BYTES <= len(key) <= _LONGEST_KEY_BYTES:
        raise InvalidValueError(
            "secret", f"must hold {_SHORTEST_KEY_BYTES} to {_LONGEST_KEY_BYTES} bytes, has {len(key)}"
        )
    return key


def spell_secret(key: bytes) -> str:
    """Return the usual spelling of a key, as it is shown to its owner."""
    return _PREFIX + base64.b64encode(key).decode()
