"""A package is written in the blocks that a device wants, and again from the start when it has lost it.

What it wants it may say in a 2.31 or a 4.13 (RFC 7959, sections 2.3 and 2.9.3), and that it lost the package by 4.08.
It speaks by aiocoap.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import aiocoap
import aiocoap.resource
import pytest
from aiocoap.numbers.codes import Code
from aiocoap.optiontypes import BlockOption

from firmcast.coap.codes import Code as OurCode
from firmcast.coap.options import options
from firmcast.coap.static_bodies import StaticBody
from firmcast.coap.udp import UdpEndpoint

PACKAGE = bytes(range(256)) * 18
"""Four and a half blocks of 1024 bytes."""


class BlockwiseDevice(aiocoap.resource.Resource):
    """Puts a package together by itself, and takes blocks of `largest` (SZX) at the most."""

    def __init__(self, largest: int = 6, *, refuses: bool = False, forgets_at: frozenset[int] = frozenset()) -> None:
        super().__init__()
        self.largest = largest
        self.refuses = refuses
        """Whether a larger block is refused, or taken once."""
        self.forgets_at = set(forgets_at)
        """Bytes after which it loses what it has, once each."""
        self.package = b""
        self.sizes: list[int | None] = []
        """Size1 of each block, None where there was none."""
        self.beginnings = 0

    async def needs_blockwise_assembly(self, _request: aiocoap.Message) -> bool:
        return False

    async def render(self, request: aiocoap.Message) -> aiocoap.Message:
        block = request.opt.block1
        assert request.opt.content_format == 42
        self.sizes.append(request.opt.size1)
        if block.block_number == 0:
            self.beginnings += 1
            self.package = b""
        if block.size_exponent > self.largest and self.refuses:
            return self.answer(Code.REQUEST_ENTITY_TOO_LARGE, block)
        if block.start != len(self.package) or len(self.package) in self.forgets_at:
            self.forgets_at.discard(len(self.package))
            return aiocoap.Message(code=Code.REQUEST_ENTITY_INCOMPLETE)
        self.package += request.payload
        return self.answer(Code.CONTINUE if block.more else Code.CHANGED, block)

    def answer(self, code: Code, block) -> aiocoap.Message:
        answer = aiocoap.Message(code=code)
        answer.opt.block1 = BlockOption.BlockwiseTuple(
            block.block_number, block.more, min(block.size_exponent, self.largest)
        )
        return answer


@pytest.fixture
async def write_to() -> AsyncIterator[Callable[[BlockwiseDevice], Awaitable[int]]]:
    """Return what writes the package to a device and returns the code of its last answer."""
    contexts = []
    udp = await UdpEndpoint.open("127.0.0.1", 0)

    async def write(device: BlockwiseDevice) -> int:
        site = aiocoap.resource.Site()
        site.add_resource(("5", "0", "0"), device)
        context = await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", 0), transports=["udp6"])
        contexts.append(context)
        sock = context.request_interfaces[0].token_interface.message_interface.transport.get_extra_info("socket")
        response = await udp.request(
            ("127.0.0.1", sock.getsockname()[1]),
            OurCode.PUT,
            options=options(uri_path=("5", "0", "0"), content_format=42),
            payload=StaticBody(PACKAGE, etag=b"e"),
        )
        return response.code

    yield write
    udp.close()
    for context in contexts:
        await context.shutdown()


@pytest.mark.parametrize("largest", [0, 2, 5])
@pytest.mark.parametrize("refuses", [True, False])
async def test_blocks_are_as_small_as_the_device_wants_them(write_to, largest, refuses) -> None:
    blocks = BlockwiseDevice(largest, refuses=refuses)
    assert await write_to(blocks) == OurCode.CHANGED
    assert blocks.package == PACKAGE
    assert blocks.beginnings == (2 if refuses else 1)
    taken_at_first = 0 if refuses else 1024
    whole = -(-(len(PACKAGE) - taken_at_first) // (16 << largest))
    assert len(blocks.sizes) == whole + 1
    assert blocks.sizes[: blocks.beginnings] == [len(PACKAGE)] * blocks.beginnings, "Size1 goes with each beginning"
    assert set(blocks.sizes[blocks.beginnings :]) == {None}


async def test_a_device_that_lost_what_it_had_is_sent_it_from_the_start(write_to) -> None:
    blocks = BlockwiseDevice(forgets_at=frozenset({1024, 4096}))
    assert await write_to(blocks) == OurCode.CHANGED
    assert (blocks.package, blocks.beginnings) == (PACKAGE, 3)
    assert blocks.sizes.count(len(PACKAGE)) == 3


async def test_a_device_that_loses_it_again_and_again_is_given_up(write_to) -> None:
    blocks = BlockwiseDevice()
    blocks.forgets_at = Everything()
    assert await write_to(blocks) == OurCode.REQUEST_ENTITY_INCOMPLETE
    assert blocks.beginnings == 4


class Everything(set):
    def __contains__(self, _item: object) -> bool:
        return True
