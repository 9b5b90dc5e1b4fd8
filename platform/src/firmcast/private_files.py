"""A file that holds a secret is whole or not there, even after a crash, and only its owner reads it."""

import errno
import os
import secrets
from pathlib import Path


def read_or_create(path: Path, content: bytes) -> bytes:
    """Return what stands in `path`; where there is no such file, `content`, which is durable there from then on.

    Of several processes that come to it at once, all get what the first of them wrote.
    """
    if not path.exists():
        _create(path, content)
    return path.read_bytes()


def rename_durably(file: Path, name: Path) -> None:
    """Give a file, which is durable, another name in its folder, or leave it as it is; the name is durable too then.

    Raises:
        FileExistsError: another file has that name.
    """
    if name.exists() and not name.samefile(file):
        raise FileExistsError(errno.EEXIST, "there is such a file already", str(name))
    file.rename(name)
    _sync_folder(name.parent)


def _create(path: Path, content: bytes) -> None:
    # Not in place: a file that a crash left empty would be taken for the secret ever after.
    unnamed = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(unnamed)
        except FileExistsError:
            return
        except OSError:
            unnamed.replace(path)  # this file system knows no links
    finally:
        unnamed.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
