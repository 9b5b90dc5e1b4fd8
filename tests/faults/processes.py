"""The processes that take part in a fault: each obeys commands, can be killed, and is started again on what it left."""

import asyncio
import json
import os
import signal
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.faults.oracle import Arrival, Written
from tests.faults.receiver_process import Behaviour

HERE = Path(__file__).parent
START_SECONDS = 60
LINE_LIMIT = 1 << 28


class GoneError(Exception):
    """The process ended before it answered."""


class RefusedError(Exception):
    """The process could not do what it was told; the first argument is the name of the error."""


class Companion:
    """A process that obeys commands over its standard input and output."""

    def __init__(self, program: str, log: Path) -> None:
        self._program = HERE / program
        self._log = log
        self._ids = count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listening: asyncio.Task[None] | None = None
        self.process: asyncio.subprocess.Process

    async def start(self, *arguments: object, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Start it, and return what it says when it runs.

        Raises:
            GoneError: it ended instead.
        """
        ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[0] = ready
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                self._program,
                *map(str, arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(environment or {})},
                limit=LINE_LIMIT,
            )
        self._listening = asyncio.create_task(self._listen())
        async with asyncio.timeout(START_SECONDS):
            return await ready

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        try:
            async for line in self.process.stdout:
                if not line.endswith(b"\n"):
                    break  # killed while it spoke
                answer = json.loads(line)
                asked = self._asked.pop(answer.pop("id"), None)
                if asked is not None and not asked.done():
                    asked.set_result(answer)
        finally:
            left, self._asked = self._asked, {}
            for asked in left.values():
                if not asked.done():
                    asked.set_exception(GoneError(self.log_text()[-2000:]))

    async def ask(self, do: str, **given: Any) -> dict[str, Any]:
        """Give a command, and return its answer.

        Raises:
            GoneError: the process ended first.
            RefusedError: it could not do it.
        """
        if self._listening is None or self._listening.done():
            raise GoneError(self.log_text()[-2000:])
        number = next(self._ids)
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": number, "do": do, **given}).encode() + b"\n")
        answer = await asked
        if "error" in answer:
            raise RefusedError(answer["error"], answer["detail"])
        return answer

    @property
    def runs(self) -> bool:
        return self._listening is not None and not self._listening.done()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.signal(signal.SIGTERM)

    def log_text(self) -> str:
        return self._log.read_text()

    async def ended(self) -> int:
        """Wait for its end, and return its status."""
        status = await self.process.wait()
        if self._listening is not None:
            await self._listening
        return status

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self.process.returncode is None:
            self.signal(signal.SIGKILL)
        await self.ended()


class Receiver(Companion):
    """Callbacks, and what came to them."""

    def __init__(self, log: Path) -> None:
        super().__init__("receiver_process.py", log)
        self.arrivals: list[Arrival] = []
        self._ports: dict[str, int] = {}

    async def listen(self, name: str = "") -> int:
        """Take connections, on the port of the last time when there was one."""
        answer = await self.ask("listen", name=name, port=self._ports.get(name, 0))
        self._ports[name] = int(answer["port"])
        return self._ports[name]

    async def hang_up(self, name: str = "") -> None:
        """Be down: no port, no connection."""
        await self.ask("hang_up", name=name)

    def url(self, path: str, name: str = "") -> str:
        return f"http://127.0.0.1:{self._ports[name]}{path}"

    async def behave(self, path: str, device: str | None = None, **fields: Any) -> None:
        """Answer requests of a path, or of one device at it, as a Behaviour with these fields says."""
        await self.ask("behave", path=path, device=device, behaviour=asdict(Behaviour(**fields)))

    async def wait(self, arrivals: int, path: str | None = None) -> None:
        """Wait until so many requests have come in all."""
        await self.ask("wait", count=arrivals, path=path)

    async def numbers(self, path: str) -> dict[str, int]:
        return await self.ask("numbers", path=path)

    async def all_arrivals(self) -> list[Arrival]:
        """Return everything that has come so far."""
        answer = await self.ask("arrivals", since=len(self.arrivals))
        self.arrivals += [Arrival(*fields) for fields in answer["arrivals"]]
        return self.arrivals


@dataclass
class Subscriber:
    """A callback of an application."""

    path: str
    event_type: str
    subscription_id: str


@dataclass
class Application:
    """An application that the platform knows."""

    application_id: str
    secret: str
    signing_secret: str
    admin_token: str
    subscribers: list[Subscriber] = field(default_factory=list)


class Engine(Companion):
    """The platform, on a store that outlives it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__("engine_process.py", folder.with_suffix(".log"))
        self.folder = folder
        self._environment = {
            "FIRMCAST_PUSH__ALLOWED_NETWORKS": '["127.0.0.0/8"]',
            "FIRMCAST_PUSH__PROBE_INTERVAL": "1",
            **environment,
        }
        self._gauge = folder.with_suffix(".gauge")
        self.acknowledged: list[str] = []
        self.kills = 0
        self.most_repeated = 0
        """How many deliveries all kills so far can have caused a second time."""
        self.running: dict[str, Any] = {}

    async def start(self, *arguments: object, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        self._gauge.write_bytes(bytes(8))
        self.running = await super().start(
            self.folder, self._gauge, *arguments, environment={**self._environment, **(environment or {})}
        )
        return self.running

    @property
    def unsettled(self) -> int:
        """Attempts that have begun and whose outcome is not durable; it can be read after a kill."""
        return int(struct.unpack("<q", self._gauge.read_bytes())[0])

    async def kill(self) -> None:
        await super().kill()
        self.note_kill()

    async def stopping(self) -> None:
        """Wait until it has taken note that it is to end: it is reached no longer then."""
        while (self.folder / "running.json").exists():
            await asyncio.sleep(0.01)

    def note_kill(self) -> None:
        """Take note that it was killed, by whomever."""
        self.kills += 1
        self.most_repeated += self.unsettled

    async def application(self, receiver: Receiver, name: str, subscribers: Mapping[str, str]) -> Application:
        """Make an application with a callback for each path and event type, whose signatures the receiver checks."""
        made = Application(**await self.ask("application", name=name))
        for path, event_type in subscribers.items():
            await self.subscribe(receiver, made, path, event_type)
        return made

    async def subscribe(self, receiver: Receiver, application: Application, path: str, event_type: str) -> Subscriber:
        await receiver.ask("secrets", path=path, secrets=[application.signing_secret])
        answer = await self.ask(
            "subscribe",
            application_id=application.application_id,
            event_type=event_type,
            url=receiver.url(path),
        )
        made = Subscriber(path=path, event_type=event_type, subscription_id=answer["subscription_id"])
        application.subscribers.append(made)
        return made

    async def append(self, application: Application, events: Sequence[tuple[str, str]]) -> int:
        """Have events (device, type) committed, and return how many that were."""
        answer = await self.ask("append", application_id=application.application_id, events=list(events))
        self.acknowledged += [message_id for _, _, message_id in answer["acknowledged"]]
        return len(answer["acknowledged"])

    async def log(self) -> list[Written]:
        """Return every event of the store."""
        found: list[Written] = []
        while rows := (await self.ask("written", after=found[-1].event_id if found else 0))["events"]:
            found += [Written(*row) for row in rows]
        return found

    async def settled(self) -> None:
        """Wait until nothing is left to be delivered."""
        while (await self.ask("pending"))["count"]:
            await asyncio.sleep(0.02)


def in_parts(events: Iterable[tuple[str, str]], size: int) -> Iterable[list[tuple[str, str]]]:
    """Cut events into parts that are committed together."""
    part: list[tuple[str, str]] = []
    for event in events:
        part.append(event)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
