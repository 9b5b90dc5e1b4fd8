"""The calls of the feed behind a real HTTPS server, over a real store, and a client that reads them."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from firmcast.applications import api as applications_api
from firmcast.applications import logins
from firmcast.applications import use_cases as applications
from firmcast.clock import SystemClock
from firmcast.db.port import Database
from firmcast.events.log import EventLog
from firmcast.events.model import (
    DeviceDeleted,
    Event,
    Fact,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    NewEvent,
    Outcome,
)
from firmcast.events.watch import LogWatch
from firmcast.feed import api as feed_api
from firmcast.feed.event_feed import EventFeed
from firmcast.ids import ApplicationId, DeviceId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push.envelope import encode_event
from firmcast.rest.application import http_application
from firmcast.rest.authentication import administrator_authentication, application_authentication
from firmcast.rest.certificates import load_or_make_certificate
from firmcast.rest.server import HttpsServer
from firmcast.sealing import Sealer

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OPERATOR = {"authorization": "Bearer operators-token"}
RECEIVERS = 3


@dataclass
class Site:
    """A platform that has a feed and nothing else."""

    database: Database
    watch: LogWatch
    server: HttpsServer
    authority: Path
    log: EventLog = field(default_factory=lambda: EventLog(encode=encode_event))

    async def application(self, name: str = "app") -> tuple[ApplicationId, dict[str, str]]:
        """Return a new application, and the headers with which it calls."""
        made = await self.database.write(applications.create, name, Sealer(b"k" * 32), NOW)
        hour = timedelta(hours=1)
        now = SystemClock().now()
        issued = await self.database.write(
            logins.login, made.application_id, made.secret, now, hour, hour, timedelta(seconds=1)
        )
        proof = {"app_key": made.application_id, "authorization": f"Bearer {issued.access_token}"}
        return made.application_id, proof

    async def append(self, application_id: ApplicationId, *told: tuple[str, Fact], **marks: Any) -> list[Event]:
        """Append these events of devices."""
        new = [
            NewEvent(application_id=application_id, device_id=DeviceId(device), occurred_at=NOW, fact=fact, **marks)
            for device, fact in told
        ]
        return await self.database.write(self._append, new)

    async def _append(self, tx, new: Sequence[NewEvent]) -> list[Event]:
        return await self.log.append(tx, new)

    @contextlib.asynccontextmanager
    async def client(self, headers: dict[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
        """Give a client that checks the server's certificate."""
        tls = ssl.create_default_context(cafile=str(self.authority))
        async with httpx2.AsyncClient(
            base_url=self.server.url, verify=tls, trust_env=False, headers=headers, timeout=60
        ) as client:
            yield client


def moved(state: FirmwareUpdateState = FirmwareUpdateState.DOWNLOADING) -> Fact:
    return FirmwareStateChanged(state=state)


def ended(description: str = "done") -> Fact:
    return FirmwareUpgradeEnded(
        outcome=Outcome.FAILED,
        description=description,
        source_version="1",
        target_version="2",
        current_version="1",
        duration=3,
    )


def deleted() -> Fact:
    return DeviceDeleted()


@contextlib.asynccontextmanager
async def started_site(database: Database, folder: Path, life_seconds: float = 15.0) -> AsyncIterator[Site]:
    """Give a platform on a store, with its certificate in a folder."""
    watch = LogWatch(database=database, look_again=timedelta(milliseconds=50))
    check = applications_api.token_check(database, SystemClock())
    prove = application_authentication(check, lambda _application_id: None)
    calls = feed_api.endpoints(
        database=database,
        feed=EventFeed(database=database, watch=watch),
        authenticate=prove,
        prove=prove,
        authorise_administrator=administrator_authentication("operators-token"),
        receivers=RECEIVERS,
        life_seconds=life_seconds,
    )
    made = load_or_make_certificate(folder / "tls", ["localhost", "127.0.0.1"], SystemClock().now())
    server = await HttpsServer.start(
        http_application(calls), host="127.0.0.1", port=0, certificate=made.certificate, key=made.key
    )
    await watch.start()
    yield Site(database=database, watch=watch, server=server, authority=made.authority)
    await watch.stop()
    await server.stop()


class Reader:
    """Reads an event stream as it comes."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._lines = answer.aiter_lines()
        self.cursor = ""

    async def next(self) -> dict[str, Any] | None:
        """Return the next event, None for a sign of life or a comment."""
        data = None
        async for line in self._lines:
            if line.startswith("id: "):
                self.cursor = line[4:]
            elif line.startswith("data: "):
                data = msgspec.json.decode(line[6:])
            elif not line:
                return data
        raise EOFError

    async def events(self, count: int) -> list[dict[str, Any]]:
        """Return so many events."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            event = await self.next()
            if event is not None:
                assert event["cursor"] == self.cursor
                found.append(event)
        return found

    async def end(self) -> None:
        """Read until the stream ends."""
        with contextlib.suppress(EOFError):
            while True:
                await self.next()
