"""A signature is checked against the SHA-256 digest of a package's bytes, so that large files are read once.

With an ECDSA key (P-256 or secp256k1) it is the ordinary DER signature over the bytes with SHA-256. Ed25519 knows no
digest of ours: there the 32 bytes of the SHA-256 digest are the message that is signed. ADR 17; how to make one:
docs/how-to/sign-a-package.md.
"""

import base64
import binascii
import hashlib

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from firmcast.errors import ConflictError, InvalidValueError

SIGNATURE_LIMIT = 512
"""Characters of a signature in base64."""

_CURVES = ("secp256r1", "secp256k1")
_PLAIN_ALPHABET = str.maketrans({"-": "+", "_": "/", " ": "+", "\n": None, "\r": None, "\t": None})


def check_signature(public_key: str, digest: str, signature: str) -> str:
    """Check a signature of the bytes with this SHA-256 digest (hexadecimal); return the fingerprint of the key.

    Raises:
        InvalidValueError: it is no base64, or not a signature of these bytes by this key.
        ConflictError: the key, a PEM public key, is of no kind that signs packages.
    """
    key = _load(public_key)
    raw = decode_signature(signature)
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(raw, bytes.fromhex(digest))
        else:
            key.verify(raw, bytes.fromhex(digest), ec.ECDSA(Prehashed(SHA256())))
    except InvalidSignature:
        raise InvalidValueError("signature", "is not of these bytes by the application's key") from None
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def decode_signature(signature: str) -> bytes:
    """Return the bytes of a signature; lines, the URL's alphabet and a missing end are taken too.

    Raises:
        InvalidValueError: it is no base64.
    """
    # A plus that nobody encoded comes out of a query as a blank.
    plain = signature.strip("\r\n\t").translate(_PLAIN_ALPHABET).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidValueError("signature", "is no base64") from None


def _load(public_key: str) -> ec.EllipticCurvePublicKey | Ed25519PublicKey:
    message = "the application's verification key signs no packages: Ed25519, P-256 or secp256k1 is needed"
    try:
        key = load_pem_public_key(public_key.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ConflictError(message) from None
    if isinstance(key, Ed25519PublicKey) or (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES):
        return key
    raise ConflictError(message)
