"""TLS handshakes of a port with few places and little time, on both event loops that the platform may run on."""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
import uvloop

from firmcast.rest.certificates import make_certificate
from firmcast.rest.handshakes import HandshakeEnd, Handshakes
from firmcast.rest.server import HttpsServer

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
HELLO = bytes.fromhex("1603010200010001fc0303")
"""How a ClientHello begins."""
LONG = 60.0


class Port:
    """A port that answers everybody with the same word."""

    def __init__(self, made, **bounds: Any) -> None:
        self.ends: Counter[HandshakeEnd] = Counter()
        self.handshakes = Handshakes(count=lambda end: self.ends.update([end]), **bounds)
        self.writers: list[asyncio.StreamWriter] = []
        """Of those that are silent."""
        self._made = made
        self._context = ssl.create_default_context(cafile=made.authority)

    async def start(self) -> None:
        async def answer(_scope, _receive, send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"a word"})

        self.server = await HttpsServer.start(
            answer,
            host="127.0.0.1",
            port=0,
            certificate=self._made.certificate,
            key=self._made.key,
            handshakes=self.handshakes,
        )

    async def silent(self, host: str = "127.0.0.1") -> asyncio.StreamReader:
        """Connect, and say nothing."""
        before = len(self.handshakes), self.ends.total()
        reader, writer = await asyncio.open_connection(*self.server.address, local_addr=(host, 0))
        self.writers.append(writer)
        await eventually(lambda: (len(self.handshakes), self.ends.total()) != before)
        return reader

    async def ask(self) -> bytes:
        """Ask as a client does, but in one piece with the last message of the handshake."""
        return await asyncio.get_running_loop().run_in_executor(None, self._ask)

    def _ask(self) -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        with socket.create_connection(self.server.address, timeout=10) as connection:

            def until(done: Callable[[], object]) -> object:
                while True:
                    try:
                        return done()
                    except ssl.SSLWantReadError:
                        connection.sendall(outgoing.read())
                        received = connection.recv(65536)
                        incoming.write(received) if received else incoming.write_eof()

            until(tls.do_handshake)
            tls.write(REQUEST)
            connection.sendall(outgoing.read())
            answer = b""
            while not answer.endswith(b"0\r\n\r\n"):
                answer += until(tls.read)
            return answer


async def eventually(fulfilled: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fulfilled():
            await asyncio.sleep(0.005)


async def is_ended(reader: asyncio.StreamReader) -> bool:
    """Wait until the server ends a connection."""
    async with asyncio.timeout(10):
        try:
            return await reader.read(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("made"), ["127.0.0.1"], datetime.now(UTC))


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request, made):
    """Return what runs a scene at a port with such bounds."""

    def on_loop(scene: Callable[[Port], Coroutine[Any, Any, None]], **bounds: Any) -> None:
        async def play() -> None:
            port = Port(made, **bounds)
            await port.start()
            try:
                await scene(port)
            finally:
                for writer in port.writers:
                    writer.close()
                await asyncio.gather(*(writer.wait_closed() for writer in port.writers), return_exceptions=True)
                await port.server.stop()
            assert len(port.handshakes) == 0

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(play())

    return on_loop


def test_who_says_nothing_or_too_little_is_given_up_at_the_deadline(run) -> None:
    async def scene(port: Port) -> None:
        silent = await port.silent()
        slow = await port.silent()

        async def drip() -> None:
            for byte in HELLO * 1000:
                port.writers[-1].write(bytes((byte,)))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        began = asyncio.get_running_loop().time()
        assert await is_ended(silent)
        assert await is_ended(slow)
        assert asyncio.get_running_loop().time() - began < 5
        dripping.cancel()
        await eventually(lambda: port.ends.total() == 2)
        assert port.ends == {HandshakeEnd.STALLED: 2}
        assert (await port.ask()).startswith(b"HTTP/1.1 200")

    run(scene, limit=8, deadline=0.3)


def test_a_host_has_all_the_room_that_nobody_else_wants(run) -> None:
    async def scene(port: Port) -> None:
        for _ in range(7):
            await port.silent()
        assert (await port.ask()).startswith(b"HTTP/1.1 200")
        assert (len(port.handshakes), port.ends) == (7, {})

    run(scene, limit=8, deadline=LONG)


def test_a_host_crowds_out_its_own_oldest_and_nobody_elses(run) -> None:
    async def scene(port: Port) -> None:
        other = await port.silent("127.0.0.2")
        silent = [await port.silent() for _ in range(6)]
        assert all([await is_ended(reader) for reader in silent[:3]])
        assert port.ends == {HandshakeEnd.CROWDED_OUT: 3}
        assert len(port.handshakes) == 4
        assert (await port.ask()).startswith(b"HTTP/1.1 200")
        assert port.ends == {HandshakeEnd.CROWDED_OUT: 4}
        assert not other.at_eof()

    run(scene, limit=4, deadline=LONG)


def test_where_all_places_are_taken_the_host_with_most_gives_way_to_another(run) -> None:
    async def scene(port: Port) -> None:
        first = await port.silent("127.0.0.2")
        silent = [await port.silent("127.0.0.3") for _ in range(3)]
        assert (await port.ask()).startswith(b"HTTP/1.1 200")
        assert await is_ended(silent[0])
        late = [await port.silent(f"127.0.0.{number}") for number in (4, 5)]
        assert await is_ended(silent[1])
        assert port.ends == {HandshakeEnd.CROWDED_OUT: 2}
        assert not any(reader.at_eof() for reader in (first, silent[2], *late))

    run(scene, limit=4, deadline=LONG)


def test_where_nobody_has_more_than_others_the_oldest_of_all_is_given_up(run) -> None:
    async def scene(port: Port) -> None:
        silent = [await port.silent(f"127.0.0.{number}") for number in range(2, 10)]
        assert await is_ended(silent[0])
        assert (await port.ask()).startswith(b"HTTP/1.1 200")
        assert await is_ended(silent[4])
        assert not silent[5].at_eof()
        assert port.ends == {HandshakeEnd.CROWDED_OUT: 5}

    run(scene, limit=4, deadline=LONG)


def test_what_is_no_handshake_and_who_leaves_are_failures(run) -> None:
    async def scene(port: Port) -> None:
        nonsense = await port.silent()
        port.writers[-1].write(REQUEST)
        assert (await nonsense.read())[:1] in (b"", b"\x15"), "nothing, or an alert"
        await eventually(lambda: port.ends.total() == 1)
        await port.silent()
        port.writers[-1].close()
        await eventually(lambda: port.ends.total() == 2)
        assert port.ends == {HandshakeEnd.FAILED: 2}
        assert (await port.ask()).endswith(b"a word\r\n0\r\n\r\n")

    run(scene, limit=8, deadline=LONG)


def test_the_end_of_the_server_waits_for_no_handshake(run) -> None:
    async def scene(port: Port) -> None:
        silent = await port.silent()
        await port.server.stop()
        assert await is_ended(silent)
        assert len(port.handshakes) == 0
        assert not port.ends

    run(scene, limit=8, deadline=LONG)
