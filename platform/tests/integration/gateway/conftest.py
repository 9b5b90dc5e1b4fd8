"""A gateway that runs on a store, and devices on aiocoap that share no line with it."""

import asyncio
import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import aiocoap.error
import pytest
from aiocoap_device import OBJECT_LINKS, ScriptedDevice

from firmcast.clock import SystemClock
from firmcast.coap.codes import Code as CoapCode
from firmcast.coap.codes import MessageType
from firmcast.coap.dtls.parameters import HandshakeOutcome
from firmcast.coap.message import Message, decode, encode
from firmcast.coap.options import options
from firmcast.db.port import Channel
from firmcast.devices import use_cases as devices
from firmcast.devices.model import DeviceDetails
from firmcast.errors import StoreFullError
from firmcast.events import use_cases as events
from firmcast.events.log import EventLog
from firmcast.events.model import FirmwareStateChanged, FirmwareUpgradeEnded
from firmcast.firmware import use_cases as firmware
from firmcast.firmware.files import FirmwareFiles
from firmcast.firmware.model import PackageMetadata
from firmcast.gateway.membership import Membership
from firmcast.gateway.metrics import GatewayMetrics
from firmcast.gateway.server import Gateway
from firmcast.ids import ApplicationId, DeviceId
from firmcast.metrics import Metrics
from firmcast.settings import GatewaySettings, UpgradeSettings
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.engine import UpgradeEngine
from firmcast.upgrades.limits import limits_of
from firmcast.upgrades.model import TargetSelection, UpgradePolicy

TOLD = Channel("told")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless faults are asked for."""
    if config.getoption("fault_scale") != "short":
        return
    here = {item for item in items if item.path.parent == Path(__file__).parent}
    left_out = [item for item in here if item.get_closest_marker("takes_long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


MakeDevice = Callable[..., Awaitable[ScriptedDevice]]


@pytest.fixture
async def make_device() -> AsyncIterator[MakeDevice]:
    """Switch devices on; they are switched off at the end of the test."""
    devices: list[ScriptedDevice] = []

    async def make(endpoint_name: str = "device-1", server: tuple[str, int] = ("127.0.0.1", 1)) -> ScriptedDevice:
        device = ScriptedDevice(endpoint_name, server)
        devices.append(device)
        await device.boot()
        return device

    yield make
    for device in devices:
        with contextlib.suppress(aiocoap.error.Error):
            await device.power_off()


class RawDevice(asyncio.DatagramProtocol):
    """A device of single datagrams: it answers what it has a value for while it is told to, and is silent otherwise."""

    def __init__(self, endpoint_name: str, server: tuple[str, int]) -> None:
        self.endpoint_name = endpoint_name
        self.server = server
        self.values: dict[str, str] = {"/3/0/3": "1.0", "/5/0/1": "", "/5/0/3": "0", "/5/0/5": "0", "/5/0/9": "0"}
        self.answers = True
        self.asked: list[Message] = []
        """Every request of the gateway, repeats too."""
        self.tokens: dict[str, bytes] = {}
        """Of the observations, by path."""
        self.location: tuple[str, ...] = ()
        self.on_asked: Callable[[Message], None] = lambda _: None
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._answers: dict[bytes, asyncio.Future[Message]] = {}
        self._numbers = itertools.count(1)
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        """Take a socket, in the place of the one before; what comes there is lost."""
        self.close()
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def send(self, message: Message) -> None:
        self._transport.sendto(encode(message), self.server)

    def make(self, code: int, path: str, payload: bytes = b"", **wording: object) -> Message:
        """Return a new confirmable request."""
        number = next(self._numbers)
        wording["uri_path"] = tuple(path.strip("/").split("/"))
        return Message(MessageType.CON, code, number, number.to_bytes(2, "big"), options(**wording), payload)

    async def ask(self, code: int, path: str, payload: bytes = b"", **wording: object) -> Message:
        """Ask the gateway once, and wait for its answer."""
        return await self.answer_to(self.make(code, path, payload, **wording))

    async def answer_to(self, request: Message, *, repeats: int = 1) -> Message:
        """Send a request, so many times, and wait for the answer."""
        answer = self._answers[request.token] = asyncio.get_running_loop().create_future()
        for _ in range(repeats):
            self.send(request)
        async with asyncio.timeout(10):
            return await answer

    async def reply_to(self, notification: Message) -> MessageType:
        """Send a notification, and wait for the acknowledgement or the reset."""
        reply = self._replies[notification.message_id] = asyncio.get_running_loop().create_future()
        self.send(notification)
        async with asyncio.timeout(10):
            return (await reply).type

    async def register(self, *more: str, lifetime: int = 300, version: str = "1.1", binding: str = "U") -> int:
        query = (f"ep={self.endpoint_name}", f"lt={lifetime}", f"lwm2m={version}", f"b={binding}", *more)
        response = await self.ask(CoapCode.POST, "/rd", OBJECT_LINKS, uri_query=query, content_format=40)
        self.location = response.location_path or self.location
        return response.code

    async def update(self, *query: str) -> int:
        return (await self.ask(CoapCode.POST, "/".join(self.location), uri_query=query)).code

    def notification(self, path: str, value: str, sequence: int = 7) -> Message:
        """Return what tells of a resource that is observed, which is `value` now."""
        self.values[path] = value
        wording = options(observe=sequence, content_format=0)
        number = next(self._numbers)
        return Message(MessageType.CON, CoapCode.CONTENT, number, self.tokens[path], wording, value.encode())

    def answer(self, request: Message, code: int, payload: bytes = b"", **wording: object) -> None:
        """Answer a request of the gateway in its acknowledgement."""
        self.send(Message(MessageType.ACK, code, request.message_id, request.token, options(**wording), payload))

    def requests(self, code: int, path: str) -> list[Message]:
        """Return what the gateway asked, each message once."""
        wanted = {m.message_id: m for m in self.asked if (m.code, "/" + "/".join(m.uri_path)) == (code, path)}
        return list(wanted.values())

    async def until(self, fulfilled: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(fulfilled)

    async def until_asked(self, code: int, path: str, times: int = 1) -> Message:
        await self.until(lambda: len(self.requests(code, path)) >= times)
        return self.requests(code, path)[-1]

    def datagram_received(self, data: bytes, addr: object) -> None:
        message = decode(data)
        if message.code == 0:
            _settle(self._replies.pop(message.message_id, None), message)
        elif message.code >= 64:
            if message.type is MessageType.CON:
                self.send(Message(MessageType.ACK, 0, message.message_id))
            _settle(self._answers.pop(message.token, None), message)
        else:
            self.asked.append(message)
            self.on_asked(message)
            if self.answers:
                self._answer(message)
        task = asyncio.ensure_future(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _answer(self, request: Message) -> None:
        path = "/" + "/".join(request.uri_path)
        if request.code == CoapCode.PUT and path == "/5/0/1":
            self.values[path] = request.payload.decode()
            self.answer(request, CoapCode.CHANGED)
        elif request.code == CoapCode.POST and path == "/5/0/2":
            self.answer(request, CoapCode.CHANGED)
        elif request.code == CoapCode.GET and path in self.values:
            if request.observe == 0:
                self.tokens[path] = request.token
            observe = {} if request.observe is None else {"observe": 1}
            self.answer(request, CoapCode.CONTENT, self.values[path].encode(), content_format=0, **observe)
        else:
            self.answer(request, CoapCode.METHOD_NOT_ALLOWED)


def _settle(waiting: asyncio.Future[Message] | None, message: Message) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(message)


@pytest.fixture
def raw_device() -> type[RawDevice]:
    """Return the kind of device that a test makes on a loop of its own."""
    return RawDevice


@pytest.fixture
async def make_raw(world) -> AsyncIterator[Callable[..., Awaitable[RawDevice]]]:
    """Open raw devices; they are closed at the end of the test."""
    opened: list[RawDevice] = []

    async def make(endpoint_name: str = "device-1") -> RawDevice:
        device = RawDevice(endpoint_name, world.server)
        opened.append(device)
        await device.open()
        return device

    yield make
    for device in opened:
        device.close()


def word_of(event) -> str:
    """Return an event of an upgrade as a word: a state as its number, `*` before an unseen one, and the end."""
    if isinstance(event.fact, FirmwareStateChanged):
        return ("*" if event.synthesised else "") + str(int(event.fact.state))
    return event.fact.outcome.value if isinstance(event.fact, FirmwareUpgradeEnded) else ""


class World:
    """A store, a gateway and the engine that begins tasks, with everything that a test may ask of them."""

    def __init__(self, database, tmp_path, settings, member: Membership | None = None) -> None:
        self.database = database
        self.member = member
        self.files = FirmwareFiles(tmp_path / "firmware", database)
        self.settings = settings
        self.has_room = True
        self.package_certificate = None
        self.clock = SystemClock()
        self.log = EventLog(encode=lambda _event: b"{}", projections=[self._note])
        self.limits = limits_of(
            UpgradeSettings(
                probe_limit=timedelta(seconds=30),
                executing_limit=timedelta(minutes=5),
                transferring_limit=timedelta(minutes=5),
            )
        )
        self.application_id = ApplicationId("application")
        self.gateway = None
        self.engine = None
        self.words: dict[DeviceId, list[str]] = defaultdict(list)
        """What `told` returns of each device, as far as it was announced."""
        self.counts: Counter[str] = Counter()
        """How often each word was told, whether it was seen or not."""
        self._changed = asyncio.Condition()
        self._telling: set[asyncio.Task[None]] = set()
        database.listen(TOLD, self._tell)

    @property
    def server(self):
        return self.gateway.address

    @property
    def secure_server(self):
        return self.gateway.secure_address

    def require_room(self) -> None:
        """Refuse what is new while a test says so."""
        if not self.has_room:
            raise StoreFullError("little space is left")

    async def start(self) -> None:
        """Start the gateway, on the ports that it had before if it ran before."""
        await self.start_gateway()
        ports = {"port": self.server[1], "secure_port": self.secure_server[1]}
        self.settings = self.settings.model_copy(update=ports)
        self.engine = UpgradeEngine(
            database=self.database,
            log=self.log,
            clock=self.clock,
            limits=self.limits,
            living=None if self.member is None else self.member.living,
        )
        await self.engine.start()

    async def start_gateway(self) -> None:
        """Start it alone, on the ports that its settings say."""
        self.metrics = GatewayMetrics(Metrics())
        self.gateway = await Gateway.start(
            database=self.database,
            log=self.log,
            limits=self.limits,
            clock=self.clock,
            settings=self.settings,
            files=self.files,
            metrics=self.metrics,
            require_room=self.require_room,
            open_key=lambda sealed: bytes.fromhex(sealed.decode()),
            package_certificate=self.package_certificate,
            member=self.member,
        )

    def outcome(self, outcome: HandshakeOutcome) -> int:
        """Return how many handshakes ended so."""
        return self.metrics.handshakes[outcome].value

    @property
    def secure_sessions(self) -> float | None:
        return self.metrics.secure_sessions.read()

    async def stop(self) -> None:
        gateway, self.gateway = self.gateway, None
        if gateway is not None:
            await self.engine.stop()
            await gateway.stop()

    async def kill(self) -> None:
        """End the gateway as a kill does: nothing is finished, nothing that is not written yet will be."""
        await self.engine.stop()
        await self.kill_gateway()

    async def kill_gateway(self) -> None:
        """End it alone, as a kill does."""
        gateway, self.gateway = self.gateway, None
        gateway._udp._layer = None  # It does not take leave.
        gateway._udp.close()
        gateway._intake._waiting.clear()
        await gateway._package_ports.stop()
        await gateway._fellows.stop()
        for task in (gateway._intake._writing, gateway._progress._task):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        await gateway._expiry.stop()
        gateway._windows.stop()
        await gateway._sessions.stop()
        await gateway._downloads.stop()

    async def add_device(self, endpoint_name: str = "device-1", key: bytes = b"", *, must_be_secure: bool = False):
        return await self.database.write(
            devices.create,
            self.application_id,
            endpoint_name,
            endpoint_name,
            self.clock.now(),
            activation_seconds=0,
            log=self.log,
            pre_shared_key=key.hex().encode(),
            details=DeviceDetails(attributes={"is_secure": "true"} if must_be_secure else {}),
        )

    async def add_package(self, content: bytes, version: str = "2.0"):
        async def chunks():
            yield content

        incoming = await self.files.receive(chunks(), 1 << 26)
        metadata = PackageMetadata(name="package", version=version, device_type="", model="", manufacturer_name="")
        return await self.files.keep(
            incoming,
            lambda tx: firmware.record(tx, self.application_id, metadata, incoming.stored, self.clock.now()),
        )

    async def upgrade(self, package, *known):
        """Create a task for devices."""
        return await self.database.write(
            upgrades.create_task,
            self.application_id,
            package.package_id,
            TargetSelection(devices=tuple(device.device_id for device in known)),
            UpgradePolicy(),
            self.clock.now(),
        )

    async def stop_task(self, task) -> None:
        await self.database.write(
            upgrades.stop_task,
            self.application_id,
            task.task_id,
            log=self.log,
            limits=self.limits,
            now=self.clock.now(),
        )

    async def device_upgrade(self, task):
        found, _total = await self.database.read(upgrades.device_upgrades, self.application_id, task.task_id)
        return found[0]

    async def stored_events(self, device):
        return await self.database.read(events.of_device, device.device_id)

    async def told(self, device) -> list[str]:
        """Return what the log holds of a device's upgrades: states as numbers, `*` before unseen ones, and the end."""
        return [word for event in await self.stored_events(device) if (word := word_of(event))]

    async def eventually(self, look) -> None:
        """Wait for something in the gateway that gives no signal."""
        async with asyncio.timeout(20):
            while not look():
                await asyncio.sleep(0.005)

    async def until_told(self, device, *expected: str, any_of: bool = False, patience: float = 20.0) -> list[str]:
        """Wait until the log holds all (or any) of `expected`, in any place, and return all that it holds."""

        async def look():
            told = await self.told(device)
            found = set(expected) & set(told)
            return told if found and (any_of or found == set(expected)) else None

        return await self.until(look, patience)

    async def until_anybody_told(self, known, *expected: str, times: int = 1) -> None:
        """Wait until the logs of `times` devices hold any of `expected`."""

        async def look():
            told = [await self.told(device) for device in known]
            return sum(bool(set(expected) & set(one)) for one in told) >= times

        await self.until(look)

    async def until_counted(self, fulfilled, patience: float = 20.0) -> None:
        """Wait until the counts of all words, which cost nothing to look at, fulfil a condition."""
        async with asyncio.timeout(patience), self._changed:
            await self._changed.wait_for(lambda: fulfilled(self.counts))

    async def until(self, look, patience: float = 20.0):
        """Wait for the first true result of a look that is taken after each change in the log."""
        async with asyncio.timeout(patience), self._changed:
            while not (found := await look()):
                await self._changed.wait()
            return found

    async def _note(self, tx, stored) -> None:
        tx.announce(TOLD, stored)

    def _tell(self, told) -> None:
        for event, _body in told:
            if word := word_of(event):
                self.words[event.device_id].append(word)
                self.counts[word.removeprefix("*")] += 1

        async def tell() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.ensure_future(tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


@pytest.fixture
def make_world(tmp_path) -> Callable[..., World]:
    """Return what makes a world that does not run yet."""
    return lambda database: World(
        database, tmp_path, GatewaySettings(port=0, acknowledgement_timeout=0.3, slow_block_timeout=0.0)
    )


@pytest.fixture
async def world(database, make_world, make_device) -> AsyncIterator[World]:
    """A gateway that runs, and that ends before its devices do."""
    made = make_world(database)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def make_member(tmp_path):
    """Return what makes a world on a store, not yet started, whose gateway may be one of several."""

    def make(database, settings, member=None) -> World:
        return World(database, tmp_path, settings, member)

    return make
