"""How large a PostgreSQL database is: asked for seldom, since the database looks at each of its files for it."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from firmcast.db.port import Reader, Transaction
from firmcast.db.statement import portable
from firmcast.errors import StoreError

_ASK_SECONDS: Final = 30.0
_log = structlog.get_logger()

# How large the whole database is, with what is free inside of it.
SELECT_SIZE: Final = portable("SELECT pg_database_size(current_database())")


class SizeWatch:
    """Knows how large the database was a moment ago."""

    def __init__(self, database: Reader, monotonic: Callable[[], float]) -> None:
        """Ask `database`; `start` does it by itself, `refresh` when somebody wants to know."""
        self._database = database
        self._monotonic = monotonic
        self._asked_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        self.size: int | None = None
        """Bytes, as far as is known."""

    async def refresh(self) -> None:
        """Ask, unless that was done a moment ago.

        Raises:
            StoreError: the database cannot be asked.
        """
        now = self._monotonic()
        if self._asked_at is None or now - self._asked_at >= _ASK_SECONDS:
            self._asked_at = now
            self.size = await self._database.read(_size)

    async def start(self) -> None:
        """Ask again and again."""
        self._task = asyncio.create_task(self._run(), name="size-watch")

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self.refresh()
            except StoreError as error:
                _log.warning("store.size_unknown", reason=str(error))
            except Exception as error:  # whatever it is, the limit would hold for nobody from then on
                _log.error("store.size_unknown", exc_info=error)
            await asyncio.sleep(_ASK_SECONDS)


async def _size(tx: Transaction) -> int:
    row = await tx.fetch_row(SELECT_SIZE)
    return 0 if row is None else int(row[0])
