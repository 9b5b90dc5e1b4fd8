"""Secure sessions over real sockets: our own client, OpenSSL's and libcoap's."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from firmcast.coap.codes import Code, MessageType
from firmcast.coap.dtls.client import DtlsClient
from firmcast.coap.dtls.parameters import HandshakeOutcome
from firmcast.coap.dtls.peers import identity_of, secure_peer
from firmcast.coap.dtls.server import DtlsServer
from firmcast.coap.events import Event, FailureReason, Peer, RequestReceived
from firmcast.coap.message import Message, decode, encode
from firmcast.coap.options import options
from firmcast.coap.parameters import TransmissionParameters
from firmcast.coap.static_bodies import StaticBody
from firmcast.coap.udp import RequestFailedError, UdpEndpoint

KEY = b"0123456789abcdef"
WRONG_KEY = b"fedcba9876543210"
BODY = bytes(range(256)) * 200
QUICK = TransmissionParameters(ack_timeout=0.1, max_retransmit=2)


class SecureServer:
    """A server that says who asks, and has a large body."""

    def __init__(self) -> None:
        self.udp = UdpEndpoint.closed(on_event=self.handle)
        self.dtls: DtlsServer
        self.outcomes: Counter[HandshakeOutcome] = Counter()
        self.counted = asyncio.Event()
        self.peers: list[Peer] = []
        body = StaticBody(BODY, etag=b"e")
        self.udp.endpoint.fast_route(lambda request, _: body if request.uri_path == ("body",) else None)

    async def open(self) -> "SecureServer":
        loop = asyncio.get_running_loop()

        def make(deliver: Callable, transmit: Callable, ended: Callable) -> DtlsServer:
            self.dtls = DtlsServer(
                deliver=deliver,
                transmit=transmit,
                ended=ended,
                look_up=lambda identity: loop.call_soon(self.answer, identity) and None,
                count=self.count,
            )
            return self.dtls

        await self.udp.listen_securely("127.0.0.1", 0, make)
        return self

    def answer(self, identity: str) -> None:
        self.dtls.key_found(identity, KEY if identity.startswith("device") else None, self.udp.now())
        self.udp.flush()

    def count(self, outcome: HandshakeOutcome) -> None:
        self.outcomes[outcome] += 1
        self.counted.set()

    async def until(self, outcome: HandshakeOutcome, times: int = 1) -> None:
        while self.outcomes[outcome] < times:
            self.counted.clear()
            await self.counted.wait()

    def handle(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self.peers.append(event.peer)
            text = event.payload or (identity_of(event.peer) or "nobody").encode()
            self.udp.respond(event, Code.CONTENT, payload=text)


@pytest.fixture
async def server() -> AsyncIterator[SecureServer]:
    made = await SecureServer().open()
    yield made
    made.udp.close()


OpenClient = Callable[..., "asyncio.Future[tuple[UdpEndpoint, Peer, DtlsClient]]"]


@pytest.fixture
async def open_client(server: SecureServer) -> AsyncIterator[OpenClient]:
    opened: list[UdpEndpoint] = []

    async def build(
        identity: str = "device-1", key: bytes = KEY, ack_timeout: float = QUICK.ack_timeout
    ) -> tuple[UdpEndpoint, Peer, DtlsClient]:
        udp = UdpEndpoint.closed(parameters=replace(QUICK, ack_timeout=ack_timeout))
        layers: list[DtlsClient] = []

        def make(deliver: Callable, transmit: Callable, ended: Callable) -> DtlsClient:
            layers.append(DtlsClient(identity=identity, key=key, deliver=deliver, transmit=transmit, ended=ended))
            return layers[0]

        await udp.listen_securely("127.0.0.1", 0, make)
        opened.append(udp)
        return udp, layers[0].peer(server.udp.address), layers[0]

    yield build
    for udp in opened:
        udp.close()


async def test_requests_and_large_bodies_go_through_a_session(server: SecureServer, open_client: OpenClient) -> None:
    udp, peer, _ = await open_client()
    assert (await udp.request(peer, Code.GET, options=options(uri_path=("who",)))).payload == b"device-1"
    assert (await udp.request(peer, Code.GET, options=options(uri_path=("body",)))).payload == BODY
    assert (await udp.request(peer, Code.PUT, payload=BODY)).payload == BODY
    assert server.dtls.session_count == 1


async def test_a_server_asks_its_client(server: SecureServer, open_client: OpenClient) -> None:
    udp, peer, _ = await open_client()
    await udp.request(peer, Code.GET)
    udp._on_event = lambda event: udp.respond(event, Code.CONTENT, payload=b"from the device")
    assert (await server.udp.request(server.peers[0], Code.GET)).payload == b"from the device"


async def test_a_request_to_a_peer_without_a_session_fails_at_once(server: SecureServer) -> None:
    with pytest.raises(RequestFailedError) as failed:
        await server.udp.request(secure_peer(("127.0.0.1", 9), "device-1"), Code.GET)
    assert failed.value.reason is FailureReason.UNREACHABLE
    with pytest.raises(RequestFailedError):
        await server.udp.request(("127.0.0.1", 9), Code.GET)


async def test_an_unknown_identity_hears_so_and_a_wrong_key_nothing(
    server: SecureServer, open_client: OpenClient
) -> None:
    udp, peer, _ = await open_client("stranger")
    with pytest.raises(RequestFailedError):
        await udp.request(peer, Code.GET)
    assert server.outcomes[HandshakeOutcome.UNKNOWN_IDENTITY] >= 1
    udp, peer, _ = await open_client(key=WRONG_KEY)
    with pytest.raises(RequestFailedError):
        await udp.request(peer, Code.GET)
    assert server.dtls.session_count == 0
    assert server.peers == []


async def test_a_device_that_lost_its_session_makes_another(server: SecureServer, open_client: OpenClient) -> None:
    udp, peer, layer = await open_client()
    await udp.request(peer, Code.GET)
    layer.forget(peer, udp.now())
    assert (await udp.request(peer, Code.GET)).payload == b"device-1"
    assert server.dtls.session_count == 1


async def test_either_side_ends_a_session_and_the_other_hears_so(server: SecureServer, open_client: OpenClient) -> None:
    udp, peer, layer = await open_client()
    await udp.request(peer, Code.GET)
    server.udp.end_session(server.peers[0])
    while layer._associations:
        await asyncio.sleep(0.001)
    assert server.dtls.session_count == 0
    server.udp.end_session(server.peers[0])
    await udp.request(peer, Code.GET)
    udp.end_session(peer)
    assert not layer._associations
    while server.dtls.session_count:
        await asyncio.sleep(0.001)


async def test_records_of_no_session_are_told_by_their_address(server: SecureServer, open_client: OpenClient) -> None:
    strays: list[Peer] = []
    server.dtls._stray = strays.append
    udp, peer, layer = await open_client(ack_timeout=0.05)
    await udp.request(peer, Code.GET)
    sessions = server.dtls._sessions
    sessions._end(sessions.of_peer[server.peers[0]], server.udp.now())  # as if another process had it
    with pytest.raises(RequestFailedError):
        await udp.request(peer, Code.GET)
    assert set(strays) == {udp.address}
    layer.forget(peer, udp.now())
    assert (await udp.request(peer, Code.GET)).payload == b"device-1"


async def test_a_lost_last_flight_is_sent_again(server: SecureServer, open_client: OpenClient) -> None:
    """The client sends its own again, a second later, and finds that the server took it for done."""
    transmit, lost = server.dtls._transmit, []

    def lose_first(datagram: bytes, address: Peer) -> None:
        if datagram[0] == 20 and not lost:
            lost.append(datagram)
        else:
            transmit(datagram, address)

    server.dtls._handshaking._transmit = lose_first
    udp, peer, _ = await open_client(ack_timeout=10.0)
    assert (await udp.request(peer, Code.GET)).payload == b"device-1"
    assert len(lost) == 1


# Independent clients.


async def _run(*command: str, told: bytes = b"") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(told)
    return process.returncode or 0, output.decode(errors="replace")


@pytest.mark.parametrize(
    "suite", ["PSK-AES128-CCM8", "PSK-AES128-CCM", "PSK-AES128-GCM-SHA256", "PSK-AES128-CBC-SHA256"]
)
async def test_openssl_completes_a_handshake(server: SecureServer, suite: str) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is not installed")
    where = f"127.0.0.1:{server.udp.address[1]}"
    status, output = await _run(
        *(openssl, "s_client", "-dtls1_2", "-connect", where, "-cipher", f"{suite}:@SECLEVEL=0"),
        *("-psk_identity", "device-1", "-psk", KEY.hex()),
    )
    assert status == 0, output
    assert suite in output
    await server.until(HandshakeOutcome.COMPLETED)


@pytest.mark.parametrize("library", ["openssl", "gnutls"])
async def test_libcoap_fetches_a_body(server: SecureServer, library: str, tmp_path: Path) -> None:
    client = shutil.which(f"coap-client-{library}")
    if client is None:
        pytest.skip(f"coap-client-{library} is not installed (Debian: libcoap3-bin)")
    base = f"coaps://127.0.0.1:{server.udp.address[1]}"
    identified = ("-u", "device-1", "-k", KEY.decode(), "-B", "20")
    status, output = await _run(client, *identified, f"{base}/who")
    assert (status, output.strip()) == (0, "device-1")
    target = tmp_path / "body"
    status, output = await _run(client, *identified, "-b", "1024", "-o", str(target), f"{base}/body")
    assert status == 0, output
    assert target.read_bytes() == BODY


@pytest.mark.parametrize(("longest", "block"), [(512, 256), (1024, 512), (2048, 1024)])
async def test_blocks_fit_into_the_fragments_that_a_client_asks_for(
    server: SecureServer, longest: int, block: int
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is not installed")
    process = await asyncio.create_subprocess_exec(
        *(openssl, "s_client", "-quiet", "-dtls1_2", "-connect", f"127.0.0.1:{server.udp.address[1]}"),
        *("-cipher", "PSK-AES128-CCM8:@SECLEVEL=0", "-psk_identity", "device-1", "-psk", KEY.hex()),
        *("-maxfraglen", str(longest)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    written = b""
    try:
        process.stdin.write(encode(Message(MessageType.CON, Code.GET, 1, b"t")))
        async with asyncio.timeout(20):
            assert decode(await process.stdout.read(4096)).payload == b"device-1"
            asked = asyncio.ensure_future(server.udp.request(server.peers[0], Code.PUT, payload=BODY))
            while len(written) < len(BODY):
                # The command writes what is longer than its buffer in pieces; every block of this body is a whole one.
                told = await process.stdout.read(4096)
                while len(decode(told).payload) < block:
                    told += await process.stdout.read(4096)
                request = decode(told)
                at = request.block1
                assert at is not None
                assert at.size == block
                written += request.payload
                code = Code.CONTINUE if at.more else Code.CHANGED
                answer = Message(MessageType.ACK, code, request.message_id, request.token, options(block1=at))
                process.stdin.write(encode(answer))
            assert (await asked).code == Code.CHANGED
    finally:
        process.kill()
        await process.wait()
    assert written == BODY
