"""Standard Webhooks signatures: what is signed is `id.timestamp.body`, and nothing unsigned is believed.

Source: the Standard Webhooks specification, scheme `v1` (HMAC-SHA256, base64), secrets written `whsec_<base64>`, and
scheme `v1a` (Ed25519), keys written `whpk_<base64>` and `whsk_<base64>`. Who holds a public key alone cannot sign. It
needs the extra `firmcast-sdk[ed25519]`.

    Ed25519MissingError             the extra is not installed
    SignatureError
    ├── MissingSignatureError       .header
    ├── MalformedTimestampError
    ├── TimestampOutsideToleranceError
    └── SignatureMismatchError
"""

import base64
import binascii
import hmac
import importlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from firmcast_sdk.wire import headers as names

SECRET_PREFIX = "whsec_"  # noqa: S105 -- how a secret begins, no secret
PUBLIC_KEY_PREFIX = "whpk_"
PRIVATE_KEY_PREFIX = "whsk_"
DEFAULT_TOLERANCE = timedelta(minutes=5)
_VERSION = "v1"
_ED25519_VERSION = "v1a"
_MOST_ED25519_SIGNATURES = 8
"""More are not looked at: one costs a hundred times what comparing two digests does, and a header may hold hundreds."""


class Ed25519MissingError(ImportError):
    """Signatures of key pairs need a library: install firmcast-sdk[ed25519]."""


class SignatureError(Exception):
    """The push is not proven to come from the platform."""


class MissingSignatureError(SignatureError):
    """A header of the signature is missing."""

    def __init__(self, header: str) -> None:
        super().__init__(f"header {header} is missing")
        self.header = header


class MalformedTimestampError(SignatureError):
    """The timestamp is not a number of seconds."""


class TimestampOutsideToleranceError(SignatureError):
    """The timestamp is too old or too far in the future."""


class SignatureMismatchError(SignatureError):
    """No signature fits any of the secrets or keys."""


def parse_secret(secret: str) -> bytes:
    """The key that a secret such as `whsec_…` spells; raises ValueError when it is empty or not base64."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("the secret is not base64") from error
    if not key:
        raise ValueError("the secret is empty")
    return key


def parse_public_key(public_key: str) -> Any:
    """The key that `whpk_…` spells, ready to verify with.

    Raises ValueError when it is not base64 of 32 bytes, Ed25519MissingError without the library.
    """
    library = _ed25519()
    raw = _decoded(public_key, PUBLIC_KEY_PREFIX, "public key")
    if len(raw) != 32:
        raise ValueError(f"a public key has 32 bytes, this one {len(raw)}")
    return library.Ed25519PublicKey.from_public_bytes(raw)


def sign(secrets: Sequence[str], *, message_id: str, attempted_at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of one attempt, with one signature for each secret, or private key (`whsk_…`).

    Raises ValueError for a datetime without a time zone, a bad secret, or none; Ed25519MissingError for a private key
    without the library.
    """
    if attempted_at.tzinfo is None:
        raise ValueError("a time without a time zone has no instant")
    if not secrets:
        raise ValueError("signing needs a secret")
    timestamp = str(int(attempted_at.timestamp()))
    signed = _signed(message_id, timestamp, body)
    signatures = (_signature_with(secret, signed) for secret in secrets)
    return {
        names.WEBHOOK_ID: message_id,
        names.WEBHOOK_TIMESTAMP: timestamp,
        names.WEBHOOK_SIGNATURE: " ".join(signatures),
    }


def verify(
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    tolerance: timedelta = DEFAULT_TOLERANCE,
    public_keys: Sequence[str] = (),
) -> datetime:
    """The time of the attempt, once one of its signatures fits one of `secrets` or `public_keys`.

    `headers` have names in lower case. `tolerance` bounds the distance to `now` on both sides. Every pair of secret and
    signature is compared, in constant time, so that the time taken tells nothing. A public key fits no `v1` signature,
    a secret no `v1a`.

    Raises SignatureError; ValueError for a bad secret or key; Ed25519MissingError for a key without the library.
    """
    message_id = _header(headers, names.WEBHOOK_ID)
    timestamp = _header(headers, names.WEBHOOK_TIMESTAMP)
    signatures = _header(headers, names.WEBHOOK_SIGNATURE)
    attempted_at = _parse_timestamp(timestamp)
    if abs(now - attempted_at) > tolerance:
        raise TimestampOutsideToleranceError("the timestamp is outside the tolerance")
    signed = _signed(message_id, timestamp, body)
    wanted = [_signature(parse_secret(secret), signed).encode() for secret in secrets]
    fits = [hmac.compare_digest(one, other) for one in wanted for other in _given(signatures, _VERSION)]
    if not any(fits) and not _fits_a_public_key(public_keys, signatures, signed):
        raise SignatureMismatchError("no signature fits")
    return attempted_at


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "").strip()
    if not value:
        raise MissingSignatureError(name)
    return value


def _parse_timestamp(text: str) -> datetime:
    if len(text) > 12 or not (text.isascii() and text.isdigit()):
        raise MalformedTimestampError("the timestamp is not a number of seconds")
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise MalformedTimestampError("the timestamp is not a number of seconds") from error


def _given(header: str, wanted: str) -> list[bytes]:
    """The signatures of a version in a header that may list several of several versions."""
    parts: Iterable[tuple[str, str, str]] = (part.partition(",") for part in header.split())
    return [signature.encode("utf-8", "replace") for version, _, signature in parts if version == wanted]


def _fits_a_public_key(public_keys: Sequence[str], signatures: str, signed: bytes) -> bool:
    if not public_keys:
        return False
    given = _given(signatures, _ED25519_VERSION)[:_MOST_ED25519_SIGNATURES]
    return any(_verifies(parse_public_key(public_key), each, signed) for public_key in public_keys for each in given)


def _verifies(public_key: Any, signature: bytes, signed: bytes) -> bool:
    invalid = importlib.import_module("cryptography.exceptions").InvalidSignature
    try:
        public_key.verify(base64.b64decode(signature, validate=True), signed)
    except (binascii.Error, invalid):
        return False
    return True


def _signature_with(secret: str, signed: bytes) -> str:
    """One entry of the header."""
    if not secret.startswith(PRIVATE_KEY_PREFIX):
        return f"{_VERSION},{_signature(parse_secret(secret), signed)}"
    library = _ed25519()
    raw = _decoded(secret, PRIVATE_KEY_PREFIX, "private key")
    if len(raw) not in {32, 64}:
        raise ValueError(f"a private key has 32 bytes, or 64 with its public key; this one {len(raw)}")
    private_key = library.Ed25519PrivateKey.from_private_bytes(raw[:32])
    if raw[32:] and raw[32:] != private_key.public_key().public_bytes_raw():
        raise ValueError("the second half of the private key is not its public key")
    return f"{_ED25519_VERSION},{base64.b64encode(private_key.sign(signed)).decode()}"


def _decoded(text: str, prefix: str, what: str) -> bytes:
    try:
        return base64.b64decode(text.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the {what} is not base64") from error


def _ed25519() -> Any:
    try:
        return importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    except ImportError as error:
        raise Ed25519MissingError("signatures of key pairs need firmcast-sdk[ed25519]") from error


def _signed(message_id: str, timestamp: str, body: bytes) -> bytes:
    return b".".join((message_id.encode("utf-8", "replace"), timestamp.encode(), body))


def _signature(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
