"""No packet goes to an address that is not permitted, whatever a name resolves to and whenever it does."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from ipaddress import ip_network

import pycurl
import pytest

from firmcast.push.answer import FailureKind
from firmcast.push.destination import DestinationRules
from firmcast.push.http_sender import HttpSender, OutgoingRequest, SenderLimits
from firmcast.push.trust import Trust

SECOND_ONLY = DestinationRules(allowed_networks=(ip_network("127.0.0.2/32"),))
CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture
async def second_only() -> AsyncIterator[HttpSender]:
    sender = HttpSender(rules=SECOND_ONLY, limits=SenderLimits())
    yield sender
    sender.close()


def resolve(sender: HttpSender, name: str, port: int, *addresses: str) -> None:
    """Have libcurl find these addresses for a name, as if a resolver had said so just now."""
    slot = sender._slot(Trust())
    slot.handle.setopt(pycurl.RESOLVE, [f"{name}:{port}:{','.join(addresses)}"])
    sender._put_back(slot)


@contextmanager
def listening(address: str, port: int) -> Iterator[socket.socket]:
    """A listener that accepts nothing by itself: whoever dialled it waits in its queue."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        listener.setblocking(False)
        yield listener


def dialled(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


async def answer_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(CLOSING)
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("order", [("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.1"), ("::1", "127.0.0.2")])
async def test_of_mixed_records_only_those_that_are_permitted_are_dialled(second_only, order) -> None:
    server = await asyncio.start_server(answer_and_close, "127.0.0.2", 0)
    port = server.sockets[0].getsockname()[1]
    forbidden = next(address for address in order if address != "127.0.0.2")
    with listening(forbidden, port) as trap:
        resolve(second_only, "mixed.example", port, *order)
        answer = await second_only.send(OutgoingRequest(url=f"http://mixed.example:{port}/", body=b"{}"))
        assert (answer.status, answer.address) == (200, "127.0.0.2")
        assert not dialled(trap)
    server.close()


async def test_a_permitted_address_that_is_down_does_not_make_a_forbidden_one_good(second_only) -> None:
    with socket.socket() as down:
        down.bind(("127.0.0.2", 0))
        port = down.getsockname()[1]
        with listening("127.0.0.1", port) as trap:
            resolve(second_only, "mixed.example", port, "127.0.0.2", "127.0.0.1")
            answer = await second_only.send(OutgoingRequest(url=f"http://mixed.example:{port}/", body=b"{}"))
            assert (answer.status, answer.failure) == (None, FailureKind.CONNECT)
            assert not dialled(trap)


async def test_an_answer_of_the_resolver_that_changes_is_judged_when_it_is_dialled(second_only) -> None:
    server = await asyncio.start_server(answer_and_close, "127.0.0.2", 0)
    port = server.sockets[0].getsockname()[1]
    request = OutgoingRequest(url=f"http://flips.example:{port}/", body=b"{}")
    with listening("127.0.0.1", port) as trap:
        resolve(second_only, "flips.example", port, "127.0.0.2")
        assert (await second_only.send(request)).status == 200
        resolve(second_only, "flips.example", port, "127.0.0.1")
        answer = await second_only.send(request)
        assert (answer.status, answer.failure, answer.snippet) == (None, FailureKind.BLOCKED, b"")
        assert not dialled(trap)
    server.close()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f000001",
        "127.0.0.1.",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::1]",
        "[2606:4700::5efe:127.0.0.1]",
        "[fe80::1]",
        "[fec0::1]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "localhost",
    ],
)
async def test_no_spelling_of_a_forbidden_address_is_dialled(callback, host: str) -> None:
    sender = HttpSender(rules=DestinationRules(), limits=SenderLimits())
    try:
        answer = await sender.send(OutgoingRequest(url=f"http://{host}:{callback.port}/", body=b"{}"))
    finally:
        sender.close()
    assert (answer.status, answer.failure, answer.snippet) == (None, FailureKind.BLOCKED, b"")
    assert callback.connections == 0


async def test_a_redirect_to_the_metadata_of_a_cloud_is_an_answer(sender: HttpSender, callback, monkeypatch) -> None:
    asked: list[str] = []
    permits = DestinationRules.permits

    def witnessed(rules: DestinationRules, address: str, port: int) -> bool:
        asked.append(address)
        return permits(rules, address, port)

    monkeypatch.setattr(DestinationRules, "permits", witnessed)

    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        writer.write(
            b"HTTP/1.1 307 Elsewhere\r\nLocation: http://169.254.169.254/latest/meta-data\r\n"
            b'Refresh: 0; url=http://169.254.169.254/\r\nAlt-Svc: h2="169.254.169.254:80"\r\nContent-Length: 0\r\n\r\n'
        )
        return True

    callback.script = script
    for _ in range(2):
        answer = await sender.send(OutgoingRequest(url=callback.url(), body=b"{}"))
        assert (answer.status, answer.address) == (307, "127.0.0.1")
    assert asked == ["127.0.0.1"]
