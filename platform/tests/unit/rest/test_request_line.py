"""A request line is mended alike however it is cut, and what comes after it is left alone."""

from hypothesis import given
from hypothesis import strategies as st

from firmcast.rest.request_line import RequestLine

LINES = st.text(alphabet="GET /a?é水=\r ", min_size=1).map(str.encode).filter(lambda line: line.strip(b"\r"))


@given(
    before=st.sampled_from([b"", b"\r\n", b"\n\n"]),
    line=LINES.map(lambda line: line.lstrip(b"\r")),
    after=st.binary(),
    data=st.data(),
)
def test_it_does_not_matter_how_it_is_cut(before: bytes, line: bytes, after: bytes, data: st.DataObject) -> None:
    whole = before + line + b"\n" + after
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)))))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    mender = RequestLine()
    mended = b"".join(mender.mended(piece) if mender.is_open else piece for piece in pieces)
    encoded = b"".join(bytes((byte,)) if byte < 0x80 else b"%%%02X" % byte for byte in line)
    assert mended == before + encoded + b"\n" + after
    assert not mender.is_open


def test_the_next_request_has_a_line_again() -> None:
    mender = RequestLine()
    assert mender.mended("GET /é HTTP/1.1\r\n".encode()) == b"GET /%C3%A9 HTTP/1.1\r\n"
    assert not mender.is_open
    mender.begin_anew()
    assert mender.is_open
    assert mender.mended("é".encode()) == b"%C3%A9"
