"""Files that are handed to commands: what cannot be read is said in one line."""

import base64
import binascii
from pathlib import Path

from firmcast.cli.failures import CommandError


def read_text(file: Path) -> str:
    """Return what a text file holds.

    Raises:
        CommandError: it cannot be read, or is no text.
    """
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file} cannot be read: {error}"
        raise CommandError(message) from error


def read_signature(file: Path) -> str:
    """Return a signature in base64, from a file that holds it so or as the bytes that openssl writes.

    Raises:
        CommandError: it cannot be read.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        message = f"{file} cannot be read: {error}"
        raise CommandError(message) from error
    try:
        plain = b"".join(raw.split())
        base64.b64decode(plain, validate=True)
        return plain.decode()
    except (binascii.Error, ValueError):
        return base64.b64encode(raw).decode()
