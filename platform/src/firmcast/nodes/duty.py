"""A duty is done by one node at a time: it begins where the share is gained and ends where it is lost.

For a moment two nodes may do it, when one was given up and does not know it yet; so what a duty writes must stand that.
"""

import asyncio
from collections.abc import Collection
from typing import Final, Protocol

import structlog

from firmcast.errors import StoreError
from firmcast.nodes.keeper import Keeper
from firmcast.nodes.model import Share

_log = structlog.get_logger()
_PAUSE_SECONDS: Final = 1.0


class Worker(Protocol):
    """Who does the work; may be started again after he was stopped."""

    async def start(self) -> None:
        """Begin."""
        ...

    async def stop(self) -> None:
        """End; harmless when it has not begun."""
        ...


class Duty:
    """Has workers work while this node has a share, or always where there is no other node."""

    def __init__(self, share: Share, workers: Collection[Worker], keeper: Keeper | None) -> None:
        """Bind the parts; nothing happens before `start`."""
        self._share = share
        self._workers = list(workers)
        self._keeper = keeper
        self._wanted = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, or wait for the share."""
        if self._keeper is None:
            for worker in self._workers:
                await worker.start()
            return
        self._keeper.listen(self)
        self._wanted = self._keeper.epoch_of(self._share) is not None
        self._changed.set()
        self._task = asyncio.create_task(self._run(), name=f"duty-{self._share}")

    async def stop(self) -> None:
        """End, whoever has the share."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._stop_all()

    def gained(self, shares: Collection[Share]) -> None:
        """Begin when the share is among them."""
        if self._share in shares:
            self._wanted = True
            self._changed.set()

    def give_back(self, shares: Collection[Share]) -> None:
        """Take note that a duty stays where it is."""

    def lost(self) -> None:
        """End."""
        self._wanted = False
        self._changed.set()

    async def _run(self) -> None:
        working = False
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = self._wanted  # it may be another by the time when this is done
            if wanted == working:
                continue
            try:
                await (self._start_all() if wanted else self._stop_all())
                working = wanted
            except StoreError as error:
                _log.warning("node.duty_postponed", share=self._share, reason=str(error))
                await self._try_again()
            except Exception as error:  # whatever it is, else nobody would do this duty while this node lives
                _log.error("node.duty_postponed", share=self._share, exc_info=error)
                await self._try_again()

    async def _start_all(self) -> None:
        """Have all of them begin, or none: who had begun before one that failed is begun again with it."""
        begun: list[Worker] = []
        try:
            for worker in self._workers:
                begun.append(worker)
                await worker.start()
        except Exception:
            for worker in reversed(begun):
                await worker.stop()
            raise

    async def _stop_all(self) -> None:
        for worker in reversed(self._workers):
            await worker.stop()

    async def _try_again(self) -> None:
        await asyncio.sleep(_PAUSE_SECONDS)
        self._changed.set()
