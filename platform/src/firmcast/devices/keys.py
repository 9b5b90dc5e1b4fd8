"""The pre-shared key of a device: hexadecimal digits to applications, sealed in the store, bytes in a handshake."""

from typing import Final

from firmcast.db.port import Channel
from firmcast.db.sealed import SealedTable
from firmcast.devices.store import devices
from firmcast.sealing import Sealer

DEVICE_KEYS_CHANGED: Final = Channel("device_keys_changed")
"""Announced with the endpoint names whose key is not what it was: replaced, or gone with its device."""

_PURPOSE: Final = "device pre-shared key"
"""What is sealed are the hexadecimal digits, as the application gave or got them."""

SEALED_DEVICES: Final = SealedTable(
    name="device",
    purposes={"pre_shared_key": _PURPOSE},
    page=devices.SEALED_AFTER,
    write=devices.SET_SEALED,
)


def seal_key(sealer: Sealer, digits: str) -> bytes:
    """Return a key as it is stored."""
    return sealer.seal(digits.encode(), _PURPOSE)


def open_key(sealer: Sealer, sealed: bytes) -> bytes | None:
    """Return the bytes of a stored key; None for an odd number of digits, of which no bytes can be made.

    Raises:
        StartError: the key file is not the one that sealed it.
    """
    digits = sealer.open(sealed, _PURPOSE).decode()
    return bytes.fromhex(digits) if len(digits) % 2 == 0 else None
