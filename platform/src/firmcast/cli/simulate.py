"""`firmcast simulate` runs virtual devices against any LwM2M server that speaks CoAP over UDP without security."""

import asyncio
import json
import signal
from contextlib import nullcontext
from dataclasses import replace
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.live import Live
from rich.table import Table

from firmcast.cli.connection import Json
from firmcast.cli.failures import fail, told_plainly
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet, FleetStatistics
from firmcast.simulator.profile import PROFILES, profile_named
from firmcast.simulator.timing import PATIENT, QUICK

_ROWS = 20


def simulate(
    server: Annotated[str, typer.Option(help="host:port of the LwM2M server.")] = "127.0.0.1:5683",
    devices: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 5,
    name: Annotated[str, typer.Option(help="Endpoint names are this and a number.")] = "virtual-",
    profile: Annotated[str, typer.Option(help=f"How they behave: {', '.join(PROFILES)}.")] = "plain",
    version: Annotated[str, typer.Option(help="Firmware version at the start.")] = "1.0.0",
    installs_version: Annotated[str, typer.Option(help="Firmware version after an upgrade.")] = "2.0.0",
    until_updated: Annotated[
        bool, typer.Option("--until-updated", help="End when every device has had an update.")
    ] = False,
    linger: Annotated[
        float, typer.Option(min=0, help="Seconds to stay after that, so that the server can read how it went.")
    ] = 5.0,
    quick: Annotated[bool, typer.Option("--quick", help="Short time-outs, for a server on this machine.")] = False,
    seed: Annotated[int | None, typer.Option(help="Makes its jitter repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Run virtual devices until interrupted; with --json print their statistics at the end.

    The server must know the endpoint names: `firmcast device add virtual-1 virtual-2 …`.
    """
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        raise fail(f"{server!r} is not host:port")
    try:
        chosen = replace(profile_named(profile), version=version, installs_version=installs_version)
    except ValueError as error:
        raise fail(str(error)) from None
    fleet = Fleet(
        server=(host.strip("[]"), int(port)),
        devices=[DeviceSpec(endpoint_name=f"{name}{number}", profile=chosen) for number in range(1, devices + 1)],
        timing=QUICK if quick else PATIENT,
        seed=seed,
    )
    with told_plainly():
        statistics = uvloop.run(_run(fleet, until_updated=until_updated, linger=linger, shown=not as_json))
    if as_json:
        typer.echo(json.dumps(statistics.as_dict()))


async def _run(fleet: Fleet, *, until_updated: bool, linger: float, shown: bool) -> FleetStatistics:
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


def _table(statistics: FleetStatistics) -> Table:
    table = Table(
        "device",
        "registered",
        "state",
        "result",
        "version",
        "received",
        title=f"{statistics.registered} of {statistics.devices} registered, {statistics.updates_succeeded} updated, "
        f"{statistics.updates_failed} failed",
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
