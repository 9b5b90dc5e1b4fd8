"""What durability costs: deliveries with the store against the same sender without it, and against an aiohttp loop.

One run takes as many events as `_EVENTS`, of `_DEVICES` devices, to one subscriber: `bench.sink` in a process of its
own, which counts message ids, so that a figure counts only when every event has arrived. The durable figure includes
everything between the commit of an event and the commit of its acknowledgement; the backlog is written before.
"""

import asyncio
import gc
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import uvloop

from bench.rows import Row, row
from firmcast.applications import use_cases as applications
from firmcast.clock import SystemClock
from firmcast.db.page import Page
from firmcast.db.port import Transaction
from firmcast.db.sqlite import SqliteDatabase
from firmcast.events.log import EventLog
from firmcast.events.model import Event, EventType, FirmwareStateChanged, NewEvent
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, EventId, TaskId, new_message_id
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push.configuration import destination_rules, sender_limits
from firmcast.push.dispatcher import Dispatcher
from firmcast.push.envelope import attempt_headers, encode_event
from firmcast.push.http_sender import HttpSender, OutgoingRequest
from firmcast.push.model import DeliveryFilter
from firmcast.push.signing import Signer, parse_secret
from firmcast.push.trust import Trust
from firmcast.push.use_cases import fan_out, pending
from firmcast.rest.certificates import make_certificate
from firmcast.sealing import Sealer
from firmcast.settings import PushSettings
from firmcast.subscriptions import use_cases as subscriptions

_DEVICES = 1_000
_CONCURRENCY = 64
_RUNS = 3
_EVENTS_PER_SECOND = 4_000
_SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
_UNIT = "deliveries/s"


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a run sends to, and how its certificate is checked."""

    url: str
    authorities: bytes


def run(seconds: float) -> tuple[list[Row], list[str]]:
    """Measure with about `seconds` of work for each figure; return the rows, and why rows are missing."""
    events = int(seconds * _EVENTS_PER_SECOND)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="firmcast-bench-") as folder:
        for scheme in ("http", "https"):
            durable, storeless, plain = [], [], []
            for _ in range(_RUNS):
                # In turn, so that a slow minute of the machine is shared by all three.
                durable.append(_rate(_durable, scheme, Path(folder), events))
                storeless.append(_rate(_storeless, scheme, Path(folder), events))
                plain.append(_rate(_aiohttp, scheme, Path(folder), events // 2))
            ours = statistics.median(durable)
            rows.append(
                row(f"push/{scheme}/sqlite/of-storeless", ours, _UNIT, "no store", statistics.median(storeless))
            )
            rows.append(
                row(f"push/{scheme}/sqlite/over-aiohttp", ours, _UNIT, "aiohttp, no store", statistics.median(plain))
            )
    return rows, []


def _rate(measure: Callable[[_Target, Path, int], Awaitable[float]], scheme: str, folder: Path, events: int) -> float:
    with _sink(scheme, folder) as (target, received):
        gc.collect()
        elapsed = uvloop.run(measure(target, folder, events))
        distinct = received()
    if distinct != events:
        raise SystemExit(f"{measure.__name__} over {scheme}: {distinct} of {events} events arrived")
    return events / elapsed


@contextmanager
def _sink(scheme: str, folder: Path) -> Iterator[tuple[_Target, Callable[[], int]]]:
    words: list[str] = []
    authorities = b""
    if scheme == "https":
        files = make_certificate(folder / "tls", ["127.0.0.1"], datetime.now(UTC))
        words = [str(files.certificate), str(files.key)]
        authorities = files.authority.read_bytes()
    command = [sys.executable, "-m", "bench.sink", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())

        def received() -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            return int(process.stdout.readline().split()[1])

        try:
            yield _Target(f"{scheme}://127.0.0.1:{port}/v1.0.0/messageReceiver", authorities), received
        finally:
            process.kill()


def _event(number: int) -> NewEvent:
    return NewEvent(
        application_id=ApplicationId("application"),
        device_id=DeviceId(f"device-{number % _DEVICES}"),
        task_id=TaskId("task"),
        device_upgrade_id=DeviceUpgradeId(f"upgrade-{number % _DEVICES}"),
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        synthesised=False,
        fact=FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING),
    )


def _settings() -> PushSettings:
    return PushSettings(
        allowed_networks=("127.0.0.0/8",), concurrency=2 * _CONCURRENCY, subscription_concurrency=_CONCURRENCY
    )


async def _durable(target: _Target, folder: Path, events: int) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        async with _backlog(Path(place), target, events) as (database, sealer):
            settings = _settings()
            sender = HttpSender(rules=destination_rules(settings), limits=sender_limits(settings))
            dispatcher = Dispatcher(
                database=database, sender=sender, clock=SystemClock(), settings=settings, sealer=sealer
            )
            began = time.perf_counter()
            await dispatcher.start()
            while (await database.read(pending, DeliveryFilter(), Page(0, 1)))[1]:  # noqa: ASYNC110 -- the store is
                await asyncio.sleep(0.02)  # asked, since only what it has acknowledged counts
            elapsed = time.perf_counter() - began
            await dispatcher.stop(1)
            return elapsed


@asynccontextmanager
async def _backlog(place: Path, target: _Target, events: int) -> AsyncIterator[tuple[SqliteDatabase, Sealer]]:
    now = datetime.now(UTC)
    database = await SqliteDatabase.open(place / "firmcast.db", now)
    sealer = Sealer(bytes(32))
    made = await database.write(applications.create, "bench", sealer, now, callback_ca=target.authorities.decode())
    application_id = made.application_id
    await database.write(subscriptions.subscribe, application_id, EventType.FIRMWARE_STATE_CHANGED, target.url, now)
    log = EventLog(encode=encode_event, projections=[fan_out])

    async def append(tx: Transaction, numbers: range) -> None:
        await log.append(tx, [replace(_event(number), application_id=application_id) for number in numbers])

    for start in range(0, events, 1000):
        await database.write(append, range(start, min(events, start + 1000)))
    try:
        yield database, sealer
    finally:
        await database.close()


def _requests(events: int) -> Iterator[tuple[list[str], bytes]]:
    """Yield headers and body of each event, made as the pusher makes them."""
    signer = Signer([parse_secret(_SECRET)])
    for number in range(events):
        new = _event(number)
        event = Event(
            event_id=EventId(number),
            message_id=new_message_id(),
            sequence=number // _DEVICES + 1,
            application_id=new.application_id,
            device_id=new.device_id,
            task_id=new.task_id,
            device_upgrade_id=new.device_upgrade_id,
            occurred_at=new.occurred_at,
            synthesised=False,
            fact=new.fact,
        )
        body = encode_event(event)
        headers = attempt_headers(
            message_id=event.message_id,
            sequence=event.sequence,
            occurred_at=event.occurred_at,
            synthesised=False,
            attempt=1,
            signature=signer.sign(event.message_id, datetime.now(UTC), body),
        )
        yield headers, body


async def _storeless(target: _Target, _folder: Path, events: int) -> float:
    settings = _settings()
    sender = HttpSender(rules=destination_rules(settings), limits=sender_limits(settings))
    trust = Trust(authorities=target.authorities)
    waiting = _requests(events)
    done = asyncio.Event()
    left = events

    def send_next(_answer: object = None) -> None:
        nonlocal left
        if _answer is not None:
            left -= 1
            if not left:
                done.set()
        found = next(waiting, None)
        if found is not None:
            headers, body = found
            sender.start(OutgoingRequest(url=target.url, headers=headers, body=body, trust=trust), send_next)

    began = time.perf_counter()
    for _ in range(_CONCURRENCY):
        send_next()
    await done.wait()
    elapsed = time.perf_counter() - began
    sender.close()
    return elapsed


async def _aiohttp(target: _Target, _folder: Path, events: int) -> float:
    tls: ssl.SSLContext | bool = True
    if target.authorities:
        tls = ssl.create_default_context(cadata=target.authorities.decode())
    waiting = _requests(events)
    connector = aiohttp.TCPConnector(limit=_CONCURRENCY, ssl=tls)

    async def work(session: aiohttp.ClientSession) -> None:
        for headers, body in waiting:
            named = dict(line.split(": ", 1) for line in headers if ": " in line)
            async with session.post(target.url, data=body, headers=named, allow_redirects=False) as answer:
                await answer.read()

    async with aiohttp.ClientSession(connector=connector) as session:
        began = time.perf_counter()
        await asyncio.gather(*(work(session) for _ in range(_CONCURRENCY)))
        return time.perf_counter() - began
