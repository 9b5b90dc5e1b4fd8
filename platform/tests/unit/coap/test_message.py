"""Messages against bytes laid out by hand from RFC 7252 section 3, and against whatever bytes there are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, ContentFormat, MessageType
from firmcast.coap.message import Message, MessageFormatError, decode, encode
from firmcast.coap.options import options

GOLDEN = {
    "a confirmable GET without a token (appendix A, figure 16)": (
        "40017d34" + "bb" + b"temperature".hex(),
        Message(MessageType.CON, Code.GET, 0x7D34, b"", options(uri_path=("temperature",))),
    ),
    "its piggybacked response": (
        "60457d34" + "ff" + b"22.3 C".hex(),
        Message(MessageType.ACK, Code.CONTENT, 0x7D34, b"", (), b"22.3 C"),
    ),
    "a GET with a token of one byte (figure 17)": (
        "41017d3520" + "bb" + b"temperature".hex(),
        Message(MessageType.CON, Code.GET, 0x7D35, b"\x20", options(uri_path=("temperature",))),
    ),
    "an empty acknowledgement": ("60007d38", Message(MessageType.ACK, Code.EMPTY, 0x7D38)),
    "a reset": ("70007d38", Message(MessageType.RST, Code.EMPTY, 0x7D38)),
    "an observing GET of a LwM2M resource": (
        "4401000101020304" + "60" + "5135" + "0130" + "0133" + "60",
        Message(
            MessageType.CON,
            Code.GET,
            1,
            b"\x01\x02\x03\x04",
            options(uri_path=("5", "0", "3"), observe=0, accept=ContentFormat.TEXT),
        ),
    ),
    "a notification with a three byte sequence": (
        "5245abcd0102" + "63010203" + "60" + "ff" + "32",
        Message(
            MessageType.NON,
            Code.CONTENT,
            0xABCD,
            b"\x01\x02",
            options(observe=0x010203, content_format=ContentFormat.TEXT),
            b"2",
        ),
    ),
    "the third block of a package, more to come, 1024 bytes": (
        "4103123457" + "b135" + "0130" + "0130" + "112a" + "d1022e" + "ff" + "00" * 1024,
        Message(
            MessageType.CON,
            Code.PUT,
            0x1234,
            b"W",
            options(uri_path=("5", "0", "0"), content_format=42, block1=Block(2, True, 6)),
            bytes(1024),
        ),
    ),
    "a first block with the size of the body": (
        "400300ff" + "b135" + "d1030e" + "d2141000" + "ff" + "aa",
        Message(
            MessageType.CON, Code.PUT, 255, b"", options(uri_path=("5",), block1=Block(0, True, 6), size1=4096), b"\xaa"
        ),
    ),
    "a 4.13 with a block size to try": (
        "608d0001" + "d10e02",
        Message(MessageType.ACK, Code.REQUEST_ENTITY_TOO_LARGE, 1, b"", options(block1=Block(0, False, 2))),
    ),
    "an option number and a length in two bytes each": (
        "40010001" + "ee" + "06c3" + "001f" + "61" * 300,
        Message(MessageType.CON, Code.GET, 1, b"", ((2000, b"a" * 300),)),
    ),
    "a registration": (
        "4202 0007 aabb b2 7264 11 28 37 65703d64657631 06 6c743d333030 ff 3c2f353e".replace(" ", ""),
        Message(
            MessageType.CON,
            Code.POST,
            7,
            b"\xaa\xbb",
            options(uri_path=("rd",), content_format=40, uri_query=("ep=dev1", "lt=300")),
            b"</5>",
        ),
    ),
}

BAD = {
    "nothing": "",
    "half a header": "4001",
    "version 0": "00010001",
    "version 2": "80010001",
    "a token of 9 bytes": "49010001" + "00" * 9,
    "a token cut short": "4401000101",
    "an empty message with a token": "4100000101",
    "an empty message with a payload": "40000001ff01",
    "a marker without a payload": "40450001ff",
    "delta 15": "40010001f1",
    "length 15": "400100011f",
    "a value cut short": "40010001b5616263",
    "an extended delta cut short": "40010001d0",
    "an extended length cut short": "400100010e00",
    "an option number beyond 16 bits": "40010001e0ffff",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_bytes_are_decoded_and_encoded(name: str) -> None:
    wire, message = GOLDEN[name]
    assert decode(bytes.fromhex(wire)) == message
    assert encode(message).hex() == wire


@pytest.mark.parametrize("name", BAD)
def test_malformed_datagrams_are_refused(name: str) -> None:
    with pytest.raises(MessageFormatError):
        decode(bytes.fromhex(BAD[name]))


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda tail: b"\x44\x01" + tail))
@settings(max_examples=300)
def test_decoding_any_bytes_gives_a_message_or_the_one_error(datagram: bytes) -> None:
    try:
        message = decode(datagram)
    except MessageFormatError:
        return
    assert encode(message) == datagram
    assert isinstance(message.describe(), str)
    assert isinstance(message.uri_path, tuple)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    pairs = draw(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=300)), max_size=6))
    return Message(
        draw(st.sampled_from(MessageType)),
        draw(st.integers(1, 255)),
        draw(st.integers(0, 0xFFFF)),
        draw(st.binary(max_size=8)),
        tuple(sorted(pairs, key=lambda pair: pair[0])),
        draw(st.binary(max_size=64)),
    )


@given(messages())
@settings(max_examples=200)
def test_a_message_survives_the_wire(message: Message) -> None:
    assert decode(encode(message)) == message


def test_accessors_read_the_options() -> None:
    message = Message(
        MessageType.CON,
        Code.POST,
        1,
        b"",
        options(
            uri_path=("rd", "é"),
            uri_query=("ep=a", "Q"),
            content_format=40,
            accept=112,
            observe=0,
            etag=(b"a", b"b"),
            max_age=60,
            block1=Block(1, True, 2),
            block2=Block(3, False, 6),
            size1=9,
            size2=0,
            location_path=("rd", "7"),
        ),
    )
    assert message.uri_path == ("rd", "é")
    assert message.uri_query == ("ep=a", "Q")
    assert (message.content_format, message.accept, message.observe, message.max_age) == (40, 112, 0, 60)
    assert (message.etag, message.etags) == (b"a", (b"a", b"b"))
    assert (message.block1, message.block2) == (Block(1, True, 2), Block(3, False, 6))
    assert (message.size1, message.size2) == (9, 0)
    assert message.location_path == ("rd", "7")
    assert message.describe() == "CON 0.02 #1 [] /rd/é"


@pytest.mark.parametrize(
    "message",
    [
        Message(MessageType.CON, Code.GET, 0x10000),
        Message(MessageType.CON, Code.GET, 1, b"123456789"),
        Message(MessageType.CON, 256, 1),
        Message(MessageType.CON, Code.GET, 1, b"", ((11, b"a"), (7, b"b"))),
        Message(MessageType.CON, Code.GET, 1, b"", ((11, bytes(65_805)),)),
    ],
)
def test_what_has_no_encoding_is_refused(message: Message) -> None:
    with pytest.raises(ValueError):
        encode(message)
