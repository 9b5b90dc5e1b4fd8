"""What is written is what an independent implementation reads."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.push.sending.header_lines import WireError, check_values
from firmcast.push.sending.http1_wire import post_head


class Request:
    """Of httptools."""

    def __init__(self, data: bytes) -> None:
        self.path = b""
        self.fields: list[tuple[str, str]] = []
        self.body = b""
        self.ends = 0
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.method = parser.get_method()

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.decode(), value.decode()))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ends += 1


def head(lines: list[str], length: int, names: tuple[str, ...] = (), values: tuple[str, ...] = ()) -> bytes:
    check_values(values)
    return (post_head("host.example:8080", "/a?b=c%20d", lines, names) % (*values, length)).encode()


def is_plain(lines: list[str]) -> bool:
    try:
        head(lines, 0)
    except WireError:
        return False
    return True


NAMES = st.from_regex(r"[a-zA-Z0-9-]{1,40}", fullmatch=True).filter(lambda name: is_plain([f"{name}: x"]))
VALUES = st.from_regex(r"[!-~]([ -~]{0,1500}[!-~])?", fullmatch=True)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.integers(0, 8), st.binary(max_size=300))
def test_a_request_is_read_as_it_was_meant(fields: list[tuple[str, str]], omitted: int, body: bytes) -> None:
    lines = [f"{name}: {value}" for name, value in fields]
    lines.insert(omitted, "expect:")
    if any(":  " in line for line in lines):
        return
    expected = [("Host", "host.example:8080"), ("Accept", "*/*"), *fields, ("Content-Length", str(len(body)))]
    names, values = tuple(name for name, _ in fields), tuple(value for _, value in fields)
    for told in (head(lines, len(body)), head(["expect:"], len(body), names, values)):
        read = Request(told + body)
        assert (read.method, read.path, read.body, read.ends) == (b"POST", b"/a?b=c%20d", body, 1)
        assert read.fields == expected


def test_a_request_of_no_lines_is_one() -> None:
    assert Request(head([], 2) + b"{}").body == b"{}"
    assert Request(head(["expect:"], 2) + b"{}").body == b"{}"


def test_a_value_is_never_taken_for_the_line_that_is_left_out() -> None:
    read = Request(head(["a: expect:", "expect:", "b: expect:"], 0))
    assert read.fields[2:] == [("a", "expect:"), ("b", "expect:"), ("Content-Length", "0")]


@pytest.mark.parametrize(
    "lines",
    [
        ["a: b\r\nc: d"],
        ["a: b\nc: d"],
        ["a: b", "c: d\0"],
        ["a: b", "c"],
        ["a: "],
        ["a: b "],
        ["a:  b"],
        ["a: b\t"],
        ["a: ü"],
        ["a b: c"],
        [": c"],
        ["host: c"],
        ["Content-Length: 3"],
        ["transfer-encoding: chunked"],
        ["Connection: close"],
        ["expect: 100-continue\r\n"],
        ["a: expect:\n"],
    ],
)
def test_what_is_not_plain_is_not_said(lines: list[str]) -> None:
    with pytest.raises(WireError):
        head(lines, 2)


@pytest.mark.parametrize("name", ["a b", "", "host", "Content-Length", "a:", "a\r\nb", "ü"])
def test_a_name_that_is_not_plain_is_not_said(name: str) -> None:
    with pytest.raises(WireError):
        head([], 2, (name,), ("x",))


@pytest.mark.parametrize("value", ["b\r\nc: d", "b\nc", "b\0", "", "b ", " b", "b\t", "\tb", "ü", "\r"])
def test_a_value_that_is_not_plain_is_not_said(value: str) -> None:
    for values in (("x", value), (value, "x"), (value, value), ("of two words", value)):
        with pytest.raises(WireError):
            head([], 2, ("a", "b"), values)
