"""A fleet is many devices in one process; it starts and ends them together and counts what became of them."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from random import Random
from types import TracebackType
from typing import Any, Self

from firmcast.clock import Clock, SystemClock
from firmcast.simulator.device import REGISTERING_AT_ONCE, DeviceSpec, DeviceStatus, VirtualDevice
from firmcast.simulator.timing import PATIENT, DeviceTiming

_CLOSING_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatistics:
    """What became of a fleet: `registered` of its `devices` are so now; `bytes_received` counts package bytes."""

    devices: int
    registered: int
    registrations: int
    updates_succeeded: int
    updates_failed: int
    bytes_received: int
    statuses: tuple[DeviceStatus, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain values for JSON; states and results as their numbers."""
        return asdict(self)


class Fleet:
    """Virtual devices as an asynchronous context: inside it they live, at its end they de-register.

    `on_change` and `on_progress` are called with the device; `seed` makes jitter and ports' tokens repeatable.
    """

    def __init__(
        self,
        *,
        server: tuple[str, int],
        devices: Iterable[DeviceSpec],
        timing: DeviceTiming = PATIENT,
        clock: Clock | None = None,
        seed: int | None = None,
        registering_at_once: int = REGISTERING_AT_ONCE,
        on_change: Callable[[VirtualDevice], None] | None = None,
        on_progress: Callable[[VirtualDevice], None] | None = None,
    ) -> None:
        self._on_change = on_change
        self._changed = asyncio.Event()
        self._registered: set[str] = set()
        self._updated: set[str] = set()
        random = Random(seed)  # noqa: S311 -- jitter of simulated devices
        admission = asyncio.Semaphore(registering_at_once)
        self.devices: dict[str, VirtualDevice] = {}
        for spec in devices:
            if spec.endpoint_name in self.devices:
                raise ValueError(f"two devices are called {spec.endpoint_name!r}")
            self.devices[spec.endpoint_name] = VirtualDevice(
                spec,
                server=server,
                timing=timing,
                clock=clock or SystemClock(),
                random=Random(random.getrandbits(64)),  # noqa: S311 -- as above
                admission=admission,
                on_change=self._note_change,
                on_progress=on_progress,
            )

    async def __aenter__(self) -> Self:
        for device in self.devices.values():
            device.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, *, deregister: bool = True) -> None:
        """End all devices, saying so to the server or not; once is enough, more is harmless."""
        turns = asyncio.Semaphore(_CLOSING_AT_ONCE)

        async def end(device: VirtualDevice) -> None:
            async with turns:
                await device.close(deregister=deregister)

        await asyncio.gather(*(end(device) for device in self.devices.values()))

    async def until(self, fulfilled: Callable[[FleetStatistics], bool]) -> FleetStatistics:
        """Wait until the statistics fulfil a condition, and return them.

        They are drawn up of all devices after each change of one; for large fleets that wait long, `registered` and
        `updated` cost less.
        """
        while True:
            self._changed.clear()
            statistics = self.statistics()
            if fulfilled(statistics):
                return statistics
            await self._changed.wait()

    async def registered(self) -> FleetStatistics:
        """Wait until every device is registered."""
        return await self._until_all(self._registered)

    async def updated(self) -> FleetStatistics:
        """Wait until every device has ended an update, one way or the other, and is registered."""
        return await self._until_all(self._updated)

    async def _until_all(self, names: set[str]) -> FleetStatistics:
        while len(names) < len(self.devices):
            self._changed.clear()
            await self._changed.wait()
        return self.statistics()

    def statistics(self) -> FleetStatistics:
        """Return what became of the devices so far."""
        statuses = tuple(device.status for device in self.devices.values())
        return FleetStatistics(
            devices=len(statuses),
            registered=sum(status.registered for status in statuses),
            registrations=sum(status.registrations for status in statuses),
            updates_succeeded=sum(status.updates_succeeded for status in statuses),
            updates_failed=sum(status.updates_failed for status in statuses),
            bytes_received=sum(status.bytes_received for status in statuses),
            statuses=statuses,
        )

    def _note_change(self, device: VirtualDevice) -> None:
        name, status = device.spec.endpoint_name, device.status
        ended = status.updates_succeeded + status.updates_failed > 0
        for names, belongs in ((self._registered, status.registered), (self._updated, status.registered and ended)):
            if belongs:
                names.add(name)
            else:
                names.discard(name)
        self._changed.set()
        if self._on_change is not None:
            self._on_change(device)
