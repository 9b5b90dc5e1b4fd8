"""Pre-shared keys of devices, as people write them."""

import re
from pathlib import Path
from typing import Final

from firmcast.cli.failures import CommandError
from firmcast.cli.files import read_text

_FORM: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){4,16}")
"""Up to 16 bytes: some devices' DTLS takes no longer key."""


def read_key(digits: str) -> bytes:
    """Return a key that is written in hexadecimal digits.

    Raises:
        CommandError: it is not, or has not 4 to 16 bytes.
    """
    written = digits.strip()
    if _FORM.fullmatch(written) is None:
        message = "a pre-shared key is 8 to 32 hexadecimal digits, two for each byte"
        raise CommandError(message)
    return bytes.fromhex(written)


def read_keys(file: Path) -> dict[str, bytes]:
    """Return the keys by endpoint name of a file whose lines end in a name and a key.

    That is how `firmcast device add --generate-psk` prints them.

    Raises:
        CommandError: it cannot be read, or has another line.
    """
    keys: dict[str, bytes] = {}
    for number, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) < 2:
            raise CommandError(f"line {number} of {file} has no endpoint name and key")
        try:
            keys[words[-2]] = read_key(words[-1])
        except CommandError as error:
            raise CommandError(f"line {number} of {file}: {error}") from None
    return keys
