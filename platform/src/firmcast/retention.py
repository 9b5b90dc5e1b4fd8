"""What is old enough goes, a part at a time, slowly enough that nobody waits for it.

Each part is one transaction of a bounded number of rows, and after it the sweeper rests for several times as long as it
took: with a busy store that is long. Every part finds anew what is old, so it may be cut off anywhere, and two nodes
may sweep at the same time.

An event stays while anybody may still need it: a delivery, a dead letter, or an upgrade that has not ended. The last
number of a device is no event, and stays.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from firmcast.audit import use_cases as audit
from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.errors import StoreError
from firmcast.events import use_cases as events
from firmcast.ids import EventId, SubscriptionId
from firmcast.journal import use_cases as journal
from firmcast.metrics import Counts
from firmcast.push import retention as push
from firmcast.push.model import Position
from firmcast.push.replay import use_cases as replays
from firmcast.settings import RetentionSettings
from firmcast.upgrades import use_cases as upgrades

SMALL_ROWS: Final = 5_000
"""Rows of one transaction, where a row is some hundred bytes."""

EVENTS_AT_ONCE: Final = 1_000

_REST_FACTOR: Final = 4.0
_SHORTEST_REST_SECONDS: Final = 0.02
_LONGEST_REST_SECONDS: Final = 5.0
_FIRST_POSITION: Final = Position(event_id=EventId(0), subscription_id=SubscriptionId(""))
_log = structlog.get_logger()

GiveBack = Callable[[], Awaitable[bool]]
"""Gives a part of the space that is free inside the store back to the disk; returns whether there is more."""


class RetentionSweeper:
    """Removes what is too old, from time to time."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        settings: RetentionSettings,
        removed: Counts | None = None,
        give_back: GiveBack | None = None,
    ) -> None:
        """Bind the parts; nothing happens before `start`. What is removed is counted in `removed`, by its kind."""
        self._database = database
        self._clock = clock
        self._settings = settings
        self._give_back = give_back
        self._removed = removed
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="retention-sweeper")

    async def stop(self) -> None:
        """End; what is being removed just now is removed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self) -> None:
        """Remove everything that is too old now.

        Raises:
            StoreError: the store could not do it; what was removed is removed.
        """
        now, keep = self._clock.now(), self._settings
        await self._simple("attempt", partial(push.forget_attempts, now=now), now - keep.attempts)
        await self._dead_letters(now - keep.dead_letters)
        await self._events(now - keep.events, now)
        await self._simple("journal", journal.forget, now - keep.journal)
        await self._simple("replay", replays.forget, now - keep.replays)
        await self._simple("audit", audit.forget, now - keep.audit)
        if self._give_back is not None:
            began = self._clock.monotonic()
            while await self._give_back():
                await self._rest(began)
                began = self._clock.monotonic()

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except StoreError as error:
                _log.error("retention.sweep_failed", reason=str(error))
            except Exception as error:
                # Who does not try again lets the store grow for ever, and nobody would be told.
                _log.error("retention.sweep_failed", exc_info=error)
            await asyncio.sleep(self._settings.interval.total_seconds())

    async def _simple(
        self, kind: str, forget: Callable[[Transaction, datetime, int], Awaitable[int]], before: datetime
    ) -> None:
        """Remove the oldest rows of a table, as long as they are too old."""

        async def remove(tx: Transaction) -> int:
            return await forget(tx, before, SMALL_ROWS)

        while True:
            began = self._clock.monotonic()
            removed = await self._database.write_behind(remove)
            self._note(kind, removed)
            if removed < SMALL_ROWS:
                return
            await self._rest(began)

    async def _dead_letters(self, before: datetime) -> None:
        after: Position | None = _FIRST_POSITION
        while after is not None:
            began = self._clock.monotonic()
            removed, after = await self._database.write_behind(push.forget_dead_letters, before, after, SMALL_ROWS)
            self._note("dead_letter", removed)
            await self._rest(began)

    async def _events(self, before: datetime, now: datetime) -> None:
        after: EventId | None = events.BEFORE_ALL
        while after is not None:
            began = self._clock.monotonic()
            removed, after = await self._database.write_behind(forget_events, before, after, EVENTS_AT_ONCE, now)
            self._note("event", removed)
            await self._rest(began)

    def _note(self, kind: str, removed: int) -> None:
        if self._removed is not None:
            self._removed.of(kind).value += removed
        if removed:
            _log.info("retention.removed", kind=kind, rows=removed)

    async def _rest(self, began: float) -> None:
        rest = _REST_FACTOR * (self._clock.monotonic() - began)
        await asyncio.sleep(min(max(rest, _SHORTEST_REST_SECONDS), _LONGEST_REST_SECONDS))


async def forget_events(
    tx: Transaction, before: datetime, after: EventId, limit: int, now: datetime
) -> tuple[int, EventId | None]:
    """Look at the next `limit` events after a position, and remove those from before a time that nobody needs.

    Returns:
        How many were removed, and the position to go on after; None when all that follow are newer, as far as the log
        is in the order of time: what is from after `now`, by a clock that was wrong, says nothing of that.
    """
    found = await events.ages(tx, after, limit)
    old = [item for item in found if item.occurred_at < before]
    if not old:
        is_misdated = any(item.occurred_at > now for item in found)
        return 0, found[-1].event_id if is_misdated and len(found) == limit else None
    event_ids = [item.event_id for item in old]
    needed = await push.needed_events(tx, event_ids)
    running = await upgrades.not_ended(tx, sorted({item.device_upgrade_id for item in old if item.device_upgrade_id}))
    unneeded = [item.event_id for item in old if item.event_id not in needed and item.device_upgrade_id not in running]
    if unneeded:
        await events.remove(tx, unneeded)
        await events.note_forgotten(tx, unneeded[-1])
    return len(unneeded), found[-1].event_id if len(found) == limit else None
