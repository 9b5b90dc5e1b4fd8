"""What an operator gives as PEM is read before it is kept: what a push or an upload would trip over is refused here.

A certificate has to be readable, its key its own and without a passphrase; a private key is taken nowhere but where
one is asked for.
"""

import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from firmcast.errors import InvalidValueError

_LEAST_RSA_BITS = 2048
_VERIFYING_CURVES = ("secp256r1", "secp256k1")
_PRIVATE = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)

_ClientKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateDescription:
    """What is shown of a certificate."""

    subject: str
    """RFC 4514."""
    not_after: datetime
    fingerprint: str
    """SHA-256 of its DER, 64 hexadecimal digits."""


def check_authorities(pem: str) -> None:
    """Refuse what holds no certificate authority to trust.

    Raises:
        InvalidValueError: of `callback_ca`: there is no certificate, one cannot be read, or there is a private key.
    """
    _certificates(pem, "callback_ca")


def client_identity(certificate: str, key: str, now: datetime) -> tuple[str, str]:
    """Return the chain and the key of a client certificate, PEM without anything around it.

    Raises:
        InvalidValueError: of `certificate` or `key`, with what is wrong with it.
    """
    chain = _certificates(certificate, "certificate")
    leaf = chain[0]
    if leaf.not_valid_after_utc <= now:
        raise InvalidValueError("certificate", f"ended at {leaf.not_valid_after_utc.isoformat()}")
    private = _private_key(key)
    try:
        theirs, ours = (_spelt(public) for public in (leaf.public_key(), private.public_key()))
    except _UNREADABLE as error:
        raise InvalidValueError("certificate", f"its public key cannot be read: {error}") from None
    if theirs != ours:
        raise InvalidValueError("key", "is not the key of the first certificate")
    spelt_chain = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)
    spelt_key = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return spelt_chain.decode(), spelt_key.decode()


def describe(chain: str) -> CertificateDescription:
    """Return what is shown of the first certificate of a chain that `client_identity` returned."""
    leaf = x509.load_pem_x509_certificate(chain.encode())
    return CertificateDescription(
        subject=leaf.subject.rfc4514_string(),
        not_after=leaf.not_valid_after_utc.astimezone(UTC),
        fingerprint=binascii.hexlify(leaf.fingerprint(hashes.SHA256())).decode(),
    )


def verification_key(pem: str) -> str:
    """Return a public key that package signatures can be checked with, PEM without anything around it.

    Raises:
        InvalidValueError: of `verification_key`: it is no public key, or none of Ed25519, P-256 and secp256k1.
    """
    _keep_private_keys_out(pem, "verification_key")
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except _UNREADABLE:
        raise InvalidValueError("verification_key", "is not a public key in PEM") from None
    match key:
        case ed25519.Ed25519PublicKey():
            pass
        case ec.EllipticCurvePublicKey() if key.curve.name in _VERIFYING_CURVES:
            pass
        case _:
            raise InvalidValueError("verification_key", "must be Ed25519, or ECDSA on P-256 or secp256k1")
    return _spelt(key).decode()


def _certificates(pem: str, field: str) -> list[x509.Certificate]:
    _keep_private_keys_out(pem, field)
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
        for certificate in found:  # some of what is wrong with one shows only when it is looked at
            _ = certificate.subject.rfc4514_string(), certificate.not_valid_after_utc, certificate.issuer
    except _UNREADABLE as error:
        raise InvalidValueError(field, f"holds no certificate in PEM that can be read: {error}") from None
    return found


def _private_key(pem: str) -> _ClientKey:
    if "-----BEGIN" not in pem:
        raise InvalidValueError("key", "is not a private key in PEM")
    if "ENCRYPTED" in pem:
        raise InvalidValueError("key", "is protected by a passphrase; give it without")
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except _UNREADABLE:
        raise InvalidValueError("key", "is not a private key in PEM") from None
    if not isinstance(key, _ClientKey):
        raise InvalidValueError("key", "must be RSA, ECDSA, Ed25519 or Ed448")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _LEAST_RSA_BITS:
        raise InvalidValueError("key", f"has {key.key_size} bits; an RSA key needs {_LEAST_RSA_BITS}")
    return key


def _spelt(key: object) -> bytes:
    if not hasattr(key, "public_bytes"):
        message = "not a public key"
        raise TypeError(message)
    spelt = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert isinstance(spelt, bytes)
    return spelt


def _keep_private_keys_out(pem: str, field: str) -> None:
    if _PRIVATE.search(pem):
        raise InvalidValueError(field, "holds a private key, which belongs with nobody but its owner")
