"""What a CPU second of a CoAP process is worth: ours, aiocoap's and libcoap's under the same load on loopback.

The load comes from this process: so many peers, each with one request under way. Subject and load share one CPU, so the
subject finds its socket full, as under overload, and a fast subject is not paid for waiting. Only the subject's own CPU
time is counted, of which the kernel's part for the datagrams is most.

`coap/get` is a fixed text: a static body of ours, the index of libcoap's server. `coap/get-by-handler` is an answer
that the application gives to each request: ours by an event, libcoap's by its /time. aiocoap has handlers only.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.load_peers import ClearPeer, SecurePeer
from bench.rows import Row, row
from firmcast.coap.block import Block, encode_block
from firmcast.coap.codes import Code, MessageType, OptionNumber
from firmcast.coap.message import Message, decode, encode
from firmcast.coap.options import encode_options, options

_PEERS = 100
_PUSH_PEERS = 50
_BODY_SIZE = 256 * 1024
_BLOCKS = _BODY_SIZE // 1024
_ANSWER_TIMEOUT = 2.0
_START_TIMEOUT = 20.0
_WARM_UP = 0.3
_TURNS = 50
_LIBCOAP = "coap-server-notls"
_UNIT = "requests/CPU-s"


def run(seconds: float) -> tuple[list[Row], list[str]]:
    """Measure for `seconds` per subject; return the rows, and why rows are missing."""
    with _one_cpu():
        return _rows(seconds)


def _rows(seconds: float) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    left_out: list[str] = []
    libcoap = shutil.which(_LIBCOAP)
    with _python("serve", "ours") as ours, _python("serve", "ours-secure") as secure:
        dynamic = _measure(ours, seconds, _gets(("greeting",)))
        static = _measure(ours, seconds, _gets(("static",)))
        blocks_in_clear = _LoadedServer(ours, _blocks(("firmware",)))
        blocks_in_sessions = _LoadedServer(secure, _blocks(("firmware",)), secure=True)
        block2, through_sessions = _measure_in_turns([blocks_in_clear, blocks_in_sessions], seconds)
    rows.append(row("coap/block2/dtls-of-nosec", through_sessions, _UNIT, "ours in clear", block2))
    with _python("serve", "aiocoap") as aiocoap:
        answered = _measure(aiocoap, seconds, _gets(("greeting",)))
        rows.append(row("coap/get/over-aiocoap", static, _UNIT, "aiocoap", answered))
        rows.append(row("coap/get-by-handler/over-aiocoap", dynamic, _UNIT, "aiocoap", answered))
        reference = _measure(aiocoap, seconds, _blocks(("firmware",)))
        rows.append(row("coap/block2/over-aiocoap", block2, _UNIT, "aiocoap", reference))
    if libcoap is None:
        left_out.append(f"coap/*/over-libcoap: {_LIBCOAP} is not installed")
    else:
        with _libcoap(libcoap) as server:
            fixed = _measure(server, seconds, _gets(()))
            rows.append(row("coap/get/over-libcoap", static, _UNIT, "libcoap coap-server", fixed))
            answered = _measure(server, seconds, _gets(("time",)))
            rows.append(row("coap/get-by-handler/over-libcoap", dynamic, _UNIT, "libcoap coap-server", answered))
            _store(server[1])
            blocks = _measure(server, seconds, _blocks(("example_data",)))
            rows.append(row("coap/block2/over-libcoap", block2, _UNIT, "libcoap coap-server", blocks))
    pushed = [_measure_push(engine, seconds) for engine in ("ours", "aiocoap")]
    rows.append(row("coap/block1/over-aiocoap", pushed[0], "blocks/CPU-s", "aiocoap", pushed[1]))
    return rows, left_out


# Subjects.

_Server = tuple[int, int]
"""Process id and port."""


@contextlib.contextmanager
def _one_cpu() -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def _python(role: str, engine: str) -> Iterator[_Server]:
    command = [sys.executable, "-m", "bench.coap_subject", role, engine, str(_BODY_SIZE)]
    with _process(command) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())


@contextlib.contextmanager
def _libcoap(program: str) -> Iterator[_Server]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # -d: the resource that is put there; -v 0: no log.
    with _process([program, "-A", "127.0.0.1", "-p", str(port), "-d", "10", "-v", "0"]) as process:
        yield process.pid, port


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Load on a server: in each round every peer sends one request and then takes its answer.

_Load = Callable[[int, int], bytes]
"""(peer, round) -> everything of a request after its message id."""


def _gets(path: tuple[str, ...]) -> _Load:
    tail = b"load" + encode_options(options(uri_path=path))
    return lambda _peer, _round: tail


def _blocks(path: tuple[str, ...]) -> _Load:
    tails = [
        b"load" + encode_options(options(uri_path=path, block2=Block(number, False, 6))) for number in range(_BLOCKS)
    ]
    return lambda _peer, number: tails[number % _BLOCKS]


class _LoadedServer:
    """A server and the load on it, which goes on where it stopped."""

    def __init__(self, server: _Server, load: _Load, *, secure: bool = False) -> None:
        self._pid, self._port = server
        self._load = load
        self._secure = secure
        self._peers: list[ClearPeer] = []
        self._number = 0

    @contextlib.contextmanager
    def peers(self) -> Iterator[None]:
        """Have peers, with their sessions, and everything warm."""
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(_PEERS)]
            for sock in sockets:
                sock.connect(("127.0.0.1", self._port))
                sock.settimeout(_ANSWER_TIMEOUT)
            if not self._secure:
                _wait_for_answer(sockets[0], self._load(0, 0))
            self._peers = [SecurePeer(sock) if self._secure else ClearPeer(sock) for sock in sockets]
            self.ask(_WARM_UP)
            yield

    def ask(self, seconds: float) -> int:
        """Put the load on for so long; return how many requests that were."""
        first = self._number
        self._number = _rounds(self._peers, self._load, first, time.monotonic() + seconds)
        return (self._number - first) * _PEERS

    def cpu_seconds(self) -> float:
        """Return what the server has used of the processor since its start."""
        return _cpu_seconds(self._pid)


def _measure(server: _Server, seconds: float, load: _Load) -> float:
    return _measure_in_turns([_LoadedServer(server, load)], seconds)[0]


def _measure_in_turns(servers: Sequence[_LoadedServer], seconds: float) -> list[float]:
    """Return the requests per CPU second of each; the machine's own speed changes for all of them alike."""
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.enter_context(server.peers())
        before = [server.cpu_seconds() for server in servers]
        asked = [0] * len(servers)
        for _ in range(_TURNS):
            for index, server in enumerate(servers):
                asked[index] += server.ask(seconds / _TURNS)
        used = [server.cpu_seconds() - former for server, former in zip(servers, before, strict=True)]
    return [requests / max(spent, 0.01) for requests, spent in zip(asked, used, strict=True)]


def _rounds(peers: Sequence[ClearPeer], load: _Load, number: int, until: float) -> int:
    while time.monotonic() < until:
        head = bytes((0x44, Code.GET)) + (number & 0xFFFF).to_bytes(2, "big")
        # What the load does for its own sake it does while the subject has nothing to do.
        datagrams = [peer.wrap(head + load(index, number)) for index, peer in enumerate(peers)]
        for peer, datagram in zip(peers, datagrams, strict=True):
            peer.sock.send(datagram)
        # The last answer first: the load is woken once in a round, and not by each answer.
        datagrams = [peer.sock.recv(2048) for peer in reversed(peers)]
        for peer, datagram in zip(reversed(peers), datagrams, strict=True):
            answer = peer.unwrap(datagram)
            if answer[1] != Code.CONTENT or answer[2:4] != head[2:4]:
                raise RuntimeError(f"the subject answered {answer[:40]!r}")
        number += 1
    return number


def _wait_for_answer(peer: socket.socket, tail: bytes) -> None:
    # The subject may not listen yet: a refused datagram is sent again.
    deadline = time.monotonic() + _START_TIMEOUT
    peer.settimeout(0.1)
    while True:
        with contextlib.suppress(OSError):
            peer.send(bytes((0x44, Code.GET, 0xFF, 0xFF)) + tail)
            if peer.recv(2048)[2:4] == b"\xff\xff":
                break
        if time.monotonic() > deadline:
            raise RuntimeError("the subject does not answer")
    peer.settimeout(_ANSWER_TIMEOUT)


def _store(port: int) -> None:
    """Put the body at libcoap's server, block by block."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect(("127.0.0.1", port))
        peer.settimeout(_ANSWER_TIMEOUT)
        for number in range(_BLOCKS):
            block = Block(number, number < _BLOCKS - 1, 6)
            pairs = options(
                uri_path=("example_data",), content_format=42, block1=block, size1=None if number else _BODY_SIZE
            )
            peer.send(encode(Message(MessageType.CON, Code.PUT, number, b"stor", pairs, bytes(1024))))
            code = decode(peer.recv(2048)).code
            if code not in {Code.CONTINUE, Code.CREATED, Code.CHANGED}:
                raise RuntimeError(f"libcoap's server does not take the body: {code}")


# Load on a client: devices that take what is pushed at them.


def _measure_push(engine: str, seconds: float) -> float:
    with contextlib.ExitStack() as stack:
        devices = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(_PUSH_PEERS)]
        for device in devices:
            device.bind(("127.0.0.1", 0))
            device.settimeout(_START_TIMEOUT)
        command = [sys.executable, "-m", "bench.coap_subject", "push", engine, str(_BODY_SIZE)]
        process = stack.enter_context(_process(command))
        assert process.stdin is not None
        process.stdin.write(" ".join(str(device.getsockname()[1]) for device in devices) + "\n")
        process.stdin.flush()
        _take_blocks(devices, time.monotonic() + _WARM_UP, least=1)
        before = _cpu_seconds(process.pid)
        blocks = _take_blocks(devices, time.monotonic() + seconds)
        return blocks / max(_cpu_seconds(process.pid) - before, 0.01)


def _take_blocks(devices: list[socket.socket], until: float, least: int = 0) -> int:
    taken = rounds = 0
    while time.monotonic() < until or rounds < least:
        for device in devices:
            datagram, peer = device.recvfrom(2048)
            device.sendto(_accept_block(datagram), peer)
            taken += 1
        rounds += 1
    return taken


def _accept_block(datagram: bytes) -> bytes:
    message = decode(datagram)
    block = message.block1
    assert block is not None
    code = Code.CONTINUE if block.more else Code.CHANGED
    pair = (int(OptionNumber.BLOCK1), encode_block(block.number, block.more, block.szx))
    return encode(Message(MessageType.ACK, code, message.message_id, message.token, (pair,)))
