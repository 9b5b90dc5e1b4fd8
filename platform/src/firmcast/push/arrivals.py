"""Where several nodes write, rows are offered in the order of a common cut through all their commits, never one by one.

An event of a device may have been committed by another node just before one that this node has committed, or has read;
whoever offered the latter at once would let it overtake. So nothing that was written or read is offered before the
announcements of all nodes that were committed by then have been read (`Database.catch_up`), and what those name goes
first. An announcement is of a row that nobody has offered yet, save one that a read has brought just now.

Where an announcement makes no sense, as of another release, nobody knows which rows were meant, and any that are heard
of along with them or later might overtake them: so those are left to the store, and all backlogs are read again.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Annotated, Final

import msgspec

from firmcast.db.patience import patiently
from firmcast.db.port import Channel, Database
from firmcast.db.sharing import Number, SharedChannel
from firmcast.ids import PARTITIONS, DeviceId, EventId, Partition, SubscriptionId, partition_of
from firmcast.push import use_cases
from firmcast.push.model import Delivery

ELSEWHERE: Final = Channel("deliveries_of_all_nodes")
"""Told with (event, partition) of deliveries that any node has written, this one included."""

DOUBTED: Final = Channel("deliveries_that_nobody_can_name")
"""Told, without items, when an announcement of deliveries made no sense here."""

_KEPT_ROWS: Final = 20_000
"""Rows of our own kept until their announcement comes round; what is not kept is read."""

Key = tuple[EventId, SubscriptionId]


def _told(deliveries: Sequence[Delivery]) -> list[tuple[int, int]]:
    return sorted({(delivery.event_id, partition_of(delivery.device_id)) for delivery in deliveries})


SHARED: Final = [
    SharedChannel(
        channel=channel,
        item=tuple[Number, Annotated[int, msgspec.Meta(ge=0, lt=PARTITIONS)]],
        heard_as=ELSEWHERE,
        heard_at_home=True,
        told=_told,
        doubted_as=DOUBTED,
    )
    for channel in (use_cases.NEW_DELIVERIES, use_cases.DELIVERIES_AGAIN)
]
"""How nodes tell each other of deliveries."""


class Arrivals:
    """Rows that were announced, on their way to the scheduler."""

    def __init__(
        self,
        *,
        database: Database,
        is_mine: Callable[[DeviceId], bool],
        partitions: Callable[[], frozenset[Partition]],
        offer: Callable[[Sequence[Delivery]], None],
        read_again: Callable[[], None],
    ) -> None:
        """Give rows that are ours to `offer`, in the order of the log; `read_again` has all backlogs read again."""
        self._database = database
        self._is_mine = is_mine
        self._partitions = partitions
        self._offer = offer
        self._read_again = read_again
        self._in_doubt = False
        self._announced: dict[EventId, Partition] = {}
        self._kept: dict[EventId, list[Delivery]] = {}
        self._kept_rows = 0
        self._offering = asyncio.Lock()
        self._due = asyncio.Event()

    def wrote(self, deliveries: Sequence[Delivery]) -> None:
        """Keep rows that this node has just committed until their announcement comes round."""
        if self._kept_rows + len(deliveries) <= _KEPT_ROWS:
            for delivery in deliveries:
                self._kept.setdefault(delivery.event_id, []).append(delivery)
            self._kept_rows += len(deliveries)
        self._due.set()

    def announced(self, items: Sequence[tuple[int, int]]) -> None:
        """Take note of what some node has written."""
        self._announced.update((EventId(event_id), Partition(partition)) for event_id, partition in items)
        self._due.set()

    def doubted(self, _nothing: Sequence[object]) -> None:
        """Take note that some node has written what nobody here can name."""
        self._in_doubt = True
        self._due.set()

    def withdrawn(self, event_ids: Iterable[EventId]) -> None:
        """Let the store say whether deliveries of these events are still to be made."""
        self._forget(list(event_ids))

    async def run(self) -> None:
        """Offer what is announced, for ever.

        Raises:
            StoreError: the store is closed.
        """
        while True:
            await self._due.wait()
            self._due.clear()
            await self.settle()

    async def settle(self, loaded: Collection[Key] = ()) -> None:
        """Offer all that any node had written before the call.

        All but what was `loaded`: the caller gives that to the scheduler next, before he awaits anything else.
        """
        kept_before = list(self._kept)
        await self._database.catch_up()
        async with self._offering:
            announced, self._announced = self._announced, {}
            if self._in_doubt:
                self._in_doubt = False
                self._forget(list(announced))  # whoever reads again finds them too, behind those that nobody can name
                self._forget(kept_before)
                self._read_again()
                return
            rows = await self._rows(announced) if announced else []
            self._forget(kept_before)
            if not rows:
                return
            known = set(loaded)
            self._offer(
                [
                    row
                    for row in sorted(rows, key=lambda row: (row.event_id, row.subscription_id))
                    if (row.event_id, row.subscription_id) not in known and self._is_mine(row.device_id)
                ]
            )

    async def _rows(self, announced: dict[EventId, Partition]) -> list[Delivery]:
        rows: list[Delivery] = []
        unknown: list[EventId] = []
        mine = self._partitions()
        for event_id, partition in announced.items():
            if event_id in self._kept:
                kept = self._kept.pop(event_id)
                self._kept_rows -= len(kept)
                rows += kept
            elif partition in mine:
                unknown.append(event_id)
        if unknown:
            rows += await patiently(lambda: self._database.read(use_cases.deliveries_of, sorted(unknown), mine))
        return rows

    def _forget(self, event_ids: Sequence[EventId]) -> None:
        """Keep rows no longer, such as those whose announcement was read before their commit had returned."""
        for event_id in event_ids:
            self._kept_rows -= len(self._kept.pop(event_id, ()))
