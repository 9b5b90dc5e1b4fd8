"""The bytes of a package are opened once and read in place, block by block, for all the devices that want them.

Before the first device is offered them they are read through: what is not what was uploaded is not sent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from firmcast.coap.codes import ContentFormat
from firmcast.coap.static_bodies import StaticBody
from firmcast.firmware.package_files import OpenPackage

_OPEN_LIMIT: Final = 64
_CACHED_TAILS: Final = 4096
_ETAG_DIGITS: Final = 16


class PackageImages:
    """Packages that are being sent, by digest, the one not asked for longest first."""

    def __init__(
        self, open_package: Callable[[str, int], Awaitable[OpenPackage]], *, open_limit: int = _OPEN_LIMIT
    ) -> None:
        """Open the file of a digest and a size through `open_package`; keep at most `open_limit` of them ready."""
        self._open_package = open_package
        self._open_limit = open_limit
        self._bodies: dict[str, StaticBody] = {}
        self._openings: dict[str, asyncio.Task[StaticBody]] = {}

    async def body(self, digest: str, size: int) -> StaticBody:
        """Return the package of a digest (64 hexadecimal digits) and of `size` bytes, ready to be sent.

        The bytes are checked against the digest each time the file is opened: after a start, and when it had not been
        asked for in a while.

        Raises PackageUnreadableError, and StoreError while the store that keeps the bytes cannot be read.
        """
        body = self._bodies.pop(digest, None) or await self._opened(digest, size)
        self._bodies[digest] = body
        while len(self._bodies) > self._open_limit:
            del self._bodies[next(iter(self._bodies))]
        return body

    async def check(self, digest: str, size: int) -> StaticBody:
        """Return the package opened anew, after a transfer of it failed: so its bytes can be read and are right.

        Raises as `body` does.
        """
        body = await self._checked(digest, size)
        if digest in self._bodies:
            self._bodies[digest] = body
        return body

    async def _opened(self, digest: str, size: int) -> StaticBody:
        """Open a package once for all who want it now: each of them would read the whole file."""
        opening = self._openings.get(digest)
        if opening is None:
            opening = self._openings[digest] = asyncio.create_task(self._checked(digest, size), name="open-package")
            opening.add_done_callback(lambda _: self._openings.pop(digest, None))
        return await asyncio.shield(opening)

    async def _checked(self, digest: str, size: int) -> StaticBody:
        file = await self._open_package(digest, size)
        return StaticBody(
            file.read,
            etag=bytes.fromhex(digest[:_ETAG_DIGITS]),
            size=size,
            content_format=int(ContentFormat.OCTET_STREAM),
            cached_tails=_CACHED_TAILS,
        )
