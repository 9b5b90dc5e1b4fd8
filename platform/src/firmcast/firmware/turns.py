"""Whoever comes last to an upload has it alone.

A connection that broke unnoticed would hold an upload for hours, so a newcomer does not wait for who writes: it asks
that one to end, and begins when the bytes that had come are safe.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from firmcast.ids import UploadId


class _Line:
    """Who has one upload, and who waits for it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.latest: asyncio.Event | None = None
        self.users = 0


class Turns:
    """The turns of all uploads in this process."""

    def __init__(self) -> None:
        self._lines: dict[UploadId, _Line] = {}

    @asynccontextmanager
    async def turn(self, upload_id: UploadId) -> AsyncIterator[asyncio.Event]:
        """Have an upload alone; the event is set when somebody else wants it, who waits until this ends."""
        line = self._lines.setdefault(upload_id, _Line())
        asked = asyncio.Event()
        former, line.latest = line.latest, asked
        if former is not None:
            former.set()
        line.users += 1
        try:
            async with line.lock:
                yield asked
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[upload_id]
