"""Standard Webhooks signatures: what is signed is `id.timestamp.body`, and nothing unsigned is believed.

Source: the Standard Webhooks specification, scheme `v1` (HMAC-SHA256, base64), secrets written `whsec_<base64>`.

    SignatureError
    ├── MissingSignatureError       .header
    ├── MalformedTimestampError
    ├── TimestampOutsideToleranceError
    └── SignatureMismatchError
"""

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from firmcast_sdk.wire import headers as names

SECRET_PREFIX = "whsec_"  # noqa: S105 -- how a secret begins, no secret
DEFAULT_TOLERANCE = timedelta(minutes=5)
_VERSION = "v1"


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
    """No signature fits any of the secrets."""


def parse_secret(secret: str) -> bytes:
    """The key that a secret such as `whsec_…` spells; raises ValueError when it is empty or not base64."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("the secret is not base64") from error
    if not key:
        raise ValueError("the secret is empty")
    return key


def sign(secrets: Sequence[str], *, message_id: str, attempted_at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of one attempt, with one signature for each secret.

    Raises ValueError for a datetime without a time zone, a bad secret, or none.
    """
    if attempted_at.tzinfo is None:
        raise ValueError("a time without a time zone has no instant")
    if not secrets:
        raise ValueError("signing needs a secret")
    timestamp = str(int(attempted_at.timestamp()))
    signed = _signed(message_id, timestamp, body)
    signatures = (_signature(parse_secret(secret), signed) for secret in secrets)
    return {
        names.WEBHOOK_ID: message_id,
        names.WEBHOOK_TIMESTAMP: timestamp,
        names.WEBHOOK_SIGNATURE: " ".join(f"{_VERSION},{signature}" for signature in signatures),
    }


def verify(
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    tolerance: timedelta = DEFAULT_TOLERANCE,
) -> datetime:
    """The time of the attempt, once one of its signatures fits one of `secrets`; raises SignatureError.

    `headers` have names in lower case. `tolerance` bounds the distance to `now` on both sides. Every pair of secret and
    signature is compared, in constant time, so that the time taken tells nothing.
    """
    message_id = _header(headers, names.WEBHOOK_ID)
    timestamp = _header(headers, names.WEBHOOK_TIMESTAMP)
    given = _given(_header(headers, names.WEBHOOK_SIGNATURE))
    attempted_at = _parse_timestamp(timestamp)
    if abs(now - attempted_at) > tolerance:
        raise TimestampOutsideToleranceError("the timestamp is outside the tolerance")
    signed = _signed(message_id, timestamp, body)
    wanted = [_signature(parse_secret(secret), signed).encode() for secret in secrets]
    fits = [hmac.compare_digest(one, other) for one in wanted for other in given]
    if not any(fits):
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


def _given(header: str) -> list[bytes]:
    """The signatures of our version in a header that may list several of several versions."""
    parts: Iterable[tuple[str, str, str]] = (part.partition(",") for part in header.split())
    return [signature.encode("utf-8", "replace") for version, _, signature in parts if version == _VERSION]


def _signed(message_id: str, timestamp: str, body: bytes) -> bytes:
    return b".".join((message_id.encode("utf-8", "replace"), timestamp.encode(), body))


def _signature(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
