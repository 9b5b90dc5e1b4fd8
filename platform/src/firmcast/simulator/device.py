"""A virtual device is its firmware object and a row of sessions; whatever happens to its server, it goes on trying."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from random import Random
from typing import assert_never

from firmcast.clock import Clock, SystemClock
from firmcast.lwm2m.firmware_update import FirmwareUpdateState, Protocol, UpdateResult, is_failure
from firmcast.lwm2m.paths import FIRMWARE_RESULT, FIRMWARE_STATE, Path
from firmcast.lwm2m.values import ResourceValues
from firmcast.simulator.download import Downloader
from firmcast.simulator.download_errors import DownloadFailedError
from firmcast.simulator.firmware_object import advance, install_succeeds, start
from firmcast.simulator.firmware_steps import (
    ChangePort,
    DeferralEnded,
    DownloadFinished,
    EndDeferral,
    EndInstall,
    FirmwareObject,
    Input,
    InstallEnded,
    Reboot,
    Rebooted,
    RegisterAnew,
    StartDownload,
    Step,
    StopTransfer,
    TransferFailed,
)
from firmcast.simulator.network import PERFECT, Network, NetworkConditions, NetworkCounters
from firmcast.simulator.package_intake import PackageIntake
from firmcast.simulator.power_cut import PowerCuts
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.resources import all_values
from firmcast.simulator.session import Session, SessionSettings
from firmcast.simulator.timing import PATIENT, DeviceTiming

_TWO = ((FIRMWARE_STATE, FIRMWARE_RESULT), (FIRMWARE_RESULT, FIRMWARE_STATE))
REGISTERING_AT_ONCE = 256
"""Devices of one process that register at the same time unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """A device to be: its endpoint client name and its kind.

    With a pre-shared `key` it speaks through secure sessions only, under its endpoint name, and says so in /5/0/8 where
    its profile lists CoAP. With HTTPS it trusts the `authority`, a PEM file, or those that this machine trusts. Its
    `network` is that of its fleet where it has none of its own; `profile_name` is only told.
    """

    endpoint_name: str
    profile: DeviceProfile
    key: bytes | None = None
    authority: FilePath | None = None
    network: NetworkConditions | None = None
    profile_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatus:
    """Where a device is."""

    endpoint_name: str
    """Its endpoint client name."""
    profile: str
    """The name of its profile."""
    registered: bool
    """Whether it is registered now."""
    registrations: int
    """Registrations that succeeded."""
    state: FirmwareUpdateState
    """/5/0/3, by its number."""
    result: UpdateResult
    """/5/0/5, by its number."""
    version: str
    """The running firmware, /3/0/3."""
    received: int
    """Bytes that have come of the package under way, or of the last one."""
    total: int | None
    """Of so many; null where the server told none."""
    bytes_received: int
    """Bytes of all packages, those that came again too."""
    updates_succeeded: int
    """Updates that ended well."""
    updates_failed: int
    """Updates that were rejected, lost, cancelled or not installed."""
    missed: int = 0
    """Datagrams that came while it slept."""

    @property
    def has_ended_an_update(self) -> bool:
        """Whether an update ended, one way or the other."""
        return self.updates_succeeded + self.updates_failed > 0


class VirtualDevice:
    """One device: `start` lets it live, `close` ends it.

    `on_change` is called when its status changed, `on_progress` after each block of a package.
    """

    def __init__(
        self,
        spec: DeviceSpec,
        *,
        server: tuple[str, int],
        timing: DeviceTiming = PATIENT,
        clock: Clock | None = None,
        random: Random | None = None,
        admission: asyncio.Semaphore | None = None,
        on_change: Callable[["VirtualDevice"], None] | None = None,
        on_progress: Callable[["VirtualDevice"], None] | None = None,
    ) -> None:
        if spec.key is not None:
            spec = replace(spec, profile=_with_key(spec.profile))
        self.spec = spec
        random = random or Random()  # noqa: S311 -- jitter and message ids of a simulated device
        # What a profile leaves to chance is drawn from its own source, so that timing does not change it.
        self._chance = Random(random.getrandbits(64))  # noqa: S311 -- as above
        self._settings = SessionSettings(
            endpoint_name=spec.endpoint_name,
            key=spec.key,
            profile=spec.profile,
            server=server,
            timing=timing,
            clock=clock or SystemClock(),
            random=random,
            network=Network(spec.network or PERFECT, Random(random.getrandbits(64))),  # noqa: S311 -- as above
            admission=admission or asyncio.Semaphore(REGISTERING_AT_ONCE),
        )
        self._on_change = on_change
        self._on_progress = on_progress
        self._firmware = start(spec.profile)
        self._shown = self._firmware
        self._power_cuts = PowerCuts(spec.profile, self._chance)
        self._session: Session | None = None
        self._life: asyncio.Task[None] | None = None
        self._download: asyncio.Task[None] | None = None
        self._intake: PackageIntake | None = None
        self._install: asyncio.TimerHandle | None = None
        self._showing: asyncio.TimerHandle | None = None
        self._reboot_wanted = asyncio.Event()
        self._status_changed = asyncio.Event()
        self._takes_leave = False
        self._registered = False
        self._registrations = 0
        self._received = 0
        self._total: int | None = None
        self._bytes_received = 0
        self._succeeded = 0
        self._failed = 0
        self._missed = 0
        self._retransmitted = 0
        self.results: Counter[UpdateResult] = Counter()
        """How its updates ended, each of them."""

    # Its life.

    def start(self) -> None:
        """Let the device boot and live until `close`."""
        if self._life is None:
            self._life = asyncio.create_task(self._live())

    async def close(self, *, deregister: bool = True) -> None:
        """End the device, saying so to the server or, as by a power cut, not."""
        life, self._life = self._life, None
        if life is None:
            return
        self._takes_leave = deregister
        if deregister and self._session is not None:
            await self._session.deregister()
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life

    def reboot(self) -> None:
        """Cut the power and switch it on again, wherever the device is; it registers anew from another port."""
        self._reboot_wanted.set()

    @property
    def status(self) -> DeviceStatus:
        """Where the device is now."""
        firmware = self._firmware
        return DeviceStatus(
            endpoint_name=self.spec.endpoint_name,
            profile=self.spec.profile_name,
            registered=self._registered,
            registrations=self._registrations,
            state=firmware.state,
            result=firmware.result,
            version=firmware.version,
            received=self._received,
            total=self._total,
            bytes_received=self._bytes_received,
            updates_succeeded=self._succeeded,
            updates_failed=self._failed,
            missed=self._missed,
        )

    async def until(self, fulfilled: Callable[[DeviceStatus], bool]) -> DeviceStatus:
        """Wait until the status fulfils a condition, and return it; it is looked at after changes, not after blocks."""
        while not fulfilled(self.status):
            self._status_changed.clear()
            await self._status_changed.wait()
        return self.status

    @property
    def datagrams(self) -> NetworkCounters:
        """What its network made of its datagrams, in all its lives."""
        return self._settings.network.counters

    @property
    def retransmitted(self) -> int:
        """How many messages it sent again because nobody acknowledged them, in all its lives."""
        session = self._session
        return self._retransmitted + (0 if session is None else session.udp.endpoint.counters.retransmitted)

    @property
    def address(self) -> tuple[str, int] | None:
        """Where the device listens now; None while it is off."""
        if self._session is None:
            return None
        host, port = self._session.udp.address[:2]
        return str(host), int(port)

    async def _live(self) -> None:
        step: Step | None = None
        while True:
            self._reboot_wanted.clear()
            await self._live_once(step)
            step = self.decide(Rebooted())
            self._changed()
            await asyncio.sleep(self.spec.profile.boot_time)

    async def _live_once(self, step: Step | None) -> None:
        """Boot, go on with what the last life has left, and stay until the power is cut."""
        self._session = session = await self._boot()
        if step is not None:
            self.perform(step)
        registration = asyncio.create_task(session.keep_registered())
        power = asyncio.create_task(self._reboot_wanted.wait())
        try:
            await asyncio.wait({registration, power}, return_when=asyncio.FIRST_COMPLETED)
            if registration.done():
                registration.result()
        finally:
            for task in (registration, power):
                task.cancel()
            try:
                await asyncio.gather(registration, power, return_exceptions=True)
            finally:
                # Whoever ends the device while it reboots interrupts this wait.
                self._power_off(session)

    async def _boot(self) -> Session:
        failures = 0
        while True:
            try:
                return await Session.open(self._settings, self)
            except OSError:
                failures += 1
                jitter = self._settings.random.random()
                await asyncio.sleep(self._settings.timing.registration_delay(failures, jitter))

    def _power_off(self, session: Session) -> None:
        self._session = None
        self._retransmitted += session.udp.endpoint.counters.retransmitted
        self._stop_download()
        self._set_install(None)
        self._show_all()
        session.close(silently=not self._takes_leave)
        self.registered(None)

    # What its sessions ask of it.

    def values(self) -> ResourceValues:
        return all_values(self.spec.endpoint_name, self.spec.profile, self._shown)

    def decide(self, happened: Input) -> Step:
        """Let the firmware object take in `happened`; the step must be performed once the server has its answer."""
        before = self._firmware
        step = advance(self.spec.profile, before, happened)
        self._firmware = self._shown = step.after
        if self._tells_in_two(step):
            if self.spec.profile.result_first:
                self._shown = replace(step.after, state=before.state)
            else:
                self._shown = replace(step.after, result=before.result)
        self._count(before, step.after)
        return step

    def perform(self, step: Step) -> None:
        """Do and report what a step says."""
        for action in step.actions:
            match action:
                case StartDownload(uri=uri):
                    self._start_download(uri)
                case StopTransfer():
                    self._stop_download()
                    if self._session is not None:
                        self._session.drop_upload()
                case Reboot(after=after):
                    self._set_install(after, self.reboot)
                case EndInstall(after=after):
                    self._set_install(after, self._put, InstallEnded())
                case EndDeferral(after=after):
                    self._set_install(after, self._put, DeferralEnded())
                case RegisterAnew():
                    if self._session is not None:
                        self._session.register_anew()
                case ChangePort():
                    if self._session is not None:
                        # After the answer to the request that led here, if one did.
                        asyncio.get_running_loop().call_soon(self._session.transport.rebind)
                case _:
                    assert_never(action)
        self._report(step)
        self._changed()

    def _set_install(self, after: float | None, then: Callable[..., None] = lambda: None, *arguments: Input) -> None:
        if self._install is not None:
            self._install.cancel()
            self._install = None
        if after is not None:
            self._install = asyncio.get_running_loop().call_later(after, then, *arguments)

    def _report(self, step: Step) -> None:
        session = self._session
        if session is None:
            return
        if not self._tells_in_two(step):
            for path in step.reports:
                session.report(path)
            return
        session.report(step.reports[0])
        self._showing = asyncio.get_running_loop().call_later(
            self.spec.profile.report_gap, self._show_rest, step.reports[1:]
        )

    def _tells_in_two(self, step: Step) -> bool:
        return self.spec.profile.report_gap > 0 and step.reports[:2] in _TWO

    def _show_rest(self, reports: tuple[Path, ...]) -> None:
        self._show_all()
        if self._session is not None:
            for path in reports:
                self._session.report(path)

    def _show_all(self) -> None:
        self._shown = self._firmware
        if self._showing is not None:
            self._showing.cancel()
            self._showing = None

    def registered(self, location: tuple[str, ...] | None) -> None:
        was, self._registered = self._registered, location is not None
        self._registrations += location is not None
        if was or self._registered:
            self._changed()

    def missed(self) -> None:
        self._missed += 1
        self._changed()

    def progressed(self, intake: PackageIntake) -> None:
        self._bytes_received += max(0, intake.received - self._received)
        self._received = intake.received
        self._total = intake.total
        if self._power_cuts.comes(intake):
            self._stop_download()
            self.reboot()
        if self._on_progress is not None:
            self._on_progress(self)

    def _put(self, happened: Input) -> None:
        self.perform(self.decide(happened))

    def _changed(self) -> None:
        self._status_changed.set()
        if self._on_change is not None:
            self._on_change(self)

    def _count(self, before: FirmwareObject, after: FirmwareObject) -> None:
        if before.transfer is None and after.transfer is not None:
            self._received, self._total = 0, None
            self._intake = None
            self._power_cuts.draw()
        if is_failure(after.result) and after.result is not before.result:
            self._failed += 1
            self.results[after.result] += 1
        elif before.state is FirmwareUpdateState.UPDATING and after.state is FirmwareUpdateState.IDLE:
            self._succeeded += install_succeeds(self.spec.profile)
            self.results[UpdateResult.SUCCESS] += install_succeeds(self.spec.profile)

    # Downloads.

    def _start_download(self, uri: str) -> None:
        self._stop_download()
        if self._session is not None:
            downloader = Downloader(
                transport=self._session.transport,
                profile=self.spec.profile,
                timing=self._settings.timing,
                clock=self._settings.clock,
                on_progress=self.progressed,
                authority=self.spec.authority,
            )
            self._download = asyncio.create_task(self._run_download(downloader, uri))

    def _stop_download(self) -> None:
        download, self._download = self._download, None
        if download is not None:
            download.cancel()

    async def _run_download(self, downloader: Downloader, uri: str) -> None:
        # After a power cut it may be that of the life before, with what came then.
        self._intake = intake = self._intake or PackageIntake(self.spec.profile)
        try:
            await downloader.fetch(uri, intake)
        except DownloadFailedError as error:
            self._put(TransferFailed(result=error.result))
        else:
            self._put(DownloadFinished(intact=intake.intact))


def _with_key(profile: DeviceProfile) -> DeviceProfile:
    """Return a profile that speaks CoAPs, and says so, where it would speak CoAP."""
    listed = profile.protocols if profile.lists_as_in_clear else _secured(profile.protocols)
    return replace(profile, speaks=_secured(profile.speaks), protocols=listed)


def _secured(protocols: tuple[Protocol, ...]) -> tuple[Protocol, ...]:
    listed = (Protocol.COAPS if protocol is Protocol.COAP else protocol for protocol in protocols)
    return tuple(dict.fromkeys(listed))
