"""Only so many orders are carried out at a time that answers are heard before questions are repeated.

After a start, or when a task begins, thousands of devices have something to do at the same moment. All asked at once,
they would answer at once, and wait for us: what is not heard within the acknowledgement timeout is sent again, and the
load grows by itself. An order has a place until it is carried out, or for a while: devices that do not answer, and
packages on their way, keep nobody waiting for long.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Pace:
    """The places, and who waits for one, in their order."""

    def __init__(self, *, places: int, patience: float) -> None:
        """Have `places`; an order keeps its own for `patience` seconds at the most."""
        self._free = places
        self._patience = patience
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place, and have it for the time of the context, or less."""
        await self._enter()
        place = _Place(self)
        expiry = asyncio.get_running_loop().call_later(self._patience, place.leave)
        try:
            yield
        finally:
            expiry.cancel()
            place.leave()

    def free(self) -> None:
        """Give a place to the next one."""
        while self._waiting:
            ready = self._waiting.popleft()
            if not ready.done():
                ready.set_result(None)
                return
        self._free += 1

    async def _enter(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(ready)
        try:
            await ready
        except asyncio.CancelledError:
            if ready.done() and not ready.cancelled():
                # It was given a place in the same moment.
                self.free()
            else:
                with suppress(ValueError):
                    self._waiting.remove(ready)
            raise


class _Place:
    __slots__ = ("_left", "_pace")

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._left = False

    def leave(self) -> None:
        if not self._left:
            self._left = True
            self._pace.free()
