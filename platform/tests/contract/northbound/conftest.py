"""A platform's HTTP side over a real store, called in process with exactly the bytes that a test writes."""

import contextlib
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from firmcast.applications import use_cases as applications
from firmcast.applications.model import Credentials
from firmcast.db.metrics import StoreMetrics
from firmcast.db.port import Database
from firmcast.errors import InvalidValueError
from firmcast.events.log import EventLog
from firmcast.events.watch import LogWatch
from firmcast.feed.event_feed import EventFeed
from firmcast.firmware.files import FirmwareFiles
from firmcast.http_api import HttpParts, endpoints
from firmcast.ids import ApplicationId, DeviceId
from firmcast.metrics import Metrics
from firmcast.push.destination import DestinationRules
from firmcast.push.http_sender import HttpSender, SenderLimits
from firmcast.push.undelivered import UndeliveredLimit
from firmcast.rest.application import http_application
from firmcast.rest.endpoints import Endpoint
from firmcast.sealing import Sealer
from firmcast.settings import FirmwareSettings, RestSettings, Settings, UpgradeSettings
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.limits import Limits, limits_of
from firmcast.upgrades.model import DeviceReport, Input

ADMIN_TOKEN = "operators-token"
START = datetime(2026, 1, 1, tzinfo=UTC)
SIZE_LIMIT = 4096
GOLDEN = Path(__file__).parents[4] / "sdk" / "tests" / "golden"


class SetClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - START).total_seconds()

    def pass_time(self, **parts: float) -> None:
        self.moment += timedelta(**parts)


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _asgi_call(
    application: Starlette,
    method: str,
    path: str,
    query: bytes,
    headers: list[tuple[bytes, bytes]],
    chunks: AsyncIterator[bytes],
) -> httpx2.Response:
    """Call an ASGI application as a server would: no client library comes between a test and its bytes."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": headers,
        "client": ("192.0.2.1", 40000),
        "server": ("platform", 8743),
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        chunk = await anext(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return httpx2.Response(sent[0]["status"], headers=sent[0]["headers"], content=content)


@dataclass
class Caller:
    """An application that has logged in; its calls carry the two headers, and take others in their place."""

    world: "World"
    credentials: Credentials
    token: str

    @property
    def application_id(self) -> ApplicationId:
        return self.credentials.application_id

    @property
    def headers(self) -> dict[str, str]:
        return {"app_key": self.application_id, "Authorization": f"Bearer {self.token}"}

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        given = {**self.headers, **(headers or {})}
        return await self.world.call(method, path, body, query=query, headers=given)


@dataclass
class World:
    """The HTTP side of a platform."""

    database: Database
    clock: SetClock
    files: FirmwareFiles
    settings: RestSettings
    sealer: Sealer
    asgi: Starlette
    calls: Sequence[BaseRoute | Endpoint]
    log: EventLog
    limits: Limits

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Send `body` as it is when it is bytes or a stream of them, as compact JSON otherwise."""
        match body:
            case None:
                chunks: AsyncIterator[bytes] = _chunks(b"")
            case bytes():
                chunks = _chunks(body)
            case AsyncIterator():
                chunks = body
            case _:
                chunks = _chunks(msgspec.json.encode(body))
        path, _, said = path.partition("?")
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
        return await _asgi_call(self.asgi, method, path, said.encode() if query is None else query, raw, chunks)

    async def manage(self, method: str, path: str, body: object = None, **given: Any) -> httpx2.Response:
        """Call the management API as the administrator."""
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}", **given.pop("headers", {})}
        return await self.call(method, path, body, headers=headers, **given)

    async def login(self, name: str = "meter readings") -> Caller:
        """Create an application and log it in."""
        return await self.login_as(await self.database.write(applications.create, name, self.sealer, self.clock.now()))

    async def login_as(self, credentials: Credentials) -> Caller:
        """Log an application in."""
        form = f"appId={credentials.application_id}&secret={credentials.secret}".encode()
        answer = await self.call("POST", "/iocm/app/sec/v1.1.0/login", form)
        return Caller(world=self, credentials=credentials, token=answer.json()["accessToken"])

    async def pass_time(self, **parts: float) -> None:
        """Move the clock and let the upgrades know."""
        self.clock.pass_time(**parts)
        await self.database.write(
            upgrades.pass_time, log=self.log, limits=self.limits, now=self.clock.now(), limit=1000
        )

    async def report(self, device_id: DeviceId, told: Input) -> None:
        """Take the part of the gateway, which a device told something."""
        report = DeviceReport(device_id=device_id, input=told, occurred_at=self.clock.now())
        await self.database.write(
            upgrades.record_reports, [report], log=self.log, limits=self.limits, now=self.clock.now()
        )

    async def upload(self, caller: Caller, content: bytes = b"firmware", **said: str) -> dict[str, Any]:
        """Upload a package for the application and return what the platform says of it."""
        words = {"name": "wm1-1.6.bin", "version": "1.6", "device_type": "WaterMeter", **said}
        query = httpx2.QueryParams({"application_id": caller.application_id, **words})
        answer = await self.manage("POST", "/v1/firmware", content, query=str(query).encode())
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def register(self, caller: Caller, node_id: str = "863703030000011", **said: object) -> str:
        """Register a device and return its id."""
        body = {"nodeId": node_id, "verifyCode": node_id, "timeout": 0, **said}
        answer = await caller.call("POST", "/iocm/app/reg/v1.1.0/deviceCredentials", body)
        assert answer.status_code == 200, answer.text
        return answer.json()["deviceId"]


def check_callback(url: str) -> None:
    """Take the part of the sender's rules for callbacks."""
    if not url.startswith(("https://", "http://")) or url.count(":") < 2:
        raise InvalidValueError("callback_url", "not this one")


@pytest.fixture
def refused() -> Callable[[httpx2.Response, int, str, str], None]:
    """Assert that an answer is this error and nothing else, byte for byte."""

    def check(answer: httpx2.Response, status: int, code: str, description: str) -> None:
        assert (answer.status_code, answer.text) == (
            status,
            msgspec.json.encode({"error_code": code, "error_desc": description}).decode(),
        )
        assert answer.headers["content-type"] == "application/json"

    return check


@pytest.fixture
def golden() -> Callable[[str], bytes]:
    return lambda name: (GOLDEN / name).read_bytes().rstrip(b"\n")


@pytest.fixture
def store_dump(tmp_path: Path) -> Callable[[], dict[str, list[str]]]:
    """Return what tells every row of every table, so that a test can see that nothing changed."""

    def dump() -> dict[str, list[str]]:
        with contextlib.closing(sqlite3.connect(f"file:{tmp_path}/store/firmcast.db?mode=ro", uri=True)) as store:
            tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {table: sorted(map(repr, store.execute(f"SELECT * FROM {table}"))) for table in tables}

    return dump


@pytest.fixture
def rest_settings() -> RestSettings:
    """No limit of calls; a module that tests it has a fixture of this name."""
    return RestSettings(throttle_calls=0)


@pytest.fixture
def undelivered_limit() -> int:
    """Any number of deliveries may wait; a module that tests the limit has a fixture of this name."""
    return 0


@pytest.fixture
def room() -> Callable[[], None]:
    """There is room; a module that tests the lack of it has a fixture of this name."""
    return lambda: None


@pytest.fixture
async def world(
    database: Database, tmp_path: Path, rest_settings: RestSettings, room: Callable[[], None], undelivered_limit: int
) -> AsyncIterator[World]:
    clock = SetClock()
    settings = rest_settings
    sealer = Sealer(hashlib.sha256(b"a key for tests").digest())
    files = FirmwareFiles(tmp_path / "firmware", database)
    log = EventLog(encode=lambda _event: b"{}")
    limits = limits_of(UpgradeSettings())

    async def ready() -> Mapping[str, bool]:
        return {"store": True}

    # Loopback is not among the networks that it may reach: no test of this folder calls anybody.
    sender = HttpSender(rules=DestinationRules(), limits=SenderLimits())
    parts = HttpParts(
        database=database,
        clock=clock,
        settings=Settings(rest=settings, firmware=FirmwareSettings(size_limit=SIZE_LIMIT)),
        sealer=sealer,
        files=files,
        log=log,
        limits=limits,
        feed=EventFeed(database=database, watch=LogWatch(database=database)),
        admin_token=ADMIN_TOKEN,
        check_callback=check_callback,
        send_callback=sender.send,
        check_readiness=ready,
        metrics=Metrics(),
        require_room=room,
        require_taken=UndeliveredLimit(
            database=database, limit=undelivered_limit, metrics=StoreMetrics(Metrics(), clock.monotonic)
        ).require,
    )
    calls = endpoints(parts)
    yield World(
        database=database,
        clock=clock,
        files=files,
        settings=settings,
        sealer=sealer,
        asgi=http_application(calls),
        calls=calls,
        log=log,
        limits=limits,
    )
    sender.close()


@pytest.fixture
async def caller(world: World) -> Caller:
    return await world.login()
