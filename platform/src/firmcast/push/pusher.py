"""The pusher delivers for as long as its process runs; where nodes share the store, with a dispatcher for each life.

When this node is given up, what its dispatcher has under way is broken off and nothing of it is written: others have
begun from what the store says. The next life begins from there too, with a dispatcher that knows nothing of the former.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any

import structlog

from firmcast.ids import DeviceId, Partition, SubscriptionId
from firmcast.nodes.keeper import Keeper
from firmcast.nodes.model import PARTITION_SHARES, Share, share_of
from firmcast.push.dispatcher import Dispatcher
from firmcast.push.ownership import LeasedPartitions, Ownership, SoleOwner

_log = structlog.get_logger()

MakeDispatcher = Callable[[Ownership], Dispatcher]


class Pusher:
    """A dispatcher, and another one after this node was given up."""

    def __init__(self, make: MakeDispatcher, keeper: Keeper | None = None) -> None:
        """Deliver everything, or what `keeper` has leased."""
        self._make = make
        self._keeper = keeper
        self._ownership: Ownership = SoleOwner() if keeper is None else LeasedPartitions(keeper)
        self._dispatcher = make(self._ownership)
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self.broken = asyncio.Event()
        """Set when the process must end."""

    @property
    def dispatcher(self) -> Dispatcher:
        """The one that delivers now."""
        return self._dispatcher

    def explains(self, subscription_id: SubscriptionId, device_id: DeviceId) -> bool:
        """Say whether it is right that the head of a device's lane is not being sent just now."""
        return self._dispatcher.explains(subscription_id, device_id)

    async def start(self) -> None:
        """Begin.

        Raises:
            StartError: the key file does not open the signing secrets.
        """
        if self._keeper is not None:
            self._keeper.listen(self)
        async with self._changing:
            await self._begin(self._dispatcher)

    async def stop(self, drain_seconds: float) -> None:
        """Start nothing more, let attempts under way end for so long, and write what came of them.

        What is finished before goes to other nodes at once: a receiver that takes its time keeps only its own waiting.
        """
        self._stopped = True
        # Another life may just be waiting for a store that is away: this one need not wait for it.
        for task in list(self._tasks):
            task.cancel()
        async with self._changing:
            self._dispatcher.halt()  # there is no other one after it
        if self._keeper is not None:
            self._spawn(self._keeper.retire())
        await self._dispatcher.stop(drain_seconds)
        while self._tasks:  # one that retires begins others
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def renew(self) -> None:
        """Begin anew from what the store says, unless it has been stopped."""
        async with self._changing:
            if self._stopped:
                return
            await self._dispatcher.abandon()
            self._dispatcher = self._make(self._ownership)
            await self._begin(self._dispatcher)

    def missed(self) -> None:
        """Begin anew, since announcements were missed; nothing that is heard behind them is sent before."""
        self._dispatcher.halt()
        self._spawn(self.renew())

    # ------------------------------------------------------------------ what the keeper tells

    def gained(self, shares: Collection[Share]) -> None:
        """Begin with partitions that are ours from now on, before anything new of them is heard of."""
        if partitions := _partitions(shares):
            self._dispatcher.take_up(partitions)

    def give_back(self, shares: Collection[Share]) -> None:
        """Finish partitions that others should have."""
        partitions = _partitions(shares)

        async def give_back() -> None:
            async with self._changing:
                self._dispatcher.give_back(partitions, partial(self._finished, self._dispatcher))

        if partitions:
            self._spawn(give_back())

    def lost(self) -> None:
        """Break everything off."""
        self._dispatcher.halt()
        self._spawn(self.renew())

    # ------------------------------------------------------------------ inside

    async def _begin(self, dispatcher: Dispatcher) -> None:
        await dispatcher.start()

        async def watch() -> None:
            await dispatcher.broken.wait()
            self.broken.set()

        self._spawn(watch())

    def _finished(self, dispatcher: Dispatcher, partitions: list[Partition]) -> None:
        keeper = self._keeper
        if keeper is None:
            return

        async def release() -> None:
            async with self._changing:
                if self._dispatcher is dispatcher:  # another one has begun with them, and will be asked for them again
                    await keeper.release([share_of(partition) for partition in partitions])

        self._spawn(release())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("push.broken", error=repr(error), exc_info=error)
            self.broken.set()


def _partitions(shares: Collection[Share]) -> list[Partition]:
    return [PARTITION_SHARES[share] for share in shares if share in PARTITION_SHARES]
