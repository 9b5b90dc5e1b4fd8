"""A device of a profile in virtual time: its object decides, and here is done what it says, without a socket."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol, assert_never

from tests.matrix.virtual_network import Exchange, Network, Plan

from firmcast.coap.codes import Code, is_success
from firmcast.lwm2m.firmware_update import UpdateResult
from firmcast.lwm2m.paths import FIRMWARE_RESULT, FIRMWARE_STATE, FIRMWARE_VERSION, PACKAGE, Path
from firmcast.simulator.answers import Reply, input_of_execute, input_of_write, reply_of, reply_to_read
from firmcast.simulator.firmware_object import advance, start, wrong_with
from firmcast.simulator.firmware_steps import (
    Answer,
    ChangePort,
    DeferralEnded,
    DownloadFinished,
    EndDeferral,
    EndInstall,
    Input,
    InstallEnded,
    PackageStarted,
    Reboot,
    Rebooted,
    RegisterAnew,
    StartDownload,
    Step,
    StopTransfer,
    TransferFailed,
)
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.resources import all_values

PATIENCE = 120.0
"""Seconds without a block after which a transfer is lost to the device."""
BOOT_TIME = 0.05
_RETRY_DELAY = 2.0
_TWO = ((FIRMWARE_STATE, FIRMWARE_RESULT), (FIRMWARE_RESULT, FIRMWARE_STATE))


class Server(Protocol):
    """What a device knows of its platform: whether a datagram reaches it, and what it is asked."""

    def reaches(self, address: int, *, is_secure: bool) -> bool: ...
    def shake_hands(self, address: int) -> bool: ...
    def register(self, address: int) -> bool: ...
    def update(self, address: int) -> bool: ...
    def notified(self, address: int, path: Path, reply: Reply) -> None: ...
    def sent(self, address: int, values: dict[Path, Any]) -> bool: ...
    def serve(self, uri: str, offset: int, length: int) -> Code: ...


@dataclass
class _Observer:
    accept: int | None
    told: Reply


@dataclass
class _Upload:
    """A package that is being written."""

    received: int = 0
    timer: Plan | None = None


class VirtualDevice:
    """One device; `size` is that of the packages, which come in blocks of `block` bytes."""

    def __init__(
        self,
        profile: DeviceProfile,
        network: Network,
        server: Server,
        *,
        is_secure: bool,
        size: int,
        block: int,
    ) -> None:
        self.profile = profile
        self.firmware = start(profile)
        self.address = 1
        self.is_on = False
        self.is_secure = is_secure
        self._shown = self.firmware
        self._network = network
        self._server = server
        self._size = size
        self._block = block
        self._life = 0
        self._exchanges: list[Exchange] = []
        self._plans: dict[str, Plan] = {}
        self._observers: dict[Path, _Observer] = {}
        self._upload: _Upload | None = None
        self._fetched = 0
        self._fetched_at = 0.0
        self._download = 0
        self._has_session = False
        self._cuts = profile.power_cuts
        self._cut_at: int | None = None
        self._chance = Random(profile.power_cuts)

    # Its life.

    def boot(self, step: Step | None = None) -> None:
        """Be on, with what the last life has left to do."""
        self.is_on = True
        if step is not None:
            self._perform(step)
        self._register()

    def lose_power(self) -> None:
        """Be off at once, and on again a little later at another address."""
        self.is_on = False
        self._life += 1
        self.address += 1
        self._has_session = False
        for exchange in self._exchanges:
            exchange.give_up()
        for plan in self._plans.values():
            plan.call_off()
        self._exchanges.clear()
        self._plans.clear()
        self._observers.clear()
        self._upload = None
        step = self._decide(Rebooted())
        self._shown = self.firmware
        if not self.profile.keeps_download_over_reboot:
            self._fetched = 0
        self._network.time.after(BOOT_TIME + self.profile.boot_time, lambda: self.boot(step))

    def move(self) -> None:
        """Be behind another address from now on, without knowing it."""
        self.address += 1

    # What it asks.

    def _ask(self, act: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Make a request; a device with a key makes a handshake first where it has no session, and after silence."""
        life, address = self._life, self.address

        def reaches() -> bool:
            return self._server.reaches(self.address, is_secure=self.is_secure)

        def answered(answer: Any) -> None:
            if answer is None:
                self._has_session = False
            if life == self._life:
                done(answer)

        def go_on(shaken: Any) -> None:
            self._has_session = shaken is not None
            if life != self._life:
                return
            if not self._has_session:
                done(None)
            else:
                self._keep(Exchange(self._network, reaches=reaches, act=act, done=answered))

        if self.is_secure and not self._has_session:
            self._keep(
                Exchange(
                    self._network,
                    reaches=lambda: self._server.reaches(address, is_secure=False),
                    act=lambda: self._server.shake_hands(self.address),
                    done=go_on,
                )
            )
        else:
            go_on(True)

    def _register(self) -> None:
        # A new registration voids what was observed under the old one.
        self._observers.clear()
        self._call_off("update")

        def done(answer: Any) -> None:
            if answer is None:
                self._plan("register", _RETRY_DELAY, self._register)
                return
            if self.profile.sends_after_reboot:
                told = {FIRMWARE_STATE, FIRMWARE_RESULT, FIRMWARE_VERSION}
                values = {path: value for path, value in self._values().items() if path in told}
                self._ask(lambda: self._server.sent(self.address, values), lambda _: None)
            self._plan_update()

        self._ask(lambda: self._server.register(self.address), done)

    def _plan_update(self) -> None:
        self._plan("update", self.profile.lifetime * self._network.random.uniform(0.5, 0.8), self._update)

    def _update(self) -> None:
        def done(answer: Any) -> None:
            if answer:
                self._plan_update()
            else:
                self._register()

        self._ask(lambda: self._server.update(self.address), done)

    # What it is asked.

    def answer(
        self, method: Code, path: Path, payload: bytes, wording: int | None, *, observes: bool = False
    ) -> Reply | None:
        """Answer a request whose body came whole; `wording` is Accept of a read, Content-Format of a write."""
        if self._upload is not None and not self.profile.serves_while_written and path != PACKAGE:
            return None
        if method is Code.GET:
            reply = self._read(path, wording)
            if observes and reply.code == Code.CONTENT:
                self._observers[path] = _Observer(wording, reply)
            return reply
        happened: Input | Reply
        if method is Code.PUT:
            happened = input_of_write(path, wording, payload, len(payload), intact=False)
        else:
            happened = input_of_execute(path, self.profile)
        return happened if isinstance(happened, Reply) else self._answered(happened)

    def take_block(self, offset: int) -> Reply | None:
        """Answer a block of a package that is being written."""
        if self.profile.loses_packages:
            return Reply(code=Code.REQUEST_ENTITY_INCOMPLETE)
        if offset == 0:
            step = self._decide(PackageStarted())
            if self._upload is None or self.profile.restarts_push:
                if step.answer is not Answer.CHANGED:
                    return reply_of(step.answer)
                self._drop_upload()
                self._upload = _Upload()
                self._draw_cut()
                self._soon(step)
        upload = self._upload
        if upload is None:
            return Reply(code=Code.REQUEST_ENTITY_INCOMPLETE)
        if offset == upload.received:
            upload.received += min(self._block, self._size - offset)
        if self._is_cut(upload.received):
            self.lose_power()
            return None
        if offset + self._block >= self._size:
            self._drop_upload()
            whole = input_of_write(PACKAGE, None, b"", self._size, intact=not self.profile.integrity_fails)
            assert not isinstance(whole, Reply)
            return self._answered(whole)
        if upload.timer is not None:
            upload.timer.call_off()
        upload.timer = self._plan("upload", PATIENCE, self._upload_lost)
        return Reply(code=Code.CONTINUE)

    def _upload_lost(self) -> None:
        self._drop_upload()
        self._put(TransferFailed(result=UpdateResult.CONNECTION_LOST))

    def _drop_upload(self) -> None:
        self._call_off("upload")
        self._upload = None

    # Its downloads.

    def _start_download(self, uri: str) -> None:
        self._stop_download()
        wrong = wrong_with(self.profile, uri)
        if wrong is not None:
            self._plan("download", 0.0, lambda: self._put(TransferFailed(result=wrong)))
            return
        self._draw_cut()
        self._fetched_at = self._network.time.now
        self._plan("download", 0.01, lambda: self._fetch(uri))

    def _stop_download(self) -> None:
        self._call_off("download")
        self._download += 1

    def _fetch(self, uri: str) -> None:
        offset, length, download, life = self._fetched, self._block, self._download, self._life

        def done(answer: Any) -> None:
            if (self._download, self._life) == (download, life):
                self._fetch_answered(uri, answer)

        if uri.startswith("http"):
            # TCP loses nothing; without anybody there it breaks off.
            there = self._server.reaches(self.address, is_secure=False)
            code = self._server.serve(uri, offset, length) if there else None
            self._network.time.after(self._network.delay(), lambda: done(code))
        else:
            self._ask(lambda: self._server.serve(uri, offset, length), done)

    def _fetch_answered(self, uri: str, code: Code | None) -> None:
        now = self._network.time.now
        if code is None:
            if now - self._fetched_at >= PATIENCE:
                self._put(TransferFailed(result=UpdateResult.CONNECTION_LOST))
                return
            if not self.profile.resumes:
                self._fetched = 0
            self._plan("download", _RETRY_DELAY, lambda: self._fetch(uri))
        elif not is_success(code):
            self._put(TransferFailed(result=self.profile.missing_package_is))
        else:
            self._fetched += min(self._block, self._size - self._fetched)
            self._fetched_at = now
            if self._is_cut(self._fetched):
                self.lose_power()
            elif self._fetched >= self._size:
                self._put(DownloadFinished(intact=not self.profile.integrity_fails))
            else:
                self._fetch(uri)

    def _draw_cut(self) -> None:
        self._cut_at = None
        if self._cuts:
            self._cuts -= 1
            self._cut_at = self._chance.randrange(1, self._size // self._block) * self._block

    def _is_cut(self, received: int) -> bool:
        is_cut = self._cut_at is not None and received >= self._cut_at
        if is_cut:
            self._cut_at = None
        return is_cut

    # What becomes of it.

    def _answered(self, happened: Input) -> Reply | None:
        step = self._decide(happened)
        self._soon(step)
        return reply_of(step.answer)

    def _soon(self, step: Step) -> None:
        """Do what a step says once its request has its answer."""
        life = self._life
        self._network.time.after(0.0, lambda: self._perform(step) if life == self._life else None)

    def _put(self, happened: Input) -> None:
        self._perform(self._decide(happened))

    def _decide(self, happened: Input) -> Step:
        before = self.firmware
        step = advance(self.profile, before, happened)
        self.firmware = self._shown = step.after
        if before.transfer is None and step.after.transfer is not None:
            self._fetched = 0
        if self._tells_in_two(step):
            former = {"state": before.state} if self.profile.result_first else {"result": before.result}
            self._shown = replace(step.after, **former)  # type: ignore[arg-type]
        return step

    def _perform(self, step: Step) -> None:
        for action in step.actions:
            match action:
                case StartDownload(uri=uri):
                    self._start_download(uri)
                case StopTransfer():
                    self._stop_download()
                    self._drop_upload()
                case Reboot(after=after):
                    self._plan("install", after, self.lose_power)
                case EndInstall(after=after):
                    self._plan("install", after, lambda: self._put(InstallEnded()))
                case EndDeferral(after=after):
                    self._plan("install", after, lambda: self._put(DeferralEnded()))
                case RegisterAnew():
                    self._register()
                case ChangePort():
                    self.move()
                case _:
                    assert_never(action)
        if not self._tells_in_two(step):
            self._report(step.reports)
            return
        self._report(step.reports[:1])
        self._plan("showing", self.profile.report_gap, lambda: self._show_rest(step.reports[1:]))

    def _tells_in_two(self, step: Step) -> bool:
        return self.profile.report_gap > 0 and step.reports[:2] in _TWO

    def _show_rest(self, reports: tuple[Path, ...]) -> None:
        self._shown = self.firmware
        self._report(reports)

    def _report(self, paths: tuple[Path, ...]) -> None:
        if not self.is_on:
            return
        for path in paths:
            observer = self._observers.get(path)
            if observer is None:
                continue
            reply = self._read(path, observer.accept)
            if reply != observer.told:
                observer.told = reply
                self._notify(path, reply)

    def _notify(self, path: Path, reply: Reply) -> None:
        def tell() -> bool:
            self._server.notified(self.address, path, reply)
            return True

        def arrive() -> None:
            if self._server.reaches(self.address, is_secure=self.is_secure):
                tell()

        if self.profile.notifies_confirmable:
            self._ask(tell, lambda _: None)
        else:
            self._network.send(arrive)

    def _read(self, path: Path, accept: int | None) -> Reply:
        return reply_to_read(self._values(), path, accept, self.profile)

    def _values(self) -> dict[Path, Any]:
        return all_values("device", self.profile, self._shown)

    def _keep(self, exchange: Exchange) -> None:
        self._exchanges = [each for each in self._exchanges if not each.is_over]
        self._exchanges.append(exchange)

    def _plan(self, name: str, delay: float, action: Callable[[], None]) -> Plan:
        self._call_off(name)
        plan = self._plans[name] = self._network.time.after(delay, action)
        return plan

    def _call_off(self, name: str) -> None:
        plan = self._plans.pop(name, None)
        if plan is not None:
            plan.call_off()
