"""What became of attempts is written in batches: while one is written, and a moment longer, the next gathers.

What has gathered while the store was slow or away goes in parts, since others wait for the same store.

A store that is full or out of reach is waited for by who writes, since nothing is lost by it: what was delivered is
only not yet known to the store. Any other failure ends the writer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from firmcast.push.model import Settlement

_PAUSE_SECONDS = 0.02
"""A batch costs as much as some fifty outcomes, and nothing that is sent waits for it."""

_ENOUGH = 500

_AT_ONCE = 1_000
"""Outcomes in one transaction: so long, some milliseconds, an event or an answer waits for them on SQLite."""

WriteBatch = Callable[[Sequence[Settlement]], Awaitable[None]]


class SettlementWriter:
    """Gathers settlements and writes them, in order."""

    def __init__(self, write: WriteBatch) -> None:
        """Write each batch with `write`; `run` does it."""
        self._write = write
        self._gathered: list[Settlement] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._writing = 0

    def add(self, settlement: Settlement) -> None:
        """Have a settlement written soon."""
        if not self._gathered:
            self._wake.set()
        self._gathered.append(settlement)
        if len(self._gathered) >= _ENOUGH:
            self._hurry.set()

    @property
    def unwritten(self) -> int:
        """How many settlements are not yet durable."""
        return len(self._gathered) + self._writing

    async def written(self) -> None:
        """Wait until everything added so far is durable."""
        if not self.unwritten:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        self._hurry.set()
        await waiter

    async def run(self) -> None:
        """Write for ever.

        Raises:
            StoreError: the store is broken or closed.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._gathered = self._gathered, []
            waiters, self._waiters = self._waiters, []
            if batch:
                self._writing = len(batch)
                for start in range(0, len(batch), _AT_ONCE):
                    part = batch[start : start + _AT_ONCE]
                    await self._write(part)
                    self._writing -= len(part)
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            await self._gather()

    async def _gather(self) -> None:
        """Wait for a moment, unless somebody waits for what is written next, or there is enough of it."""
        if not self._waiters and len(self._gathered) < _ENOUGH:
            self._hurry.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_SECONDS):
                    await self._hurry.wait()
