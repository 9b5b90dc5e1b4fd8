"""An LwM2M device on aiocoap, with codecs of its own: the gateway's peer that shares no line with it."""

import asyncio
import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import aiocoap
import aiocoap.error
import aiocoap.resource
import cbor2
import pytest
from aiocoap.numbers.codes import Code

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

TLV = 11542
SENML_CBOR = 112
OBJECT_LINKS = b'</>;rt="oma.lwm2m";ct=112,</1/0>,</3/0>,</5/0>'
_NUMBERS = {"/5/0/3", "/5/0/5", "/5/0/9"}
_SETTLING_TURNS = 5
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


def encode_tlv(values: dict[str, int | str | list[int]], base: str) -> bytes:
    """Write the resources below `base` by the book: OMA LwM2M Core 1.1, section 7.4.3."""

    def entry(kind: int, identifier: int, content: bytes) -> bytes:
        if len(content) < 8:
            return bytes((kind << 6 | len(content), identifier)) + content
        return bytes((kind << 6 | 0x08, identifier, len(content))) + content

    def raw(value: int | str) -> bytes:
        return value.to_bytes(1, "big") if isinstance(value, int) else value.encode()

    parts = []
    for path, value in values.items():
        if path.startswith(f"{base}/"):
            identifier = int(path.rpartition("/")[2])
            if isinstance(value, list):
                parts.append(entry(2, identifier, b"".join(entry(1, at, raw(one)) for at, one in enumerate(value))))
            else:
                parts.append(entry(3, identifier, raw(value)))
    return b"".join(parts)


def encode_senml(values: dict[str, int | str | list[int]], base: str) -> bytes:
    """Write the same as SenML-CBOR: RFC 8428, section 6."""
    records: list[dict[int, object]] = []
    for path, value in values.items():
        if path.startswith(f"{base}/"):
            name = path.removeprefix(f"{base}/")
            ones = (
                [(f"{name}/{at}", one) for at, one in enumerate(value)] if isinstance(value, list) else [(name, value)]
            )
            records += [{0: named, 2 if isinstance(one, int) else 3: one} for named, one in ones]
    records[0][-2] = f"{base}/"
    return cbor2.dumps(records)


def _socket_of(context: aiocoap.Context):
    return context.request_interfaces[0].token_interface.message_interface.transport.get_extra_info("socket")


class _Tree(aiocoap.resource.ObservableResource, aiocoap.resource.PathCapable):
    """The object tree of one life of the device."""

    def __init__(self, device: "ScriptedDevice") -> None:
        super().__init__()
        self._device = device
        self.observers: dict[str, list[aiocoap.protocol.ServerObservation]] = {}

    async def add_observation(
        self, request: aiocoap.Message, serverobservation: aiocoap.protocol.ServerObservation
    ) -> None:
        observers = self.observers.setdefault("/" + "/".join(request.opt.uri_path), [])
        observers.append(serverobservation)
        serverobservation.accept(lambda: observers.remove(serverobservation))

    async def needs_blockwise_assembly(self, request: aiocoap.Message) -> bool:
        block = request.opt.block1
        if block is not None and self._device.on_written_block is not None:
            await self._device.on_written_block(block.block_number)
        return True

    async def render(self, request: aiocoap.Message) -> aiocoap.Message:
        path = "/" + "/".join(request.opt.uri_path)
        device = self._device
        refusal = device.refuse.get((str(request.code), path))
        notified = request.opt.observe == 0 and ("OBSERVE", path) in device.seen
        if not notified:
            device.note("OBSERVE" if request.opt.observe == 0 else str(request.code), path)
        if refusal is not None:
            return aiocoap.Message(code=refusal)
        if request.code is Code.GET:
            return device.render_read(path, request.opt.accept)
        if request.code is Code.PUT:
            return aiocoap.Message(code=await device.on_write(path, request.payload))
        if request.code is Code.POST:
            return aiocoap.Message(code=await device.on_execute(path))
        return aiocoap.Message(code=Code.METHOD_NOT_ALLOWED)


class ScriptedDevice:
    """A device that does what a plain client does, unless a test sets its attributes or replaces its methods."""

    def __init__(self, endpoint_name: str, server: tuple[str, int]) -> None:
        self.endpoint_name = endpoint_name
        self.server = server
        self.values: dict[str, int | str | list[int]] = {
            "/3/0/3": "1.0",
            "/5/0/1": "",
            "/5/0/3": 0,
            "/5/0/5": 0,
            "/5/0/8": [0],
            "/5/0/9": 2,
        }
        self.object_formats: tuple[int, ...] = (TLV,)
        """In which formats objects can be read; none refuses them."""
        self.refuse: dict[tuple[str, str], Code] = {}
        """Answers by method and path in place of the usual ones; OBSERVE is a GET too."""
        self.shows_downloading_when_written = False
        self.installs = "2.0"
        self.expected_package: bytes | None = None
        self.packages: list[bytes] = []
        self.addresses: list[str] = []
        """Every Package URI that was written, empty ones too."""
        self.seen: list[tuple[str, str]] = []
        self.locations: list[tuple[str, ...]] = []
        self.on_block: Callable[[int], Awaitable[None]] | None = None
        """Awaited before each block of a download is fetched, with the block's number."""
        self.on_written_block: Callable[[int], Awaitable[None]] | None = None
        """Awaited before each block of a package that is written is taken, with the block's number."""
        self.lives = 0
        self._context: aiocoap.Context | None = None
        self._tree: _Tree | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    @property
    def uri(self) -> str:
        return f"coap://{self.server[0]}:{self.server[1]}"

    @property
    def port(self) -> int:
        """The port of the present life, wherever aiocoap bound it."""
        assert self._context is not None
        return _socket_of(self._context).getsockname()[1]

    # Its life.

    async def boot(self) -> None:
        """Begin a life on a port of its own."""
        self.lives += 1
        self._tree = _Tree(self)
        self._context = await aiocoap.Context.create_server_context(
            self._tree, bind=("127.0.0.1", 0), transports=["udp6"]
        )

    async def power_off(self) -> None:
        """End the life without a word."""
        own = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not own]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        context, self._context = self._context, None
        if context is not None:
            # aiocoap does not like to end between the arrival of a request and the beginning of its task.
            asyncio.get_running_loop().remove_reader(_socket_of(context).fileno())
            for _ in range(_SETTLING_TURNS):
                await asyncio.sleep(0)
            await context.shutdown()

    async def reboot(self) -> None:
        """End the life, and begin another from another port with a new registration."""
        await self.power_off()
        await self.boot()
        await self.register()

    def spawn(self, doing: Awaitable[None]) -> None:
        """Do something beside."""
        task = asyncio.ensure_future(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What it asks.

    async def request(self, code: Code, path: str, payload: bytes = b"", **options: object) -> aiocoap.Message:
        assert self._context is not None
        message = aiocoap.Message(code=code, payload=payload, uri=f"{self.uri}{path}")
        for name, value in options.items():
            setattr(message.opt, name, value)
        async with asyncio.timeout(20):
            return await self._context.request(message, handle_blockwise=False).response

    async def register(self, lifetime: int = 300) -> Code:
        query = f"?ep={self.endpoint_name}&lt={lifetime}&lwm2m=1.1&b=U"
        response = await self.request(Code.POST, f"/rd{query}", OBJECT_LINKS, content_format=40)
        if response.code is Code.CREATED:
            self.locations.append(response.opt.location_path)
        return response.code

    async def update(self, query: str = "") -> Code:
        return (await self.request(Code.POST, "/" + "/".join(self.locations[-1]) + query)).code

    async def deregister(self) -> Code:
        return (await self.request(Code.DELETE, "/" + "/".join(self.locations[-1]))).code

    async def fetch_block(self, path: str, number: int, exponent: int = 6) -> aiocoap.Message:
        return await self.request(Code.GET, path, block2=(number, False, exponent))

    async def download(self, uri: str, first: int = 0) -> bytes:
        """Fetch a package block by block."""
        path = "/" + uri.split("/", 3)[3]
        package, number = b"", first
        while True:
            if self.on_block is not None:
                await self.on_block(number)
            block = await self.fetch_block(path, number)
            assert block.code is Code.CONTENT, block.code
            package += block.payload
            if not block.opt.block2.more:
                return package
            number += 1

    # What it tells.

    async def change(self, path: str, value: int | str) -> None:
        """Change a value and notify whoever observes it, before anything else changes."""
        self.values[path] = value
        self.notify(path)
        for _ in range(_SETTLING_TURNS):
            await asyncio.sleep(0)

    def notify(self, path: str) -> None:
        assert self._tree is not None
        for observer in self._tree.observers.get(path, []):
            observer.trigger(
                aiocoap.Message(code=Code.CONTENT, payload=str(self.values[path]).encode(), content_format=0)
            )

    def note(self, method: str, path: str) -> None:
        self.seen.append((method, path))
        self.spawn(self._tell())

    async def until(self, fulfilled: Callable[[], bool]) -> None:
        """Wait until something that this device noticed makes a condition true."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(fulfilled)

    async def until_seen(self, method: str, path: str, times: int = 1) -> None:
        await self.until(lambda: self.seen.count((method, path)) >= times)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # What it answers.

    def render_read(self, path: str, accept: int | None) -> aiocoap.Message:
        if path in self.values:
            value = self.values[path]
            if isinstance(value, list):
                if accept == 0:
                    return aiocoap.Message(code=Code.NOT_ACCEPTABLE)
                payload = encode_tlv({path: value}, path.rpartition("/")[0])
                return aiocoap.Message(code=Code.CONTENT, payload=payload, content_format=TLV)
            if accept not in (None, 0):
                return aiocoap.Message(code=Code.NOT_ACCEPTABLE)
            return aiocoap.Message(code=Code.CONTENT, payload=str(value).encode(), content_format=0)
        if not any(known.startswith(f"{path}/") for known in self.values):
            return aiocoap.Message(code=Code.NOT_FOUND)
        if not self.object_formats:
            return aiocoap.Message(code=Code.METHOD_NOT_ALLOWED)
        chosen = self.object_formats[0] if accept is None else accept
        if chosen not in self.object_formats:
            return aiocoap.Message(code=Code.NOT_ACCEPTABLE)
        encode = encode_tlv if chosen == TLV else encode_senml
        return aiocoap.Message(code=Code.CONTENT, payload=encode(self.values, path), content_format=chosen)

    async def on_write(self, path: str, payload: bytes) -> Code:
        if path == "/5/0/1":
            self.addresses.append(payload.decode())
            return await self.on_uri(payload.decode())
        if path == "/5/0/0":
            return await self.on_package(payload)
        return Code.METHOD_NOT_ALLOWED

    async def on_uri(self, uri: str) -> Code:
        if not uri:
            await self._go_idle()
            return Code.CHANGED
        if self.values["/5/0/3"] != 0:
            return Code.BAD_REQUEST
        self.values["/5/0/1"] = uri
        self.spawn(self._fetch(uri))
        return Code.CHANGED

    async def on_package(self, payload: bytes) -> Code:
        if payload in (b"", b"\x00"):
            await self._go_idle()
            return Code.CHANGED
        if self.shows_downloading_when_written:
            await self.change("/5/0/3", 1)
        self.spawn(self._take(payload))
        return Code.CHANGED

    async def on_execute(self, path: str) -> Code:
        if path == "/5/0/10":
            await self._go_idle()
            return Code.CHANGED
        if path != "/5/0/2" or self.values["/5/0/3"] != 2:
            return Code.METHOD_NOT_ALLOWED
        self.spawn(self._install())
        return Code.CHANGED

    async def _fetch(self, uri: str) -> None:
        await self.change("/5/0/5", 0)
        await self.change("/5/0/3", 1)
        await self._take(await self.download(uri))

    async def _take(self, package: bytes) -> None:
        self.packages.append(package)
        if self.expected_package is not None and package != self.expected_package:
            await self.change("/5/0/3", 0)
            await self.change("/5/0/5", 5)
        else:
            await self.change("/5/0/3", 2)
        await self._tell()

    async def _install(self) -> None:
        await self.change("/5/0/3", 3)
        self.values.update({"/5/0/3": 0, "/5/0/5": 1, "/5/0/1": "", "/3/0/3": self.installs})
        await self.reboot()

    async def _go_idle(self) -> None:
        self.values["/5/0/1"] = ""
        await self.change("/5/0/5", 0)
        await self.change("/5/0/3", 0)


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

    async def until_told(self, device, *expected: str, any_of: bool = False) -> list[str]:
        """Wait until the log holds all (or any) of `expected`, in any place, and return all that it holds."""

        async def look():
            told = await self.told(device)
            found = set(expected) & set(told)
            return told if found and (any_of or found == set(expected)) else None

        return await self.until(look)

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

    async def until(self, look):
        """Wait for the first true result of a look that is taken after each change in the log."""
        async with asyncio.timeout(20), self._changed:
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
    return lambda database: World(database, tmp_path, GatewaySettings(port=0, acknowledgement_timeout=0.3))


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
