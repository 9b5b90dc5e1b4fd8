"""An LwM2M device on aiocoap, with codecs of its own: the gateway's peer that shares no line with it."""

import asyncio
from collections.abc import Awaitable, Callable

import aiocoap
import aiocoap.error
import aiocoap.resource
import cbor2
from aiocoap.numbers.codes import Code

TLV = 11542
SENML_CBOR = 112
TEXT = 0
OBJECT_LINKS = b'</>;rt="oma.lwm2m";ct=112,</1/0>,</3/0>,</5/0>'
_SETTLING_TURNS = 5


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
        return block is None or self._device.own_block_exponent is None

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
        if request.code is Code.PUT and request.opt.block1 is not None:
            return await self._take_block(path, request)
        if request.code is Code.PUT:
            return aiocoap.Message(code=await device.on_write(path, request.payload))
        if request.code is Code.POST:
            return aiocoap.Message(code=await device.on_execute(path))
        return aiocoap.Message(code=Code.METHOD_NOT_ALLOWED)

    async def _take_block(self, path: str, request: aiocoap.Message) -> aiocoap.Message:
        """Take a block without aiocoap's help, and say with each that smaller ones are wanted (RFC 7959, 2.5)."""
        device, block = self._device, request.opt.block1
        exponent = device.own_block_exponent
        if block is not None and exponent is not None and path == "/5/0/0":
            device.block_exponents.append(block.size_exponent)
            if block.start == 0:
                device.written = b""
            if block.start != len(device.written):
                return aiocoap.Message(code=Code.REQUEST_ENTITY_INCOMPLETE, block1=block)
            device.written += request.payload
            answer = (block.block_number, block.more, min(exponent, block.size_exponent))
            code = Code.CONTINUE if block.more else await device.on_write(path, device.written)
            return aiocoap.Message(code=code, block1=answer)
        # aiocoap has put it together; it repeats the option itself.
        return aiocoap.Message(code=await device.on_write(path, request.payload))


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
        self.fails_into: int | None = None
        """The state in which each install ends with result 8; None lets it succeed."""
        self.own_block_exponent: int | None = None
        """It takes written blocks itself, of 2**(4 + this) bytes; None leaves that to aiocoap."""
        self.block_exponents: list[int] = []
        """Of each written block that it took itself."""
        self.written = b""
        self.fetched_exponent = 6
        """It fetches blocks of 2**(4 + this) bytes."""
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

    def send_bytes(self, datagram: bytes, address: tuple[str, int]) -> None:
        """Send what no client would say by itself, from the socket of the device."""
        _socket_of(self._context).sendto(datagram, (f"::ffff:{address[0]}", address[1]))

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

    async def register(self, lifetime: int = 300, links: bytes = OBJECT_LINKS) -> Code:
        query = f"?ep={self.endpoint_name}&lt={lifetime}&lwm2m=1.1&b=U"
        response = await self.request(Code.POST, f"/rd{query}", links, content_format=40)
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
            block = await self.fetch_block(path, number, self.fetched_exponent)
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
        if self.fails_into is not None:
            await self.change("/5/0/3", self.fails_into)
            await self.change("/5/0/5", 8)
            return
        self.values.update({"/5/0/3": 0, "/5/0/5": 1, "/5/0/1": "", "/3/0/3": self.installs})
        await self.reboot()

    async def _go_idle(self) -> None:
        self.values["/5/0/1"] = ""
        await self.change("/5/0/5", 0)
        await self.change("/5/0/3", 0)
