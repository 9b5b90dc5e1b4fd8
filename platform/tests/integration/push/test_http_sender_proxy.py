"""Callbacks behind the operator's proxy: what it is asked, what it learns, and what of its faults is the receiver's."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_network

import pytest
from pydantic import SecretStr

from firmcast.push.answer import FailureKind
from firmcast.push.destination import DestinationRules
from firmcast.push.http_sender import HttpSender, OutgoingRequest, SenderLimits
from firmcast.push.retry import FailureReason
from firmcast.push.sending.proxy import Proxy, parse_proxy
from firmcast.push.trust import Trust

LOOPBACK = DestinationRules(allowed_networks=(ip_network("127.0.0.0/8"),))
PASSWORD = "p@ss:wörd"
SPELT = "p%40ss%3Aw%C3%B6rd"
KNOWN = "Basic " + base64.b64encode(f"operator:{PASSWORD}".encode()).decode()


@dataclass(slots=True)
class ConnectProxy:
    """Makes tunnels to 127.0.0.1, whatever the name, for whoever knows the password."""

    answer: bytes = b""
    """Sent in place of a tunnel when it is not empty."""

    silent: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    """Of each CONNECT its headers, with the target under `target`."""

    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def url(self, password: str = SPELT) -> str:
        return f"http://operator:{password}@127.0.0.1:{self.port}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = line.split(" ")
        assert method == "CONNECT"
        headers = {name.lower(): value.strip() for name, _, value in (item.partition(":") for item in rest if item)}
        self.asked.append(headers | {"target": target})
        if self.silent:
            await reader.read()
        if self.answer:
            writer.write(self.answer)
            await writer.drain()
            writer.write_eof()
            await reader.read()
            return
        if headers.get("proxy-authorization") != KNOWN:
            writer.write(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        there, away = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
        writer.write(b"HTTP/1.1 200 Connected\r\nVia: 1.1 proxy\r\nRetry-After: 99\r\n\r\n")
        pumps = [asyncio.create_task(_pump(reader, away)), asyncio.create_task(_pump(there, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            away.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()


@pytest.fixture
async def proxy() -> AsyncIterator[ConnectProxy]:
    it = ConnectProxy()
    await it.listen()
    yield it
    await it.stop()


@pytest.fixture
async def through(proxy: ConnectProxy):
    made: list[HttpSender] = []

    def make(rules: DestinationRules = LOOPBACK, known: Proxy | None = None, *direct: str) -> HttpSender:
        limits = SenderLimits(connect_timeout=timedelta(milliseconds=500))
        sender = HttpSender(rules=rules, limits=limits, proxy=known or parse_proxy(proxy.url(), direct))
        made.append(sender)
        return sender

    yield make
    for sender in made:
        sender.close()


def post(url: str, trust: Trust | None = None) -> OutgoingRequest:
    return OutgoingRequest(url=url, headers=["expect:", "webhook-id: evt_1"], body=b"{}", trust=trust or Trust())


async def test_plain_http_goes_through_a_tunnel_too(through, proxy, callback) -> None:
    sender = through()
    for _ in range(3):
        answer = await sender.send(post(f"http://nowhere.invalid:{callback.port}/x"))
        assert (answer.status, answer.snippet, answer.retry_after) == (200, b"ok", None)
    (asked,) = proxy.asked
    assert asked["target"] == f"nowhere.invalid:{callback.port}"
    assert asked["proxy-authorization"] == KNOWN
    assert asked["user-agent"] == "firmcast"
    assert {"webhook-id", "expect", "content-type"}.isdisjoint(asked)
    for received in callback.requests:
        assert received.line == "POST /x HTTP/1.1"
        assert received.headers["host"] == f"nowhere.invalid:{callback.port}"
        assert not [name for name in received.headers if name.startswith("proxy-")]


async def test_the_receivers_certificate_is_checked_at_the_end_of_the_tunnel(
    through, proxy, tls_callback, authority
) -> None:
    sender = through()
    url = tls_callback.url()
    assert (await sender.send(post(url, Trust(authorities=authority.certificate)))).status == 200
    assert (await sender.send(post(url))).failure is FailureKind.TLS
    other = f"https://other.example:{tls_callback.port}/"
    assert (await sender.send(post(other, Trust(authorities=authority.certificate)))).failure is FailureKind.TLS
    assert proxy.asked[0]["target"] == f"127.0.0.1:{tls_callback.port}"
    assert len(tls_callback.requests) == 1


async def test_an_answer_of_503_is_the_receivers_and_its_retry_after_too(through, callback) -> None:
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
        return True

    callback.script = script
    answer = await through().send(post(f"http://app.example:{callback.port}/"))
    assert (answer.status, answer.failure, answer.retry_after) == (503, None, None)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0x7f.1", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254", "localhost", "a.LOCALHOST."],
)
async def test_the_proxy_is_not_even_asked_for_what_is_forbidden(through, proxy, callback, host: str) -> None:
    answer = await through(DestinationRules()).send(post(f"http://{host}:{callback.port}/"))
    assert (answer.status, answer.failure, answer.snippet) == (None, FailureKind.BLOCKED, b"")
    assert proxy.asked == []
    assert callback.connections == 0


async def test_what_goes_past_the_proxy_is_dialled_and_judged_as_ever(through, proxy, callback) -> None:
    direct = ("127.0.0.0/8", "localhost")
    for host in ("127.0.0.1", "localhost"):
        assert (await through(LOOPBACK, None, *direct).send(post(f"http://{host}:{callback.port}/"))).status == 200
        strict = through(DestinationRules(), None, *direct)
        assert (await strict.send(post(f"http://{host}:{callback.port}/"))).failure is FailureKind.BLOCKED
    assert proxy.asked == []
    assert len(callback.requests) == 2


async def test_one_handle_serves_both_ways_in_turn(through, proxy, callback) -> None:
    sender = through(LOOPBACK, None, "127.0.0.1")
    for host in ("app.example", "127.0.0.1", "app.example", "127.0.0.1"):
        assert (await sender.send(post(f"http://{host}:{callback.port}/"))).status == 200
    assert len(proxy.asked) == 1
    assert callback.connections == 2


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n", FailureKind.PROXY),
        (b"HTTP/1.1 403 Never\r\nContent-Length: 6\r\n\r\nsecret", FailureKind.BLOCKED),
        (b"HTTP/1.1 502 No\r\nContent-Length: 6\r\n\r\nsecret", FailureKind.CONNECT),
        (b"HTTP/1.1 503 No\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n", FailureKind.CONNECT),
        (b"HTTP/1.1 504 No\r\n\r\n", FailureKind.CONNECT),
        (b"HTTP/1.1 302 No\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", FailureKind.CONNECT),
        (b"SSH-2.0-OpenSSH\r\n", FailureKind.PROTOCOL),
    ],
)
async def test_what_the_proxy_answers_is_never_taken_for_the_receiver(
    through, proxy, callback, answer, failure
) -> None:
    proxy.answer = answer
    given = await through().send(post(f"http://app.example:{callback.port}/"))
    assert (given.status, given.failure, given.snippet, given.retry_after) == (None, failure, b"", None)
    assert PASSWORD not in given.detail
    assert SPELT not in given.detail
    assert callback.connections == 0


async def test_a_proxy_that_does_not_know_us(through, proxy, callback) -> None:
    sender = through(LOOPBACK, parse_proxy(proxy.url("wrong"), []))
    answer = await sender.send(post(f"http://app.example:{callback.port}/"))
    assert (answer.status, answer.failure) == (None, FailureKind.PROXY)
    assert "wrong" not in answer.detail


async def test_a_proxy_that_is_down(through, proxy) -> None:
    known = parse_proxy(proxy.url(), [])
    await proxy.stop()
    assert (await through(LOOPBACK, known).send(post("http://app.example:80/"))).failure is FailureKind.PROXY
    nowhere = parse_proxy("http://nowhere.invalid:3128", [])
    assert (await through(LOOPBACK, nowhere).send(post("http://app.example:80/"))).failure is FailureKind.PROXY
    await proxy.listen()


async def test_a_proxy_that_does_not_get_through_in_time(through, proxy) -> None:
    proxy.silent = True
    answer = await through().send(post("http://app.example:80/"))
    assert (answer.status, answer.failure) == (None, FailureKind.CONNECT_TIMEOUT)


@pytest.mark.parametrize("before", [0, 1, 2])
async def test_a_receiver_that_hangs_at_the_end_of_a_tunnel_is_the_receivers_fault(proxy, callback, before) -> None:
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        if len(callback.requests) > before:
            await asyncio.Event().wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    callback.script = script
    limits = SenderLimits(attempt_timeout=timedelta(seconds=1))
    sender = HttpSender(rules=LOOPBACK, limits=limits, proxy=parse_proxy(proxy.url(), []))
    try:
        for _ in range(before):
            assert (await sender.send(post(f"http://app.example:{callback.port}/"))).status == 200
        answer = await sender.send(post(f"http://app.example:{callback.port}/"))
    finally:
        sender.close()
    assert (answer.status, answer.failure) == (None, FailureKind.TIMEOUT)
    assert len(proxy.asked) == 1


async def test_the_environment_takes_nothing_past_the_proxy(through, proxy, callback, monkeypatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")
    assert (await through().send(post(f"http://127.0.0.1:{callback.port}/"))).status == 200
    assert len(proxy.asked) == 1


async def test_a_push_waits_for_the_proxy_and_spends_no_attempt_on_it(world, proxy, callback) -> None:
    proxy.answer = b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"
    world.settings = world.settings.model_copy(update={"proxy_url": SecretStr(proxy.url())})
    await world.dispatch()
    await world.subscribe(f"http://app.example:{callback.port}/v1.0.0/messageReceiver")
    await world.happen("d1")
    while len(attempts := await world.attempts()) < 2:
        await asyncio.sleep(0.01)
    assert {(attempt.number, attempt.failure) for attempt in attempts} == {(1, FailureReason.PROXY)}
    proxy.answer = b""
    await world.settled()
    (received,) = callback.requests
    assert received.headers["firmcast-attempt"] == "1"
