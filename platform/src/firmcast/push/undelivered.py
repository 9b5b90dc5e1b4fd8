"""An application that takes nothing for long must not fill the disk of all: its new upgrade tasks are refused.

How many deliveries wait is counted as they come and go (`store/deliveries.py`), for all nodes together. What devices
report cannot be refused, and nothing that was accepted is dropped: so it is new work that has to wait, and a warning
comes before.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from firmcast.clock import Clock
from firmcast.db.metrics import StoreMetrics
from firmcast.db.port import Database, Transaction
from firmcast.errors import StoreError, UndeliveredLimitError
from firmcast.ids import ApplicationId, SubscriptionId
from firmcast.push.store import undelivered as undelivered_store
from firmcast.subscriptions import use_cases as subscriptions

_WARNING_SHARE: Final = 0.8
_FOLD_SECONDS: Final = 5.0
_CORRECT_SECONDS: Final = 3600.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """How many deliveries are still to be made; who has none is absent."""

    of_subscriptions: Mapping[SubscriptionId, int]
    of_applications: Mapping[ApplicationId, int]


async def undelivered(tx: Transaction) -> Undelivered:
    """Return how many deliveries are still to be made, of subscriptions that there are."""
    sums = await undelivered_store.sums(tx)
    found = await subscriptions.by_ids(tx, sorted(sums))
    of_applications: dict[ApplicationId, int] = defaultdict(int)
    for subscription_id, subscription in found.items():
        of_applications[subscription.application_id] += sums[subscription_id]
    return Undelivered(of_subscriptions={key: sums[key] for key in found}, of_applications=of_applications)


async def of_application(tx: Transaction, application_id: ApplicationId) -> int:
    """Return how many deliveries to an application are still to be made."""
    found, _ = await subscriptions.listed(tx, application_id)
    sums = await undelivered_store.sums_of(tx, [each.subscription_id for each in found])
    return sum(sums.values())


class UndeliveredLimit:
    """Says whether an application may begin anything that it would have to be told of."""

    def __init__(self, *, database: Database, limit: int, metrics: StoreMetrics) -> None:
        """Let `limit` deliveries wait for an application; 0 for any number."""
        self._database = database
        self._limit = limit
        self._metrics = metrics

    async def require(self, application_id: ApplicationId) -> None:
        """Let new work in.

        Raises:
            UndeliveredLimitError: the application has as much to be told as may wait for it.
            StoreError: the store cannot be read.
        """
        if not self._limit:
            return
        waiting = await self._database.read(of_application, application_id)
        if waiting >= self._limit:
            self._metrics.refused_undelivered.value += 1
            raise UndeliveredLimitError(waiting, self._limit)


class UndeliveredWarnings:
    """Tells in the log, once each time, of applications that come near the limit, and of those that reach it."""

    def __init__(self, limit: int) -> None:
        """Warn of `limit` deliveries; 0 for never."""
        self._limit = limit
        self._near: set[ApplicationId] = set()
        self._at: set[ApplicationId] = set()

    @property
    def at_limit(self) -> Collection[ApplicationId]:
        """Those whose new upgrade tasks are refused."""
        return self._at

    def look(self, found: Mapping[ApplicationId, int]) -> None:
        """Take in how many deliveries wait for each application."""
        if not self._limit:
            return
        near = {key for key, waiting in found.items() if waiting >= _WARNING_SHARE * self._limit}
        at = {key for key in near if found[key] >= self._limit}
        for key in sorted(at - self._at):
            _log.error("push.undelivered_limit", application_id=key, waiting=found[key], limit=self._limit)
        for key in sorted(near - self._near - at):
            _log.warning("push.undelivered_near_limit", application_id=key, waiting=found[key], limit=self._limit)
        for key in sorted(self._at - at):
            _log.info("push.undelivered_limit_left", application_id=key, waiting=found.get(key, 0), limit=self._limit)
        self._near, self._at = near, at


class UndeliveredKeeper:
    """Sums up what transactions have counted, and counts anew now and then in case it was wrong; on one node."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        """Bind the parts; nothing happens before `start`."""
        self._database = database
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="undelivered-keeper")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def correct(self) -> None:
        """Count anew.

        Raises:
            StoreError: the store cannot do it.
        """
        # Both are read on one view of the store; what is written since changes the count and what is counted alike.
        wrong = await self._database.read(undelivered_store.differences)
        if wrong:
            _log.warning("push.undelivered_corrected", subscriptions=len(wrong), by=sum(wrong.values()))
            await self._database.write_apart(undelivered_store.correct, wrong)

    async def fold(self) -> None:
        """Sum up, if there is anything.

        Raises:
            StoreError: the store cannot do it.
        """
        if await self._database.read(undelivered_store.has_parts):
            await self._database.write_apart(undelivered_store.fold)

    async def _run(self) -> None:
        correct_at = self._clock.monotonic()
        while True:
            try:
                if self._clock.monotonic() >= correct_at:
                    await self.correct()
                    correct_at = self._clock.monotonic() + _CORRECT_SECONDS
                await self.fold()
            except StoreError as error:
                _log.warning("push.undelivered_not_kept", reason=str(error))
            except Exception as error:  # whatever it is, the rows would pile up, and nobody would be told
                _log.error("push.undelivered_not_kept", exc_info=error)
            await asyncio.sleep(_FOLD_SECONDS)
