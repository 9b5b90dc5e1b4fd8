"""The gateway is its sockets and what stands behind them; after any end it, or another one, goes on from the store.

Nothing about a device lives in memory alone: registrations, orders and states are rows. What a restart loses, and asks
for again, is how far a transfer had come.
"""

import random as random_module
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, assert_never

import structlog

from firmcast.clock import Clock
from firmcast.coap.codes import Code
from firmcast.coap.dtls.peers import identity_of
from firmcast.coap.events import (
    DownloadProgress,
    Event,
    NotificationReceived,
    NotificationUnmatched,
    ObservationEnded,
    Peer,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
    StrayReceived,
    TransferProgress,
    UploadProgress,
)
from firmcast.coap.parameters import TransmissionParameters
from firmcast.coap.udp import UdpEndpoint
from firmcast.db.port import Database
from firmcast.db.room import RequireRoom
from firmcast.devices.commands import DEVICE_COMMANDS, DEVICES_COMMANDED
from firmcast.devices.model import Registration
from firmcast.events.log import EventLog
from firmcast.firmware.package_files import PackageFiles
from firmcast.gateway import evidence, registration
from firmcast.gateway.addresses import PACKAGE_PATH, stored_address
from firmcast.gateway.awake_windows import AwakeWindows
from firmcast.gateway.batches import Answer, Item, record_batch
from firmcast.gateway.checks import Checks
from firmcast.gateway.clients import Clients
from firmcast.gateway.command_runner import CommandRunner
from firmcast.gateway.device_keys import OpenKey
from firmcast.gateway.device_link import DeviceLink
from firmcast.gateway.downloads import Downloads
from firmcast.gateway.evidence import Evidence
from firmcast.gateway.expiry import Expiry
from firmcast.gateway.fellows import Fellows
from firmcast.gateway.fetch_places import FetchPlaces
from firmcast.gateway.images import PackageImages
from firmcast.gateway.journal_notes import JournalNotes
from firmcast.gateway.live_devices import LiveDevice, LiveDevices
from firmcast.gateway.membership import Membership
from firmcast.gateway.metrics import GatewayMetrics
from firmcast.gateway.pace import Pace
from firmcast.gateway.pacing import Pacing
from firmcast.gateway.package_port.ports import PackagePorts
from firmcast.gateway.ports import open_ports, package_addresses
from firmcast.gateway.progress import ProgressNotes
from firmcast.gateway.registration import RegistrationInterface
from firmcast.gateway.reports import ReportIntake
from firmcast.gateway.secure_port import SecurePort
from firmcast.gateway.sessions import DeviceSessions
from firmcast.gateway.transfer_notes import TransferNotes
from firmcast.gateway.transfers import Transfer, Transfers
from firmcast.ids import DeviceId, DeviceUpgradeId
from firmcast.lwm2m.firmware_update import Protocol
from firmcast.metrics import Metrics
from firmcast.profiles.use_cases import AWAKE_WINDOWS_CHANGED, CLIENTS_FORGOTTEN
from firmcast.settings import GatewaySettings
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.use_cases import SLEEPERS_AWAITED

_PAGE: Final = 1000
_LARGEST_REQUEST: Final = 1 << 16
_DRAIN_SECONDS: Final = 5.0
_PATIENCE: Final = 10
"""Acknowledgement timeouts for which an order keeps others waiting."""
_AMPLIFICATION: Final = 3
"""As RFC 9000 section 8 has it for QUIC; RFC 7252 section 11.3 leaves the number open."""
_OWN_LOOK: Final = 0.5
_LOOK_IN_STORE: Final = 1.5
"""Seconds in which it must turn out whose a notification is, before a device sends a confirmable one again."""
_ACKNOWLEDGES_AFTER: Final = 1.5
"""Seconds for which an answer is awaited before its request is acknowledged without it: a device that was told so does
not ask again, and has nobody to answer it when this process dies. By then it has not asked again (RFC 7252, 4.8)."""
_log = structlog.get_logger()


def _transmission(settings: GatewaySettings, member: Membership) -> TransmissionParameters:
    return TransmissionParameters(
        ack_timeout=settings.acknowledgement_timeout,
        ack_delay=_ACKNOWLEDGES_AFTER,
        slow_block_timeout=settings.slow_block_timeout,
        block_szx=settings.block_exponent,
        # Zephyr takes any request that names a size for one about a later block, and does not answer it.
        asks_block_size_early=False,
        max_body=_LARGEST_REQUEST,
        tells_strays=not member.is_alone,
        amplification=_AMPLIFICATION,
        unmatched_timeout=_OWN_LOOK if member.is_alone else _LOOK_IN_STORE,
    )


class _Doorstep:
    """Keeps what comes before the gateway can take it."""

    def __init__(self) -> None:
        self._gateway: Gateway | None = None
        self._early: list[Event] = []

    def event(self, event: Event) -> None:
        """Take an event of the sockets."""
        if self._gateway is None:
            self._early.append(event)
        else:
            self._gateway.handle(event)

    def stray(self, address: Peer) -> None:
        """Take the address of whoever speaks through a session that is not here; he does so again."""
        if self._gateway is not None:
            self._gateway.stray(address)

    def open(self, gateway: "Gateway") -> None:
        """Hand everything over, from now on at once."""
        self._gateway = gateway
        for event in self._early:
            gateway.handle(event)


class Gateway:
    """Serves the devices. Made by `start`."""

    def __init__(
        self,
        udp: UdpEndpoint,
        *,
        database: Database,
        log: EventLog,
        limits: Limits,
        clock: Clock,
        settings: GatewaySettings,
        files: PackageFiles,
        metrics: GatewayMetrics,
        require_room: RequireRoom,
        secure_port: SecurePort | None,
        member: Membership,
    ) -> None:
        self._udp = udp
        self._parameters = _transmission(settings, member)
        self._block_exponent = settings.block_exponent
        self._secure_port = secure_port
        self._database = database
        self._clock = clock
        self._member = member
        self._stopped = False
        now = clock.now

        self._live = LiveDevices()
        self._intake = ReportIntake(partial(self._write, log, limits))
        self._notes = JournalNotes(self._intake, now)
        self._ways = TransferNotes(self._notes, now)
        self._progress = ProgressNotes(database, clock, settings.progress_interval)
        self._transfers = self._make_transfers(files, settings)
        self._addresses = package_addresses(udp, settings)
        self._open_package_ports = partial(
            PackagePorts.open, self._transfers, self._addresses, settings=settings, metrics=metrics
        )
        self._package_ports: PackagePorts | None = None
        self._fetch_places = FetchPlaces(settings.fetch_limit, now)
        self._runner = self._make_runner(settings)
        self._windows = self._open_windows(limits.awake)
        self._clients = Clients(database, self._live, self._windows, now, remembered=limits.ways_remembered)
        self._sessions = DeviceSessions(
            database=database,
            live=self._live,
            windows=self._windows,
            intake=self._intake,
            runner=self._runner,
            pace=Pace(places=settings.order_limit, patience=_PATIENCE * settings.acknowledgement_timeout),
            link_to=self._link_to,
            now=now,
            gateway_id=member.gateway_id,
            clients=self._clients,
        )
        self._expiry = Expiry(database=database, log=log, live=self._live, clock=clock, on_expired=self._expired)
        self._registration = self._open_interface(metrics, require_room)
        self._fellows = self._meet(metrics, log, limits)
        self._evidence = self._open_evidence()
        self._downloads = Downloads(
            self._transfers, udp.largest_szx, device_of=self._live.of, block_exponent=settings.block_exponent
        )
        self._connect(metrics)

    def _make_runner(self, settings: GatewaySettings) -> CommandRunner:
        return CommandRunner(
            self._transfers,
            self._addresses,
            transfer_limit=settings.transfer_limit,
            fetch_places=self._fetch_places,
            checks=Checks(self._database, self._intake, self._clock.now),
        )

    def _open_windows(self, length: timedelta) -> AwakeWindows:
        return AwakeWindows(
            self._live,
            window=length.total_seconds(),
            clock=self._clock.monotonic,
            on_awake=self._awoke,
            on_asleep=self._fell_asleep,
        )

    def _open_interface(self, metrics: GatewayMetrics, require_room: RequireRoom) -> RegistrationInterface:
        return RegistrationInterface(
            udp=self._udp,
            live=self._live,
            windows=self._windows,
            intake=self._intake,
            sessions=self._sessions,
            expiry=self._expiry,
            now=self._clock.now,
            metrics=metrics,
            notes=self._notes,
            require_room=require_room,
        )

    def _open_evidence(self) -> Evidence:
        return Evidence(
            udp=self._udp,
            live=self._live,
            windows=self._windows,
            intake=self._intake,
            sessions=self._sessions,
            strangers=self._fellows.strangers,
            now=self._clock.now,
            notes=self._notes,
        )

    def _meet(self, metrics: GatewayMetrics, log: EventLog, limits: Limits) -> Fellows:
        return Fellows(
            database=self._database,
            member=self._member,
            udp=self._udp,
            live=self._live,
            intake=self._intake,
            sessions=self._sessions,
            registration=self._registration,
            expiry=self._expiry,
            metrics=metrics,
            log=log,
            limits=limits,
            clock=self._clock,
            fetch_places=self._fetch_places,
        )

    async def _write(self, log: EventLog, limits: Limits, items: Sequence[Item]) -> Sequence[Answer]:
        return await self._database.write(
            record_batch, items, member=self._member, log=log, limits=limits, now=self._clock.now()
        )

    def _link_to(self, device: LiveDevice) -> DeviceLink:
        return DeviceLink(
            self._udp,
            device,
            self._windows,
            note=self._notes.exchange,
            block_exponent=self._block_exponent,
            parameters=self._parameters,
            count=self._count_unanswered,
        )

    def _make_transfers(self, files: PackageFiles, settings: GatewaySettings) -> Transfers:
        clock = self._clock
        return Transfers(
            self._database,
            PackageImages(files.open),
            report=self._intake.add,
            heard=self._heard,
            now=clock.now,
            pacing=Pacing(together=settings.byte_rate, each=settings.device_byte_rate, clock=clock.monotonic),
            tell_block=self._block_gone,
        )

    def _block_gone(self, transfer: Transfer, completes: bool) -> None:
        if not (transfer.by_write or completes):
            self._fetch_places.fetches(transfer)
        self._ways.block_gone(transfer, completes)
        self._progress.moved(transfer)
        transfer.is_followed = not completes

    def _connect(self, metrics: GatewayMetrics) -> None:
        """Let figures be read, and hear of blocks and of orders."""
        self._count_unanswered = metrics.count_unanswered
        counters = self._udp.endpoint.counters
        metrics.datagrams.read = lambda: asdict(counters)
        metrics.live.read = lambda: len(self._live)
        metrics.waiting.read = lambda: len(self._intake)
        metrics.sessions.read = lambda: len(self._sessions)
        self._udp.endpoint.fast_route(self._downloads.route, self._downloads.block_served)
        self._database.listen(DEVICE_COMMANDS, self._sessions.announced)
        self._database.listen(DEVICES_COMMANDED, self._sessions.wake)
        self._database.listen(SLEEPERS_AWAITED, self._sessions.awaited)
        self._database.listen(CLIENTS_FORGOTTEN, self._clients.forgotten)
        self._database.listen(AWAKE_WINDOWS_CHANGED, self._clients.windows_changed)

    @classmethod
    async def start(
        cls,
        *,
        database: Database,
        log: EventLog,
        limits: Limits,
        clock: Clock,
        settings: GatewaySettings,
        files: PackageFiles,
        metrics: GatewayMetrics | None = None,
        require_room: RequireRoom = lambda: None,
        random: random_module.Random | None = None,
        open_key: OpenKey | None = None,
        package_certificate: tuple[Path, Path] | None = None,
        member: Membership | None = None,
    ) -> "Gateway":
        """Open the sockets and go on from the store; packages are read from `files`.

        `open_key` opens the keys of devices; `package_certificate`, a PEM chain and its key, is for HTTPS; without a
        `member` this is the only gateway. Raises as `open_ports` and `PackagePorts.open` do.
        """
        metrics = metrics or GatewayMetrics(Metrics())
        member = member or Membership.alone()
        doorstep = _Doorstep()
        udp = UdpEndpoint.closed(
            on_event=doorstep.event, clock=clock.monotonic, parameters=_transmission(settings, member), random=random
        )
        secure_port: SecurePort | None = None
        try:
            secure_port = await open_ports(
                udp, database=database, open_key=open_key, settings=settings, metrics=metrics, stray=doorstep.stray
            )
            starting = cls(
                udp,
                database=database,
                log=log,
                limits=limits,
                clock=clock,
                settings=settings,
                files=files,
                metrics=metrics,
                require_room=require_room,
                secure_port=secure_port,
                member=member,
            )
            await starting._open(package_certificate)
        except BaseException:
            if secure_port is not None:
                await secure_port.stop()
            udp.close()
            raise
        doorstep.open(starting)
        return starting

    async def _open(self, package_certificate: tuple[Path, Path] | None) -> None:
        self._package_ports = await self._open_package_ports(certificate=package_certificate)
        # Who fetched before goes on by itself, and has to be known before others are let in.
        self._fetch_places.hold()
        try:
            await self._fellows.start()
        except BaseException:
            await self._package_ports.stop()
            raise
        self._fetch_places.open()
        self._expiry.begin()
        self._progress.start()

    @property
    def address(self) -> tuple[str, int] | None:
        """The host and port at which devices speak in clear; None where they may not."""
        return None if self._udp.clear_address is None else stored_address(self._udp.clear_address)

    @property
    def secure_address(self) -> tuple[str, int] | None:
        """The host and port of secure sessions; None for nowhere."""
        return None if self._udp.secure_address is None else stored_address(self._udp.secure_address)

    def package_url(self, protocol: Protocol) -> str | None:
        """Where packages are fetched by HTTP or HTTPS, without a path; None for nowhere."""
        return None if self._package_ports is None else self._package_ports.url(protocol)

    @property
    def is_listening(self) -> bool:
        """False once the gateway was stopped."""
        return not self._stopped

    @property
    def device_count(self) -> int:
        """How many devices are registered."""
        return len(self._live)

    def progress(self, device_upgrade_id: DeviceUpgradeId) -> tuple[int, int] | None:
        """Return how many bytes of how many have gone to a device; None where no transfer of it is known here."""
        return self._transfers.progress(device_upgrade_id)

    async def stop(self) -> None:
        """Give up what is under way, write what was told, leave the devices to others, and close the sockets."""
        self._stopped = True
        self._database.unlisten(DEVICE_COMMANDS, self._sessions.announced)
        self._database.unlisten(DEVICES_COMMANDED, self._sessions.wake)
        self._database.unlisten(SLEEPERS_AWAITED, self._sessions.awaited)
        self._database.unlisten(CLIENTS_FORGOTTEN, self._clients.forgotten)
        self._database.unlisten(AWAKE_WINDOWS_CHANGED, self._clients.windows_changed)
        await self._fellows.stop()
        if self._package_ports is not None:
            await self._package_ports.stop()
        await self._expiry.stop()
        self._windows.stop()
        await self._sessions.stop()
        self._fetch_places.stop()
        await self._clients.stop()
        await self._downloads.stop()
        self._ways.stop()
        await self._progress.stop()
        if not await self._intake.drain(_DRAIN_SECONDS):
            _log.error("gateway.reports_lost", advice="devices are asked again after the next start")
        await self._fellows.leave()
        if self._secure_port is not None:
            await self._secure_port.stop()
        self._udp.close()

    def missed(self) -> None:
        """Take note that announcements of other nodes are gone unread."""
        self._fellows.missed()
        if self._secure_port is not None:
            self._secure_port.missed()

    # What happens on the sockets.

    def stray(self, address: Peer) -> None:
        """Take note that somebody there speaks through a secure session that is not here."""
        self._fellows.strangers.stray(address, secure=True)

    def handle(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case RequestReceived():
                self._handle_request(event)
            case NotificationReceived() | NotificationUnmatched():
                self._evidence.notified(event)
            case TransferProgress(peer=peer, sent=sent):
                device = self._live.by_peer(peer)
                if device is not None:
                    self._runner.acknowledged(device.device_id, sent)
                    self._registration.keep(device)
            case StrayReceived(peer=peer):
                if self._live.by_peer(peer) is None and identity_of(peer) is None:
                    self._fellows.strangers.stray(peer, secure=False)
            case ResponseReceived() | RequestFailed() | DownloadProgress() | UploadProgress() | ObservationEnded():
                # Of requests that were given up, or of no interest: what matters of a device is read again.
                return
            case _:
                assert_never(event)

    def _handle_request(self, request: RequestReceived) -> None:
        path = request.message.uri_path
        first = path[0] if path else ""
        if first == registration.PATH:
            self._registration.handle(request)
        elif path == (evidence.SEND_PATH,) and request.method == Code.POST:
            self._evidence.sent(request)
        elif first == PACKAGE_PATH and len(path) == 2 and request.method == Code.GET:
            self._downloads.answer(request, self._udp)
        else:
            self._udp.respond(request, Code.NOT_FOUND)

    def _awoke(self, device: LiveDevice) -> None:
        self._sessions.awoke(device)

    def _fell_asleep(self, device: LiveDevice) -> None:
        self._sessions.fell_asleep(device)

    def _heard(self, device_id: DeviceId) -> None:
        device = self._live.of(device_id)
        if device is not None and device.queue_mode:
            self._windows.heard(device)

    def _expired(self, found: Registration) -> None:
        self._registration.ended(found)
