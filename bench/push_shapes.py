"""How push behaves as load takes other shapes: intake, many, dead and slow receivers, part load, a long backlog."""

import asyncio
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import uvloop

from bench.push_stage import (
    LOG,
    Target,
    append,
    event,
    postgres,
    push_settings,
    pusher,
    receiver,
    store,
    subscribe,
    until_delivered,
    write_backlog,
)
from bench.rows import Row, row
from firmcast.db.port import Database
from firmcast.metrics import Metrics
from firmcast.push.metrics import PushMetrics

_EVENTS_PER_SECOND = 4_000
_CLIENTS = 64
_NUMBER = re.compile(rb'"subOperationId":"upgrade-(\d+)"')


def run(seconds: float, *, backlog: int = 1_000_000) -> tuple[list[Row], list[str]]:
    """Measure with about `seconds` of work for each figure; `backlog` is how many events the long one has."""
    rows: list[Row] = []
    events = int(seconds * _EVENTS_PER_SECOND)
    with tempfile.TemporaryDirectory(prefix="firmcast-bench-") as name, postgres(Path(name)) as server:
        folder = Path(name)
        for kind in ("sqlite", "postgres"):
            rows += _intake(kind, folder, server, seconds)
            rows += _rest_intake(kind, folder, server, seconds)
            rows += _subscriptions(kind, folder, server, events)
            rows += _slow_receiver(kind, folder, server, seconds)
            rows += _latency(kind, folder, server, seconds)
            rows += _long_backlog(kind, folder, server, backlog)
    return rows, []


# ---------------------------------------------------------------------- what comes in


def _intake(kind: str, folder: Path, server: str, seconds: float) -> list[Row]:
    """Events from many callers, each in a write of its own, against batches of a thousand from one."""

    async def measure() -> tuple[float, float]:
        async with store(kind, folder, server) as database:
            application_id = await subscribe(database, Target("http://127.0.0.1:9/", b""))
            return await _singles(database, application_id, seconds), await _batches(database, application_id, seconds)

    singles, batches = uvloop.run(measure())
    return [row(f"intake/{kind}/single-of-batch", singles, "events/s", "batches of 1000", batches)]


async def _singles(database: Database, application_id: Any, seconds: float) -> float:
    numbers = iter(range(10**9))
    ends = time.perf_counter() + seconds
    count = 0

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() < ends:
            number = next(numbers)
            await database.write(LOG.append, [event(number, application_id)])
            count += 1

    await asyncio.gather(*(caller() for _ in range(_CLIENTS)))
    return count / seconds


async def _batches(database: Database, application_id: Any, seconds: float) -> float:
    began, count = time.perf_counter(), 0
    while time.perf_counter() < began + seconds:
        await database.write(append, application_id, range(count, count + 1000))
        count += 1000
    return count / (time.perf_counter() - began)


@contextmanager
def _platform(kind: str, folder: Path, server: str) -> Iterator[tuple[str, str]]:
    """Run `firmcast serve` on a new store; yield its address and the operator's token."""
    with tempfile.TemporaryDirectory(dir=folder) as data:
        environment = {
            **os.environ,
            "FIRMCAST_ADMIN_TOKEN": "bench-bench-bench",
            "FIRMCAST_REST__THROTTLE_CALLS": "0",
            "FIRMCAST_PUSH__ALLOWED_NETWORKS": '["127.0.0.0/8"]',
        }
        if kind == "postgres":
            environment["FIRMCAST_DATABASE_URL"] = asyncio.run(_new_database(server))
        command = [sys.executable, "-m", "firmcast", "serve", "--data", data, "--port", "0", "--coap-port", "0"]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as serving:
            running = Path(data) / "running.json"
            while not running.exists() or not running.read_text().endswith("\n"):
                if serving.poll() is not None:
                    raise SystemExit("the platform did not start")
                time.sleep(0.05)
            yield json.loads(running.read_text())["url"], "bench-bench-bench"
            serving.send_signal(signal.SIGTERM)


async def _new_database(server: str) -> str:
    from bench.push_stage import new_database

    return await new_database(server, "serve")


def _rest_intake(kind: str, folder: Path, server: str, seconds: float) -> list[Row]:
    """Devices registered over HTTPS by 64 clients, each an event, against the same server's bare answer."""
    with _platform(kind, folder, server) as (url, token):
        registered, bare = asyncio.run(_calls(url, token, seconds))
    return [row(f"intake/{kind}/rest-of-health", registered, "calls/s", "GET /v1/health", bare)]


async def _calls(url: str, token: str, seconds: float) -> tuple[float, float]:
    limits = httpx2.Limits(max_connections=_CLIENTS, max_keepalive_connections=_CLIENTS)
    async with httpx2.AsyncClient(base_url=url, verify=False, limits=limits, timeout=30) as client:
        operator = {"Authorization": f"Bearer {token}"}
        made = (await client.post("/v1/applications", json={"name": "bench"}, headers=operator)).json()
        application, secret = made["application_id"], made["secret"]
        login = await client.post("/iocm/app/sec/v1.1.0/login", data={"appId": application, "secret": secret})
        headers = {"app_key": application, "Authorization": f"Bearer {login.json()['accessToken']}"}
        body = {"notifyType": "deviceAdded", "callbackUrl": "http://127.0.0.1:9/none"}
        await client.post("/iocm/app/sub/v1.2.0/subscriptions", json=body, headers=headers)
        numbers = iter(range(10**9))

        async def register() -> None:
            name = f"bench-{next(numbers)}"
            answer = await client.post(
                "/iocm/app/reg/v1.1.0/deviceCredentials", json={"verifyCode": name, "nodeId": name}, headers=headers
            )
            assert answer.status_code == 200, answer.text

        async def ask() -> None:
            assert (await client.get("/v1/health")).status_code == 200

        return await _rate_of(register, seconds), await _rate_of(ask, seconds)


async def _rate_of(call: Any, seconds: float) -> float:
    ends = time.perf_counter() + seconds
    count = 0

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() < ends:
            await call()
            count += 1

    await asyncio.gather(*(caller() for _ in range(_CLIENTS)))
    return count / seconds


# ---------------------------------------------------------------------- what goes out


def _subscriptions(kind: str, folder: Path, server: str, events: int) -> list[Row]:
    """The same events to one subscriber, to many, and to ten that live among a thousand that are dead."""
    one = uvloop.run(_to_many(kind, folder, server, events, live=1, dead=0))
    rows = []
    for live in (10, 100, 1000):
        rate = uvloop.run(_to_many(kind, folder, server, events, live=live, dead=0))
        rows.append(row(f"push/{kind}/subscribers-{live}-of-one", rate, "deliveries/s", "one subscriber", one))
    ten = uvloop.run(_to_many(kind, folder, server, events, live=10, dead=0))
    among = uvloop.run(_to_many(kind, folder, server, events, live=10, dead=1000))
    rows.append(row(f"push/{kind}/among-1000-dead", among, "deliveries/s", "ten subscribers, none dead", ten))
    return rows


async def _to_many(kind: str, folder: Path, server: str, events: int, *, live: int, dead: int) -> float:
    """Return the events in a second that arrive at live subscribers, when the dead ones are known to be dead."""
    metrics = PushMetrics(Metrics())
    with receiver("http", folder) as (target, received), _closed_port() as closed:
        async with store(kind, folder, server) as database:
            living = [await subscribe(database, target, f"live {number}") for number in range(live)]
            for number in range(dead):
                dying = await subscribe(database, Target(f"http://127.0.0.1:{closed}/", b""), f"dead {number}")
                await database.write(append, dying, range(10))
            async with pusher(database, push_settings(everything=256), metrics):
                while await _open_breakers(metrics) < dead:  # noqa: ASYNC110 -- nothing tells of it
                    await asyncio.sleep(0.1)
                each = events // live
                began = time.perf_counter()
                for place, application_id in enumerate(living):
                    for start in range(0, each, 1000):
                        numbers = range(place * each + start, place * each + min(each, start + 1000))
                        await database.write(append, application_id, numbers)
                while received()[1] < each * live:  # noqa: ASYNC110 -- another process counts
                    await asyncio.sleep(0.02)
                return each * live / (time.perf_counter() - began)


async def _open_breakers(metrics: PushMetrics) -> int:
    await metrics.metrics.exposition()  # counts them
    return sum(count for state, count in metrics.breakers.read().items() if state != "closed")


@contextmanager
def _closed_port() -> Iterator[int]:
    """Yield a port that refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def _slow_receiver(kind: str, folder: Path, server: str, seconds: float) -> list[Row]:
    """A receiver that takes 50 ms: what arrives in a second, against what so many attempts at a time can be."""
    rows = []
    for concurrency in (64, 256):
        events = int(seconds * concurrency / 0.05)

        async def measure(concurrency: int = concurrency, events: int = events) -> float:
            with receiver("http", folder, "--delay", "0.05") as (target, _received):
                async with store(kind, folder, server) as database:
                    await write_backlog(database, await subscribe(database, target), events)
                    began = time.perf_counter()
                    async with pusher(database, push_settings(concurrency=concurrency)):
                        await until_delivered(database)
                        return events / (time.perf_counter() - began)

        rate = uvloop.run(measure())
        against = f"{concurrency} attempts at a time"
        rows.append(row(f"push/{kind}/at-50-ms-{concurrency}", rate, "deliveries/s", against, concurrency / 0.05))
    return rows


def _latency(kind: str, folder: Path, server: str, seconds: float) -> list[Row]:
    """From the commit to the receipt of an event, at parts of the greatest rate: p99 against p50, in milliseconds."""
    greatest = uvloop.run(_both_ways(kind, folder, server, int(seconds * _EVENTS_PER_SECOND)))
    rows = []
    for part in (20, 50, 80):
        waits = uvloop.run(_at_rate(kind, folder, server, greatest * part / 100, seconds))
        p50, p99 = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
        rows.append(row(f"latency/{kind}/p99-at-{part}", p99 * 1000, "ms", "p50", p50 * 1000))
    return rows


async def _both_ways(kind: str, folder: Path, server: str, events: int) -> float:
    """Return the events in a second that come in and go out at the same time, as many as can."""
    with receiver("http", folder) as (target, received):
        async with store(kind, folder, server) as database:
            application_id = await subscribe(database, target)
            began = time.perf_counter()
            async with pusher(database, push_settings()):
                await write_backlog(database, application_id, events, batch=200)
                while received()[1] < events:  # noqa: ASYNC110 -- another process counts
                    await asyncio.sleep(0.02)
                return events / (time.perf_counter() - began)


async def _at_rate(kind: str, folder: Path, server: str, rate: float, seconds: float) -> list[float]:
    times = folder / "times"
    committed: dict[int, float] = {}
    with receiver("http", folder, "--times", str(times)) as (target, received):
        async with store(kind, folder, server) as database:
            application_id = await subscribe(database, target)
            async with pusher(database, push_settings()):
                began, number = time.monotonic(), 0
                while (elapsed := time.monotonic() - began) < seconds:
                    due = int(elapsed * rate)
                    if due > number:
                        await database.write(append, application_id, range(number, due))
                        at = time.monotonic()
                        committed.update((each, at) for each in range(number, due))
                        number = due
                    await asyncio.sleep(0.001)
                while received()[1] < number:  # noqa: ASYNC110 -- another process counts
                    await asyncio.sleep(0.05)
    waits = []
    for line in times.read_bytes().splitlines():
        at_text, _, body = line.partition(b" ")
        found = _NUMBER.search(body)
        assert found is not None
        waits.append(max(0.0, float(at_text) - committed[int(found[1])]))
    return waits


def _long_backlog(kind: str, folder: Path, server: str, events: int) -> list[Row]:
    """A long backlog against one of a tenth: the memory that the pusher takes for it."""
    small = uvloop.run(_memory(kind, folder, server, events // 10))
    large = uvloop.run(_memory(kind, folder, server, events))
    return [row(f"push/{kind}/memory-of-{events}", large, "MiB at the most", f"{events // 10} events", small)]


async def _memory(kind: str, folder: Path, server: str, events: int) -> float:
    process = psutil.Process()
    with receiver("http", folder) as (target, received):
        async with store(kind, folder, server) as database:
            await write_backlog(database, await subscribe(database, target), events, batch=5000)
            most = 0
            async with pusher(database, push_settings()):
                while received()[1] < events:
                    most = max(most, process.memory_info().rss)
                    await asyncio.sleep(0.25)
                await until_delivered(database)
    return most / (1 << 20)
