"""Every object of the platform is built here, from the settings, and nowhere else; parts end in the reverse order.

This is also the only place where the halves know each other: push's projection is handed to the event log.
"""

import asyncio
import re
import secrets
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from firmcast.application_deletion import ApplicationDeletion
from firmcast.clock import Clock, SystemClock
from firmcast.db.port import Database
from firmcast.db.sqlite import STORE_FILE, SqliteDatabase
from firmcast.devices.activation_watch import ActivationWatch
from firmcast.errors import FirmcastError, StartError
from firmcast.events.log import EventLog
from firmcast.events.watch import LogWatch
from firmcast.feed.event_feed import EventFeed
from firmcast.firmware.files import FOLDER, FirmwareFiles
from firmcast.firmware.package_files import PackageFiles
from firmcast.firmware.uploads import UploadSweeper
from firmcast.gateway.server import Gateway
from firmcast.http_api import HttpParts, endpoints
from firmcast.platform_metrics import PlatformMetrics
from firmcast.private_files import read_or_create
from firmcast.push.backlog_watch import BacklogWatch
from firmcast.push.configuration import destination_rules, most_waiting, proxy_of, sender_limits
from firmcast.push.destination import parse_callback_url
from firmcast.push.dispatcher import Dispatcher
from firmcast.push.envelope import encode_event
from firmcast.push.http_sender import HttpSender
from firmcast.push.replay.runner import ReplayRunner
from firmcast.push.use_cases import fan_out
from firmcast.rest import health
from firmcast.rest.application import http_application
from firmcast.rest.certificates import load_or_make_certificate
from firmcast.rest.metrics import CountedApplication
from firmcast.rest.metrics import endpoints as metrics_endpoints
from firmcast.rest.server import HttpsServer
from firmcast.sealing import Sealer, load_or_create_key
from firmcast.settings import Settings
from firmcast.upgrades.engine import UpgradeEngine
from firmcast.upgrades.limits import Limits, limits_of

_log = structlog.get_logger()

_KEY_FILE = "sealing-key"
_ADMIN_TOKEN_FILE = "admin-token"  # noqa: S105 -- a file's name
_SENDABLE = re.compile(r"[!-~]{1,4096}")
_DRAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Where a started platform is reached."""

    url: str
    coap: str
    metrics: str = ""
    """Where metrics are told without a token; empty for nowhere."""
    authority: Path | None = None
    """PEM file of the authority that it made; None when the operator brought a certificate."""

    def as_dict(self) -> dict[str, str]:
        """Return the same as words, for logs and for `running.json`."""
        told = {"url": self.url, "coap": self.coap}
        if self.metrics:
            told["metrics"] = self.metrics
        return {**told, "authority": str(self.authority.absolute())} if self.authority else told


class Platform:
    """The whole platform in one process, on one embedded store."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.broken = asyncio.Event()
        """Set when the store can no longer be trusted: the process must end and start anew."""
        self.database: Database
        self.gateway: Gateway
        self.metrics = PlatformMetrics(clock)
        self.admin_token = ""
        self._server: HttpsServer
        self._metrics_server: HttpsServer | None = None
        self._dispatcher: Dispatcher
        self._backlog: BacklogWatch
        self._sender: HttpSender
        self._authority: Path | None = None
        self._parts = AsyncExitStack()

    @classmethod
    async def start(cls, settings: Settings, *, clock: Clock | None = None) -> Self:
        """Open the store and start every part.

        Raises:
            StartError: the settings do not allow it.
            StoreInUseError: another process has the store.
        """
        self = cls(settings, clock or SystemClock())
        try:
            await self._start()
        except BaseException:
            await self._parts.aclose()
            raise
        return self

    async def stop(self) -> None:
        """Finish what is under way and close the store."""
        await self._parts.aclose()

    @property
    def running(self) -> Running:
        """Where it is reached."""
        host, port = self.gateway.address
        return Running(
            url=self._server.url,
            coap=f"coap://{host}:{port}",
            metrics=f"{self._metrics_server.url}/metrics" if self._metrics_server else "",
            authority=self._authority,
        )

    async def _start(self) -> None:
        folder = self.settings.data
        # What devices and applications tell is nobody else's on this machine.
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        database = await SqliteDatabase.open(
            folder / STORE_FILE,
            self.clock.now(),
            metrics=self.metrics.store,
            migrates=self.settings.migrate_at_start,
        )
        self._parts.push_async_callback(database.close)
        self.database = database
        self._watch(database.broken)
        sealer = Sealer(await asyncio.to_thread(load_or_create_key, folder / _KEY_FILE))
        self.admin_token = await asyncio.to_thread(_admin_token, self.settings)
        files = FirmwareFiles(folder / FOLDER, database)
        sweeper = UploadSweeper(
            database=database, clock=self.clock, files=files, life=self.settings.firmware.upload_life
        )
        sweeper.start()
        self._parts.push_async_callback(sweeper.stop)
        log = EventLog(encode=encode_event, projections=[fan_out])
        await self._start_push(database, sealer)
        limits = limits_of(self.settings.upgrades)
        engine = UpgradeEngine(database=database, log=log, clock=self.clock, limits=limits)
        listen = self.settings.gateway
        try:
            self.gateway = await Gateway.start(
                database=database,
                log=log,
                clock=self.clock,
                settings=listen,
                limits=limits,
                files=files,
                metrics=self.metrics.gateway,
            )
        except OSError as error:
            message = f"cannot listen for devices on {listen.host}:{listen.port}: {error.strerror or error}"
            raise StartError(message) from error
        self._parts.push_async_callback(self.gateway.stop)
        await engine.start()
        self._parts.push_async_callback(engine.stop)
        activations = ActivationWatch(database=database, log=log, clock=self.clock)
        await activations.start()
        self._parts.push_async_callback(activations.stop)
        self._resume_deletions(files)
        watch = LogWatch(database=database)
        feed = EventFeed(database=database, watch=watch)
        await self._start_http(self._http(sealer, files, log, limits, feed))
        await watch.start()
        await self._start_metrics()
        # It ends first, and lets go whoever waits for events: the server's end would wait for him.
        self._parts.push_async_callback(watch.stop)

    async def _start_push(self, database: Database, sealer: Sealer) -> None:
        push = self.settings.push
        sender = self._sender = HttpSender(
            rules=destination_rules(push), limits=sender_limits(push), proxy=proxy_of(push)
        )
        dispatcher = self._dispatcher = Dispatcher(
            database=database,
            sender=sender,
            clock=self.clock,
            settings=push,
            sealer=sealer,
            metrics=self.metrics.push,
        )
        await dispatcher.start()
        self._parts.push_async_callback(dispatcher.stop, _DRAIN_SECONDS)
        self._watch(dispatcher.broken)
        self._backlog = BacklogWatch(
            database=database,
            clock=self.clock,
            metrics=self.metrics.push,
            explains=dispatcher.explains,
            limit=push.stall_limit,
        )
        self._backlog.start()
        self._parts.push_async_callback(self._backlog.stop)
        replays = ReplayRunner(database=database, clock=self.clock, most_waiting=most_waiting(push))
        await replays.start()
        self._parts.push_async_callback(replays.stop)
        self._watch(replays.broken)

    def _resume_deletions(self, files: PackageFiles) -> None:
        """Carry on with what an earlier process was deleting; nobody waits for it."""

        async def resume() -> None:
            try:
                await ApplicationDeletion(self.database, files).resume()
            except FirmcastError as error:
                _log.error("platform.deletions_not_resumed", error=str(error))

        task = asyncio.create_task(resume())
        self._parts.callback(task.cancel)

    def _watch(self, broken: asyncio.Event) -> None:
        async def pass_on() -> None:
            await broken.wait()
            self.broken.set()

        task = asyncio.create_task(pass_on())
        self._parts.callback(task.cancel)

    def _http(
        self, sealer: Sealer, files: PackageFiles, log: EventLog, limits: Limits, feed: EventFeed
    ) -> CountedApplication:
        rules = destination_rules(self.settings.push)
        parts = HttpParts(
            database=self.database,
            clock=self.clock,
            settings=self.settings,
            sealer=sealer,
            files=files,
            log=log,
            limits=limits,
            feed=feed,
            admin_token=self.admin_token,
            check_callback=lambda url: rules.check(parse_callback_url(url)),
            send_callback=self._sender.send,
            check_readiness=self._readiness,
            metrics=self.metrics.all,
        )
        calls = endpoints(parts)
        return CountedApplication(http_application(calls), calls, self.metrics.http)

    async def _readiness(self) -> Mapping[str, bool]:
        return {
            "store": not self.broken.is_set(),
            "gateway": self.gateway.is_listening,
            "pusher": self._dispatcher.is_running,
            "deliveries": self._backlog.is_moving,
        }

    async def _start_metrics(self) -> None:
        """Tell metrics and health in clear where the operator wants it, to whoever reaches that address."""
        wanted = self.settings.metrics
        if wanted.port is None:
            return
        calls = [*metrics_endpoints(self.metrics.all, None), *health.endpoints(self._readiness)]
        server = await HttpsServer.start(http_application(calls), host=wanted.host, port=wanted.port)
        self._parts.push_async_callback(server.stop)
        self._metrics_server = server

    async def _start_http(self, application: CountedApplication) -> None:
        rest = self.settings.rest
        certificate, key = rest.certificate_file, rest.key_file
        if (certificate is None) != (key is None):
            message = "rest.certificate_file and rest.key_file go together"
            raise StartError(message)
        if certificate is None:
            hosts = ["localhost", "127.0.0.1", "::1"]
            if rest.host not in ("0.0.0.0", "::"):  # noqa: S104 -- compared with, not listened on
                hosts.append(rest.host)
            made = await asyncio.to_thread(
                load_or_make_certificate, self.settings.data / "tls", hosts, self.clock.now()
            )
            certificate, key, self._authority = made.certificate, made.key, made.authority
        try:
            self._server = await HttpsServer.start(
                application,
                host=rest.host,
                port=rest.port,
                certificate=certificate,
                key=key,
                ask_client_certificate=rest.ask_client_certificate,
            )
        except (ssl.SSLError, FileNotFoundError) as error:
            message = f"the certificate or its key cannot be used: {error}"
            raise StartError(message) from error
        self._parts.push_async_callback(self._server.stop)


def _admin_token(settings: Settings) -> str:
    """Return the token that opens the management API; one that is made is kept, readable by its owner only.

    Raises:
        StartError: it is one that nobody could send.
    """
    if settings.admin_token is not None:
        token, source = settings.admin_token.get_secret_value(), "admin_token"
    else:
        path = settings.data / _ADMIN_TOKEN_FILE
        made = f"{secrets.token_urlsafe(24)}\n".encode()
        token, source = read_or_create(path, made).decode("utf-8", "replace").strip(), str(path)
    if not _SENDABLE.fullmatch(token):
        message = f"the operator's token in {source} must be 1 to 4096 visible ASCII characters, without blanks"
        raise StartError(message)
    return token
