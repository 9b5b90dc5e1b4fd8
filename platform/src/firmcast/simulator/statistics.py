"""What became of a fleet is counted here, and told under names that stay."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from firmcast.simulator.device import DeviceStatus, VirtualDevice
from firmcast.simulator.network import NetworkCounters


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatistics:
    """Counts of all devices since the fleet began."""

    seconds: float
    """Since the fleet began."""
    seed: int | None
    """What chance was drawn from; null where it was not told."""
    devices: int
    """How many there are."""
    registered: int
    """How many of them are registered now."""
    registrations: int
    """Registrations that succeeded."""
    states: dict[str, int]
    """How many devices are in each state of /5/0/3 now, by its number."""
    updates_succeeded: int
    """Updates that ended well."""
    updates_failed: int
    """Updates that were rejected, lost, cancelled or not installed."""
    results: dict[str, int]
    """How many updates ended with each result of /5/0/5, by its number; 1 is success, told or forgotten."""
    bytes_received: int
    """Bytes of packages, those that came again too."""
    retransmissions: int
    """Messages of the devices that were sent again."""
    datagrams: NetworkCounters
    """What the network did to datagrams between devices and server."""
    statuses: tuple[DeviceStatus, ...]
    """Each device."""

    def as_dict(self, *, each: bool = True) -> dict[str, Any]:
        """Return the same as plain values for JSON; without `each` there are no statuses."""
        told = asdict(self if each else replace(self, statuses=()))
        if not each:
            del told["statuses"]
        return told


def statistics_of(devices: Iterable[VirtualDevice], *, seconds: float, seed: int | None) -> FleetStatistics:
    """Count."""
    statuses: list[DeviceStatus] = []
    states = dict.fromkeys("0123", 0)
    results: Counter[int] = Counter()
    datagrams = NetworkCounters()
    retransmissions = 0
    for device in devices:
        status = device.status
        statuses.append(status)
        states[str(int(status.state))] += 1
        results.update({int(result): count for result, count in device.results.items()})
        datagrams.add(device.datagrams)
        retransmissions += device.retransmitted
    return FleetStatistics(
        seconds=round(seconds, 3),
        seed=seed,
        devices=len(statuses),
        registered=sum(status.registered for status in statuses),
        registrations=sum(status.registrations for status in statuses),
        states=states,
        updates_succeeded=sum(status.updates_succeeded for status in statuses),
        updates_failed=sum(status.updates_failed for status in statuses),
        results={str(result): results[result] for result in sorted(results) if results[result]},
        bytes_received=sum(status.bytes_received for status in statuses),
        retransmissions=retransmissions,
        datagrams=datagrams,
        statuses=tuple(statuses),
    )
