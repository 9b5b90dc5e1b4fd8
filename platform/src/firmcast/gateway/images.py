"""The bytes of a package are opened once and read in place, block by block, for all the devices that want them.

Before the first device is offered them they are read through: what is not what was uploaded is not sent.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from firmcast.coap.codes import ContentFormat
from firmcast.coap.static_bodies import StaticBody

_OPEN_LIMIT: Final = 64
_CACHED_TAILS: Final = 4096
_ETAG_DIGITS: Final = 16
_READ_BYTES: Final = 1 << 20


class PackageUnreadableError(Exception):
    """The bytes of a package cannot be read. The message is for a person."""


class _OpenFile:
    """A file that stays open for as long as anybody refers to it, even after it was removed from its folder."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)


class PackageImages:
    """Packages that are being sent, by digest, the one not asked for longest first."""

    def __init__(self, path_of: Callable[[str], Path], *, open_limit: int = _OPEN_LIMIT) -> None:
        """Find the file of a digest through `path_of`; keep at most `open_limit` of them ready."""
        self._path_of = path_of
        self._open_limit = open_limit
        self._bodies: dict[str, StaticBody] = {}
        self._openings: dict[str, asyncio.Task[StaticBody]] = {}

    async def body(self, digest: str, size: int) -> StaticBody:
        """Return the package of a digest (64 hexadecimal digits) and of `size` bytes, ready to be sent.

        The bytes are checked against the digest each time the file is opened: after a start, and when it had not been
        asked for in a while.

        Raises PackageUnreadableError.
        """
        body = self._bodies.pop(digest, None) or await self._opened(digest, size)
        self._bodies[digest] = body
        while len(self._bodies) > self._open_limit:
            del self._bodies[next(iter(self._bodies))]
        return body

    async def check(self, digest: str, size: int) -> None:
        """Find out whether the bytes can be read and are right, after a transfer of them failed.

        Raises PackageUnreadableError.
        """
        await self._checked(digest, size)

    async def _opened(self, digest: str, size: int) -> StaticBody:
        """Open a package once for all who want it now: each of them would read the whole file."""
        opening = self._openings.get(digest)
        if opening is None:
            opening = self._openings[digest] = asyncio.create_task(self._checked(digest, size), name="open-package")
            opening.add_done_callback(lambda _: self._openings.pop(digest, None))
        return await asyncio.shield(opening)

    async def _checked(self, digest: str, size: int) -> StaticBody:
        try:
            return await asyncio.to_thread(_open, self._path_of(digest), digest, size)
        except OSError as error:
            raise PackageUnreadableError(f"the package's bytes: {error.strerror or error}") from error


def _open(path: Path, digest: str, size: int) -> StaticBody:
    file = _OpenFile(os.open(path, os.O_RDONLY))
    if file.size != size:
        raise OSError(f"{file.size} bytes, {size} expected")
    body = StaticBody(
        file.read,
        etag=bytes.fromhex(digest[:_ETAG_DIGITS]),
        size=size,
        content_format=int(ContentFormat.OCTET_STREAM),
        cached_tails=_CACHED_TAILS,
    )
    found = hashlib.sha256()
    for offset in range(0, size, _READ_BYTES):
        found.update(body.read(offset, _READ_BYTES))
    if found.hexdigest() != digest:
        raise OSError("they are not those that were uploaded")
    return body
