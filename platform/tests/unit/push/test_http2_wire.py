"""What is written is what an independent implementation reads, and nothing that comes in does more than fail."""

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.push.sending.http2_wire import (
    CONTENT_LENGTH,
    DATA,
    HEADERS,
    PADDED,
    PRIORITY,
    WireError,
    answer_head,
    content,
    fields_block,
    integer,
    lines_block,
    name_block,
    post_block,
    read_settings,
)


def is_plain(lines: list[str]) -> bool:
    try:
        lines_block(lines)
    except WireError:
        return False
    return True


NAMES = st.from_regex(r"[a-zA-Z0-9-]{1,40}", fullmatch=True).filter(lambda name: is_plain([f"{name}: x"]))
VALUES = st.from_regex(r"[!-~]([ -~]{0,1500}[!-~])?", fullmatch=True)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.integers(0, 10**6))
def test_a_request_is_read_as_it_was_meant(fields: list[tuple[str, str]], length: int) -> None:
    lines = [f"{name}: {value}" for name, value in fields]
    decoder = hpack.Decoder(max_header_list_size=1 << 20)
    head = post_block("host.example:8443", "/a?b=c")
    told = fields_block([CONTENT_LENGTH], [str(length)])
    names, values = [name_block(name) for name, _ in fields], [value for _, value in fields]
    for block in (head + told + lines_block([*lines, "expect:"]), head + told + fields_block(names, values)):
        read = decoder.decode(block)
        assert [(name, value) for name, value in read] == [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", "/a?b=c"),
            (":authority", "host.example:8443"),
            ("accept", "*/*"),
            ("content-length", str(length)),
            *((name.lower(), value) for name, value in fields),
        ]
    assert decoder.header_table.dynamic_entries == type(decoder.header_table.dynamic_entries)()


@given(st.integers(0, 1 << 30), st.integers(1, 8))
def test_a_number_is_read_as_it_was_meant(value: int, prefix_bits: int) -> None:
    assert hpack.hpack.decode_integer(integer(value, prefix_bits), prefix_bits)[0] == value


@given(
    st.integers(100, 599),
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.one_of(st.none(), st.from_regex(r"[0-9]{1,5}", fullmatch=True)),
    st.booleans(),
)
def test_an_answer_is_read_as_it_was_meant(status: int, fields, retry_after: str | None, huffman: bool) -> None:
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    said = [(":status", str(status)), *fields]
    if retry_after is not None:
        said.append(("Retry-After".lower(), retry_after))
    fields_told = [value for name, value in fields if name == "retry-after"]
    block = encoder.encode(said, huffman=huffman)
    if sum(len(name) + len(value) + 32 for name, value in said) > 16_000:
        return
    head = answer_head(block)
    assert head.status == status
    assert head.retry_after == (retry_after or (fields_told[-1] if fields_told else None))


def test_a_block_that_goes_by_a_dynamic_table_is_refused() -> None:
    encoder = hpack.Encoder()
    said = [(":status", "200"), ("date", "today"), ("server", "a")]
    assert answer_head(b"\x20" + encoder.encode(said)).status == 200  # it says that the table is none, and adds to it
    with pytest.raises(WireError):
        answer_head(encoder.encode(said))  # by what it has added
    with pytest.raises(WireError):
        answer_head(b"\x3f\xe1\x1f\x88")  # a table of 4096 bytes


@given(st.binary(max_size=200))
def test_no_bytes_of_a_block_do_more_than_fail(block: bytes) -> None:
    try:
        head = answer_head(block)
    except WireError:
        return
    assert 0 <= head.status <= 999


@given(st.sampled_from([DATA, HEADERS]), st.integers(0, 255), st.binary(max_size=60))
def test_no_padding_does_more_than_fail(kind: int, flags: int, payload: bytes) -> None:
    try:
        found = content(kind, flags, payload)
    except WireError:
        return
    assert len(found) <= len(payload)
    assert found in payload


def test_padding_and_priority_are_taken_off() -> None:
    assert content(HEADERS, PADDED | PRIORITY, b"\x02" + b"prio!" + b"block" + b"\0\0") == b"block"
    assert content(DATA, PADDED, b"\x00body") == b"body"
    with pytest.raises(WireError):
        content(DATA, PADDED, b"\x05body")


@given(st.binary(max_size=60))
def test_no_settings_do_more_than_fail(payload: bytes) -> None:
    try:
        settings = read_settings(payload)
    except WireError:
        return
    assert settings.stream_window is None or settings.stream_window < 1 << 31


@pytest.mark.parametrize(
    ("lines", "plain"),
    [
        (["a: b", "expect:"], True),
        ([], True),
        (["a: b\nc: d"], False),
        (["a: b\r"], False),
        (["a: \0"], False),
        (["Host: other"], False),
        (["content-length: 1"], False),
        (["Transfer-Encoding: chunked"], False),
        ([":path: /"], False),
        (["a:b"], False),
        (["a:  b"], False),
        (["a: b "], False),
        (["a: ü"], False),
        (["nocolon"], False),
        (["host:"], False),
    ],
)
def test_lines_that_say_more_than_a_header_are_not_plain(lines: list[str], plain: bool) -> None:
    assert is_plain(lines) is plain
