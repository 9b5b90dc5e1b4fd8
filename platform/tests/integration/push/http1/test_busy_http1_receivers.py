"""What a receiver over HTTP/1.1 that is told much does to the connections of our own that it then has."""

import asyncio
import fcntl
import os
import ssl
import termios
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
import uvloop

from firmcast.push.answer import Answer, FailureKind
from firmcast.push.destination import DestinationRules
from firmcast.push.http_sender import HttpSender, OutgoingRequest, SenderLimits
from firmcast.push.sending import busy_receivers
from firmcast.push.trust import Trust

LOOPBACK = DestinationRules(allowed_networks=(ip_network("127.0.0.0/8"),))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TOO_LATE = b"HTTP/1.1 408 Request Time-out\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LINES = ("content-type: application/json", "user-agent: x", "webhook-id: evt_1")


@dataclass(slots=True)
class Busy:
    """A receiver to which the sender has connections of its own."""

    sender: HttpSender
    callback: Any
    trust: Trust

    async def tell(self, *bodies: bytes, lines: Sequence[str] = LINES, trust: Trust | None = None) -> list[Answer]:
        return await asyncio.gather(*(self.sender.send(self.request(body, lines, trust)) for body in bodies))

    def request(self, body: bytes, lines: Sequence[str] = LINES, trust: Trust | None = None) -> OutgoingRequest:
        return OutgoingRequest(
            url=self.callback.url(), headers=["expect:", *lines], body=body, trust=trust or self.trust
        )

    def ours(self) -> list[int]:
        """The connections that requests came on, without the first, which is libcurl's."""
        return [connection for connection in self.carried() if connection != 1]

    def carried(self) -> list[int]:
        return [request.connection for request in self.callback.requests]


@pytest.fixture(params=["clear", "tls"])
async def callback(request: pytest.FixtureRequest, new_callback, tls_context):
    """A callback that speaks HTTP/1.1 only."""
    return await new_callback(tls_context if request.param == "tls" else None)


@pytest.fixture
def trust(authority) -> Trust:
    return Trust(authorities=authority.certificate)


@pytest.fixture
async def busy(callback, trust: Trust) -> AsyncIterator[Busy]:
    found = await busy_with(callback, trust)
    yield found
    found.sender.close()


async def busy_with(callback, trust: Trust, *, timeout: float = 20.0) -> Busy:
    """Send until an answer has come on a connection that libcurl does not know: the second one."""
    limits = SenderLimits(attempt_timeout=timedelta(seconds=timeout), answers_before=1)
    found = Busy(HttpSender(rules=LOOPBACK, limits=limits), callback, trust)
    while 2 not in found.carried():
        (answer,) = await found.tell(b"{}")
        assert answer.status == 200
    callback.requests.clear()
    return found


async def test_a_busy_receiver_is_told_the_same_on_connections_of_ours(busy: Busy) -> None:
    while True:  # until there are enough of ours for all that begins at once
        busy.callback.requests.clear()
        answers = await busy.tell(*(b"%d" % number for number in range(10)))
        assert {(answer.status, answer.snippet, answer.address) for answer in answers} == {(200, b"ok", "127.0.0.1")}
        ours = list(busy.callback.requests)
        if len(set(busy.carried())) == 10 and 1 not in busy.carried():
            break
    assert sorted(request.body for request in ours) == [b"%d" % number for number in range(10)]
    # libcurl, which is given what is not plain, says the same of it but for that line.
    assert (await busy.tell(b"0", lines=(*LINES, "TE: trailers")))[0].status == 200
    theirs = busy.callback.requests[-1]
    first = next(request for request in ours if request.body == b"0")
    assert theirs.connection not in {request.connection for request in ours}
    assert theirs.line == first.line
    assert {name: value for name, value in theirs.headers.items() if name != "te"} == first.headers


async def test_attempts_one_after_the_other_need_one_connection(busy: Busy) -> None:
    for _ in range(30):
        assert (await busy.tell(b"{}"))[0].status == 200
    assert busy.callback.connections == 2


async def test_a_large_body_or_one_of_another_trust_is_libcurls(busy: Busy, authority) -> None:
    assert (await busy.tell(b"x" * 70_000))[0].status == 200
    other = Trust(
        authorities=authority.certificate,
        client_certificate=authority.client_certificate,
        client_key=authority.client_key,
    )
    assert (await busy.tell(b"{}", trust=other))[0].status == 200
    libcurls = {1, *busy.carried()}
    assert 2 not in libcurls
    assert (await busy.tell(b"{}"))[0].status == 200
    assert busy.carried()[-1] not in libcurls


async def test_of_a_busy_receivers_answers_all_is_told_that_matters(busy: Busy) -> None:
    said = {
        b"busy": b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"early": b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
        b"moved": b"HTTP/1.1 307 Moved\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
    }

    async def script(request, writer: asyncio.StreamWriter) -> bool:
        for byte in said[request.body]:
            writer.write(bytes((byte,)))
            await writer.drain()
        return True

    busy.callback.script = script
    (refused,) = await busy.tell(b"busy")
    assert (refused.status, refused.retry_after, refused.snippet) == (503, "7", b"abc")
    assert (await busy.tell(b"early"))[0].status == 204
    (moved,) = await busy.tell(b"moved")
    assert (moved.status, moved.retry_after, moved.snippet) == (307, None, b"")
    assert len(busy.ours()) == 3


async def test_a_busy_receivers_endless_answer_is_cut_off_and_its_silence_ends(callback, trust: Trust) -> None:
    busy = await busy_with(callback, trust, timeout=1.0)

    async def script(request, writer: asyncio.StreamWriter) -> bool:
        match request.body:
            case b"endless":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 100_000)
            case b"begun":
                writer.write(b"HTTP/1.1 202 OK\r\nContent-Length: 5\r\n\r\n")
            case b"{}":
                writer.write(OK)
        return True

    callback.script = script
    (endless,) = await busy.tell(b"endless")
    assert (endless.status, endless.snippet) == (200, b"z" * 1024)
    assert len(busy.ours()) == 1
    for body, expected in ((b"silent", (None, FailureKind.TIMEOUT)), (b"begun", (202, None))):
        gone = {1, *busy.carried()}
        while busy.carried()[-1] in gone:
            assert (await busy.tell(b"{}"))[0].status == 200
        (ended,) = await busy.tell(body)
        assert (ended.status, ended.failure) == expected
        assert 1 <= ended.duration < 5
        assert busy.carried()[-1] not in gone
    busy.sender.close()


@pytest.mark.parametrize("manner", ["drop", "garbage", "bare newlines", "upgrade"])
async def test_what_a_connection_of_ours_does_not_answer_libcurl_has_answered(busy: Busy, manner: str) -> None:
    said = {
        "drop": b"",
        "garbage": b"SSH-2.0-x\r\n",
        "bare newlines": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "upgrade": b"HTTP/1.1 101 Other\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    }

    async def script(request, writer: asyncio.StreamWriter) -> bool:
        if request.connection != 1 and len(busy.callback.requests) == 1:
            writer.write(said[manner])
            return False
        writer.write(OK)
        return True

    busy.callback.script = script
    (answer,) = await busy.tell(b"told")
    assert (answer.status, answer.failure) == (200, None)
    assert [request.body for request in busy.callback.requests] == [b"told", b"told"]
    broken = busy.carried()[0]
    assert broken != 1
    assert (await busy.tell(b"next"))[0].status == 200
    assert busy.carried().count(broken) == 1
    assert busy.sender.in_flight == 0


async def test_an_answer_that_ends_within_its_head_is_a_failed_attempt(busy: Busy) -> None:
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 O")
        return False

    busy.callback.script = script
    (answer,) = await busy.tell(b"told")
    assert (answer.status, answer.failure) == (None, FailureKind.CONNECTION_LOST)
    assert len(busy.carried()) == len(busy.ours()) == 1


async def test_a_receiver_that_ends_each_connection_is_libcurls(callback, trust: Trust) -> None:
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        writer.write(OK)
        return False

    callback.script = script
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(answers_before=1))
    told = Busy(sender, callback, trust)
    for _ in range(12):
        assert (await told.tell(b"{}"))[0].status == 200
    assert callback.connections == 12  # not one more than there were attempts
    sender.close()


async def test_what_a_receiver_says_unasked_ends_the_connection(busy: Busy) -> None:
    async def script(request, writer: asyncio.StreamWriter) -> bool:
        writer.write(OK + (OK if request.connection != 1 else b""))
        return True

    busy.callback.script = script
    for _ in range(3):
        assert (await busy.tell(b"{}"))[0].status == 200
    assert len(set(busy.ours())) == len(busy.ours()) > 0


async def test_what_a_receiver_says_of_an_idle_connection_is_not_told_of_the_next_attempt(busy: Busy) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        writers.append(writer)
        writer.write(OK)
        return True

    busy.callback.script = script
    while not busy.ours():
        await busy.tell(b"{}")
    idle = busy.carried()[-1]
    writers[-1].write(TOO_LATE)
    writers[-1].close()
    while _under_way(_descriptor(writers[-1])):
        pass  # and not `await`: our loop is busy with something else
    answer = await busy.sender.send(busy.request(b"next"))
    assert answer.status == 200
    assert [request.body for request in busy.callback.requests if request.connection != idle] == [b"next"]


def test_it_is_seen_on_uvloop_too(callback_class) -> None:
    async def scenario() -> Answer:
        callback = callback_class()
        await callback.listen()
        busy = await busy_with(callback, Trust())
        descriptors: list[int] = []

        async def script(_request, writer: asyncio.StreamWriter) -> bool:
            descriptors.append(_descriptor(writer))
            writer.write(OK)
            return True

        callback.script = script
        while not busy.ours():
            await busy.tell(b"{}")
        os.write(descriptors[-1], TOO_LATE)  # now: uvloop itself writes later
        while _under_way(descriptors[-1]):
            pass
        try:
            return await busy.sender.send(busy.request(b"next"))
        finally:
            busy.sender.close()
            await callback.stop()

    assert uvloop.run(scenario()).status == 200


def _descriptor(writer: asyncio.StreamWriter) -> int:
    return int(writer.get_extra_info("socket").fileno())


def _under_way(descriptor: int) -> int:
    """How many bytes have not arrived in the other side's system."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), "little")


async def test_a_receiver_that_serves_one_connection_only_is_libcurls_after_one_attempt(callback, trust: Trust) -> None:
    async def script(request, writer: asyncio.StreamWriter) -> bool:
        if request.connection == 1:
            writer.write(OK)
        return True

    callback.script = script
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(attempt_timeout=timedelta(seconds=1), answers_before=1))
    told = Busy(sender, callback, trust)
    failures: list[FailureKind | None] = []
    while FailureKind.TIMEOUT not in failures:
        failures += [answer.failure for answer in await told.tell(b"{}")]
    failures += [answer.failure for _ in range(20) for answer in await told.tell(b"{}")]
    assert [failure for failure in failures if failure] == [FailureKind.TIMEOUT]
    assert len(told.ours()) == 1
    sender.close()


async def test_authorities_may_be_described_in_any_language(new_callback, tls_context, authority) -> None:
    comment = "# Autorité de test\n"
    authorities = comment.encode("latin-1") + authority.certificate + comment.encode()
    busy = await busy_with(await new_callback(tls_context), Trust(authorities=authorities))
    assert (await busy.tell(b"{}"))[0].status == 200
    assert busy.ours()
    busy.sender.close()


async def test_whatever_stands_against_a_connection_of_ours_is_found_once(
    new_callback, tls_context, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bytes] = []

    def context(authorities: bytes, _protocol: str) -> ssl.SSLContext:
        tried.append(authorities)
        raise TypeError("nobody has thought of it")

    monkeypatch.setattr(busy_receivers, "_context", context)
    callback = await new_callback(tls_context)
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(answers_before=2))
    told = Busy(sender, callback, trust)
    while not tried:
        assert (await told.tell(b"{}"))[0].status == 200
    for _ in range(20):
        assert (await told.tell(b"{}"))[0].status == 200
    assert tried == [trust.authorities]
    assert set(told.carried()) == {1}
    sender.close()


async def test_a_receiver_whose_certificate_is_another_now_is_libcurls(new_callback, authority, trust: Trust) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server)
    callback = await new_callback(context)
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(answers_before=2))
    told = Busy(sender, callback, trust)
    assert (await told.tell(b"{}"))[0].status == 200
    context.load_cert_chain(authority.stranger)
    for _ in range(12):
        assert (await told.tell(b"{}"))[0].status == 200
    assert set(told.carried()) == {1}
    sender.close()


async def test_a_closed_sender_breaks_off_what_is_under_way_at_a_busy_receiver(busy: Busy) -> None:
    async def script(_request, _writer) -> bool:
        return True

    busy.callback.script = script
    waiting = asyncio.gather(busy.tell(b"1"), busy.tell(b"2"))
    while len(busy.callback.requests) < 2:
        await asyncio.sleep(0)
    assert busy.ours()
    assert busy.sender.in_flight == 2
    busy.sender.close()
    assert {answer.failure for (answer,) in await waiting} == {FailureKind.LOCAL}
    assert busy.sender.in_flight == 0


@pytest.mark.parametrize("whose", ["ours", "libcurl's"])
async def test_a_closed_sender_ends_every_attempt_whatever_their_endings_do(busy: Busy, whose: str) -> None:
    async def script(_request, _writer) -> bool:
        return True

    while True:  # until all three go where they should
        busy.callback.requests.clear()
        await busy.tell(b"1", b"2", b"3")
        if 1 not in busy.carried():
            break
    lines = LINES if whose == "ours" else (*LINES, "TE: trailers")
    ended: list[FailureKind | None] = []

    def on_done(answer: Answer) -> None:
        ended.append(answer.failure)
        raise LookupError("an ending that fails")

    busy.callback.script = script
    busy.callback.requests.clear()
    for body in (b"1", b"2", b"3"):
        busy.sender.start(busy.request(body, lines), on_done)
    while len(busy.callback.requests) < 3:
        await asyncio.sleep(0)
    assert whose != "ours" or 1 not in busy.carried()
    with pytest.raises(LookupError):
        busy.sender.close()
    assert ended == [FailureKind.LOCAL] * 3
    assert busy.sender.in_flight == 0


async def test_an_address_that_the_rules_forbid_gets_no_connection_of_ours(callback, trust: Trust, monkeypatch) -> None:
    monkeypatch.setattr(DestinationRules, "permits", lambda *_: callback.connections == 0)
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(answers_before=1))
    told = Busy(sender, callback, trust)
    for _ in range(20):
        assert (await told.tell(b"{}"))[0].status == 200
    assert set(told.carried()) == {1}
    sender.close()
