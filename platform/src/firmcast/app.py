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
from functools import partial
from pathlib import Path
from typing import Self

import structlog

from firmcast.application_deletion import ApplicationDeletion
from firmcast.clock import Clock, SystemClock
from firmcast.db.installation import require_key
from firmcast.db.port import Database
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.room import Room
from firmcast.db.sqlite import SqliteDatabase
from firmcast.devices.activation_watch import ActivationWatch
from firmcast.devices.keys import open_key
from firmcast.errors import FirmcastError, StartError
from firmcast.events.log import EventLog
from firmcast.events.watch import LogWatch
from firmcast.feed.event_feed import EventFeed
from firmcast.firmware.chunks import FirmwareChunks
from firmcast.firmware.files import FOLDER, FirmwareFiles
from firmcast.firmware.package_cache import PackageCache
from firmcast.firmware.package_files import PackageFiles
from firmcast.firmware.uploads import UploadSweeper
from firmcast.gateway.membership import Membership, site_name
from firmcast.gateway.package_port.certificate import package_certificate
from firmcast.gateway.server import Gateway
from firmcast.http_api import HttpParts, endpoints, endpoints_of_every_node
from firmcast.lwm2m.firmware_update import Protocol
from firmcast.nodes.duty import Duty, Worker
from firmcast.nodes.keeper import Keeper
from firmcast.nodes.model import HOUSEKEEPING, REPLAYS, UPGRADES
from firmcast.nodes.use_cases import gateways
from firmcast.platform_metrics import PlatformMetrics
from firmcast.platform_store import open_store, sealing_key_file
from firmcast.private_files import read_or_create
from firmcast.push.backlog_watch import BacklogWatch, Explains
from firmcast.push.configuration import destination_rules, most_waiting, proxy_of, sender_limits
from firmcast.push.destination import parse_callback_url
from firmcast.push.dispatcher import Dispatcher
from firmcast.push.envelope import encode_event
from firmcast.push.http_sender import HttpSender
from firmcast.push.ownership import Ownership
from firmcast.push.pusher import Pusher
from firmcast.push.replay.runner import ReplayRunner
from firmcast.push.undelivered import UndeliveredKeeper, UndeliveredLimit
from firmcast.push.use_cases import fan_out
from firmcast.rest import health
from firmcast.rest.application import http_application
from firmcast.rest.certificates import load_or_make_certificate
from firmcast.rest.metrics import CountedApplication, handshakes_of
from firmcast.rest.metrics import endpoints as metrics_endpoints
from firmcast.rest.server import HttpsServer
from firmcast.retention import RetentionSweeper
from firmcast.sealing import Sealer, load_or_create_key
from firmcast.settings import Role, Settings
from firmcast.upgrades.engine import UpgradeEngine
from firmcast.upgrades.limits import Limits, limits_of

_log = structlog.get_logger()

_ADMIN_TOKEN_FILE = "admin-token"  # noqa: S105 -- a file's name
_SENDABLE = re.compile(r"[!-~]{1,4096}")
_DRAIN_SECONDS = 10.0
_LOOKS_IN_A_LIFE = 5
"""So often a gateway looks for dead ones; a node that was given up in error is back within a tenth of a life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Where a started platform is reached."""

    url: str
    coap: str | None
    """Where devices speak in clear; None where they may not, or no device is listened to."""
    coaps: str | None = None
    """Where devices have secure sessions; None for nowhere."""
    packages: str | None = None
    """Where packages are fetched by HTTP; None for nowhere."""
    secure_packages: str | None = None
    """The same by HTTPS."""
    metrics: str | None = None
    """Where metrics are told without a token; None for nowhere."""
    authority: Path | None = None
    """PEM file of the authority that it made; None when the operator brought a certificate."""

    def as_dict(self) -> dict[str, str]:
        """Return the same as words, for logs and for `running.json`."""
        authority = None if self.authority is None else str(self.authority.absolute())
        told = {
            "url": self.url,
            "coap": self.coap,
            "coaps": self.coaps,
            "packages": self.packages,
            "secure_packages": self.secure_packages,
            "metrics": self.metrics,
            "authority": authority,
        }
        return {name: word for name, word in told.items() if word is not None}


class Platform:
    """The whole platform in one process, or those of its roles that this node has."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.broken = asyncio.Event()
        """Set when the store can no longer be trusted: the process must end and start anew."""
        self.database: Database
        self.keeper: Keeper | None = None
        """Of a node that shares its store with others."""
        self.gateway: Gateway | None = None
        self.pusher: Pusher | None = None
        self.metrics = PlatformMetrics(clock)
        self.admin_token = ""
        self._room: Room
        self._server: HttpsServer
        self._metrics_server: HttpsServer | None = None
        self._backlog: BacklogWatch | None = None
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
        gateway = self.gateway
        return Running(
            url=self._server.url,
            coap=None if gateway is None else _origin("coap", gateway.address),
            coaps=None if gateway is None else _origin("coaps", gateway.secure_address),
            packages=None if gateway is None else gateway.package_url(Protocol.HTTP),
            secure_packages=None if gateway is None else gateway.package_url(Protocol.HTTPS),
            metrics=f"{self._metrics_server.url}/metrics" if self._metrics_server else None,
            authority=self._authority,
        )

    async def _start(self) -> None:
        settings = self.settings
        _require_possible(settings)
        folder = settings.data
        # What devices and applications tell is nobody else's on this machine.
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        member = self._member()
        database, self.keeper = await open_store(
            settings, self.clock, self.metrics.store, gateway_id=None if member is None else member.gateway_id
        )
        self._parts.push_async_callback(database.close)
        self.database = database
        self._room = await self._make_room(database)
        self._watch(database.broken)
        sealer = await self._sealer(database)
        self.admin_token = await asyncio.to_thread(_admin_token, self.settings)
        files = await asyncio.to_thread(self._files, database)
        if self.keeper is not None:
            self.metrics.node.show(self.keeper)
            self._watch(self.keeper.refused)
            await self.keeper.start()
            self._parts.push_async_callback(self.keeper.stop)
        log = EventLog(encode=encode_event, projections=[fan_out])
        limits = limits_of(self.settings.upgrades, self.settings.gateway)
        uploads = UploadSweeper(
            database=database, clock=self.clock, files=files, life=self.settings.firmware.upload_life
        )
        old = RetentionSweeper(
            database=database,
            clock=self.clock,
            settings=settings.retention,
            removed=self.metrics.removed,
            give_back=None if isinstance(database, PostgresDatabase) else database.give_back,
        )
        undelivered = UndeliveredKeeper(database=database, clock=self.clock)
        await self._begin(Duty(HOUSEKEEPING, [uploads, old, undelivered], self.keeper))
        if Role.PUSHER in self.settings.roles:
            await self._start_push(database, sealer)
        else:
            self._watch_backlog(lambda _subscription_id, _device_id: True)  # it is others' to explain, and to be seen
        if member is not None:
            await self._start_gateway(database, log, limits, files, sealer, member)
        if isinstance(database, PostgresDatabase):
            self._renew_when_missed(database)
        self._resume_deletions(files)
        watch = LogWatch(database=database)
        feed = EventFeed(database=database, watch=watch)
        await self._start_http(self._http(sealer, files, log, limits, feed))
        await watch.start()
        await self._start_metrics()
        await self._begin(self.metrics.loop_watch)
        # It ends first, and lets go whoever waits for events: the server's end would wait for him.
        self._parts.push_async_callback(watch.stop)

    async def _make_room(self, database: SqliteDatabase | PostgresDatabase) -> Room:
        intake = self.settings.intake
        watch = database.size_watch if isinstance(database, PostgresDatabase) else None
        if watch is not None and intake.database_limit:
            await self._begin(watch)
        return Room(
            folder=self.settings.data,
            floor=intake.free_floor if watch is None else 0,  # of a disk that is elsewhere nothing is known here
            waiting=lambda: database.waiting,
            most_waiting=intake.waiting_limit,
            metrics=self.metrics.store,
            size=lambda: None if watch is None else watch.size,
            size_limit=intake.database_limit,
        )

    def _files(self, database: Database) -> PackageFiles:
        folder = self.settings.data
        if not isinstance(database, PostgresDatabase):
            return FirmwareFiles(folder / FOLDER, database)
        cache = PackageCache(folder / "package-cache", self.clock, limit=self.settings.firmware.cache_limit)
        return FirmwareChunks(database, self.clock, cache)

    async def _begin(self, part: Worker) -> None:
        await part.start()
        self._parts.push_async_callback(part.stop)

    async def _sealer(self, database: Database) -> Sealer:
        path = sealing_key_file(self.settings)
        sealer = Sealer(await asyncio.to_thread(load_or_create_key, path))
        try:
            await database.write(require_key, sealer)
        except StartError as error:
            message = f"{error} than the one in {path}"
            raise StartError(message) from None
        if self.keeper is not None:
            self.keeper.demand = partial(require_key, sealer=sealer)
        return sealer

    async def _start_push(self, database: Database, sealer: Sealer) -> None:
        push = self.settings.push

        def make(ownership: Ownership) -> Dispatcher:
            return Dispatcher(
                database=database,
                sender=self._sender(),
                clock=self.clock,
                settings=push,
                sealer=sealer,
                metrics=self.metrics.push,
                ownership=ownership,
            )

        pusher = self.pusher = Pusher(make, self.keeper)
        await pusher.start()
        self._parts.push_async_callback(pusher.stop, _DRAIN_SECONDS)
        self._watch(pusher.broken)
        self._backlog = self._watch_backlog(pusher.explains)
        replays = ReplayRunner(
            database=database,
            clock=self.clock,
            most_waiting=most_waiting(push),
            made=self.metrics.push.replay_deliveries,
        )
        await self._begin(Duty(REPLAYS, [replays], self.keeper))
        self._watch(replays.broken)

    def _watch_backlog(self, explains: Explains) -> BacklogWatch:
        """Tell how old the oldest event is, on every node: those that deliver may all be gone."""
        watch = BacklogWatch(
            database=self.database,
            clock=self.clock,
            metrics=self.metrics.push,
            explains=explains,
            limit=self.settings.push.stall_limit,
            undelivered_limit=self.settings.push.undelivered_limit,
        )
        watch.start()
        self._parts.push_async_callback(watch.stop)
        return watch

    def _sender(self) -> HttpSender:
        push = self.settings.push
        return HttpSender(rules=destination_rules(push), limits=sender_limits(push), proxy=proxy_of(push))

    async def _start_gateway(
        self,
        database: Database,
        log: EventLog,
        limits: Limits,
        files: PackageFiles,
        sealer: Sealer,
        member: Membership,
    ) -> None:
        self.gateway = await Gateway.start(
            database=database,
            log=log,
            clock=self.clock,
            settings=self.settings.gateway,
            limits=limits,
            files=files,
            metrics=self.metrics.gateway,
            require_room=self._room.require,
            open_key=partial(open_key, sealer),
            package_certificate=await asyncio.to_thread(package_certificate, self.settings, self.clock.now()),
            member=member,
        )
        self._parts.push_async_callback(self.gateway.stop)
        engine = UpgradeEngine(database=database, log=log, clock=self.clock, limits=limits, living=member.living)
        activations = ActivationWatch(database=database, log=log, clock=self.clock)
        await self._begin(Duty(UPGRADES, [engine, activations], self.keeper))

    def _member(self) -> Membership | None:
        """Return the life of this process's gateway, None where it is to have none."""
        settings = self.settings
        if Role.GATEWAY not in settings.roles:
            return None
        if settings.database_url is None:
            return Membership.alone()
        pause = settings.nodes.lease_life.total_seconds() / _LOOKS_IN_A_LIFE
        return Membership.of(site_name(settings.gateway), gateways, pause)

    def _renew_when_missed(self, database: PostgresDatabase) -> None:
        """Have parts begin anew when news of other nodes were gone unread."""

        async def renew() -> None:
            while True:
                await database.missed.wait()
                database.missed.clear()
                for part in (self.pusher, self.gateway):
                    if part is not None:
                        part.missed()

        task = asyncio.create_task(renew())
        self._parts.callback(task.cancel)

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
        tests = self._sender()
        self._parts.callback(tests.close)
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
            send_callback=tests.send,
            check_readiness=self._readiness,
            metrics=self.metrics.all,
            require_room=self._room.require,
            require_taken=UndeliveredLimit(
                database=self.database, limit=self.settings.push.undelivered_limit, metrics=self.metrics.store
            ).require,
        )
        has_calls = Role.REST in self.settings.roles
        calls = endpoints(parts) if has_calls else endpoints_of_every_node(parts)
        return CountedApplication(http_application(calls, absent=self._absent()), calls, self.metrics.http)

    def _absent(self) -> str:
        """Say why calls are not served here, if they are not."""
        roles = ", ".join(sorted(self.settings.roles))
        return "" if Role.REST in self.settings.roles else f"this node's roles are {roles}: ask one with the role rest"

    async def _readiness(self) -> Mapping[str, bool]:
        parts = {"store": not self.broken.is_set()}
        if self.gateway is not None:
            parts["gateway"] = self.gateway.is_listening
        if self.pusher is not None:
            parts["pusher"] = self.pusher.dispatcher.is_running
        if self._backlog is not None:
            parts["deliveries"] = self._backlog.is_moving
        if self.keeper is not None:
            parts["node"] = self.keeper.is_alive
        return parts

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
                handshakes=handshakes_of(rest, self.metrics.http),
            )
        except (ssl.SSLError, FileNotFoundError) as error:
            message = f"the certificate or its key cannot be used: {error}"
            raise StartError(message) from error
        self._parts.push_async_callback(self._server.stop)


def _require_possible(settings: Settings) -> None:
    """Raise StartError for settings that want several processes on a store that has one."""
    if settings.database_url is not None:
        return
    if settings.roles != frozenset(Role):
        message = "a node that does less than all of it needs a database_url: an SQLite store has one node"
        raise StartError(message)
    if settings.gateway.share_ports:
        message = "gateway.share_ports needs a database_url: an SQLite store has one gateway"
        raise StartError(message)


def _origin(scheme: str, address: tuple[str, int] | None) -> str | None:
    return None if address is None else f"{scheme}://{address[0]}:{address[1]}"


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
