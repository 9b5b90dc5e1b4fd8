"""The platform in virtual time: its rules, its orders and its transfers are the real ones, its store is an object.

What stands between them is written anew here and small: who is registered where, which order waits, and when the time
of a phase has come. It can be killed: then nothing is left of it but its store.
"""

from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

from msgspec import structs
from tests.matrix.virtual_device import VirtualDevice
from tests.matrix.virtual_network import Exchange, Network

from firmcast.coap.block import LARGEST_SZX
from firmcast.coap.codes import Code, is_success
from firmcast.coap.static_bodies import StaticBody
from firmcast.devices.model import CommandKind, DeviceCommand, Registration
from firmcast.errors import NotFoundError
from firmcast.events.model import FirmwareStateChanged, FirmwareUpgradeEnded
from firmcast.gateway.addresses import PackageAddresses, peer_of
from firmcast.gateway.command_runner import CommandRunner
from firmcast.gateway.device_link import DeviceSilentError, Read
from firmcast.gateway.downloads import Downloads
from firmcast.gateway.fetch_places import FetchPlaces
from firmcast.gateway.live_devices import LiveDevice
from firmcast.gateway.resources import NOTHING, merged, resources_of
from firmcast.gateway.transfers import Transfers
from firmcast.ids import CommandId, RegistrationId
from firmcast.lwm2m.content import decode_content
from firmcast.lwm2m.firmware_update import Protocol
from firmcast.lwm2m.paths import PACKAGE, Path
from firmcast.lwm2m.values import ResourceValues
from firmcast.simulator.answers import Reply
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    DeadlinePassed,
    DeviceReport,
    DeviceUpgrade,
    Input,
    ResourcesReported,
    SeenAlive,
    SessionRenewed,
    TaskBegan,
    TransferProgressed,
    TransferTarget,
    UpgradePhase,
)
from firmcast.upgrades.state_machine import advance

START = datetime(2026, 1, 1, tzinfo=UTC)
_A_FAULT_OF_OURS = "a fault of the platform"


@dataclass(slots=True)
class Ask:
    """What a coroutine waits for: one request to the device."""

    link: "Link"
    act: Callable[[], Any]

    def __await__(self) -> Generator["Ask", Any, Any]:
        answer = yield self
        if answer is None:
            raise DeviceSilentError("no answer from the device: timeout")
        return answer


class Link:
    """The way to the device, in the place of the gateway's DeviceLink and with its methods."""

    def __init__(self, platform: "Platform", live: LiveDevice) -> None:
        self.device = live
        self.notifications = 0
        self._platform = platform
        self._answers: list[ResourceValues] = []

    def begin(self) -> None:
        self._answers = []

    def told(self) -> ResourcesReported:
        return reduce(merged, map(resources_of, self._answers), NOTHING)

    async def read(self, path: Path, content_format: int | None, *, is_trial: bool = False) -> Read:
        del is_trial
        return await self._read(path, content_format, observes=False)

    async def observe(self, path: Path, content_format: int | None) -> Read:
        return await self._read(path, content_format, observes=True)

    async def write(self, path: Path, payload: bytes | StaticBody, content_format: int, *, pace: object = None) -> int:
        assert pace is None, "nothing is bounded here"
        device = self._platform.device
        if isinstance(payload, bytes):
            reply: Reply = await Ask(self, lambda: device.answer(Code.PUT, path, payload, content_format))
            return reply.code
        assert path == PACKAGE
        restarts, offset = 2, 0
        while True:
            reply = await Ask(self, lambda at=offset: device.take_block(at))  # type: ignore[misc]
            offset += self._platform.block
            if reply.code == Code.REQUEST_ENTITY_INCOMPLETE and restarts:
                restarts, offset = restarts - 1, 0
            elif reply.code != Code.CONTINUE:
                return reply.code
            else:
                self._platform.runner.acknowledged(self.device.device_id, offset)

    async def execute(self, path: Path) -> int:
        reply: Reply = await Ask(self, lambda: self._platform.device.answer(Code.POST, path, b"", None))
        return reply.code

    async def _read(self, path: Path, content_format: int | None, *, observes: bool) -> Read:
        device = self._platform.device
        reply: Reply = await Ask(self, lambda: device.answer(Code.GET, path, b"", content_format, observes=observes))
        if not is_success(reply.code):
            return Read(reply.code, None)
        values = decode_content(reply.content_format, reply.payload, path)
        self._answers.append(values)
        return Read(reply.code, values)


class Platform:
    """One upgrade of one device, and everything of the platform that has to do with it."""

    def __init__(
        self, upgrade: DeviceUpgrade, network: Network, limits: Limits, package: bytes, *, block: int, is_secure: bool
    ) -> None:
        self.upgrade = upgrade
        self.device: VirtualDevice
        self.block = block
        self.told: list[str] = []
        self.told_at: list[float] = []
        self.orders: list[CommandKind] = []
        self._network = network
        self._limits = limits
        self._body = StaticBody(package, etag=b"etag")
        self._is_secure = is_secure
        self._number = 0
        self._registration: Registration | None = None
        self._is_alive = False
        self._begin()

    @property
    def is_over(self) -> bool:
        """Whether the upgrade has ended, and nothing is left to be done to the device."""
        return self.upgrade.phase is UpgradePhase.CLOSED and self._waiting is None and self._running is None

    # Its lives.

    def start(self) -> None:
        """Begin with the upgrade."""
        self.tell(TaskBegan(online=self._live is not None))

    def kill(self) -> None:
        """End without a word; what waits and what is known of the device is in the store."""
        self._is_alive = False
        self._give_up()

    def revive(self) -> None:
        """Start again from the store: the device is asked anew, and only then what waits is gone on with."""
        self._begin()
        self._inherited = self.upgrade.command_id
        if self._registration is not None:
            self._come(self._registration)
            self.tell(SessionRenewed(newly_registered=False))
        self._watch_deadline()

    def _begin(self) -> None:
        self._is_alive = True
        self._sessions: set[int] = set()
        self._live: LiveDevice | None = None
        self._link: Link | None = None
        self._running: Coroutine[Ask, Any, CommandAnswered | CommandFailed] | None = None
        self._running_number: CommandId | None = None
        self._exchange: Exchange | None = None
        self._ask: Ask | None = None
        self._inherited: CommandId | None = None
        self._transfers = Transfers(self, self, report=self._report, heard=lambda _: None, now=self._now)
        self._downloads = Downloads(self._transfers, lambda _peer: LARGEST_SZX, device_of=lambda _: None)
        addresses = PackageAddresses(public_host="platform", bound_host="", port=5683, secure_port=5684)
        addresses.add(Protocol.HTTP, 8080)
        addresses.add(Protocol.HTTPS, 8443)
        self.runner = CommandRunner(
            self._transfers, addresses, transfer_limit=1, fetch_places=FetchPlaces(0, lambda: self.now)
        )

    # In the place of the store and of its images.

    async def read(self, _use_case: object, token: str) -> TransferTarget:
        if token != self.upgrade.transfer_token or self.upgrade.phase is UpgradePhase.CLOSED:
            raise NotFoundError("transfer", token)
        return TransferTarget(
            device_upgrade_id=self.upgrade.device_upgrade_id,
            device_id=self.upgrade.device_id,
            endpoint_name="device",
            package_id=self.upgrade.package_id,
            digest="0" * 64,
            size=self._body.size,
            protocol=self.upgrade.evidence.transfer_protocol,
        )

    async def body(self, _digest: str, _size: int) -> StaticBody:
        return self._body

    async def check(self, _digest: str, _size: int) -> StaticBody:
        return self._body

    # What devices see of it.

    def reaches(self, address: int, *, is_secure: bool) -> bool:
        return self._is_alive and (not is_secure or address in self._sessions)

    def shake_hands(self, address: int) -> bool:
        self._sessions.add(address)
        return True

    def register(self, address: int) -> bool:
        self._give_up()
        self._number += 1
        at = self._now()
        self._registration = Registration(
            registration_id=RegistrationId(f"{self._number:032x}"),
            device_id=self.upgrade.device_id,
            endpoint_name="device",
            host="192.0.2.1",
            port=address,
            lifetime_seconds=300,
            binding="U",
            queue_mode=False,
            lwm2m_version="1.1",
            objects="",
            registered_at=at,
            updated_at=at,
            expires_at=at + timedelta(seconds=300),
            is_secure=self._is_secure,
        )
        self._come(self._registration)
        self.tell(SessionRenewed(newly_registered=True))
        return True

    def update(self, address: int) -> bool:
        if self._registration is None or self._live is None:
            return False
        self._registration = structs.replace(self._registration, port=address)
        self._find_at(address)
        self.tell(SeenAlive())
        return True

    def notified(self, address: int, path: Path, reply: Reply) -> None:
        self._find_at(address)
        self._takes(decode_content(reply.content_format, reply.payload, path))

    def sent(self, _address: int, values: dict[Path, Any]) -> bool:
        self._takes(values)
        return True

    def serve(self, uri: str, offset: int, length: int) -> Code:
        """Answer a request for a block, or a piece, of a package."""
        token = uri.rpartition("/")[2]
        found = self._transfers.find(token)
        try:
            found.send(None)
        except StopIteration as stop:
            if stop.value is None:
                return Code.NOT_FOUND
        self._downloads.block_served(("192.0.2.1", 1), ("fw", token), offset, length, self._body.size)
        return Code.CONTENT

    def _takes(self, values: Any) -> None:
        resources = resources_of(values)
        if resources != NOTHING:
            if self._link is not None:
                self._link.notifications += 1
            self.tell(resources)

    # What the engine and the sessions do.

    def tell(self, told: Input) -> None:
        """Pass an input to the rules, and do what they say."""
        decision = advance(self.upgrade, told, self._now(), self._limits)
        self.upgrade = decision.upgrade
        for published in decision.facts:
            fact = published.fact
            assert isinstance(fact, FirmwareStateChanged | FirmwareUpgradeEnded)
            self.told.append(str(int(fact.state)) if isinstance(fact, FirmwareStateChanged) else fact.outcome.value)
            self.told_at.append(self._network.time.now)
        if decision.command is not None:
            self.orders.append(decision.command)
            self._number += 1
            self._waiting = decision.command, CommandId(self._number)
            if self.upgrade.command_kind is not None:
                self.upgrade = structs.replace(self.upgrade, command_id=CommandId(self._number))
        elif decision.withdraw:
            self._waiting = None
        self._watch_deadline()
        self._network.time.after(0.0, self._go_on)

    _waiting: tuple[CommandKind, CommandId] | None = None

    def _go_on(self) -> None:
        """Begin the order that waits, and give up one that waits no more."""
        number = None if self._waiting is None else self._waiting[1]
        if self._running is not None and self._running_number != number:
            self._give_up()
        if self._running is None and self._waiting is not None and self._link is not None and self._is_alive:
            kind, self._running_number = self._waiting
            command = DeviceCommand(
                command_id=self._running_number,
                device_id=self.upgrade.device_id,
                device_upgrade_id=self.upgrade.device_upgrade_id,
                kind=kind,
                transfer_token=self.upgrade.transfer_token,
            )
            may_be_repeat = self._running_number == self._inherited
            self._link.begin()
            self._running = self.runner.run(self._link, command, may_be_repeat=may_be_repeat)  # type: ignore[arg-type]
            self._resume(None)

    def _resume(self, answer: Any) -> None:
        assert self._running is not None
        self._exchange = None
        try:
            self._ask = self._running.send(answer)
        except StopIteration as stop:
            self._running = self._ask = None
            self._ended(stop.value)
        else:
            self._send()

    def _ended(self, outcome: CommandAnswered | CommandFailed) -> None:
        assert _A_FAULT_OF_OURS not in getattr(outcome, "description", "")
        if self._waiting is not None and self._waiting[1] == outcome.command_id:
            self._waiting = None
        self.tell(outcome)

    def _send(self) -> None:
        assert self._ask is not None
        assert self._live is not None
        address, ask, device = self._live.peer[1], self._ask, self.device

        def reaches() -> bool:
            is_there = device.is_on and device.address == address
            return is_there and (not self._is_secure or address in self._sessions)

        self._exchange = Exchange(
            self._network, reaches=reaches, act=ask.act, done=self._resume, takes=device.profile.answer_delay
        )

    def _find_at(self, address: int) -> None:
        """Go on at the address that the device has shown itself at."""
        if self._live is not None and address != self._live.peer[1]:
            self._live.peer = peer_of("192.0.2.1", address, self._live.peer[4] if self._is_secure else None)
            self._ask_anew()

    def _ask_anew(self) -> None:
        """Ask at the device's new address what was asked at its former one."""
        if self._exchange is not None:
            self._exchange.give_up()
            self._send()

    def _give_up(self) -> None:
        if self._exchange is not None:
            self._exchange.give_up()
            self._exchange = None
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def _come(self, registration: Registration) -> None:
        self._live = LiveDevice(registration)
        self._link = Link(self, self._live)

    def _report(self, report: DeviceReport) -> None:
        # It is told from within an order under way, and must not be in its way.
        assert isinstance(report.input, TransferProgressed)
        self._network.time.after(0.0, lambda: self.tell(report.input) if self._is_alive else None)

    def _watch_deadline(self) -> None:
        deadline = self.upgrade.deadline_at
        if deadline is not None:
            self._network.time.after(max(0.0, (deadline - self._now()).total_seconds()), self._look)

    def _look(self) -> None:
        deadline = self.upgrade.deadline_at
        if self._is_alive and deadline is not None and self._now() >= deadline:
            self.tell(DeadlinePassed())

    def _now(self) -> datetime:
        return START + timedelta(seconds=self._network.time.now)
