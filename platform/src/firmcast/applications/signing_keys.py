"""The key pair that pushes to an application are signed with, beside its secret, when it asked for one.

Who holds the secret can sign as well as verify; who holds the public key can only verify. The private key never leaves:
it is made here, sealed, and opened to sign. Spelling: Standard Webhooks, "Signature scheme", `whpk_` and base64.
"""

import base64
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmcast.applications.model import SigningKey
from firmcast.applications.sealed import SIGNING_KEY
from firmcast.applications.store import SigningRow
from firmcast.sealing import Sealer


def new_pair(sealer: Sealer) -> tuple[bytes, str]:
    """Return a new private key, sealed, and the spelling of its public key."""
    private = Ed25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    return sealer.seal(private.private_bytes_raw(), SIGNING_KEY), f"whpk_{public}"


def opened(row: SigningRow, sealer: Sealer) -> Iterator[SigningKey]:
    """Yield what pushes are signed with, the newest first.

    Raises:
        StartError: the key file is not the one that sealed them.
    """
    if row.key_sealed:
        yield SigningKey(seed=sealer.open(row.key_sealed, SIGNING_KEY), ends_at=None)
    if row.former_key_sealed and row.former_key_ends_at is not None:
        yield SigningKey(seed=sealer.open(row.former_key_sealed, SIGNING_KEY), ends_at=row.former_key_ends_at)
