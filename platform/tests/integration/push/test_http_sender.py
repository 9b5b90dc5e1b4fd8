"""The sender against callbacks that behave, misbehave and vanish."""

import asyncio
import os
import resource
import socket
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
import uvloop

from firmcast.push.answer import Answer, FailureKind
from firmcast.push.destination import DestinationRules
from firmcast.push.http_sender import HttpSender, OutgoingRequest, SenderLimits
from firmcast.push.trust import Trust

LOOPBACK = DestinationRules(allowed_networks=(ip_network("127.0.0.0/8"),))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BODY = b'{"notifyType":"fwUpgradeStateChangeNotify"}'
SHORT = SenderLimits(attempt_timeout=timedelta(milliseconds=300), connect_timeout=timedelta(milliseconds=200))


def request(url: str, *headers: str, body: bytes = BODY) -> OutgoingRequest:
    return OutgoingRequest(url=url, headers=["content-type: application/json", "expect:", *headers], body=body)


def says(text: bytes, *, keep: bool = True):
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        writer.write(text)
        return keep

    return script


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def short_sender_answer(url: str) -> Answer:
    sender = HttpSender(rules=LOOPBACK, limits=SHORT)
    try:
        return await sender.send(request(url))
    finally:
        sender.close()


async def test_it_posts_the_bytes_and_headers_it_is_given(sender: HttpSender, callback) -> None:
    answer = await sender.send(request(callback.url("/a/../b?c=%7e"), "webhook-id: evt_1", "user-agent: firmcast"))
    assert (answer.status, answer.failure, answer.snippet, answer.address) == (200, None, b"ok", "127.0.0.1")
    assert 0 < answer.duration < 10
    (received,) = callback.requests
    assert received.line == "POST /a/../b?c=%7e HTTP/1.1"
    assert received.body == BODY
    headers = received.headers
    assert headers["content-type"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{callback.port}"
    assert headers["webhook-id"] == "evt_1"
    assert headers["user-agent"] == "firmcast"
    assert {"expect", "accept-encoding", "cookie", "transfer-encoding"}.isdisjoint(headers)


@pytest.mark.parametrize("tls", [False, True])
async def test_no_attempt_waits_for_the_answer_of_another(
    sender: HttpSender, new_callback, tls_context, authority, tls: bool
) -> None:
    callback = await new_callback(tls_context if tls else None)
    all_there = asyncio.Event()

    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        if len(callback.requests) == 12:
            all_there.set()
        await all_there.wait()
        writer.write(OK)
        return True

    callback.script = script
    trust = Trust(authorities=authority.certificate)
    posted = OutgoingRequest(url=callback.url(), headers=["expect:"], body=BODY, trust=trust)
    answers = await asyncio.gather(*(sender.send(posted) for _ in range(12)))
    assert {answer.status for answer in answers} == {200}


async def test_a_connection_is_kept_and_a_large_body_asks_for_no_leave(sender: HttpSender, callback) -> None:
    for body in (b"", b"x" * 2_000_000, b"y"):
        answer = await sender.send(request(callback.url(), body=body))
        assert answer.status == 200
    assert [len(received.body) for received in callback.requests] == [0, 2_000_000, 1]
    assert callback.connections == 1


async def test_many_at_once_each_get_their_own_answer(sender: HttpSender, callback) -> None:
    async def script(received, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(received.body), received.body))
        return True

    callback.script = script
    bodies = [f"{number}".encode() for number in range(256)]
    for _ in range(3):
        answers = await asyncio.gather(*(sender.send(request(callback.url(), body=body)) for body in bodies))
        assert [answer.snippet for answer in answers] == bodies
    assert callback.connections <= 256
    assert sender.in_flight == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_not_followed(sender: HttpSender, callback, status: int) -> None:
    location = callback.url("/elsewhere").encode()
    callback.script = says(b"HTTP/1.1 %d X\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, location))
    assert (await sender.send(request(callback.url()))).status == status
    assert len(callback.requests) == 1


async def test_no_proxy_of_the_environment_is_used(
    sender: HttpSender, callback, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await sender.send(request(callback.url()))).status == 200


async def test_cookies_are_not_kept(sender: HttpSender, callback) -> None:
    callback.script = says(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
    await sender.send(request(callback.url()))
    await sender.send(request(callback.url()))
    assert "cookie" not in callback.requests[1].headers


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_handed_on_as_received(sender: HttpSender, callback, status: int) -> None:
    date = b"Tue, 24 Nov 2026 12:00:07 GMT"
    callback.script = says(b"HTTP/1.1 %d X\r\nRETRY-AFTER:  %b \r\nContent-Length: 0\r\n\r\n" % (status, date))
    answer = await sender.send(request(callback.url()))
    assert (answer.status, answer.retry_after) == (status, date.decode())


async def test_an_interim_answer_is_not_the_answer(sender: HttpSender, callback) -> None:
    callback.script = says(
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
    )
    assert (await sender.send(request(callback.url()))).status == 500


async def test_an_endless_answer_is_cut_off_and_its_status_counts(sender: HttpSender, callback) -> None:
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        while True:
            writer.write(b"z" * 65536)
            await writer.drain()

    callback.script = script
    answer = await sender.send(request(callback.url()))
    assert (answer.status, answer.failure) == (200, None)
    assert answer.snippet == b"z" * 1024
    await asyncio.wait_for(callback.closed.wait(), 10)


async def test_a_compressed_answer_is_not_unpacked(sender: HttpSender, callback) -> None:
    callback.script = says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00")
    assert (await sender.send(request(callback.url()))).snippet == b"\x1f\x8b\x08\x00"


async def test_heads_without_measure_end_the_attempt(sender: HttpSender, callback) -> None:
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100):
            writer.write(b"X-%d: %b\r\n" % (number, b"h" * 65536))
            await writer.drain()
        return True

    callback.script = script
    answer = await sender.send(request(callback.url()))
    assert answer.status is None
    assert answer.failure in {FailureKind.PROTOCOL, FailureKind.CONNECTION_LOST}


async def test_a_dripping_body_ends_at_the_deadline_with_its_status(callback) -> None:
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        while True:
            writer.write(b".")
            await asyncio.sleep(0.02)

    callback.script = script
    answer = await short_sender_answer(callback.url())
    assert answer.status == 200
    assert 0.2 < answer.duration < 5


async def test_a_dripping_head_ends_at_the_deadline(callback) -> None:
    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            writer.write(b".")
            await asyncio.sleep(0.02)

    callback.script = script
    answer = await short_sender_answer(callback.url())
    assert (answer.status, answer.failure) == (None, FailureKind.TIMEOUT)


async def test_a_black_hole_ends_at_the_deadline(callback) -> None:
    async def script(_request, _writer: asyncio.StreamWriter) -> bool:
        await asyncio.Event().wait()
        return False

    callback.script = script
    answer = await short_sender_answer(callback.url())
    assert (answer.failure, answer.address) == (FailureKind.TIMEOUT, "127.0.0.1")


async def test_one_black_hole_delays_nobody_else(sender: HttpSender, callback) -> None:
    release = asyncio.Event()

    async def script(received, writer: asyncio.StreamWriter) -> bool:
        if received.body == b"hang":
            await release.wait()
        writer.write(OK)
        return True

    callback.script = script
    hanging = asyncio.create_task(sender.send(request(callback.url(), body=b"hang")))
    answers = await asyncio.gather(*(sender.send(request(callback.url())) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    assert not hanging.done()
    release.set()
    assert (await hanging).status == 200


async def test_a_refused_connection(sender: HttpSender) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        answer = await sender.send(request(f"http://127.0.0.1:{unused.getsockname()[1]}/"))
    assert (answer.status, answer.failure) == (None, FailureKind.CONNECT)
    assert answer.detail


@pytest.mark.parametrize("sent_before", [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_a_connection_that_ends_before_the_head_is_complete(
    sender: HttpSender, callback, sent_before: bytes
) -> None:
    callback.script = says(sent_before, keep=False)
    answer = await sender.send(request(callback.url()))
    assert answer.status is None
    assert answer.failure in {FailureKind.CONNECTION_LOST, FailureKind.PROTOCOL}


async def test_a_connection_that_ends_within_the_body_has_given_its_answer(sender: HttpSender, callback) -> None:
    callback.script = says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", keep=False)
    answer = await sender.send(request(callback.url()))
    assert (answer.status, answer.failure) == (200, None)


async def test_what_is_not_http(sender: HttpSender, callback) -> None:
    callback.script = says(b"220 mail.example ESMTP\r\n", keep=False)
    assert (await sender.send(request(callback.url()))).failure is FailureKind.PROTOCOL


async def test_a_kept_connection_that_the_peer_closed_is_replaced(sender: HttpSender, callback) -> None:
    callback.script = says(OK, keep=False)
    for _ in range(5):
        callback.closed.clear()
        assert (await sender.send(request(callback.url()))).status == 200
        await asyncio.wait_for(callback.closed.wait(), 10)
    assert (len(callback.requests), callback.connections) == (5, 5)


async def test_a_request_lost_on_a_kept_connection_is_made_again_at_once(sender: HttpSender, callback) -> None:
    async def script(received, writer: asyncio.StreamWriter) -> bool:
        if len(callback.requests) == 2:
            return False  # closed just as the second request arrives
        writer.write(OK)
        return True

    callback.script = script
    assert (await sender.send(request(callback.url()))).status == 200
    assert (await sender.send(request(callback.url()))).status == 200
    assert [received.connection for received in callback.requests] == [1, 1, 2]


async def test_an_address_that_is_not_permitted_is_never_dialled(callback) -> None:
    sender = HttpSender(rules=DestinationRules(), limits=SenderLimits())
    try:
        for host in ("127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"):
            answer = await sender.send(request(f"http://{host}:{callback.port}/"))
            assert (answer.status, answer.failure, answer.snippet) == (None, FailureKind.BLOCKED, b""), host
    finally:
        sender.close()
    assert callback.connections == 0


async def test_a_name_without_an_address(sender: HttpSender) -> None:
    answer = await sender.send(request("http://nowhere.invalid:80/"))
    assert answer.failure is FailureKind.UNRESOLVED


async def test_other_schemes_are_not_spoken(sender: HttpSender) -> None:
    answer = await sender.send(request("file:///etc/hostname"))
    assert (answer.status, answer.snippet) == (None, b"")


async def test_no_descriptor_left_is_our_own_fault(sender: HttpSender, callback) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    fillers = [os.open("/dev/null", os.O_RDONLY) for _ in range(highest)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    try:
        answer = await sender.send(request(callback.url()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)
    assert answer.failure is FailureKind.LOCAL
    assert (await sender.send(request(callback.url()))).status == 200


async def test_closing_answers_what_is_under_way_and_leaves_no_descriptor(callback) -> None:
    before = open_descriptors()
    arrived = asyncio.Event()

    async def script(received, writer: asyncio.StreamWriter) -> bool:
        if received.body == b"hang":
            arrived.set()
            await asyncio.Event().wait()
        writer.write(OK)
        return True

    callback.script = script
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits())
    await asyncio.gather(*(sender.send(request(callback.url())) for _ in range(20)))
    hanging = asyncio.create_task(sender.send(request(callback.url(), body=b"hang")))
    await arrived.wait()
    sender.close()
    sender.close()
    assert (await hanging).failure is FailureKind.LOCAL
    with pytest.raises(RuntimeError, match="closed"):
        sender.start(request(callback.url()), lambda _answer: None)
    await callback.stop()
    async with asyncio.timeout(30):
        while open_descriptors() > before:  # libcurl may be ended by a thread, which tells nobody
            await asyncio.sleep(0.01)


async def test_an_answer_may_close_the_sender_while_others_have_come(sender: HttpSender, callback) -> None:
    for_all = asyncio.Event()
    met = 0

    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        nonlocal met
        met += 1
        if met == 5:
            for_all.set()
        await for_all.wait()
        writer.write(OK)
        return True

    callback.script = script
    ended: list[Answer] = []
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))

    def on_done(answer: Answer) -> None:
        ended.append(answer)
        sender.close()

    for _ in range(5):
        sender.start(request(callback.url()), on_done)
    async with asyncio.timeout(30):
        while len(ended) < 5:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [(answer.status, answer.failure) for answer in ended] == [(200, None)] + [(None, FailureKind.LOCAL)] * 4
    assert not faults
    assert sender.in_flight == 0


def test_it_works_on_uvloop_too(callback_class) -> None:
    async def scenario() -> list[Answer]:
        callback = callback_class()
        await callback.listen()
        sender = HttpSender(rules=LOOPBACK, limits=SenderLimits())
        try:
            return [
                answer
                for _ in range(5)
                for answer in await asyncio.gather(*(sender.send(request(callback.url())) for _ in range(64)))
            ]
        finally:
            sender.close()
            await callback.stop()

    answers = uvloop.run(scenario())
    assert [answer.status for answer in answers] == [200] * 320
