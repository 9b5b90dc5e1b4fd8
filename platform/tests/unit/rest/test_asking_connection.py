"""However the bytes are cut, both sides of a connection that asks for a certificate read what the other wrote."""

import datetime as dt
import ssl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmcast.rest.certificates import make_certificate
from firmcast.rest.client_certificates import AskingContext

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
PLAIN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    files = make_certificate(tmp_path_factory.mktemp("tls"), ["localhost"], NOW)
    return AskingContext(files.certificate, files.key)


class Wire:
    """Two sides and the buffers between them; bytes cross in the pieces that a test wants."""

    def __init__(self, context):
        self.to_server, self.from_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.to_client, self.from_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        self.client = client.wrap_bio(self.to_client, self.from_client)
        self.server = context.wrap_bio(self.to_server, self.from_server, server_side=True)

    def shake(self, piece):
        waiting = [self.client, self.server]
        while waiting:
            for side in list(waiting):
                try:
                    side.do_handshake()
                    waiting.remove(side)
                except ssl.SSLWantReadError:
                    pass
            self.cross(piece)

    def cross(self, piece):
        """Let up to `piece` bytes go each way; return whether there were any."""
        up, down = self.from_client.read(piece), self.from_server.read(piece)
        self.to_server.write(up)
        self.to_client.write(down)
        return bool(up or down)


@PLAIN
@given(
    messages=st.lists(st.binary(min_size=1, max_size=40_000), min_size=1, max_size=4),
    piece=st.integers(1, 5000),
    size=st.integers(1, 300_000),
)
def test_what_is_written_is_read(context, messages, piece, size):
    wire = Wire(context)
    wire.shake(5000)
    for message in messages:
        wire.client.write(message)
        rest = memoryview(message)
        while rest:
            rest = rest[wire.server.write(rest) :]
    wanted = b"".join(messages)
    read = {wire.client: b"", wire.server: b""}
    while any(len(found) < len(wanted) for found in read.values()):
        moved = wire.cross(max(piece, 100))
        for side in read:
            while True:
                try:
                    found = side.read(size)
                except ssl.SSLWantReadError:
                    break
                assert 0 < len(found) <= size
                read[side] += found
                moved = True
        assert moved
    assert set(read.values()) == {wanted}
    assert wire.server.pending() == 0


@PLAIN
@given(piece=st.integers(1, 50))
def test_a_handshake_in_small_pieces(context, piece):
    wire = Wire(context)
    wire.shake(piece)
    assert wire.server.version() == "TLSv1.3"
    assert wire.server.cipher()[1] == "TLSv1.3"
    assert (wire.server.getpeercert(), wire.server.compression()) == (None, None)


@PLAIN
@given(garbage=st.binary(min_size=1, max_size=300))
def test_garbage_is_an_error_of_ssl(context, garbage):
    wire = Wire(context)
    wire.to_server.write(garbage)
    wire.to_server.write_eof()
    with pytest.raises(ssl.SSLError):
        wire.server.do_handshake()


def test_data_before_the_end_is_read_before_the_end(context):
    wire = Wire(context)
    wire.shake(5000)
    wire.client.write(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        wire.client.unwrap()
    wire.cross(5000)
    assert wire.server.read(100) == b"last words"
    assert wire.server.pending() == 1, "an event loop would not ask again, and never hear of the end"
    assert wire.server.read(100) == b""
    wire.server.unwrap()
    wire.cross(5000)
    wire.client.unwrap()


def test_an_end_without_goodbye_is_an_error(context):
    wire = Wire(context)
    wire.shake(5000)
    wire.to_server.write_eof()
    with pytest.raises(ssl.SSLEOFError):
        wire.server.read(100)


def test_a_buffer_is_filled(context):
    wire = Wire(context)
    wire.shake(5000)
    wire.client.write(b"abcdef")
    wire.cross(5000)
    buffer = bytearray(4)
    assert (wire.server.read(4, memoryview(buffer)), bytes(buffer)) == (4, b"abcd")
    assert wire.server.pending()
    assert (wire.server.read(4, memoryview(buffer)), bytes(buffer[:2])) == (2, b"ef")
    assert wire.server.write(b"") == 0
