"""A fleet from 100 to 100,000 devices: what registering, updating, resting and upgrading cost a whole platform.

The platform is one process, `firmcast serve` on SQLite, and only its own CPU time and memory are counted; the devices
are in other processes. Devices that only register are bare datagrams from addresses of their own (`fleet_load.py`);
those that are upgraded are the virtual devices of `firmcast simulate`, with a socket each.

Of each size the cost of one device stands against that of one of a fleet of a hundredth or a tenth the size, in the
same run: a ratio of 1 means that cost grows with the fleet and no faster.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.fleet_stage import (
    Application,
    Stage,
    cpu_of,
    endpoint_name,
    prepared,
    prepared_apart,
    running,
    running_apart,
)
from bench.push_stage import new_database, postgres, receiver
from bench.rows import Row, row
from firmcast_sdk.wire.operations import TARGET_LIMIT

RESTING = (100, 1_000, 10_000, 100_000)
UPGRADED = (100, 1_000, 10_000)
APART = 1_000
OUTPUT = Path("build/fleet.json")
_PACKAGE_BYTES = 256 << 10
_STEPS = ["1", "2", "3", "0"]
_ARRIVED = re.compile(rb'"deviceId":"([^"]+)".*"step":"(\d)"')
_PATIENCE_SECONDS = 1_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What a fleet cost that registered, updated once, and rested; seconds are of the platform's CPU."""

    devices: int
    register_seconds: float
    register_cpu: float
    register_repeated: int
    update_seconds: float
    update_cpu: float
    update_repeated: int
    bytes_each: float
    idle_cpu_of_ten_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """What a fleet cost that was upgraded to the end; seconds are of the wall or, where they say so, of CPU."""

    devices: int
    seconds: float
    cpu: dict[str, float]
    devices_cpu: float
    bytes_each: float
    steps: int
    lost: int
    out_of_order: int

    @property
    def platform_cpu(self) -> float:
        """CPU seconds of the whole platform."""
        return sum(self.cpu.values())


def run(seconds: float) -> tuple[list[Row], list[str]]:
    """Measure fleets that fit `seconds` per figure: all sizes from five on, else all but the largest."""
    whole = seconds >= 5
    resting = [_rest(devices) for devices in (RESTING if whole else RESTING[:-1])]
    upgraded = [_upgrade(devices) for devices in (UPGRADED if whole else UPGRADED[:-1])]
    apart = _upgrade_apart(APART)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    found = {"rest": [*map(asdict, resting)], "upgrade": [*map(asdict, upgraded)], "apart": [asdict(apart)]}
    OUTPUT.write_text(json.dumps(found, indent=2))
    remarks = [] if whole else [f"fleets of {RESTING[-1]:,} and upgrades of {UPGRADED[-1]:,}: in a full run"]
    for each in (*upgraded, apart):
        print(_told(each))
    return [*_rest_rows(resting), *_upgrade_rows(upgraded)], remarks


def _rest_rows(found: list[Rest]) -> list[Row]:
    rows = []
    first = found[1]  # the smallest is too soon over for the ticks that CPU time is counted in
    for each in found[2:]:
        size, against = f"{each.devices // 1000}k", f"each of {first.devices:,}"
        rows += [
            row(
                f"fleet/register/{size}-of-1k",
                each.devices / each.register_cpu,
                "devices/CPU-s",
                against,
                first.devices / first.register_cpu,
            ),
            row(
                f"fleet/update/{size}-of-1k",
                each.devices / each.update_cpu,
                "devices/CPU-s",
                against,
                first.devices / first.update_cpu,
            ),
            row(f"fleet/memory/{size}-of-1k", each.bytes_each, "bytes/device", against, first.bytes_each),
        ]
    last = found[-1]
    updates = last.devices / last.update_seconds
    rows.append(
        row("fleet/burst/registered-of-updated", last.devices / last.register_seconds, "devices/s", "updates", updates)
    )
    return rows


def _upgrade_rows(found: list[Upgrade]) -> list[Row]:
    first = found[0]
    return [
        row(
            f"fleet/upgrade/{each.devices // 1000}k-of-100",
            each.devices / each.platform_cpu,
            "devices/CPU-s",
            "each of 100",
            first.devices / first.platform_cpu,
        )
        for each in found[1:]
    ]


def _told(upgrade: Upgrade) -> str:
    parts = ", ".join(f"{name} {spent:.1f}" for name, spent in sorted(upgrade.cpu.items(), key=lambda item: -item[1]))
    return (
        f"{upgrade.devices:,} devices upgraded, {_PACKAGE_BYTES >> 10} KiB each: {upgrade.seconds:.0f} s, CPU-s of"
        f" the platform {upgrade.platform_cpu:.1f} ({parts}), of the devices {upgrade.devices_cpu:.1f};"
        f" {upgrade.bytes_each:,.0f} bytes of memory each; {upgrade.steps:,} steps,"
        f" {upgrade.lost} lost, {upgrade.out_of_order} out of order"
    )


# Devices that rest.


def _rest(devices: int) -> Rest:
    with tempfile.TemporaryDirectory(prefix="firmcast-bench-") as name:
        folder = Path(name)
        prepared(folder, devices, "http://127.0.0.1:1/")
        with running(folder) as stage, _load(stage, devices) as ask:
            memory = stage.memory()
            before = _total(stage)
            register_seconds, register_repeated = ask("register")
            registered = _total(stage)
            update_seconds, update_repeated = ask("update")
            updated = _total(stage)
            held = stage.memory() - memory
            time.sleep(10.0)  # what is measured is that nothing happens
            return Rest(
                devices=devices,
                register_seconds=register_seconds,
                register_cpu=registered - before,
                register_repeated=register_repeated,
                update_seconds=update_seconds,
                update_cpu=updated - registered,
                update_repeated=update_repeated,
                bytes_each=held / devices,
                idle_cpu_of_ten_seconds=_total(stage) - updated,
            )


def _total(stage: Stage) -> float:
    return sum(stage.cpu().values())


@contextmanager
def _load(stage: Stage, devices: int) -> "Iterator[_Ask]":
    host, port = stage.gateway
    command = [sys.executable, "-m", "bench.fleet_load", host, str(port), str(devices)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _Ask(process)
        finally:
            process.kill()


class _Ask:
    """Has all devices do something."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, word: str) -> tuple[float, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        if not answer:
            raise SystemExit(f"the devices could not {word}")
        return float(answer[0]), int(answer[1])


# Devices that are upgraded.


def _upgrade_apart(devices: int) -> Upgrade:
    """Upgrade a fleet on PostgreSQL with a node of each role, which shows what each of them costs."""
    with tempfile.TemporaryDirectory(prefix="firmcast-bench-") as name, postgres(Path(name)) as server:
        folder, times = Path(name), Path(name) / "times"
        url = asyncio.run(new_database(server, "fleet"))
        with receiver("http", folder, "--times", str(times)) as (target, received):
            application = prepared_apart(folder, url, devices, target.url)
            with running_apart(folder, url) as stage:
                return _upgraded(stage, application, devices, received, times)


def _upgrade(devices: int) -> Upgrade:
    with tempfile.TemporaryDirectory(prefix="firmcast-bench-") as name:
        folder, times = Path(name) / "data", Path(name) / "times"
        with receiver("http", Path(name), "--times", str(times)) as (target, received):
            application = prepared(folder, devices, target.url)
            with running(folder) as stage:
                return _upgraded(stage, application, devices, received, times)


def _upgraded(
    stage: Stage, application: Application, devices: int, received: Callable[[], tuple[int, int]], times: Path
) -> Upgrade:
    query = {"application_id": application.application_id, "name": "fleet.bin", "version": "2.0.0"}
    package = stage.manage("POST", "/v1/firmware", params=query, content=os.urandom(_PACKAGE_BYTES))
    memory = stage.memory()
    with _virtual_devices(stage, devices) as simulator:
        _wait_for(lambda: stage.live_devices == devices)
        held = stage.memory() - memory
        before, began = stage.cpu(), time.monotonic()
        names = [endpoint_name(number) for number in range(1, devices + 1)]
        with stage.northbound(application) as client:
            for start in range(0, devices, TARGET_LIMIT):
                some = names[start : start + TARGET_LIMIT]
                client.create_firmware_upgrade(str(package["package_id"]), devices=some)
        _wait_for(lambda: received()[1] >= devices * len(_STEPS))
        seconds = time.monotonic() - began
        spent = {name: after - before[name] for name, after in stage.cpu().items()}
        of_devices = cpu_of(simulator.pid)
    received()
    steps = _steps(times)
    return Upgrade(
        devices=devices,
        seconds=seconds,
        cpu=spent,
        devices_cpu=of_devices,
        bytes_each=held / devices,
        steps=sum(map(len, steps.values())),
        lost=sum(len(set(_STEPS) - set(steps.get(name, ()))) for name in names),
        out_of_order=sum(found != _STEPS[: len(found)] for found in steps.values()),
    )


def _steps(times: Path) -> dict[str, list[str]]:
    """Return the steps of each device in the order in which they first came."""
    steps: dict[str, list[str]] = {}
    for line in times.read_bytes().splitlines():
        found = _ARRIVED.search(line)
        if found:
            steps.setdefault(found[1].decode(), []).append(found[2].decode())
    return steps


@contextmanager
def _virtual_devices(stage: Stage, devices: int) -> Iterator[subprocess.Popen[bytes]]:
    host, port = stage.gateway
    command = [sys.executable, "-m", "firmcast", "simulate", "--server", f"{host}:{port}", "--devices", str(devices)]
    command += ["--name", endpoint_name(0)[:-1], "--profile", "pull", "--seed", "1", "--json"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for(fulfilled: Callable[[], bool]) -> None:
    """Ask other processes again and again: none of them tells when it is done."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while not fulfilled():
        if time.monotonic() > until:
            raise SystemExit("the fleet was not upgraded in time")
        time.sleep(0.5)
