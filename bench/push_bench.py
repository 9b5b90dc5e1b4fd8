"""What durability costs: deliveries with a store against the same pusher without one, and against what others do.

One run takes a number of events, of `DEVICES` devices, to one subscriber. The durable figure includes everything
between the commit of an event and the commit of its acknowledgement; the backlog is written before. What others send
is made before too, and signed when it is sent. Runs of all that is compared take turns, and of the ratios within a
round of turns the median counts.
"""

import asyncio
import gc
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

import aiohttp
import asyncpg
import uvloop

from bench.push_memory import storeless
from bench.push_stage import (
    CONCURRENCY,
    DEVICES,
    Target,
    event,
    new_database,
    postgres,
    push_settings,
    pusher,
    receiver,
    store,
    subscribe,
    tls_context,
    until_delivered,
    write_backlog,
)
from bench.rows import Row, row_of_rounds
from firmcast.cli.serving import look_less_for_cycles
from firmcast.events.model import Event
from firmcast.ids import EventId, MessageId, new_message_id
from firmcast.push.envelope import attempt_headers, encode_event
from firmcast.push.signing import Signer, parse_secret

_ROUNDS = 5
_EVENTS_PER_SECOND = 16_000
_SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
_UNIT = "deliveries/s"
_OURS = ("sqlite", "postgres", "storeless")
_USUAL_THRESHOLD = gc.get_threshold()

Measure = Callable[[Target, int], Awaitable[float]]
"""Delivers so many events and returns the seconds it took."""


def run(seconds: float) -> tuple[list[Row], list[str]]:
    """Measure with about `seconds` of work for each figure; return the rows, and why rows are missing."""
    events = int(seconds * _EVENTS_PER_SECOND)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="firmcast-bench-") as folder, postgres(Path(folder)) as server:
        place = Path(folder)
        for scheme in ("http", "https"):
            rates = _rates(
                scheme,
                place,
                {
                    "sqlite": (partial(_durable, "sqlite", place, server), events),
                    "storeless": (partial(storeless, place, time.perf_counter), events),
                    "postgres": (partial(_durable, "postgres", place, server), events),
                    "aiohttp": (_aiohttp, events // 2),
                    "pgqueuer": (partial(_pgqueuer, server), events // 4),
                },
            )
            for kind in ("sqlite", "postgres"):
                for name, other, against in (
                    ("of-storeless", "storeless", "no store"),
                    ("over-aiohttp", "aiohttp", "aiohttp, no store"),
                    ("over-pgqueuer", "pgqueuer", "pgqueuer and aiohttp"),
                ):
                    if other != "pgqueuer" or kind == "postgres":
                        rows.append(
                            row_of_rounds(f"push/{scheme}/{kind}/{name}", rates[kind], _UNIT, against, rates[other])
                        )
    return rows, []


def _rates(scheme: str, folder: Path, measured: dict[str, tuple[Measure, int]]) -> dict[str, list[float]]:
    """Return the rates of each, round by round."""
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(_ROUNDS):
        # In turn, so that a slow minute of the machine is shared by all.
        for name, (measure, events) in measured.items():
            with receiver(scheme, folder) as (target, received):
                _collect_as_usual(name)
                elapsed = uvloop.run(measure(target, events))
                _requests, distinct = received()
            if distinct != events:
                raise SystemExit(f"{name} over {scheme}: {distinct} of {events} events arrived")
            rates[name].append(events / elapsed)
    return rates


def _collect_as_usual(name: str) -> None:
    """Have the garbage collector look as where this is run: as the platform has it, or as the interpreter has it."""
    gc.unfreeze()
    if name in _OURS:
        look_less_for_cycles()
    else:
        gc.collect()
        gc.set_threshold(*_USUAL_THRESHOLD)


async def _durable(kind: str, folder: Path, server: str, target: Target, events: int) -> float:
    async with store(kind, folder, server) as database:
        application_id = await subscribe(database, target)
        await write_backlog(database, application_id, events)
        began = time.perf_counter()
        async with pusher(database, push_settings()):
            await until_delivered(database)
            return time.perf_counter() - began


class Prepared(NamedTuple):
    """What is known of a push before it is sent."""

    message_id: MessageId
    sequence: int
    occurred_at: datetime
    body: bytes

    def headers(self, signer: Signer) -> dict[str, str]:
        """Return the headers of an attempt that begins now, signed as the pusher signs."""
        lines = attempt_headers(
            message_id=self.message_id,
            sequence=self.sequence,
            occurred_at=self.occurred_at,
            synthesised=False,
            attempt=1,
            signature=signer.sign(self.message_id, datetime.now(UTC), self.body),
        )
        return dict(line.split(": ", 1) for line in lines if ": " in line)


def prepared(events: int) -> list[Prepared]:
    """Return what there is to send, with the bodies that the pusher would send."""
    found = []
    for number in range(events):
        new = event(number)
        made = Event(
            event_id=EventId(number),
            message_id=new_message_id(),
            sequence=number // DEVICES + 1,
            application_id=new.application_id,
            device_id=new.device_id,
            task_id=new.task_id,
            device_upgrade_id=new.device_upgrade_id,
            occurred_at=new.occurred_at,
            synthesised=False,
            fact=new.fact,
        )
        found.append(Prepared(made.message_id, made.sequence, made.occurred_at, encode_event(made)))
    return found


async def _aiohttp(target: Target, events: int) -> float:
    waiting = iter(prepared(events))
    signer = Signer([parse_secret(_SECRET)])
    connector = aiohttp.TCPConnector(limit=CONCURRENCY, ssl=tls_context(target))

    async def work(session: aiohttp.ClientSession) -> None:
        for each in waiting:
            headers = each.headers(signer)
            async with session.post(target.url, data=each.body, headers=headers, allow_redirects=False) as answer:
                await answer.read()

    async with aiohttp.ClientSession(connector=connector) as session:
        began = time.perf_counter()
        await asyncio.gather(*(work(session) for _ in range(CONCURRENCY)))
        return time.perf_counter() - began


async def _pgqueuer(server: str, target: Target, events: int) -> float:
    """Drain a queue of the same bodies, written before, with as many workers as it is given connections."""
    from pgqueuer import AsyncpgDriver, Job, Queries, QueueManager

    connection = await asyncpg.connect(await new_database(server, "pgqueuer"))
    driver = AsyncpgDriver(connection)
    queries = Queries(driver)
    await queries.install()
    signer = Signer([parse_secret(_SECRET)])
    payloads = [
        json.dumps([each.message_id, each.sequence, each.occurred_at.timestamp(), each.body.decode()]).encode()
        for each in prepared(events)
    ]
    for start in range(0, events, 1000):
        part = payloads[start : start + 1000]
        await queries.enqueue(["push"] * len(part), part, [0] * len(part))
    manager = QueueManager(queries)
    connector = aiohttp.TCPConnector(limit=CONCURRENCY, ssl=tls_context(target))
    left = events

    async with aiohttp.ClientSession(connector=connector) as session:

        @manager.entrypoint("push")
        async def push(job: Job) -> None:
            nonlocal left
            assert job.payload is not None
            message_id, sequence, occurred_at, body = json.loads(job.payload)
            each = Prepared(message_id, sequence, datetime.fromtimestamp(occurred_at, UTC), body.encode())
            headers = each.headers(signer)
            async with session.post(target.url, data=each.body, headers=headers, allow_redirects=False) as answer:
                await answer.read()
            left -= 1
            if not left:
                manager.shutdown.set()

        began = time.perf_counter()
        await manager.run(dequeue_timeout=timedelta(seconds=1), batch_size=CONCURRENCY)
        elapsed = time.perf_counter() - began
    await connection.close()
    return elapsed
