"""Huawei's LiteOS client (agent_tiny, on a Wakaama of its own), message for message as it was read in its sources.

It goes from state to state when what it notifies is acknowledged, and is busy until then.
"""

import asyncio
from datetime import timedelta

import pytest

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.message import Message
from firmcast.coap.options import options
from firmcast.settings import GatewaySettings, UpgradeSettings
from firmcast.upgrades.limits import limits_of

PACKAGE = bytes(range(256)) * 10
SUCCESS = ["1", "2", "3", "0", "succeeded"]
IDLE, DOWNLOADING, DOWNLOADED, UPDATING = range(4)
STATE, TEXT, TLV = "/5/0/3", 0, 11542
BLOCK, SZX = 512, 5
UPDATE_FAILED = 8


class LiteOs:
    """Its firmware object, and what becomes of the notifications of its state.

    The acknowledgement of a notification of the states `unacknowledged` is lost once, and the notification comes again.
    """

    def __init__(self, device, *, unacknowledged: tuple[int, ...] = (), breaks_at: int | None = None) -> None:
        self.device = device
        self.unacknowledged = list(unacknowledged)
        self.breaks_at = breaks_at
        """The number of the block with which its first download ends."""
        self.state = self.told = IDLE
        """The state that it is in, and the one that it tells."""
        self.result = 0
        self.address = ""
        self.version = "1.0"
        self.package = b""
        self.next_block = 0
        self.asked_for: list[int] = []
        self.refused: list[str] = []
        self.told_after_reboot: MessageType | None = None
        self._counter = 0
        self._tasks: set[asyncio.Task[None]] = set()
        device.answers = False
        device.on_asked = self.asked

    # What it is asked.

    def asked(self, request: Message) -> None:
        path = "/" + "/".join(request.uri_path)
        if request.code == Code.GET:
            self.read(request, path)
            return
        code = {(Code.PUT, "/5/0/1"): self.take_address, (Code.POST, "/5/0/2"): self.install}.get(
            (request.code, path), lambda _: Code.METHOD_NOT_ALLOWED
        )(request)
        if code != Code.CHANGED:
            self.refused.append(path)
        self.device.answer(request, code)

    def read(self, request: Message, path: str) -> None:
        texts = {
            "/3/0/3": self.version,
            "/5/0/1": self.address + "\0",
            STATE: str(self.told),
            "/5/0/5": str(self.result),
            "/5/0/8": "0",
        }
        observe = {}
        if path in texts and request.observe is not None:
            observe = {"observe": self._counter}
            self._counter += 1
            self.device.tokens[path] = request.token
        if path in texts and request.accept == TEXT:
            self.device.answer(request, Code.CONTENT, texts[path].encode(), content_format=TEXT, **observe)
        elif path == "/5/0":
            self.device.answer(request, Code.CONTENT, self.object_in_tlv(), content_format=TLV)
        else:
            self.device.answer(request, Code.NOT_FOUND)

    def object_in_tlv(self) -> bytes:
        """Address, state, result, and its delivery method under the number of the protocols."""
        address = self.address.encode() + b"\0"
        numbers = {3: self.told, 5: self.result, 8: 0}
        return (
            b"\xc8\x01" + bytes((len(address),)) + address + b"".join(bytes((0xC1, *pair)) for pair in numbers.items())
        )

    def take_address(self, request: Message) -> Code:
        if self.state != self.told or self.state not in (IDLE, DOWNLOADED):
            return Code.METHOD_NOT_ALLOWED
        if request.content_format != TEXT:
            return Code.BAD_REQUEST
        self.result = 0
        address = request.payload.decode()
        if address != self.address:
            self.next_block, self.package = 0, b""
        self.address = address
        self.tell(DOWNLOADING)
        return Code.CHANGED

    def install(self, request: Message) -> Code:
        if request.payload or self.state != self.told or self.state != DOWNLOADED:
            return Code.BAD_REQUEST
        self.tell(UPDATING)
        return Code.CHANGED

    # What it tells, and does when that is acknowledged.

    def tell(self, state: int) -> None:
        self.told = state
        task = asyncio.ensure_future(self._tell(state))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, state: int) -> None:
        self._counter += 1
        notification = self.device.notification(STATE, str(state), self._counter)
        assert await self.device.reply_to(notification) is MessageType.ACK
        if state in self.unacknowledged:
            self.unacknowledged.remove(state)
            await asyncio.sleep(0.3)
            assert await self.device.reply_to(notification) is MessageType.ACK
        if state == DOWNLOADING:
            self.state = state
            await self.fetch()
        elif state == UPDATING:
            await self.reboot()
        else:
            self.state = state

    async def fetch(self) -> None:
        path = self.address.partition("://")[2].partition("/")[2]
        more = True
        while more:
            if len(self.asked_for) == self.breaks_at:
                self.result = UPDATE_FAILED
                self.breaks_at = None
                self.tell(IDLE)
                return
            self.asked_for.append(self.next_block)
            answer = await self.device.ask(Code.GET, path, block2=Block(self.next_block, more=False, szx=SZX))
            assert answer.block2 is not None, "an answer without the option is a failure"
            self.package = self.package[: self.next_block * BLOCK] + answer.payload
            self.next_block += 1
            more = answer.block2.more
        self.tell(DOWNLOADED)

    async def reboot(self) -> None:
        """Come back, and tell at once how it ended, under the token of the observation from before."""
        token = self.device.tokens[STATE]
        await self.device.open()
        self.state = self.told = IDLE
        self.result, self.version, self.address = 1, "2.0", ""
        await self.device.register()
        wording = options(observe=self._counter + 1, content_format=TEXT)
        told = Message(MessageType.CON, Code.CONTENT, 9000, token, wording, b"0")
        self.told_after_reboot = await self.device.reply_to(told)


@pytest.fixture
def upgraded(database, make_world, raw_device):
    """Upgrade a client, and return what was told of it."""

    async def upgrade(content: bytes = PACKAGE, **habits):
        world = make_world(database)
        world.settings = GatewaySettings(port=0, acknowledgement_timeout=0.2)
        world.limits = limits_of(UpgradeSettings(probe_limit=timedelta(seconds=0.5)))
        await world.start()
        known = await world.add_device()
        device = raw_device("device-1", world.server)
        await device.open()
        client = LiteOs(device, **habits)
        try:
            await device.register(version="1.0")
            await world.upgrade(await world.add_package(content), known)
            told = await world.until_told(known, "succeeded", "failed", any_of=True)
            await world.eventually(lambda: client.told_after_reboot is not None or told[-1] == "failed")
        finally:
            device.close()
            await world.stop()
        return client, [word.removeprefix("*") for word in told]

    return upgrade


@pytest.mark.parametrize("content", [PACKAGE, PACKAGE[:100]], ids=["blocks", "one block"])
async def test_it_is_upgraded(upgraded, content) -> None:
    client, told = await upgraded(content)
    assert (told, client.package, client.refused) == (SUCCESS, content, [])


async def test_it_is_told_again_to_install_while_its_word_is_not_acknowledged(upgraded) -> None:
    client, told = await upgraded(unacknowledged=(DOWNLOADED,))
    assert (told, client.package) == (SUCCESS, PACKAGE)
    assert client.refused == ["/5/0/2"]


async def test_a_download_that_broke_off_with_update_failed_goes_on(upgraded) -> None:
    client, told = await upgraded(breaks_at=2)
    assert (told, client.package) == (["1", "0", *SUCCESS], PACKAGE)
    assert client.asked_for == [0, 1, 2, 3, 4]
    assert client.refused == []
