"""What `firmcast simulate` does while it runs, and how it shows it."""

import asyncio
import signal
from contextlib import nullcontext

from rich.console import Console
from rich.live import Live
from rich.table import Table

from firmcast.simulator.fleet import Fleet
from firmcast.simulator.statistics import FleetStatistics

_ROWS = 20


async def run_fleet(fleet: Fleet, *, until_updated: bool, linger: float, shown: bool) -> FleetStatistics:
    """Run the devices until interrupted, or until `linger` seconds after each had an update; return how they got on."""
    interrupted = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    console = Console(stderr=True)
    async with fleet:
        waits: set[asyncio.Task[object]] = {asyncio.create_task(interrupted.wait())}
        if until_updated:
            waits.add(asyncio.create_task(_updated(fleet, linger)))
        live = Live(get_renderable=lambda: _table(fleet.statistics()), console=console, refresh_per_second=4)
        with live if shown and console.is_terminal else nullcontext():
            _done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return fleet.statistics()


async def _updated(fleet: Fleet, linger: float) -> None:
    """Return some time after the last update: a device that left at once could not be asked how it ended."""
    await fleet.updated()
    await asyncio.sleep(linger)


def summary_of(statistics: FleetStatistics) -> str:
    """Return how the devices got on, in a few words."""
    return (
        f"{statistics.registered} of {statistics.devices} registered, {statistics.updates_succeeded} updated, "
        f"{statistics.updates_failed} failed"
    )


def _table(statistics: FleetStatistics) -> Table:
    table = Table(
        "device",
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
            "yes" if status.registered else "no",
            status.state.name.lower(),
            status.result.name.lower(),
            status.version,
            f"{status.received:,}{total}" if status.received else "",
        )
    return table
