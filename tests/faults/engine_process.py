"""The platform as `firmcast serve` runs it, with a tap: events come in, and questions are answered, over pipes.

    engine_process.py FOLDER GAUGE

Settings come from the environment, as for the command. On standard input it takes commands, one JSON object a line,
and answers each with one that has the same `id`; an `append` is answered after its commit, so what is answered is
what the platform has acknowledged. GAUGE is a file of eight bytes that outlives a kill: how many attempts had begun
whose outcome was not yet durable, in flight and unwritten together. At the end of its input the process ends.
"""

import asyncio
import ctypes
import json
import mmap
import os
import signal
import sqlite3
import struct
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from firmcast.app import Platform
from firmcast.applications import use_cases as applications
from firmcast.cli import serving
from firmcast.cli.logs import LogFormat, configure
from firmcast.clock import SystemClock
from firmcast.db.columns import from_column
from firmcast.db.page import Page
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.postgres_writer import PostgresWriter
from firmcast.db.sqlite import SqliteDatabase
from firmcast.db.sqlite_writer import SqliteWriter
from firmcast.db.statement import portable
from firmcast.events.log import EventLog
from firmcast.events.model import (
    DeviceDescription,
    DeviceInfoChanged,
    EventType,
    Fact,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    NewEvent,
    Outcome,
)
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, SubscriptionId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push import use_cases as push
from firmcast.push.answer import Answer, FailureKind
from firmcast.push.envelope import encode_event
from firmcast.push.http_sender import HttpSender, OutgoingRequest
from firmcast.push.model import DeliveryFilter
from firmcast.sealing import Sealer, load_or_create_key
from firmcast.subscriptions import use_cases as subscriptions

FACTS: dict[EventType, Fact] = {
    EventType.FIRMWARE_STATE_CHANGED: FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING),
    EventType.FIRMWARE_UPGRADE_ENDED: FirmwareUpgradeEnded(
        outcome=Outcome.SUCCEEDED,
        description="",
        source_version="1.0.0",
        target_version="1.1.0",
        current_version="1.1.0",
        duration=60,
    ),
    EventType.DEVICE_INFO_CHANGED: DeviceInfoChanged(changed=DeviceDescription(name="a device")),
}
WRITTEN = portable(
    "SELECT event_id, device_id, sequence, message_id, event_type FROM event WHERE event_id > ?1"
    " ORDER BY event_id LIMIT 10000"
)
PENDING = portable(
    "SELECT count(*), coalesce(min(e.occurred_at), 0) FROM delivery d JOIN event e ON e.event_id = d.event_id"
)


class JumpingClock(SystemClock):
    """The machine's clocks; the wall clock can be set."""

    def __init__(self) -> None:
        self.offset = timedelta(seconds=float(os.environ.get("FAULTS_CLOCK_AHEAD", "0")))

    def now(self) -> datetime:
        return super().now() + self.offset


class Gauge:
    """Counts attempts that a kill would have made again, in a file that is still there after it."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)
        self._value = 0
        self.add(0)

    def add(self, number: int) -> None:
        self._value += number
        struct.pack_into("<q", self._memory, 0, self._value)

    def watch(self) -> None:
        """Count up when an attempt begins, and down when what came of it is durable."""
        start = HttpSender.start

        def counted(sender: HttpSender, request: OutgoingRequest, on_done: Callable[[Answer], None]) -> None:
            def done(answer: Answer) -> None:
                on_done(answer)
                if answer.failure is FailureKind.LOCAL:  # of these nothing is written
                    self.add(-1)

            self.add(1)
            start(sender, request, done)

        HttpSender.start = counted  # type: ignore[method-assign]


class Failpoint:
    """Kills the process at one exact point of one use case's transaction."""

    def __init__(self) -> None:
        self.use_case = ""
        self.point = ""
        self._committing: set[object] = set()  # who has run it and is about to commit

    def arm(self, use_case: str, point: str) -> None:
        self.use_case, self.point = use_case, point

    def passed(self, name: str) -> None:
        """Take note that a use case has run, and is about to be committed."""
        if self.use_case and name.endswith(self.use_case):
            if self.point == "before commit":
                os.kill(os.getpid(), signal.SIGKILL)
            self._committing.add(writer())

    def committed(self) -> None:
        """Take note of a commit that nobody has been told of."""
        if writer() in self._committing:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, gauge: Gauge) -> None:
        for store, name in product((SqliteDatabase, PostgresDatabase), ("write", "write_apart", "write_behind")):
            self._watch_writes(store, name, gauge)
        commit = SqliteWriter._commit

        def commit_sqlite(writer: SqliteWriter, group: Any) -> Any:
            announced = commit(writer, group)
            self.committed()
            return announced

        SqliteWriter._commit = commit_sqlite  # type: ignore[method-assign]
        commit_to_postgres = PostgresWriter._commit

        async def commit_postgres(writer: PostgresWriter, *given: Any) -> Any:
            result = await commit_to_postgres(writer, *given)
            self.committed()
            return result

        PostgresWriter._commit = commit_postgres  # type: ignore[method-assign]

    def _watch_writes(self, store: Any, name: str, gauge: Gauge) -> None:
        write = getattr(store, name)

        async def watched(database: Any, use_case: Any, /, *args: Any, **kwargs: Any) -> Any:
            async def run(tx: Any, *args: Any, **kwargs: Any) -> Any:
                result = await use_case(tx, *args, **kwargs)
                self.passed(f"{use_case.__module__}.{use_case.__name__}")
                return result

            result = await write(database, run, *args, **kwargs)
            if use_case.__name__ == "record_settlements":
                gauge.add(-len(args[0]))
            return result

        setattr(store, name, watched)


def writer() -> object:
    """Return who runs use cases here and commits them: a task of the loop, or the writing thread."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return threading.get_ident()


class UnsyncedConnection:
    """A connection whose commits fail as they do when the disk cannot be synced."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, *given: Any) -> Any:
        if statement == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self._connection.execute(statement, *given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Tap:
    """Carries commands out on a running platform."""

    def __init__(self, platform: Platform, clock: JumpingClock, failpoint: Failpoint) -> None:
        self._platform = platform
        self._clock = clock
        self._failpoint = failpoint
        self._log = EventLog(encode=encode_event, projections=[push.fan_out])
        self._sealer = Sealer(
            load_or_create_key(platform.settings.sealing_key_file or platform.settings.data / "sealing-key")
        )
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        reader = asyncio.StreamReader(limit=1 << 24)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        say({"id": 0, **self._platform.running.as_dict()})
        async for line in reader:
            task = asyncio.create_task(self._obey(json.loads(line)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        os._exit(3)  # nobody is there any more

    async def _obey(self, command: dict[str, Any]) -> None:
        number, do = command.pop("id"), command.pop("do")
        try:
            answer = await getattr(self, do)(**command)
        except Exception as error:
            say({"id": number, "error": type(error).__name__, "detail": str(error)})
        else:
            say({"id": number, **(answer or {})})

    async def application(self, name: str) -> dict[str, Any]:
        made = await self._platform.database.write(applications.create, name, self._sealer, self._clock.now())
        return {
            "application_id": made.application_id,
            "secret": made.secret,
            "signing_secret": made.signing_secret,
            "admin_token": self._platform.admin_token,
        }

    async def subscribe(self, application_id: str, event_type: str, url: str) -> dict[str, Any]:
        made = await self._platform.database.write(
            subscriptions.subscribe, ApplicationId(application_id), EventType(event_type), url, self._clock.now()
        )
        return {"subscription_id": made.subscription_id}

    async def unsubscribe(self, application_id: str, subscription_id: str) -> None:
        await self._platform.database.write(
            subscriptions.remove, ApplicationId(application_id), [SubscriptionId(subscription_id)]
        )

    async def append(self, application_id: str, events: list[tuple[str, str]]) -> dict[str, Any]:
        now = self._clock.now()
        new_events = [
            NewEvent(
                application_id=ApplicationId(application_id),
                device_id=DeviceId(device),
                task_id=TaskId("task"),
                device_upgrade_id=DeviceUpgradeId("upgrade"),
                occurred_at=now,
                synthesised=False,
                fact=FACTS[EventType(event_type)],
            )
            for device, event_type in events
        ]
        written = await self._platform.database.write(self._log.append, new_events)
        return {"acknowledged": [[event.device_id, event.sequence, event.message_id] for event in written]}

    async def written(self, after: int) -> dict[str, Any]:
        async def read(tx: Any) -> list[Any]:
            return [list(row) for row in await tx.fetch(WRITTEN, after)]

        return {"events": await self._platform.database.read(read)}

    async def pending(self) -> dict[str, Any]:
        async def read(tx: Any) -> Any:
            return await tx.fetch_row(PENDING)

        count, oldest = await self._platform.database.read(read)
        age = (self._clock.now() - from_column(oldest)).total_seconds() if count else 0.0
        return {"count": count, "oldest_age": age}

    async def dead(self) -> dict[str, Any]:
        letters, total = await self._platform.database.read(push.dead_letters, DeliveryFilter(), Page(0, 1000))
        return {"count": total, "letters": [[it.device_id, it.sequence, it.reason.value] for it in letters]}

    async def name_devices(self, text: str) -> None:
        """Have changes of devices, from here on, tell of this name."""
        FACTS[EventType.DEVICE_INFO_CHANGED] = DeviceInfoChanged(changed=DeviceDescription(name=text))

    async def jump(self, seconds: float) -> None:
        self._clock.offset += timedelta(seconds=seconds)

    async def arm(self, use_case: str, point: str) -> None:
        self._failpoint.arm(use_case, point)

    async def metrics(self) -> dict[str, Any]:
        """Return the metrics that are single numbers, by name."""
        lines = (await self._platform.metrics.all.exposition()).decode().splitlines()
        parts = [line.split(" ") for line in lines if line and not line.startswith("#")]
        return {name: float(value) for name, value, *_ in parts if "{" not in name}

    async def fail_syncs(self) -> None:
        """Let no file be synced from here on: by the library that was loaded before all others, or at the commit."""
        if os.environ.get("LD_PRELOAD"):
            ctypes.CDLL(None).faults_arm()
        else:
            writer = self._platform.database._writer
            writer._connection = UnsyncedConnection(writer._connection)

    async def die_in_checkpoint(self, writes: int) -> None:
        """Move the log of the store into it at the next commit, and end in one of the writes that this takes."""
        checkpoints = self._platform.database._writer._checkpoints
        move = checkpoints.after

        def moved(changes: int) -> None:
            checkpoints._due = 1
            ctypes.CDLL(None).faults_kill_in_write(writes)
            move(changes)

        checkpoints.after = moved

    async def health(self) -> dict[str, Any]:
        folder = self._platform.settings.data
        log = folder / "firmcast.db-wal"
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return {
            "rss": pages * os.sysconf("SC_PAGE_SIZE"),
            "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
            "log_bytes": log.stat().st_size if log.exists() else 0,
        }


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def deafen() -> None:
    """Hear no notification of the database, as behind a pooler that keeps sessions for a transaction only."""

    async def ignore(*_given: Any) -> None:
        """Ask for nothing."""

    asyncpg.Connection.add_listener = ignore  # type: ignore[method-assign]


def main() -> None:
    if os.environ.get("FAULTS_DEAF"):
        deafen()
    folder, gauge = Path(sys.argv[1]), Gauge(Path(sys.argv[2]))
    failpoint = Failpoint()
    gauge.watch()
    failpoint.watch(gauge)

    class TappedPlatform(Platform):
        @classmethod
        async def start(cls, settings: Any, *, clock: Any = None) -> Any:
            clock = JumpingClock()
            platform = await super().start(settings, clock=clock)
            platform._tap = asyncio.create_task(Tap(platform, clock, failpoint).run())
            return platform

    serving.Platform = TappedPlatform  # type: ignore[misc]
    configure(LogFormat.JSON, "info")
    settings = serving.settings_of(None, folder, 0, 0)
    sys.exit(uvloop.run(serving.serve_until_stopped(settings)))


if __name__ == "__main__":
    main()
