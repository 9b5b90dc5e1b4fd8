"""Whose a delivery is: a process that is alone with its store has all, one of many nodes those that it has leased."""

from collections.abc import Collection
from typing import Protocol

from firmcast.db.port import Transaction
from firmcast.ids import PARTITIONS, DeviceId, Partition, partition_of
from firmcast.nodes.keeper import Keeper
from firmcast.nodes.model import Epoch, Share, share_of
from firmcast.push.model import ALONE, Claim


class Ownership(Protocol):
    """Which partitions are ours now."""

    @property
    def is_shared(self) -> bool:
        """Whether other nodes may have what we have not, and write what we then deliver."""
        ...

    def epoch_of(self, device_id: DeviceId) -> Epoch | None:
        """Return the epoch under which a device's partition is ours; None when it is not."""
        ...

    def partitions(self) -> frozenset[Partition] | None:
        """Return what is ours; None for everything."""
        ...

    async def still_held(self, tx: Transaction, claims: Collection[Claim]) -> frozenset[Claim]:
        """Return what may still be written for; it stays so until the transaction ends."""
        ...


class SoleOwner:
    """Owns everything, for ever."""

    is_shared = False

    def epoch_of(self, device_id: DeviceId) -> Epoch | None:
        del device_id
        return ALONE

    def partitions(self) -> frozenset[Partition] | None:
        return None

    async def still_held(self, tx: Transaction, claims: Collection[Claim]) -> frozenset[Claim]:
        del tx
        return frozenset(claims)


class LeasedPartitions:
    """Owns what the keeper of this node has leased."""

    is_shared = True

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._shares = {Partition(number): share_of(Partition(number)) for number in range(PARTITIONS)}

    def epoch_of(self, device_id: DeviceId) -> Epoch | None:
        return self._keeper.epoch_of(self._shares[partition_of(device_id)])

    def partitions(self) -> frozenset[Partition] | None:
        return frozenset(
            partition for partition, share in self._shares.items() if self._keeper.epoch_of(share) is not None
        )

    async def still_held(self, tx: Transaction, claims: Collection[Claim]) -> frozenset[Claim]:
        wanted: dict[tuple[Share, Epoch], Claim] = {
            (self._shares[partition], epoch): (partition, epoch) for partition, epoch in claims
        }
        return frozenset(wanted[held] for held in await self._keeper.still_held(tx, wanted))
