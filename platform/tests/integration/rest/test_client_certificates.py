"""Whatever certificate a client has or lacks, it is served; over real sockets, on both event loops.

Clients of the vendor's platform connect with a certificate of the vendor's, long expired and of an authority that
nobody here knows (contract page, trap 11).
"""

import contextlib
import datetime as dt
import json
import os
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from firmcast.rest.application import http_application
from firmcast.rest.certificates import make_certificate
from firmcast.rest.client_certificates import AskingContext
from firmcast.rest.handshakes import Handshakes
from firmcast.rest.server import HttpsServer

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
GET = b"GET /echo HTTP/1.1\r\nHost: h\r\n\r\n"


def client_certificate(folder, kind):
    """Write a certificate and its key, signed by itself, as a client brings it; return the file."""
    key = (
        rsa.generate_private_key(65537, 1024)
        if kind == "weak"
        else rsa.generate_private_key(65537, 2048)
        if kind == "rsa"
        else ec.generate_private_key(ec.SECP256R1())
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an application")])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody knows")]) if kind == "stranger" else name
    end = NOW - 300 * DAY if kind == "expired" else NOW + 3000 * DAY
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 900 * DAY)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{kind}.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
def files(tmp_path):
    return make_certificate(tmp_path / "tls", ["127.0.0.1"], dt.datetime.now(dt.UTC))


@pytest.fixture(params=[False, True], ids=["", "bounded"])
def server(request, loop_thread, routes, files):
    """Return a server, whose handshakes are bounded or left to the event loop."""
    handshakes = Handshakes(limit=64, deadline=20.0, count=lambda _: None) if request.param else None
    server = loop_thread.run(
        HttpsServer.start(
            http_application(routes),
            host="127.0.0.1",
            port=0,
            certificate=files.certificate,
            key=files.key,
            ask_client_certificate=True,
            handshakes=handshakes,
        )
    )
    yield server
    loop_thread.run(server.stop())


@pytest.fixture
def connect(server, files, peer_of):
    def connected(certificate: Path | None = None, version=None, session=None, context=None):
        context = context or ssl.create_default_context(cafile=files.authority)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if certificate is not None:
            # A weak key is the point of one of the tests.
            context.set_ciphers("DEFAULT@SECLEVEL=0")
            context.load_cert_chain(certificate)
        plain = socket.create_connection(server.address, timeout=20)
        return peer_of(context.wrap_socket(plain, server_hostname="127.0.0.1", session=session))

    return connected


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", [None, "self-signed", "expired", "stranger", "rsa", "weak"])
def test_trap_11_any_certificate_will_do_and_none_will_too(connect, tmp_path, version, kind):
    peer = connect(client_certificate(tmp_path, kind) if kind else None, version)
    assert peer.connection.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
    for number in range(3):
        assert peer.ask(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n%d" % number)["body"] == str(
            number
        )


@pytest.mark.parametrize("version", VERSIONS)
def test_trap_11_the_server_asks_for_one(server, files, version):
    """The client's library tells whether a request for a certificate came: it is then that it looks for one."""
    from OpenSSL import SSL

    asked = []
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version({"TLSv1_2": SSL.TLS1_2_VERSION, "TLSv1_3": SSL.TLS1_3_VERSION}[version.name])
    context.set_info_callback(lambda connection, _where, _code: asked.append(connection.get_state_string()))
    connection = SSL.Connection(context, socket.create_connection(server.address, timeout=20))
    connection.set_connect_state()
    connection.get_context()
    connection._socket.setblocking(True)
    connection.do_handshake()
    connection.close()
    assert any(b"certificate request" in state for state in asked)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_resumed(connect, tmp_path, version):
    certificate = client_certificate(tmp_path, "self-signed")
    first = connect(certificate, version)
    first.ask(GET)
    second = connect(session=first.connection.session, context=first.connection.context)
    assert second.ask(GET)["method"] == "GET"
    assert second.connection.session_reused


def test_a_client_below_tls_1_2_is_refused(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLS"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLS"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(server.address, timeout=20) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain)


def test_the_protocol_is_http_1_1(server, files):
    context = ssl.create_default_context(cafile=files.authority)
    for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None)):
        context.set_alpn_protocols(offered)
        with (
            socket.create_connection(server.address, timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            assert connection.selected_alpn_protocol() == chosen


def test_a_large_body_goes_in_and_comes_out(connect):
    body = os.urandom(3 << 20).hex().encode()[: 3 << 20]
    peer = connect()
    peer.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    status, _, answer = peer.answer()
    assert (status, json.loads(answer)["body"].encode() == body) == (200, True)


def test_requests_in_one_packet_and_in_single_bytes(connect):
    peer = connect()
    peer.send(GET * 20)
    assert [peer.answer()[0] for _ in range(20)] == [200] * 20
    for number in range(len(GET)):
        peer.send(GET[number : number + 1])
    assert peer.answer()[0] == 200


def handshake_in_memory(ask, client_context):
    """Bring a client and a server together without a network; return both ends, the client's last flight unsent."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_out, client_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ask.wrap_bio(to_server, server_out, server_side=True)
    client = client_context.wrap_bio(to_client, client_out)
    for _ in range(10):
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            to_server.write(client_out.read())
        with pytest.raises(ssl.SSLWantReadError):
            server.do_handshake()
        to_client.write(server_out.read())
    return server, client, to_server, client_out


@pytest.fixture
def careless_client():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def test_what_comes_with_the_end_of_the_handshake_is_served(server, careless_client):
    """A client of TLS 1.3 may send its request in the packet that ends the handshake; curl and Java often do."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = careless_client.wrap_bio(incoming, outgoing)
    with socket.create_connection(server.address, timeout=10) as plain:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(1 << 16))
        client.write(GET)
        plain.sendall(outgoing.read())
        answer = b""
        while b"/echo" not in answer:
            incoming.write(plain.recv(1 << 16))
            with contextlib.suppress(ssl.SSLWantReadError):
                while piece := client.read():
                    answer += piece
        assert answer.startswith(b"HTTP/1.1 200 ")


def test_bytes_taken_by_a_handshake_or_a_write_are_still_told(files, careless_client):
    """Event loops read only when something is pending; what OpenSSL took in passing must be told as such."""
    server, client, to_server, client_out = handshake_in_memory(
        AskingContext(files.certificate, files.key), careless_client
    )
    client.write(b"first")
    to_server.write(client_out.read())
    server.do_handshake()
    assert server.pending()
    assert server.read() == b"first"
    assert not server.pending()
    client.write(b"second")
    to_server.write(client_out.read())
    server.write(b"an answer")
    assert server.pending()
    assert server.read() == b"second"
    with pytest.raises(ssl.SSLWantReadError):
        server.read()
    assert not server.pending()


def test_the_clients_goodbye_is_answered(connect):
    peer = connect()
    peer.ask(GET)
    peer.file.close()
    peer.connection.unwrap().close()


def test_the_servers_goodbye_is_said(connect):
    peer = connect()
    peer.send(b"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert peer.answer()[0] == 200
    # Without close_notify this would raise SSLEOFError.
    assert peer.connection.read() == b""


def test_whoever_vanishes_harms_nobody(server, connect):
    """Half a handshake, garbage, a reset within a request and a wait in silence: others are served meanwhile."""
    silent = socket.create_connection(server.address)
    half = socket.create_connection(server.address)
    half.sendall(bytes.fromhex("1603010200010001fc0303"))
    garbage = socket.create_connection(server.address)
    garbage.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 3)
    assert connect().ask(GET)["path"] == "/echo"
    reset = connect()
    reset.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf of it")
    reset.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    reset.close()
    assert connect().ask(GET)["path"] == "/echo"
    for connection in (silent, half, garbage):
        connection.close()
    assert connect().ask(GET)["path"] == "/echo"


def test_a_key_that_is_not_the_certificates_is_refused(files, tmp_path):
    other = make_certificate(tmp_path / "other", ["127.0.0.1"], dt.datetime.now(dt.UTC))
    with pytest.raises(ssl.SSLError):
        AskingContext(files.certificate, other.key)
    with pytest.raises(FileNotFoundError):
        AskingContext(tmp_path / "none", files.key)
    (tmp_path / "garbage").write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        AskingContext(tmp_path / "garbage", files.key)


def test_the_context_serves_and_does_not_connect(files):
    context = AskingContext(files.certificate, files.key)
    with pytest.raises(ValueError, match="does not connect"):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=False, server_hostname="h")
