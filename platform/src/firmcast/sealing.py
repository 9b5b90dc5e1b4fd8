"""What must be read back in clear (signing secrets, device keys) is stored sealed under one key file.

AES-256-GCM; the stored form is nonce (12 bytes) followed by ciphertext and tag. The purpose is authenticated with
it, so that a value copied into another column does not open.
"""

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from firmcast.errors import StartError
from firmcast.private_files import read_or_create

_NONCE_BYTES = 12
_KEY_BYTES = 32


class Sealer:
    """Seals and opens small secrets with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            message = f"the sealing key must have {_KEY_BYTES} bytes, not {len(key)}"
            raise StartError(message)
        self._cipher = AESGCM(key)

    def seal(self, clear: bytes, purpose: str) -> bytes:
        """Return `clear` sealed for `purpose`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, clear, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Return the clear bytes.

        Raises:
            StartError: the key file is not the one that sealed this value.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
        except InvalidTag:
            message = "a stored secret does not open with this key file"
            raise StartError(message) from None


def load_or_create_key(path: Path) -> bytes:
    """Return the key in `path`; a file that is not there is created, readable by its owner only."""
    return read_or_create(path, secrets.token_bytes(_KEY_BYTES))
