"""An LwM2M client as small ones in C are: datagrams written by hand, answers apart from acknowledgements, no memory.

It shares no line with the platform or with aiocoap. It does what devices with little room do: it knows no repeats, says
in no acknowledgement what it answers, asks nobody twice what it answered, keeps blocks small, gives its objects in TLV
whatever is asked for, and counts message ids and tokens from the start after each boot, on the same port.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

CON, NON, ACK, RST = range(4)
GET, POST, PUT, DELETE = range(1, 5)
CREATED, CHANGED, CONTENT, CONTINUE = 0x41, 0x44, 0x45, 0x5F
NOT_FOUND, NOT_ALLOWED, INCOMPLETE, TOO_LARGE = 0x84, 0x85, 0x88, 0x8D
OBSERVE, LOCATION, URI_PATH, FORMAT, URI_QUERY, BLOCK2, BLOCK1 = 6, 8, 11, 12, 15, 23, 27
TLV = 11542
SIZE_EXPONENT = 2
BLOCK = 64
_PATIENCE = 0.3

Pairs = Sequence[tuple[int, bytes]]


@dataclass
class Datagram:
    """One message of CoAP: RFC 7252, section 3."""

    kind: int
    code: int
    number: int
    token: bytes = b""
    options: list[tuple[int, bytes]] = field(default_factory=list)
    payload: bytes = b""

    @property
    def path(self) -> str:
        return "/" + "/".join(value.decode() for value in self.all(URI_PATH))

    def all(self, wanted: int) -> list[bytes]:
        return [value for number, value in self.options if number == wanted]

    def block(self, wanted: int) -> tuple[int, bool, int]:
        """Return number, more and size exponent of a block option; those of a message without it."""
        value = int.from_bytes((self.all(wanted) or [b"\x06"])[0], "big")
        return value >> 4, bool(value & 8), value & 7


def _extended(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    return (13, bytes((value - 13,))) if value < 269 else (14, (value - 269).to_bytes(2, "big"))


def write(message: Datagram) -> bytes:
    """Return the bytes of a message."""
    head = bytes((0x40 | message.kind << 4 | len(message.token), message.code))
    wire = head + message.number.to_bytes(2, "big") + message.token
    last = 0
    for number, value in sorted(message.options, key=lambda pair: pair[0]):
        (delta, more_delta), (length, more_length) = _extended(number - last), _extended(len(value))
        wire += bytes((delta << 4 | length,)) + more_delta + more_length + value
        last = number
    return wire + (b"\xff" + message.payload if message.payload else b"")


def read(wire: bytes) -> Datagram:
    """Return the message that some bytes are."""
    token_end = 4 + (wire[0] & 15)
    message = Datagram(wire[0] >> 4 & 3, wire[1], int.from_bytes(wire[2:4], "big"), wire[4:token_end])
    at, number = token_end, 0
    while at < len(wire) and wire[at] != 0xFF:
        parts = [wire[at] >> 4, wire[at] & 15]
        at += 1
        for index, nibble in enumerate(parts):
            if nibble >= 13:
                size = nibble - 12
                parts[index] = int.from_bytes(wire[at : at + size], "big") + (13 if size == 1 else 269)
                at += size
        number += parts[0]
        message.options.append((number, wire[at : at + parts[1]]))
        at += parts[1]
    message.payload = wire[at + 1 :]
    return message


def number_of(value: int) -> bytes:
    """Return an option's number in as few bytes as will do."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


class SmallClient(asyncio.DatagramProtocol):
    """The client and its network, which loses what `loses` says, asked for each datagram in either direction."""

    def __init__(self, name: str, server: tuple[str, int], *, fetches: bool, loses: Callable[[], bool]) -> None:
        self.name = name
        self.server = server
        self.loses = loses
        self.values: dict[str, int | str] = {"/3/0/3": "1.0", "/5/0/3": 0, "/5/0/5": 0, "/5/0/9": 0 if fetches else 1}
        self.package = b""
        self.registrations: list[str] = []
        """The locations that it was given, one for each life."""
        self.executed = 0
        self.silent_at: str | None = None
        """In its second life it answers nothing more once it is asked for this path."""
        self._observed: dict[str, bytes] = {}
        self._sequence = 1
        self._counted = 0
        self._answers: dict[bytes, asyncio.Future[Datagram]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    async def boot(self) -> None:
        """Begin a life: take the port, or keep the one there is, and register."""
        if self._transport is None:
            self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: self, remote_addr=self.server
            )
        self._counted = 0
        self._observed.clear()
        query = [(URI_QUERY, f"ep={self.name}".encode()), (URI_QUERY, b"lt=300"), (URI_QUERY, b"lwm2m=1.0")]
        answer = await self._ask(POST, [(URI_PATH, b"rd"), (FORMAT, b"\x28"), *query], b"</1/0>,</3/0>,</5/0>")
        assert answer.code == CREATED, answer
        self.registrations.append("/".join(value.decode() for value in answer.all(LOCATION)))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self.loses():
            return
        message = read(data)
        if message.code >= CREATED:
            waiting = self._answers.get(message.token)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif message.code:
            if message.path == self.silent_at and len(self.registrations) > 1:
                self.loses = lambda: True
            self._send(Datagram(ACK, 0, message.number))
            code, options, payload = self._answer(message)
            self._send(Datagram(NON, code, self._next(), message.token, options, payload))

    def _next(self) -> int:
        self._counted += 1
        return self._counted

    def _send(self, message: Datagram) -> None:
        if not self.loses():
            assert self._transport is not None
            self._transport.sendto(write(message))

    async def _ask(self, code: int, options: Pairs, payload: bytes = b"") -> Datagram:
        number = self._next()
        token = number.to_bytes(8, "big")
        answer = self._answers[token] = asyncio.get_running_loop().create_future()
        while True:
            self._send(Datagram(CON, code, number, token, list(options), payload))
            try:
                async with asyncio.timeout(_PATIENCE):
                    return await asyncio.shield(answer)
            except TimeoutError:
                continue

    def _later(self, work: Callable[[], object]) -> None:
        async def do() -> None:
            await asyncio.sleep(0)
            result = work()
            if asyncio.iscoroutine(result):
                await result

        task = asyncio.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # The firmware object.

    def _show(self, path: str, value: int) -> None:
        """Change a value, and tell who observes it; nobody hears whether that arrives."""
        self.values[path] = value
        if path in self._observed:
            self._sequence += 1
            options = [(OBSERVE, number_of(self._sequence)), (FORMAT, b"")]
            self._send(Datagram(NON, CONTENT, self._next(), self._observed[path], options, str(value).encode()))

    def _answer(self, asked: Datagram) -> tuple[int, list[tuple[int, bytes]], bytes]:
        path, fetches = asked.path, self.values["/5/0/9"] == 0
        if asked.code == GET and path == "/5/0":
            return CONTENT, [(FORMAT, number_of(TLV))], self._tlv("/5/0/")
        if asked.code == GET and path in self.values:
            observe = asked.all(OBSERVE)
            if observe:
                self._observed[path] = asked.token
            options = [(OBSERVE, b"\x01")] if observe else []
            return CONTENT, [*options, (FORMAT, b"")], str(self.values[path]).encode()
        if asked.code == PUT and path == "/5/0/1" and fetches:
            return self._take_address(asked.payload.decode()), [], b""
        if asked.code == PUT and path == "/5/0/0" and not fetches:
            return self._take_block(asked)
        if asked.code == POST and path == "/5/0/2":
            return self._install(), [], b""
        return NOT_FOUND, [], b""

    def _tlv(self, base: str) -> bytes:
        """Write numbers of one byte: OMA LwM2M Core 1.0, section 6.4.3."""
        numbers = {path: value for path, value in self.values.items() if path.startswith(base)}
        return b"".join(bytes((0xC1, int(path.rpartition("/")[2]), int(value))) for path, value in numbers.items())

    def _take_address(self, uri: str) -> int:
        if uri and self.values["/5/0/3"] == 0:
            self._later(lambda: self._fetch(uri.partition("://")[2].partition("/")[2]))
        return CHANGED

    async def _fetch(self, path: str) -> None:
        self._show("/5/0/3", 1)
        self.package, more = b"", True
        while more:
            block = [(BLOCK2, number_of(len(self.package) // BLOCK << 4 | SIZE_EXPONENT))]
            answer = await self._ask(GET, [*((URI_PATH, part.encode()) for part in path.split("/")), *block])
            number, more, _ = answer.block(BLOCK2)
            if number * BLOCK == len(self.package):
                self.package += answer.payload
        self._show("/5/0/3", 2)

    def _take_block(self, asked: Datagram) -> tuple[int, list[tuple[int, bytes]], bytes]:
        number, more, exponent = asked.block(BLOCK1)
        if exponent > SIZE_EXPONENT:
            return TOO_LARGE, [(BLOCK1, number_of(8 | SIZE_EXPONENT))], b""
        if self.values["/5/0/3"] == 2:
            return NOT_ALLOWED, [], b""
        if number == 0:
            self.package = b""
        if number * BLOCK > len(self.package):
            return INCOMPLETE, [], b""
        self.package = self.package[: number * BLOCK] + asked.payload
        if not more:
            self._later(lambda: self._show("/5/0/3", 2))
        return (CONTINUE if more else CHANGED), asked_block(asked), b""

    def _install(self) -> int:
        if self.values["/5/0/3"] != 2:
            return NOT_ALLOWED
        self.executed += 1
        self._show("/5/0/3", 3)
        self._later(self._start_anew)
        return CHANGED

    async def _start_anew(self) -> None:
        location = [(URI_PATH, part.encode()) for part in self.registrations[-1].split("/")]
        await self._ask(DELETE, location)
        self.values |= {"/3/0/3": "2.0", "/5/0/3": 0, "/5/0/5": 1}
        self._answers.clear()
        await self.boot()


def asked_block(asked: Datagram) -> list[tuple[int, bytes]]:
    """Return the block option of a request, to be answered with it."""
    return [(BLOCK1, value) for value in asked.all(BLOCK1)]
