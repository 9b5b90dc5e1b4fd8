"""Block arithmetic, assembly and the meaning of options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.coap.block import Assembler, Block, BlockError, BodyTooLargeError, block_count, decode_block
from firmcast.coap.codes import Code, code_text, is_request, is_response, is_success, named
from firmcast.coap.options import (
    decode_uint,
    encode_uint,
    options,
    unsupported_critical_option,
    with_option,
    without,
)


@pytest.mark.parametrize(
    ("block", "wire"),
    [
        (Block(0, False, 0), ""),
        (Block(0, True, 6), "0e"),
        (Block(2, True, 6), "2e"),
        (Block(16, False, 2), "0102"),
        (Block((1 << 20) - 1, True, 6), "fffffe"),
    ],
)
def test_block_values(block: Block, wire: str) -> None:
    assert block.encode().hex() == wire
    assert decode_block(bytes.fromhex(wire)) == block


@given(st.integers(0, (1 << 20) - 1), st.booleans(), st.integers(0, 6))
def test_a_block_survives_the_wire(number: int, more: bool, szx: int) -> None:
    block = Block(number, more, szx)
    assert decode_block(block.encode()) == block
    assert block.offset == number * block.size


@pytest.mark.parametrize("wire", ["07", "0f", "00000000"])
def test_reserved_and_overlong_block_values_are_refused(wire: str) -> None:
    with pytest.raises(BlockError):
        decode_block(bytes.fromhex(wire))


@pytest.mark.parametrize("block", [Block(1 << 20, False, 0), Block(-1, False, 0), Block(0, False, 7)])
def test_blocks_out_of_range_have_no_encoding(block: Block) -> None:
    with pytest.raises(BlockError):
        block.encode()


@given(st.binary(max_size=500), st.integers(0, 3))
def test_the_blocks_of_a_body_make_that_body(body: bytes, szx: int) -> None:
    size = 1 << (szx + 4)
    assembler = Assembler(limit=500)
    count = block_count(len(body), szx)
    for number in range(count):
        part = body[number * size : (number + 1) * size]
        assembler.add(Block(number, number < count - 1, szx), part)
        assert assembler.is_repeat(Block(number, number < count - 1, szx), part) == bool(part)
    assert assembler.body() == body
    assert assembler.received == assembler.held == len(body)


@pytest.mark.parametrize(
    ("block", "payload"),
    [
        (Block(2, True, 0), bytes(16)),
        (Block(0, True, 0), bytes(16)),
        (Block(1, True, 0), bytes(15)),
        (Block(1, False, 0), bytes(17)),
    ],
)
def test_a_gap_a_repeat_and_a_wrong_length_are_refused(block: Block, payload: bytes) -> None:
    assembler = Assembler(limit=1000)
    assembler.add(Block(0, True, 0), bytes(16))
    with pytest.raises(BlockError):
        assembler.add(block, payload)
    assert assembler.received == 16


def test_a_body_beyond_the_limit_is_refused() -> None:
    assembler = Assembler(limit=20)
    assembler.add(Block(0, True, 0), bytes(16))
    with pytest.raises(BodyTooLargeError):
        assembler.add(Block(1, False, 0), bytes(5))


def test_a_sink_takes_the_blocks_and_nothing_is_kept() -> None:
    taken: list[tuple[int, bytes]] = []
    assembler = Assembler(limit=1000, sink=lambda offset, part: taken.append((offset, part)), start=32)
    assembler.add(Block(2, True, 0), b"a" * 16)
    assembler.add(Block(3, False, 0), b"b")
    assert taken == [(32, b"a" * 16), (48, b"b")]
    assert (assembler.body(), assembler.held, assembler.received) == (b"", 0, 49)


@given(st.integers(0, (1 << 32) - 1))
def test_numbers_take_the_shortest_form(value: int) -> None:
    wire = encode_uint(value)
    assert decode_uint(wire) == value
    assert not wire.startswith(b"\x00")
    assert decode_uint(b"\x00" + wire) == value


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_numbers_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(ValueError):
        encode_uint(value)


def test_the_builder_sorts_and_keeps_the_order_of_a_path() -> None:
    built = options(
        uri_query=("b", "a"),
        uri_path=("z", "a"),
        if_none_match=True,
        uri_host="h",
        uri_port=5683,
        others=((2053, b"x"),),
    )
    assert built == (
        (3, b"h"),
        (5, b""),
        (7, b"\x16\x33"),
        (11, b"z"),
        (11, b"a"),
        (15, b"b"),
        (15, b"a"),
        (2053, b"x"),
    )
    assert without(built, 11, 15, 2053) == ((3, b"h"), (5, b""), (7, b"\x16\x33"))
    assert with_option(built, 7, b"")[2] == (7, b"")


@pytest.mark.parametrize(
    ("pairs", "refused"),
    [
        (options(uri_path=("a", "b"), uri_query=("c",), accept=0, if_match=(b"",)), None),
        (((9, b""),), 9),
        (((2049, b""),), 2049),
        (((2048, b""),), None),
        (((3, b""),), 3),
        (((17, b"123"),), 17),
        (((17, b""), (17, b"")), 17),
        (((23, b"1234"),), 23),
        (((5, b"1"),), 5),
        (((35, b"coap://x"),), 35),
        (((12, b"123"),), None),
    ],
)
def test_critical_options_that_must_not_be_ignored(pairs: tuple[tuple[int, bytes], ...], refused: int | None) -> None:
    assert unsupported_critical_option(pairs) == refused


def test_codes() -> None:
    assert code_text(Code.CONTENT) == "2.05"
    assert code_text(Code.REQUEST_ENTITY_TOO_LARGE) == "4.13"
    assert named(69) is Code.CONTENT
    assert named(94) == 94
    assert [is_request(code) for code in (0, 1, 31, 32)] == [False, True, True, False]
    assert [is_response(code) for code in (63, 64, 95, 96, 128, 191, 192)] == [
        False,
        True,
        True,
        False,
        True,
        True,
        False,
    ]
    assert [is_success(code) for code in (64, 95, 128)] == [True, True, False]
