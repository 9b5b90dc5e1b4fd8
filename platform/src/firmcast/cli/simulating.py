"""What `firmcast simulate` does while it runs, and how it shows it."""

import asyncio
import resource
import signal
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import uvloop
from rich.console import Console
from rich.live import Live
from rich.table import Table

from firmcast.cli.failures import CommandError, errors
from firmcast.cli.output import print_json
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.network import NetworkConditions
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.statistics import FleetStatistics
from firmcast.simulator.timing import DeviceTiming

_ROWS = 20
_OTHER_FILES = 64
"""Files that the process has open besides a socket for each device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A fleet to be: `kinds` are the profiles by endpoint names, each with its own name; `keys` those that have one."""

    server: tuple[str, int]
    kinds: dict[str, tuple[str, DeviceProfile]]
    keys: dict[str, bytes]
    authority: Path | None
    network: NetworkConditions
    timing: DeviceTiming
    seed: int

    def run(self, *, linger: float | None, timeout: float | None, interval: float | None, as_json: bool) -> None:
        """Run it until interrupted, or `linger` seconds after each device had an update, and tell how it went.

        Raises CommandError when there are too many devices for this process, and when not each had one after `timeout`
        seconds.
        """
        require_files(len(self.kinds))
        fleet = Fleet(
            server=self.server,
            devices=[
                DeviceSpec(
                    endpoint_name=name,
                    profile=profile,
                    profile_name=kind,
                    key=self.keys.get(name),
                    authority=self.authority,
                )
                for name, (kind, profile) in self.kinds.items()
            ],
            timing=self.timing,
            seed=self.seed,
            network=self.network,
        )
        count = len(self.kinds)
        devices = "1 virtual device" if count == 1 else f"{count:,} virtual devices"
        host, port = self.server
        errors.print(f"{devices} register at {f'[{host}]' if ':' in host else host}:{port}", markup=False)
        statistics = uvloop.run(_run_fleet(fleet, linger=linger, longest=timeout, interval=interval, as_json=as_json))
        errors.print(f"ended: {summary_of(statistics)}; seed {self.seed}", markup=False)
        if as_json:
            print_json(statistics.as_dict())
        if linger is not None and timeout is not None and statistics.seconds >= timeout:
            missing = sum(not status.has_ended_an_update for status in statistics.statuses)
            if missing:
                raise CommandError(f"{missing:,} of {devices} had no update in {timeout:g} seconds")


def require_files(devices: int) -> None:
    """Let this process open a socket for each device. Raises CommandError when the system does not allow it."""
    needed = devices + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise CommandError(
            f"{devices:,} devices need as many open files, and this process may have {hard:,}: "
            "raise the limit (ulimit -n), or run several fleets"
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def _run_fleet(
    fleet: Fleet, *, linger: float | None, longest: float | None, interval: float | None, as_json: bool
) -> FleetStatistics:
    interrupted = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    console = Console(stderr=True)
    async with fleet:
        waits: set[asyncio.Task[object]] = {asyncio.create_task(interrupted.wait())}
        if linger is not None:
            waits.add(asyncio.create_task(_updated(fleet, linger)))
        if longest is not None:
            waits.add(asyncio.create_task(asyncio.sleep(longest)))
        if interval is not None:
            waits.add(asyncio.create_task(_tell(fleet, interval, as_json=as_json)))
        live = Live(get_renderable=lambda: _table(fleet.statistics()), console=console, refresh_per_second=4)
        with live if console.is_terminal and not as_json and interval is None else nullcontext():
            ended, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in ended:
            task.result()
        return fleet.statistics()


async def _updated(fleet: Fleet, linger: float) -> None:
    """Return some time after the last update: a device that left at once could not be asked how it ended."""
    await fleet.updated()
    await asyncio.sleep(linger)


async def _tell(fleet: Fleet, interval: float, *, as_json: bool) -> None:
    """Say for ever how the devices get on; each of them is told at the end only."""
    while True:
        await asyncio.sleep(interval)
        statistics = fleet.statistics()
        if as_json:
            print_json(statistics.as_dict(each=False))
        else:
            errors.print(f"{statistics.seconds:,.0f} s: {summary_of(statistics)}", markup=False)


def summary_of(statistics: FleetStatistics) -> str:
    """Return how the devices got on, in a few words."""
    lost = statistics.datagrams.lost
    return (
        f"{statistics.registered} of {statistics.devices} registered, {statistics.updates_succeeded} updated, "
        f"{statistics.updates_failed} failed" + (f", {lost:,} datagrams lost" if lost else "")
    )


def _table(statistics: FleetStatistics) -> Table:
    table = Table(
        "device",
        "profile",
        "registered",
        "state",
        "result",
        "version",
        "received",
        title=summary_of(statistics),
    )
    for status in statistics.statuses[:_ROWS]:
        total = f" of {status.total:,}" if status.total else ""
        table.add_row(
            status.endpoint_name,
            status.profile,
            "yes" if status.registered else "no",
            status.state.name.lower(),
            status.result.name.lower(),
            status.version,
            f"{status.received:,}{total}" if status.received else "",
        )
    return table
