"""A fleet is many devices in one process; it starts and ends them together and counts what became of them."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from types import TracebackType
from typing import Self

from firmcast.clock import Clock, SystemClock
from firmcast.simulator.device import REGISTERING_AT_ONCE, DeviceSpec, VirtualDevice
from firmcast.simulator.network import PERFECT, NetworkConditions
from firmcast.simulator.statistics import FleetStatistics, statistics_of
from firmcast.simulator.timing import PATIENT, DeviceTiming

_CLOSING_AT_ONCE = 64


class Fleet:
    """Virtual devices as an asynchronous context: inside it they live, at its end they de-register.

    `on_change` and `on_progress` are called with the device. `network` is that of the devices that have none of their
    own. The same `seed` makes the same of chance: what networks lose and delay, where power is cut, and jitter.
    """

    def __init__(
        self,
        *,
        server: tuple[str, int],
        devices: Iterable[DeviceSpec],
        timing: DeviceTiming = PATIENT,
        clock: Clock | None = None,
        seed: int | None = None,
        network: NetworkConditions = PERFECT,
        registering_at_once: int = REGISTERING_AT_ONCE,
        on_change: Callable[[VirtualDevice], None] | None = None,
        on_progress: Callable[[VirtualDevice], None] | None = None,
    ) -> None:
        self._on_change = on_change
        self._clock = clock or SystemClock()
        self._began_at = self._clock.monotonic()
        self._seed = seed
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
                spec if spec.network is not None else replace(spec, network=network),
                server=server,
                timing=timing,
                clock=self._clock,
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
        return statistics_of(self.devices.values(), seconds=self._clock.monotonic() - self._began_at, seed=self._seed)

    def _note_change(self, device: VirtualDevice) -> None:
        name, status = device.spec.endpoint_name, device.status
        for names, belongs in (
            (self._registered, status.registered),
            (self._updated, status.registered and status.has_ended_an_update),
        ):
            if belongs:
                names.add(name)
            else:
                names.discard(name)
        self._changed.set()
        if self._on_change is not None:
            self._on_change(device)
