"""Partitions that another node should have are finished before they go: what is under way ends, and is written.

They count as leaving until they are gained again, so that nothing is begun between the last write and the release.
"""

from collections.abc import Awaitable, Callable, Iterable

from firmcast.ids import DeviceId, Partition, partition_of

OnFinished = Callable[[list[Partition]], None]


class LeavingPartitions:
    """The partitions for which nothing more is begun."""

    def __init__(
        self,
        *,
        in_flight_devices: Callable[[Callable[[DeviceId], bool]], int],
        written: Callable[[], Awaitable[None]],
    ) -> None:
        """Ask how many attempts of some devices are under way, and wait until all outcomes so far are durable."""
        self._in_flight_devices = in_flight_devices
        self._written = written
        self._leaving: set[Partition] = set()
        self._finished: set[Partition] = set()
        self._on_finished: OnFinished = lambda _partitions: None

    def __bool__(self) -> bool:
        """Say whether there is any that is not finished."""
        return len(self._finished) < len(self._leaving)

    def __contains__(self, partition: Partition) -> bool:
        """Say whether a partition is leaving."""
        return partition in self._leaving

    def without(self, partitions: frozenset[Partition]) -> frozenset[Partition]:
        """Return those of them that stay."""
        return partitions - self._leaving

    def add(self, partitions: Iterable[Partition], on_finished: OnFinished) -> None:
        """Have partitions leave; `on_finished` is called with those for which all that was under way is written."""
        self._leaving.update(partitions)
        self._on_finished = on_finished

    def remain(self, partitions: Iterable[Partition]) -> None:
        """Take note that partitions are ours anew."""
        self._leaving.difference_update(partitions)
        self._finished.difference_update(partitions)

    async def finish(self) -> None:
        """Let go of those for which nothing is under way any more."""
        waiting = self._leaving - self._finished
        finished = [partition for partition in waiting if not self._under_way(partition)]
        if not finished:
            return
        await self._written()
        gone = [partition for partition in finished if partition in self._leaving - self._finished]
        self._finished.update(gone)
        if gone:
            self._on_finished(gone)

    def _under_way(self, partition: Partition) -> int:
        return self._in_flight_devices(lambda device_id: partition_of(device_id) == partition)
