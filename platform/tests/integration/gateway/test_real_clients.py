"""What Anjay, Zephyr, Contiki-NG and Wakaama do differently on the wire, each by single datagrams and under its name.

What they do was read in their sources; `docs/explanation/real-clients.md` says it in words.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import cbor2
import msgspec
import pytest
from acting_client import ADDRESS, BYTES, PACKAGE, PULL, PUSH, SUCCESS, UPDATE, Anjay, Client

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.message import encode
from firmcast.coap.options import options
from firmcast.lwm2m.content import ContentFormat, decode_content
from firmcast.lwm2m.paths import PACKAGE_URI
from firmcast.lwm2m.values import as_text
from firmcast.settings import GatewaySettings, UpgradeSettings
from firmcast.upgrades.limits import limits_of


class Zephyr(Client):
    """It answers a second address with success and ignores it, and forgets a transfer with its last block."""

    result_after_reboot = "0"

    def __init__(self, device, *lost: tuple[Code, str]) -> None:
        super().__init__(device, *lost)
        self._expected: int | None = None

    def second_address(self):
        return Code.CHANGED, {}

    def block_written(self, request):
        block = request.block1
        if len(request.payload) > self.largest:
            return Code.REQUEST_ENTITY_TOO_LARGE, {}
        if not block.number:
            if self.state:
                return Code.METHOD_NOT_ALLOWED, {}
            self._expected, self.package = 0, b""
            self.device.values["/5/0/3"] = "1"
        if self._expected is None:
            return Code.NOT_FOUND, {}
        if block.number < self._expected:
            return Code.CONTINUE, {"block1": block}
        self._expected += 1
        self.package += request.payload
        self.blocks.append(block)
        answered = Block(block.number, more=False, szx=block.szx)
        if block.more:
            return Code.CONTINUE, {"block1": answered}
        self._expected = None
        self.device.values["/5/0/3"] = "2"
        self.spawn(self.written())
        return Code.CHANGED, {"block1": answered}


class ZephyrSwitchedOff(Zephyr):
    """Its power fails once, in the middle of a package: the next block finds a client that knows of none before."""

    def __init__(self, device, *lost: tuple[Code, str]) -> None:
        super().__init__(device, *lost)
        self._fails_at: int | None = 1

    def block_written(self, request):
        if request.block1.number == self._fails_at:
            self._fails_at = self._expected = None
            self.device.values["/5/0/3"] = "0"
        return super().block_written(request)


class ZephyrThatFindsItWrong(Zephyr):
    """What its application finds wrong with a package is told by result 5, and by 4.08 to the last block."""

    def block_written(self, request):
        if not request.block1.number:
            self.change("/5/0/5", 0)
        answer = super().block_written(request)
        if request.block1.more:
            return answer
        self.change("/5/0/3", 0)
        self.change("/5/0/5", 5)
        return Code.REQUEST_ENTITY_INCOMPLETE, {}

    async def written(self) -> None:
        pass


class ZephyrLeftInTheMiddle(Zephyr):
    """It fetches and is written to; what was written and went no further leaves it in state 1 until it restarts.

    An empty address it answers with success and ignores there, and a NUL byte is the end of the package to it; of a
    package that it has whole a NUL byte is the end as well.
    """

    def __init__(self, device, *lost: tuple[Code, str]) -> None:
        super().__init__(device, *lost)
        device.values["/5/0/3"] = "1"
        del device.values["/5/0/1"]
        self.nuls: list[int] = []

    def read(self, request) -> None:
        if request.uri_path == ("5", "0", "1") and not self.device.values.get("/5/0/1"):
            self.device.answer(request, Code.NOT_FOUND)
        else:
            super().read(request)

    def block_written(self, request):
        if request.block1 is None:
            self.nuls.append(self.state)
            self.device.values["/5/0/3"] = {1: "2", 2: "0"}[self.state]
            return Code.CHANGED, {}
        return super().block_written(request)


class SlowToStore(Zephyr):
    """It is busy with one block for longer than a message waits for its answer, and stores it as often as it comes."""

    def __init__(self, device, number: int) -> None:
        super().__init__(device)
        self._number = number
        self.handed_over = 0

    def block_written(self, request):
        if request.block1.number != self._number:
            return super().block_written(request)
        self.handed_over += 1
        if self.handed_over == 1:
            self.spawn(self._store(request))
        return None

    async def _store(self, request) -> None:
        await asyncio.sleep(0.5)
        code, wording = super().block_written(request)
        self.device.answer(request, code, **wording)


class AnjayLite(Client):
    """As it may be built: it writes LwM2M CBOR, and SenML-CBOR where that is among its formats; TLV it only reads."""

    formats: tuple[int, ...] = (ContentFormat.LWM2M_CBOR,)

    def read(self, request) -> None:
        content_format = request.accept or self.formats[0]
        path = "/" + "/".join(request.uri_path)
        if content_format not in self.formats:
            refusal = Code.UNSUPPORTED_CONTENT_FORMAT if content_format == ContentFormat.TLV else Code.NOT_ACCEPTABLE
            self.device.answer(request, refusal)
            return
        values = {p: v for p, v in self.device.values.items() if p == path or p.startswith(f"{path}/")}
        if not values:
            self.device.answer(request, Code.NOT_FOUND)
            return
        observe = {} if request.observe is None else {"observe": 1}
        if request.observe == 0:
            self.device.tokens[path] = request.token
        self.device.answer(request, Code.CONTENT, self._told(values), content_format=self.formats[0], **observe)

    def _told(self, values) -> bytes:
        told = {path: int(value) if value.isdecimal() else value for path, value in values.items()}
        if self.formats[0] == ContentFormat.SENML_CBOR:
            return cbor2.dumps([{0: path, 2 if isinstance(value, int) else 3: value} for path, value in told.items()])
        return cbor2.dumps({tuple(map(int, path[1:].split("/"))): value for path, value in told.items()})

    def notification(self, path: str, value: str):
        told = self.device.notification(path, value)
        wording = options(observe=next(self._sequence), content_format=self.formats[0])
        return msgspec.structs.replace(told, options=wording, payload=self._told({path: value}))

    def address_written(self, request):
        taken = {ContentFormat.TLV, *self.formats}
        if request.content_format not in taken:
            return Code.UNSUPPORTED_CONTENT_FORMAT, {}
        written = decode_content(request.content_format, request.payload, PACKAGE_URI)
        return super().address_written(msgspec.structs.replace(request, payload=as_text(written[PACKAGE_URI]).encode()))


class AnjayLiteWithSenml(AnjayLite):
    formats = (ContentFormat.SENML_CBOR, ContentFormat.LWM2M_CBOR)


class ZephyrOfLate2025(Zephyr):
    """In SenML-CBOR it leaves out the names of all instances of a resource but the first; it has no other format."""

    def read(self, request) -> None:
        path = "/" + "/".join(request.uri_path)
        several = {"/5/0": ("/5/0/", "8/0"), "/5/0/8": ("/5/0/8/", "0")}
        if request.accept == ContentFormat.TLV:
            self.device.answer(request, Code.NOT_ACCEPTABLE)
        elif path in several:
            base, name = several[path]
            payload = cbor2.dumps([{-2: base, 0: name, 2: 0}, {2: 1}])
            self.device.answer(request, Code.CONTENT, payload, content_format=int(ContentFormat.SENML_CBOR))
        else:
            super().read(request)


class Wakaama(Client):
    """It answers a block once: where the answer is lost, as here that to the second, silence follows."""

    def __init__(self, device, *lost: tuple[Code, str]) -> None:
        super().__init__(device, *lost)
        self.packages: list[bytes] = []

    def block_written(self, request):
        block = request.block1
        if block is None:
            self.device.values["/5/0/3"] = "0"
            return Code.CHANGED, {}
        self.device.values["/5/0/3"] = "1" if block.more else "2"
        if not block.number:
            self.packages.append(b"")
        elif block.offset != len(self.packages[-1]):
            return None
        self.packages[-1] += request.payload
        if block.number == 1 and len(self.packages) == 1:
            return None
        return Code.CONTINUE if block.more else Code.CHANGED, {"block1": block}


class WakaamaOfOneKibibyte(Wakaama):
    """Its example client has a buffer of 1024 bytes for a datagram: what is longer than that loses its end."""

    def block_written(self, request):
        block = request.block1
        excess = max(len(encode(request)) - 1024, 0)
        piece = request.payload[: len(request.payload) - excess]
        if block.number and block.offset != len(self.package):
            return Code.REQUEST_ENTITY_INCOMPLETE, {}
        self.package = (self.package if block.number else b"") + piece
        self.blocks.append(block)
        if block.more:
            return Code.CONTINUE, {"block1": block}
        self.change("/5/0/3", 2)
        return Code.CHANGED, {}


class WakaamaOverDtls(WakaamaOfOneKibibyte):
    """A record without its end is no record: nobody hears of it."""

    def block_written(self, request):
        return None if len(encode(request)) > 1024 else super().block_written(request)


@pytest.fixture
async def known(world):
    return await world.add_device()


@pytest.fixture
def upgraded(world, known, make_raw) -> Callable:
    """Upgrade a client, and return what was told of it."""

    async def upgrade(kind: type[Client], method: str, *lost: tuple[Code, str], largest: int = 1024):
        client = kind(await make_raw(), *lost)
        client.largest = largest
        client.device.values["/5/0/9"] = method
        package = await world.add_package(PACKAGE)
        await client.device.register()
        await world.upgrade(package, known)
        told = await world.until_told(known, "succeeded", "failed", any_of=True)
        return client, [word.removeprefix("*") for word in told]

    return upgrade


@pytest.mark.parametrize("lost", [ADDRESS, UPDATE], ids=["address", "update"])
@pytest.mark.parametrize("kind", [Anjay, Zephyr])
async def test_an_order_whose_answer_is_lost_is_obeyed_all_the_same(upgraded, kind, lost) -> None:
    client, told = await upgraded(kind, PULL, lost)
    assert (told, client.package, client.lost) == (SUCCESS, PACKAGE, [])
    assert client.times[lost] == 2


@pytest.mark.parametrize("kind", [Anjay, Zephyr])
async def test_a_package_whose_last_answer_is_lost_has_arrived(upgraded, kind) -> None:
    client, told = await upgraded(kind, PUSH, BYTES)
    assert (told, client.lost) == (SUCCESS, [])
    assert len(client.blocks) == 3, "it was written once"
    assert len({request.token for request in client.device.asked if request.block1}) == 1, "a transfer has one token"
    assert client.times[BYTES] > 3


async def test_zephyr_is_written_smaller_blocks_where_it_refuses_large_ones_without_a_size(upgraded) -> None:
    client, told = await upgraded(Zephyr, PUSH, largest=256)
    assert (told, client.package) == (SUCCESS, PACKAGE)
    assert {block.szx for block in client.blocks} == {4}


@pytest.mark.parametrize("block", ["first", "last"])
async def test_a_client_that_erases_or_checks_its_flash_before_it_answers_gets_no_block_twice(
    database, make_member, raw_device, block
) -> None:
    world = make_member(database, GatewaySettings(port=0, acknowledgement_timeout=0.1, slow_block_timeout=3.0))
    await world.start()
    known = await world.add_device()
    device = raw_device("device-1", world.server)
    await device.open()
    client = SlowToStore(device, 0 if block == "first" else 2)
    client.device.values["/5/0/9"] = PUSH
    try:
        await device.register()
        await world.upgrade(await world.add_package(PACKAGE), known)
        told = await world.until_told(known, "succeeded", "failed", any_of=True)
        assert [word.removeprefix("*") for word in told] == SUCCESS
    finally:
        device.close()
        await world.stop()
    assert client.handed_over == 1


async def test_zephyr_is_written_a_package_anew_where_it_answers_a_block_as_unknown(upgraded) -> None:
    client, told = await upgraded(ZephyrSwitchedOff, PUSH)
    assert (told, client.package) == (["1", "0", *SUCCESS], PACKAGE)
    assert [block.number for block in client.blocks] == [0, 0, 1, 2]


async def test_zephyr_is_written_a_package_that_it_found_wrong_once_more_and_no_oftener(upgraded) -> None:
    client, told = await upgraded(ZephyrThatFindsItWrong, PUSH)
    assert told == ["1", "0", "1", "0", "failed"]
    assert [block.number for block in client.blocks] == [0, 1, 2] * 2


async def test_zephyr_that_was_left_in_the_middle_is_brought_back(upgraded) -> None:
    client, told = await upgraded(ZephyrLeftInTheMiddle, "2")
    assert (told, client.package, client.nuls) == (SUCCESS, PACKAGE, [1, 2])


async def test_zephyr_is_asked_without_a_block_size(database, make_member, raw_device) -> None:
    world = make_member(database, GatewaySettings(port=0, acknowledgement_timeout=0.3, block_exponent=4))
    await world.start()
    known = await world.add_device()
    device = raw_device("device-1", world.server)
    await device.open()
    client = Zephyr(device)
    try:
        await device.register()
        await world.upgrade(await world.add_package(PACKAGE), known)
        await device.until_asked(*ADDRESS)
        assert {request.block2 for request in device.asked} == {None}
        assert (await world.until_told(known, "succeeded", "failed", any_of=True))[-1] == "succeeded"
    finally:
        device.close()
        await world.stop()
    assert client.package == PACKAGE


async def test_zephyr_tells_again_what_has_not_changed(world, known, make_raw) -> None:
    device = await make_raw()
    await device.register()
    await world.upgrade(await world.add_package(PACKAGE), known)
    await device.until_asked(*ADDRESS)
    for sequence in (2, 3, 4):
        assert await device.reply_to(device.notification("/5/0/3", "1", sequence)) is MessageType.ACK
        assert await device.reply_to(device.notification("/5/0/5", "0", sequence + 10)) is MessageType.ACK
    assert await world.until_told(known, "1") == ["1"]


@pytest.mark.parametrize("kind", [AnjayLite, AnjayLiteWithSenml])
async def test_anjay_lite_need_not_know_text(upgraded, kind) -> None:
    client, told = await upgraded(kind, PULL)
    assert (told, client.package) == (SUCCESS, PACKAGE)


async def test_zephyr_is_read_by_single_resources_where_its_senml_makes_no_sense(upgraded) -> None:
    client, told = await upgraded(ZephyrOfLate2025, PULL)
    assert (told, client.package) == (SUCCESS, PACKAGE)


async def test_wakaama_is_written_a_package_anew_where_an_answer_was_lost(world, known, make_raw) -> None:
    client = Wakaama(await make_raw())
    client.device.values["/5/0/9"] = PUSH
    await client.device.register()
    await world.upgrade(await world.add_package(PACKAGE), known)
    async with asyncio.timeout(60):
        while PACKAGE not in client.packages:
            await asyncio.sleep(0.2)
            await client.device.update()
    assert client.packages == [PACKAGE[:2048], PACKAGE]


@pytest.mark.parametrize("kind", [WakaamaOfOneKibibyte, WakaamaOverDtls])
async def test_wakaama_is_written_blocks_that_fit_into_its_buffer(database, make_world, raw_device, kind) -> None:
    world = make_world(database)
    world.settings = GatewaySettings(port=0, acknowledgement_timeout=0.02)
    world.limits = limits_of(UpgradeSettings(probe_limit=timedelta(seconds=0.2)))
    await world.start()
    known = await world.add_device()
    device = raw_device("device-1", world.server)
    await device.open()
    client = kind(device)
    client.device.values["/5/0/9"] = PUSH
    try:
        await device.register()
        await world.upgrade(await world.add_package(PACKAGE), known)
        told = await world.until_told(known, "succeeded", "failed", any_of=True)
    finally:
        device.close()
        await world.stop()
    assert [word.removeprefix("*") for word in told] == SUCCESS
    assert client.package == PACKAGE
    assert client.blocks[-1].szx == 5


# How they register.


async def test_the_location_is_short_enough_for_contiki_and_zephyr(known, make_raw) -> None:
    device = await make_raw()
    assert await device.register() == Code.CREATED
    assert [len(segment) for segment in device.location] == [2, 11]
    assert await device.update() == Code.CHANGED


@pytest.mark.parametrize("etag", [None, b"1234"], ids=["contiki", "zephyr"])
async def test_a_registration_comes_in_blocks_under_a_token_each(world, known, make_raw, etag) -> None:
    device = await make_raw()
    links = b"</>;ct=112," + b",".join(b"</%d/0>" % number for number in (1, 3, 5, *range(3300, 3330)))

    async def send(path: str, *query: str):
        for offset in range(0, len(links), 128):
            block = Block(offset // 128, more=offset + 128 < len(links), szx=3)
            part = links[offset : offset + 128]
            tag = {} if etag is None else {"etag": etag}
            answer = await device.ask(Code.POST, path, part, uri_query=query, block1=block, content_format=40, **tag)
            if block.more:
                assert (answer.code, answer.block1) == (Code.CONTINUE, block)
        return answer

    made = await send("/rd", "lwm2m=1.1", "ep=device-1", "lt=30")
    assert made.code == Code.CREATED
    assert (await send("/".join(made.location_path))).code == Code.CHANGED
    found = world.gateway._live.of(known.device_id)
    assert found is not None


@pytest.mark.parametrize(
    "top", [b'</>;ct=60 110 112 11542 11543;rt="oma.lwm2m"', b"</>;ct=110;ct=112"], ids=["leshan", "another"]
)
async def test_a_registration_that_is_not_quite_link_format(world, known, make_raw, top) -> None:
    device = await make_raw()
    query = ("ep=device-1", "lt=30", "lwm2m=1.1")
    answer = await device.ask(Code.POST, "/rd", top + b",</1>;ver=1.1,</1/0>,</3/0>,</5/0>", uri_query=query)
    assert answer.code == Code.CREATED
    assert world.gateway._live.of(known.device_id) is not None


async def test_wakaama_may_have_its_objects_under_a_path_of_their_own(world, known, make_raw) -> None:
    device = await make_raw()
    links = b'</tree>;rt="oma.lwm2m",</tree/1/0>,</tree/3/0>,</tree/5/0>'
    device.values = {f"/tree{path}": value for path, value in device.values.items()}
    await device.ask(Code.POST, "/rd", links, uri_query=("ep=device-1", "lt=30"), content_format=40)
    await world.upgrade(await world.add_package(PACKAGE), known)
    address = await device.until_asked(Code.PUT, "/tree/5/0/1")
    assert address.payload.startswith(b"coap://")
    assert {request.uri_path[0] for request in device.asked} == {"tree"}
    device.tokens = {path.removeprefix("/tree"): token for path, token in device.tokens.items()}
    assert await device.reply_to(device.notification("/5/0/3", "1")) is MessageType.ACK
    assert await world.until_told(known, "1") == ["1"]
