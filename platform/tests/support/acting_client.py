"""A client of single datagrams that acts on what it is asked, as one without a cache of its answers does.

`Anjay` is the one that most others are measured by; what it does was read in its sources.
"""

import asyncio
from collections import Counter

from firmcast.coap.block import Block
from firmcast.coap.codes import Code

PACKAGE = bytes(range(256)) * 10
"""Two whole blocks of 1024 bytes and half of a third."""
SUCCESS = ["1", "2", "3", "0", "succeeded"]
PULL, PUSH = "0", "1"
ADDRESS, BYTES, UPDATE = (Code.PUT, "/5/0/1"), (Code.PUT, "/5/0/0"), (Code.POST, "/5/0/2")


class Client:
    """A client that acts on a request each time that it comes, as one without a cache of its answers does.

    The answer to the first of `lost` is lost on its way, the last block of a package in place of all of it.
    """

    def __init__(self, device, *lost: tuple[Code, str]) -> None:
        self.device = device
        self.lost = list(lost)
        self._repeated = {operation: asyncio.Event() for operation in lost}
        self.package = b""
        self.largest = 1024
        self.blocks: list[Block] = []
        self.times: Counter[tuple[Code, str]] = Counter()
        """How often each order came."""
        self._tasks: set[asyncio.Task[None]] = set()
        device.answers = False
        device.on_asked = self.asked

    @property
    def state(self) -> int:
        return int(self.device.values["/5/0/3"])

    def asked(self, request) -> None:
        operation = request.code, "/" + "/".join(request.uri_path)
        if request.code == Code.GET:
            self.read(request)
            return
        self.times[operation] += 1
        if operation in self._repeated and operation not in self.lost:
            self._repeated[operation].set()
        acts = {ADDRESS: self.address_written, BYTES: self.block_written, UPDATE: self.told_to_install}
        acted = acts[operation](request) if operation in acts else (Code.NOT_FOUND, {})
        if acted is None:
            return
        code, wording = acted
        is_whole = operation != BYTES or not (request.block1 or Block(0, more=False, szx=6)).more
        if operation in self.lost and is_whole:
            self.lost.remove(operation)
        else:
            self.device.answer(request, code, **wording)

    def read(self, request) -> None:
        self.device._answer(request)

    def address_written(self, request):
        uri = request.payload.decode()
        if uri and self.state:
            return self.second_address()
        self.device.values["/5/0/1"] = uri
        if uri:
            self.device.values["/5/0/3"] = "1"
            self.spawn(self.fetch(uri))
        return Code.CHANGED, {}

    def second_address(self):
        return Code.BAD_REQUEST, {}

    def block_written(self, request):
        raise NotImplementedError  # each client has a way of its own

    def told_to_install(self, _request):
        if self.state != 2:
            return Code.METHOD_NOT_ALLOWED, {}
        self.device.values["/5/0/3"] = "3"
        self.spawn(self.reboot())
        return Code.CHANGED, {}

    async def reboot(self) -> None:
        await self.repeated(UPDATE)
        self.change("/5/0/3", 3)
        await self.device.open()
        self.device.values.update({"/3/0/3": "2.0", "/5/0/1": "", "/5/0/3": "0", "/5/0/5": self.result_after_reboot})
        await self.device.register()

    async def repeated(self, operation: tuple[Code, str]) -> None:
        """Wait, where the answer to an order is lost, until the order comes again: nothing else tells of it before."""
        if operation in self._repeated:
            await self._repeated[operation].wait()

    async def written(self) -> None:
        await self.repeated(BYTES)
        self.change("/5/0/3", 2)

    result_after_reboot = "1"

    async def fetch(self, uri: str) -> None:
        await self.repeated(ADDRESS)
        self.change("/5/0/3", 1)
        self.package = b""
        path = uri.partition("//")[2].partition("/")[2]
        more = True
        while more:
            block = Block(len(self.package) // 256, more=False, szx=4)
            answer = await self.device.ask(Code.GET, path, block2=block, size2=0)
            assert (answer.block2.number, answer.block2.szx) == (block.number, 4)
            assert answer.etag
            self.package += answer.payload
            more = answer.block2.more
        self.change("/5/0/3", 2)

    def change(self, path: str, value: int) -> None:
        """Change a resource and notify it, confirmably."""
        self.device.values[path] = str(value)
        if path in self.device.tokens:
            self.device.send(self.notification(path, str(value)))

    def notification(self, path: str, value: str):
        return self.device.notification(path, value, sequence=next(self._sequence))

    _sequence = iter(range(2, 1000))

    def spawn(self, work) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Anjay(Client):
    """What it can be written, and told, is a question of its state alone; but while it is being written a package it
    waits for the next block of that, and is busy for everything else until `patience` is over."""

    patience = 20.0

    def __init__(self, device, *lost: tuple[Code, str], lost_blocks: tuple[int, ...] = ()) -> None:
        super().__init__(device, *lost)
        self.lost_blocks = list(lost_blocks)
        """Numbers of blocks to which the first answer is lost."""
        self.refused = 0
        """How many requests it was too busy for."""
        self.gave_up = asyncio.Event()
        self._awaited: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def asked(self, request) -> None:
        is_block = (request.code, "/" + "/".join(request.uri_path)) == BYTES and request.block1 is not None
        if self._awaited is not None and not (is_block and request.block1.offset == self._awaited):
            self.refused += 1
            self.device.answer(request, Code.SERVICE_UNAVAILABLE)
        else:
            super().asked(request)

    def await_block(self, offset: int | None) -> None:
        """Wait for the block there, for none when that is None."""
        if self._timer is not None:
            self._timer.cancel()
        self._awaited = offset
        if offset is not None:
            self._timer = asyncio.get_running_loop().call_later(self.patience, self._give_up)

    def _give_up(self) -> None:
        self.await_block(None)
        self.gave_up.set()
        self.change("/5/0/5", 4)

    def block_written(self, request):
        block = request.block1
        if block is None or (self._awaited is None and not block.number):
            if self.state:
                return Code.BAD_REQUEST, {}
            self.package, self.blocks = b"", []
        elif self._awaited is None:
            return Code.REQUEST_ENTITY_INCOMPLETE, {}
        self.package += request.payload
        self.blocks.append(block)
        if block.more:
            self.await_block(len(self.package))
            if block.number in self.lost_blocks:
                self.lost_blocks.remove(block.number)
                return None
            return Code.CONTINUE, {"block1": block}
        self.await_block(None)
        self.device.values["/5/0/3"] = "2"
        self.spawn(self.written())
        return Code.CHANGED, {"block1": block}
