"""What every benchmark of fleets stands on: `firmcast serve` in a process of its own, and a store that knows the fleet.

The platform is started as an operator starts it: one node with SQLite and a sync for each commit, or a node of each
role on PostgreSQL. Its devices are written into the store before: adding them call by call is not what is measured.
"""

import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from firmcast.cli.connection import ADMIN_TOKEN_FILE, RUNNING_FILE
from firmcast.clock import SystemClock
from firmcast.db.port import Database, Transaction
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.sqlite import STORE_FILE, SqliteDatabase
from firmcast.db.statement import portable
from firmcast.settings import Role
from firmcast_sdk import NorthboundClient, TransportOptions
from firmcast_sdk.wire.notifications import NotifyType

_CLOCK = SystemClock()
_TICKS = os.sysconf("SC_CLK_TCK")
_ROWS_AT_ONCE = 1000
_START_SECONDS = 60.0

_INSERT_DEVICE = portable(
    "INSERT INTO device (device_id, application_id, endpoint_name, verification_code, device_type, model,"
    " manufacturer_name, activation_seconds, created_at, changed_at) VALUES (?1, ?2, ?1, ?1, '', '', '', 0, 0, 0)"
)


@dataclass(frozen=True, slots=True)
class Application:
    """An application as the platform answered it."""

    application_id: str
    secret: str


def endpoint_name(number: int) -> str:
    """Return what the device of that number is called; its id is the same."""
    return f"fleet-{number}"


@dataclass(frozen=True, slots=True)
class Node:
    """A process of the platform: its name, its folder, and what it says of itself."""

    name: str
    folder: Path
    process: subprocess.Popen[str]

    @property
    def said(self) -> dict[str, str]:
        """Return where it is reached."""
        found: dict[str, str] = json.loads((self.folder / RUNNING_FILE).read_text())
        return found

    @property
    def tls(self) -> ssl.SSLContext:
        """Return what its certificate is checked with."""
        return ssl.create_default_context(cafile=self.said["authority"])


class Stage:
    """A running platform of one node or of several. Made by `running` and `running_apart`."""

    def __init__(self, nodes: Sequence[Node], postgres: int | None = None) -> None:
        self._nodes = nodes
        self._postgres = postgres
        self._rest = next(node for node in nodes if node.name in ("all", Role.REST))
        self._gateway = next(node for node in nodes if node.name in ("all", Role.GATEWAY))
        host, _, port = self._gateway.said["coap"].partition("://")[2].rpartition(":")
        self.gateway: tuple[str, int] = (host, int(port))

    def manage(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        """Make a management call and return its answer. Raises SystemExit when it is refused."""
        found: dict[str, Any] = self._call(self._rest, method, path, **given).json()
        return found

    @property
    def live_devices(self) -> int:
        """How many devices are registered."""
        found = re.search(
            r"^firmcast_gateway_live_devices (\S+)", self._call(self._gateway, "GET", "/metrics").text, re.MULTILINE
        )
        return 0 if found is None else int(float(found[1]))

    def _call(self, node: Node, method: str, path: str, **given: Any) -> httpx2.Response:
        token = (node.folder / ADMIN_TOKEN_FILE).read_text().strip()
        with httpx2.Client(
            base_url=node.said["url"],
            verify=node.tls,
            trust_env=False,
            headers={"authorization": f"Bearer {token}"},
            timeout=60,
        ) as client:
            answer = client.request(method, path, **given)
        if answer.is_error:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    @contextmanager
    def northbound(self, application: Application) -> Iterator[NorthboundClient]:
        """Return a client of the northbound interface that has logged in."""
        options = TransportOptions(verify=self._rest.tls)
        with NorthboundClient(
            self._rest.said["url"], app_id=application.application_id, secret=application.secret, options=options
        ) as client:
            client.login()
            yield client

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of each part so far: of one node its loop and its store's threads, or each node's."""
        if self._postgres is None:
            (node,) = self._nodes
            whole = cpu_of(node.process.pid)
            loop = _spent(Path(f"/proc/{node.process.pid}/task/{node.process.pid}/stat"))
            return {"loop": loop, "store": whole - loop}
        parts = {node.name: cpu_of(node.process.pid) for node in self._nodes}
        return parts | {"postgres": _cpu_of_family(self._postgres)}

    def memory(self) -> int:
        """Return how many bytes of memory the node holds that has the devices (its resident set)."""
        for line in Path(f"/proc/{self._gateway.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise SystemExit("the platform has ended")


def _cpu_of_family(pid: int) -> float:
    """Return what a process and its children have had; of children that have ended, too, once they were waited for."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = (int(words[13]) + int(words[14])) / _TICKS
    living = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_of(pid) + ended + sum(cpu_of(int(child)) for child in living)


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that a process has had so far."""
    return _spent(Path(f"/proc/{pid}/stat"))


def _spent(file: Path) -> float:
    words = file.read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


_SETTINGS = {
    "FIRMCAST_REST__PORT": "0",
    "FIRMCAST_REST__THROTTLE_CALLS": "0",
    "FIRMCAST_GATEWAY__PORT": "0",
    "FIRMCAST_PUSH__ALLOWED_NETWORKS": '["127.0.0.0/8"]',
}


@contextmanager
def running(folder: Path) -> Iterator[Stage]:
    """Start a platform of one node with SQLite, and end it. Raises SystemExit when it does not start."""
    with _node("all", folder, {}) as node:
        yield Stage([node])


@contextmanager
def running_apart(folder: Path, url: str) -> Iterator[Stage]:
    """Start a node of each role on the PostgreSQL at `url`, and end them. Raises SystemExit when one does not start."""
    key = folder / "sealing-key"
    key.write_bytes(bytes(range(32)))
    server = urlsplit(url)
    pid_file = Path(parse_qs(server.query)["host"][0]) / "postmaster.pid"
    with ExitStack() as stack:
        nodes = []
        for role in Role:
            own = folder / role
            own.mkdir(exist_ok=True)
            settings = {"FIRMCAST_DATABASE_URL": url, "FIRMCAST_SEALING_KEY_FILE": str(key), "FIRMCAST_ROLES": role}
            nodes.append(stack.enter_context(_node(str(role), own, settings)))
        yield Stage(nodes, int(pid_file.read_text().split()[0]))


@contextmanager
def _node(name: str, folder: Path, settings: dict[str, str]) -> Iterator[Node]:
    command = [sys.executable, "-m", "firmcast", "serve", "--data", str(folder), "--log-format", "json"]
    environment = os.environ | _SETTINGS | settings
    with subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE) as process:
        started = threading.Event()
        said: deque[str] = deque(maxlen=20)
        reader = threading.Thread(target=_read, args=(process, said, started), daemon=True)
        reader.start()
        try:
            started.wait(_START_SECONDS)
            if process.poll() is not None or not started.is_set():
                raise SystemExit("the platform did not start:\n" + "".join(said))
            yield Node(name, folder, process)
        finally:
            process.terminate()
            process.wait(_START_SECONDS)
            reader.join()


def _read(process: subprocess.Popen[str], said: deque[str], started: threading.Event) -> None:
    """Keep the last lines of the log, and note that the platform has started, or has ended instead."""
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if "platform.started" in line:
            started.set()
    started.set()


def prepared(folder: Path, devices: int, callback: str) -> Application:
    """Make a data folder with an application, subscribed at `callback`, and `devices` of it; return the former."""
    with running(folder) as stage:
        application = subscribed(stage, callback)

    async def fill() -> None:
        database = await SqliteDatabase.open(folder / STORE_FILE, _CLOCK.now())
        await _insert(database, application.application_id, devices)
        await database.close()

    asyncio.run(fill())
    return application


def prepared_apart(folder: Path, url: str, devices: int, callback: str) -> Application:
    """Make the same in PostgreSQL."""
    with running_apart(folder, url) as stage:
        application = subscribed(stage, callback)

    async def fill() -> None:
        database = await PostgresDatabase.open(url, _CLOCK.now())
        await _insert(database, application.application_id, devices)
        await database.close()

    asyncio.run(fill())
    return application


def subscribed(stage: Stage, callback: str) -> Application:
    """Make an application that is told of states at `callback`."""
    made = stage.manage("POST", "/v1/applications", json={"name": "bench"})
    application = Application(str(made["application_id"]), str(made["secret"]))
    with stage.northbound(application) as client:
        client.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, callback)
    return application


async def _insert(database: Database, application_id: str, devices: int) -> None:
    rows = [(endpoint_name(number), application_id) for number in range(1, devices + 1)]

    async def insert(tx: Transaction, some: list[tuple[str, str]]) -> None:
        await tx.execute_many(_INSERT_DEVICE, some)

    for start in range(0, devices, _ROWS_AT_ONCE):
        await database.write(insert, rows[start : start + _ROWS_AT_ONCE])
