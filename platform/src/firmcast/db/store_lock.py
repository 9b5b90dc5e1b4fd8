"""A store belongs to one process at a time: the lock is the operating system's, so it ends with the process."""

import errno
import fcntl
import os
from pathlib import Path

from firmcast.errors import StoreInUseError


class StoreLock:
    """Holds the file `<store>.lock` until released."""

    def __init__(self, store: Path) -> None:
        """Take the lock.

        Raises:
            StoreInUseError: another process holds it.
        """
        descriptor = os.open(f"{store}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            message = f"{store} is in use by another process ({holder or 'unknown'}); one store has one platform"
            raise StoreInUseError(message) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Give the lock back; once is enough, more is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
