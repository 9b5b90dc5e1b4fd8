"""Receivers and networks that break an attempt in the middle, or never let it end."""

import asyncio
import gzip
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from ipaddress import ip_network
from textwrap import dedent

import pytest

from firmcast.push.answer import FailureKind
from firmcast.push.destination import DestinationRules
from firmcast.push.http_sender import HttpSender, OutgoingRequest, SenderLimits

LOOPBACK = DestinationRules(allowed_networks=(ip_network("127.0.0.0/8"),))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER so that closing sends a reset."""


def post(url: str, *headers: str, body: bytes = b"{}") -> OutgoingRequest:
    return OutgoingRequest(url=url, headers=["expect:", *headers], body=body)


@contextmanager
def resetting(reads: int) -> Iterator[int]:
    """A server that resets its first connection once it has read so many bytes, and answers on the others."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            first, _ = listener.accept()
            taken = 0
            while taken < reads and (data := first.recv(min(65536, reads - taken))):
                taken += len(data)
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            first.close()
            second, _ = listener.accept()
            with second:
                while not second.recv(65536).endswith(b"{}"):
                    pass
                second.sendall(OK)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("reads", "size"), [(0, 2), (20, 2), (200_000, 4_000_000)], ids=["before", "within the head", "within the body"]
)
async def test_a_reset_is_a_failed_attempt_and_leaves_nothing_behind(sender: HttpSender, reads: int, size: int) -> None:
    with resetting(reads) as port:
        answer = await sender.send(post(f"http://127.0.0.1:{port}/", body=b"x" * size))
        # A reset that comes before the request is seen while the connection is made, or just after.
        expected = {FailureKind.CONNECTION_LOST} if reads else {FailureKind.CONNECTION_LOST, FailureKind.CONNECT}
        assert answer.status is None
        assert answer.failure in expected
        assert (await sender.send(post(f"http://127.0.0.1:{port}/"))).status == 200
    assert sender.in_flight == 0


async def test_a_reset_after_the_request_is_the_same(sender: HttpSender, callback) -> None:
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        if len(callback.requests) == 1:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            return False
        writer.write(OK)
        return True

    callback.script = script
    answer = await sender.send(post(callback.url()))
    assert (answer.status, answer.failure) == (None, FailureKind.CONNECTION_LOST)
    assert (await sender.send(post(callback.url()))).status == 200


async def test_a_lost_request_is_made_again_once_and_no_more(sender: HttpSender, callback) -> None:
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        if len(callback.requests) > 1:
            return False
        writer.write(OK)
        return True

    callback.script = script
    assert (await sender.send(post(callback.url()))).status == 200
    answer = await sender.send(post(callback.url()))
    assert (answer.status, answer.failure) == (None, FailureKind.CONNECTION_LOST)
    assert [received.connection for received in callback.requests] == [1, 1, 2]


async def test_what_was_answered_in_part_is_not_made_again(sender: HttpSender, callback) -> None:
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        writer.write(OK if len(callback.requests) == 1 else b"HTTP/1.1 200 OK\r\nContent-")
        return len(callback.requests) == 1

    callback.script = script
    assert (await sender.send(post(callback.url()))).status == 200
    answer = await sender.send(post(callback.url()))
    assert answer.status is None
    assert [received.connection for received in callback.requests] == [1, 1]


async def test_a_host_that_never_answers_a_dial_ends_the_attempt_at_the_connect_timeout() -> None:
    limits = SenderLimits(attempt_timeout=timedelta(seconds=20), connect_timeout=timedelta(milliseconds=300))
    sender = HttpSender(rules=LOOPBACK, limits=limits)
    with ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(4):  # once the queue is full, the kernel drops what asks to come in
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(hole.getsockname())
        answer = await sender.send(post(f"http://127.0.0.1:{hole.getsockname()[1]}/"))
    sender.close()
    assert (answer.status, answer.failure) == (None, FailureKind.CONNECT_TIMEOUT)
    assert 0.2 < answer.duration < 10


@pytest.mark.parametrize("dripped", [b"X-%d: y\r\n", b"X: %d"], ids=["many heads", "one head"])
async def test_heads_without_end_end_at_the_one_deadline(callback, dripped: bytes) -> None:
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(1 << 30):
            writer.write(dripped % number)
            await writer.drain()
            await asyncio.sleep(0.02)
        return False

    callback.script = script
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(attempt_timeout=timedelta(milliseconds=400)))
    answer = await sender.send(post(callback.url()))
    sender.close()
    assert (answer.status, answer.failure) == (None, FailureKind.TIMEOUT)
    assert 0.3 < answer.duration < 5


@pytest.mark.parametrize("text", ["a\r\nx-evil: 1", "a\nx-evil: 1", "a\rx-evil: 1", "a\x00x-evil: 1"])
async def test_no_header_can_carry_another(sender: HttpSender, callback, text: str) -> None:
    answer = await sender.send(post(callback.url(), f"webhook-id: {text}"))
    assert (answer.status, answer.failure) == (None, FailureKind.LOCAL)
    await sender.send(post(callback.url(f"/{text}")))
    assert (await sender.send(post(callback.url()))).status == 200
    assert [received.headers.get("x-evil") for received in callback.requests] == [None]


_MEASURED = dedent(
    """
    import asyncio, json, sys
    from datetime import timedelta
    from ipaddress import ip_network
    from pathlib import Path
    from firmcast.push.destination import DestinationRules
    from firmcast.push.http_sender import HttpSender, OutgoingRequest, SenderLimits

    def reset_peak():
        Path("/proc/self/clear_refs").write_text("5")
        return peak()

    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    async def main(ports):
        rules = DestinationRules(allowed_networks=(ip_network("127.0.0.0/8"),))
        sender = HttpSender(rules=rules, limits=SenderLimits(attempt_timeout=timedelta(seconds=5)))
        told = []
        calm, *bad = (OutgoingRequest(url=f"http://127.0.0.1:{port}/", body=b"{}") for port in ports)
        for _ in range(50):
            await sender.send(calm)
        for request in bad:
            await sender.send(request)  # once before it counts: code is loaded and pools are filled
            before = reset_peak()
            answers = [await sender.send(request) for _ in range(10)]
            told.append((peak() - before, answers[-1].status))
        before = reset_peak()
        kept = bytearray(b"x") * (2 << 20)
        told.append((peak() - before, len(kept)))
        sender.close()
        print(json.dumps(told))

    asyncio.run(main([int(port) for port in sys.argv[1:]]))
    """
)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the kernel does not tell the peak")
async def test_no_answer_makes_the_sender_grow(new_callback) -> None:
    """Ten answers of each bad kind grow it by less than 1 MiB; that 2 MiB more would be seen is tried at the end."""
    offered: list[int] = []
    bomb = gzip.compress(bytes(64 << 20))

    async def pour(writer: asyncio.StreamWriter, head: bytes, piece: bytes, times: int) -> bool:
        writer.write(head)
        for _ in range(times):
            writer.write(piece)
            await writer.drain()
            offered.append(len(piece))
        return False

    scripts = {
        "a gigabyte": lambda _, writer: pour(
            writer, b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", b"z" * 65536, 16384
        ),
        "no length": lambda _, writer: pour(writer, b"HTTP/1.1 200 OK\r\n\r\n", b"z" * 65536, 16384),
        "a bomb": lambda _, writer: pour(
            writer, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb), bomb, 1
        ),
        "heads": lambda _, writer: pour(writer, b"HTTP/1.1 200 OK\r\n", b"X: %b\r\n" % (b"h" * 65536), 100),
    }
    callbacks = [await new_callback()]
    for script in scripts.values():
        callbacks.append(await new_callback())
        callbacks[-1].script = script
    measured = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _MEASURED, *(str(each.port) for each in callbacks), stdout=subprocess.PIPE
    )
    output, _ = await measured.communicate()
    assert measured.returncode == 0
    *growths, (control, _) = json.loads(output)
    for name, (growth, status), served in zip(scripts, growths, callbacks[1:], strict=True):
        assert growth < 1024, name
        assert status == (None if name == "heads" else 200), name
        assert len(served.requests) == 11, name
    assert sum(offered) > 1 << 20
    assert control > 1536


@pytest.mark.parametrize("connections", [1, 5, 7, 12])
async def test_a_receiver_that_has_ended_all_kept_connections_is_told_on_a_new_one(callback, connections: int) -> None:
    """It ends them when it starts anew; libcurl by itself tries six that it had kept, and gives up."""
    everyone = asyncio.Barrier(connections)

    async def script(request, writer: asyncio.StreamWriter) -> bool:
        if len(callback.requests) <= connections:
            await everyone.wait()
        elif request.connection <= connections:
            return False
        writer.write(OK)
        return True

    callback.script = script
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits())
    answers = await asyncio.gather(*(sender.send(post(callback.url())) for _ in range(connections)))
    assert {answer.status for answer in answers} == {200}
    assert callback.connections == connections
    answer = await sender.send(post(callback.url(), body=b"told"))
    assert (answer.status, answer.failure) == (200, None)
    assert callback.requests[-1].body == b"told"
    assert callback.connections == connections + 1
    sender.close()


async def test_a_receiver_that_ends_every_connection_fails_the_attempt_after_a_new_one(callback) -> None:
    everyone = asyncio.Barrier(7)

    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        if len(callback.requests) > 7:
            return False
        await everyone.wait()
        writer.write(OK)
        return True

    callback.script = script
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits())
    await asyncio.gather(*(sender.send(post(callback.url())) for _ in range(7)))
    answer = await sender.send(post(callback.url()))
    assert (answer.status, answer.failure) == (None, FailureKind.CONNECTION_LOST)
    assert callback.connections == 8
    sender.close()
