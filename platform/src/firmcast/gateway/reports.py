"""What devices tell is written in the order in which it came; one write is under way and the next takes all the rest.

Nothing that a device told is dropped. A store that is full, or away, is tried again, with the same reports in the same
order, until it takes them; who waits for an answer (a registration) is refused instead, since the device asks again by
itself. What is only noted waits a moment for company, and is dropped by such a store.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from firmcast.errors import StoreBusyError, StoreError, StoreFullError, StoreUnreachableError
from firmcast.gateway.batches import Answer, CheckEnded, Item
from firmcast.journal.model import DeviceNote
from firmcast.upgrades.model import DeviceReport

BATCH_LIMIT: Final = 1000
_NOTE_DELAY_SECONDS: Final = 1.0
_KEPT: Final = (DeviceReport, CheckEnded)
"""What nobody tells again."""
_PASSING: Final = (StoreFullError, StoreBusyError, StoreUnreachableError)
"""What the store says that may take the same a little later."""
_log = structlog.get_logger()

WriteBatch = Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]]
"""Writes items in one transaction and returns the answer to each."""


@dataclass(slots=True)
class _Entry:
    item: Item
    answer: asyncio.Future[Answer] | None


class ReportIntake:
    """The queue between the devices and the store."""

    def __init__(
        self,
        write: WriteBatch,
        *,
        retry_delay: float = 0.5,
        longest_delay: float = 5.0,
        note_delay: float = _NOTE_DELAY_SECONDS,
    ) -> None:
        """Try a store that takes nothing again after `retry_delay` seconds, then after twice that, to `longest_delay`.

        What is noted waits `note_delay` seconds at the most for something that is to be written anyway.
        """
        self._write = write
        self._retry_delay = retry_delay
        self._longest_delay = longest_delay
        self._waiting: deque[_Entry] = deque()
        self._batch_limit = BATCH_LIMIT
        self._failures = 0
        self._ended: StoreError | None = None
        self._writing: asyncio.Task[None] | None = None
        self._note_delay = note_delay
        self._note_timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many items wait, those being written aside."""
        return len(self._waiting)

    def add(self, item: Item) -> None:
        """Have an item written; nobody waits for it."""
        self._put(_Entry(item, None))

    def submit(self, item: Item) -> asyncio.Future[Answer]:
        """Have an item written; the future has its answer when it is durable.

        Of a registration it raises StoreFullError while there is no room, or StoreUnreachableError while the store is
        away; of any item StoreError when it is broken or closed.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._put(_Entry(item, answer))
        return answer

    def note(self, item: DeviceNote) -> None:
        """Have a note written with whatever is written next, or soon; it is let go while the store takes nothing."""
        if self._ended is not None:
            return
        self._waiting.append(_Entry(item, None))
        if self._writing is None and self._note_timer is None:
            self._note_timer = asyncio.get_running_loop().call_later(self._note_delay, self._start_writing)

    async def record(self, report: DeviceReport) -> None:
        """Have a report written and wait until it is durable. Raises StoreError when the store is broken or closed."""
        await self.submit(report)

    async def drain(self, patience: float) -> bool:
        """Wait until all is written, for `patience` seconds at the most; return whether it is."""
        if self._waiting:
            self._start_writing()
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=patience)
        if self._writing is None:
            return True
        self._writing.cancel()
        await asyncio.wait({self._writing})
        self._end(StoreError("the platform is stopping"))
        return False

    def _put(self, entry: _Entry) -> None:
        if self._ended is not None:
            _settle(entry, self._ended)
            return
        self._waiting.append(entry)
        self._start_writing()

    def _start_writing(self) -> None:
        if self._note_timer is not None:
            self._note_timer.cancel()
            self._note_timer = None
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(), name="report-intake")

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._write_some()
        finally:
            self._writing = None

    async def _write_some(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_limit))]
        try:
            answers = await self._write([entry.item for entry in batch])
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(batch))
            raise
        except _PASSING as error:
            await self._wait_for_store(batch, error)
        except StoreError as error:
            self._waiting.extendleft(reversed(batch))
            self._end(error)
        except Exception as error:
            # One item that nobody foresaw must not stop all the others.
            self._isolate(batch, error)
        else:
            self._failures = 0
            self._batch_limit = min(BATCH_LIMIT, self._batch_limit * 2)
            for entry, answer in zip(batch, answers, strict=True):
                _settle(entry, answer)

    async def _wait_for_store(self, batch: Sequence[_Entry], error: StoreError) -> None:
        for entry in batch:
            if not isinstance(entry.item, _KEPT):
                _settle(entry, error)
        self._waiting.extendleft(entry for entry in reversed(batch) if isinstance(entry.item, _KEPT))
        delay = min(self._longest_delay, self._retry_delay * 2.0 ** min(self._failures, 16))
        self._failures += 1
        event = "reports.store_full" if isinstance(error, StoreFullError) else "reports.store_away"
        _log.error(event, waiting=len(self._waiting), retry_seconds=delay, reason=str(error))
        await asyncio.sleep(delay)

    def _isolate(self, batch: Sequence[_Entry], error: Exception) -> None:
        """Try again in smaller batches until the item that cannot be written stands alone; that one is given up."""
        if len(batch) > 1:
            self._waiting.extendleft(reversed(batch))
            self._batch_limit = len(batch) // 2
            return
        entry = batch[0]
        self._batch_limit = BATCH_LIMIT
        _log.error("reports.item_given_up", item=repr(entry.item), exc_info=error)
        _settle(entry, error)

    def _end(self, error: StoreError) -> None:
        self._ended = error
        while self._waiting:
            _settle(self._waiting.popleft(), error)


def _settle(entry: _Entry, answer: Answer | Exception) -> None:
    if entry.answer is None or entry.answer.done():
        return
    if isinstance(answer, Exception):
        entry.answer.set_exception(answer)
    else:
        entry.answer.set_result(answer)
