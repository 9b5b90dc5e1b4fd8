"""Looks now and then at the oldest event that each subscription still waits for: how old it is, and whether it moves.

A receiver that is down makes events old, and that is the application's affair. What must not happen is that the same
event stays the oldest, was never tried, and nothing explains why: then this platform has stopped delivering, and
whoever balances load or restarts processes is to know.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.errors import StoreError
from firmcast.ids import DeviceId, EventId, SubscriptionId
from firmcast.push import use_cases
from firmcast.push.metrics import PushMetrics
from firmcast.push.model import OldestUndelivered
from firmcast.push.replay import use_cases as replays
from firmcast.push.undelivered import Undelivered, UndeliveredWarnings, undelivered

Explains = Callable[[SubscriptionId, DeviceId], bool]
"""Says whether it is right that the event at the head of a device's lane is not being sent just now."""

_INTERVAL_SECONDS: Final = 5.0
_COUNTED: Final = 100_000
_log = structlog.get_logger()


class Stalls:
    """Which subscriptions wait for an event that nobody tries; pure, it is told what there is and what time it is."""

    def __init__(self, limit: timedelta) -> None:
        """Let an event rest without a reason for `limit`."""
        self._limit = limit
        self._resting: dict[SubscriptionId, tuple[EventId, datetime]] = {}

    def look(self, found: Sequence[OldestUndelivered], explains: Explains, now: datetime) -> list[SubscriptionId]:
        """Take in the oldest events of all subscriptions, and return those that have rested for too long."""
        resting: dict[SubscriptionId, tuple[EventId, datetime]] = {}
        for item in found:
            if item.tried or explains(item.subscription_id, item.device_id):
                continue
            event_id, since = self._resting.get(item.subscription_id, (item.event_id, now))
            resting[item.subscription_id] = (item.event_id, since if event_id == item.event_id else now)
        self._resting = resting
        return [key for key, (_, since) in resting.items() if now - since >= self._limit]


class BacklogWatch:
    """Asks the store every few seconds, so that whoever asks for figures reads what is known already."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        metrics: PushMetrics,
        explains: Explains,
        limit: timedelta,
        undelivered_limit: int = 0,
    ) -> None:
        """Bind the parts; nothing happens before `start`.

        Args:
            database: the store.
            clock: tells the time.
            metrics: where to tell what is seen.
            explains: says why an event rests.
            limit: for so long an event may rest without a reason.
            undelivered_limit: deliveries that may wait for one application, 0 for any number.
        """
        self._database = database
        self._clock = clock
        self._explains = explains
        self._stalls = Stalls(limit)
        self._found: list[OldestUndelivered] = []
        self._stalled: list[SubscriptionId] = []
        self._task: asyncio.Task[None] | None = None
        self._replays: replays.ReplayCensus | None = None
        metrics.replays.read = self._replay_states
        metrics.replay_rate.read = lambda: None if self._replays is None else self._replays.rate
        metrics.replayed.read = lambda: None if self._replays is None else self._replays.outstanding
        metrics.oldest.read = lambda: max(self._ages().values(), default=0.0)
        metrics.oldest_of.read = self._ages
        metrics.behind.read = lambda: len(self._found)
        metrics.stalled.read = lambda: len(self._stalled)
        self._undelivered = Undelivered(of_subscriptions={}, of_applications={})
        self._warnings = UndeliveredWarnings(undelivered_limit)
        metrics.undelivered.read = lambda: sum(self._undelivered.of_subscriptions.values())
        metrics.undelivered_of.read = lambda: dict[str, float](self._undelivered.of_subscriptions.items())
        metrics.at_limit.read = lambda: len(self._warnings.at_limit)

    @property
    def is_moving(self) -> bool:
        """False when a subscription waits for an event that nobody tries."""
        return not self._stalled

    def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._run(), name="backlog-watch")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Look once.

        Raises:
            StoreError: the store cannot be read.
        """
        self._found = await self._database.read(use_cases.oldest_undelivered)
        self._replays = await self._database.read(replays.census, _COUNTED)
        self._undelivered = await self._database.read(undelivered)
        self._warnings.look(self._undelivered.of_applications)
        before, self._stalled = self._stalled, self._stalls.look(self._found, self._explains, self._clock.now())
        for subscription_id in set(self._stalled).difference(before):
            _log.error("push.stalled", subscription_id=subscription_id)

    def _ages(self) -> dict[str, float]:
        now = self._clock.now()
        return {item.subscription_id: max(0.0, (now - item.occurred_at).total_seconds()) for item in self._found}

    def _replay_states(self) -> dict[str, float]:
        if self._replays is None:
            return {}
        ended = {state.value: float(number) for state, number in self._replays.ended.items()}
        return {"running": self._replays.running, "waiting": self._replays.waiting, **ended}

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except StoreError:
                pass  # it is told by who needs the store more
            except Exception as error:  # whatever it is, figures and readiness would stand still, and look sound
                _log.error("push.backlog_not_seen", exc_info=error)
            await asyncio.sleep(_INTERVAL_SECONDS)
