"""What a receiver that is told much does to the connection of our own that it then has, beside libcurl's."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from h2.errors import ErrorCodes

from firmcast.push.answer import Answer, FailureKind
from firmcast.push.destination import DestinationRules
from firmcast.push.http_sender import HttpSender, OutgoingRequest, SenderLimits
from firmcast.push.sending import busy_receivers
from firmcast.push.trust import Trust

LOOPBACK = DestinationRules(allowed_networks=(ip_network("127.0.0.0/8"),))


@dataclass(slots=True)
class Busy:
    """A receiver to which the sender has both connections."""

    sender: HttpSender
    callback: Any
    ours: Any


@pytest.fixture
async def busy(h2_callback, post) -> AsyncIterator[Busy]:
    sender = await busy_sender(h2_callback, post)
    assert len(h2_callback.sessions) == 2
    h2_callback.requests.clear()
    yield Busy(sender, h2_callback, h2_callback.sessions[1])
    sender.close()


async def busy_sender(h2_callback, post, *, timeout: timedelta = timedelta(seconds=20)) -> HttpSender:
    """Send until an answer has come on a connection that libcurl does not know."""
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(attempt_timeout=timeout, answers_before=1))
    while not any(request.connection == 2 for request in h2_callback.requests):
        assert (await sender.send(post())).status == 200
    return sender


async def test_a_busy_receiver_is_told_the_same_on_a_connection_of_ours(busy: Busy, post) -> None:
    bodies = [b"%d" % number for number in range(40)]
    lines = ("content-type: application/json", "user-agent: x", "webhook-id: evt_1", "X-Own: " + "v" * 2000)
    answers = await asyncio.gather(*(busy.sender.send(post(body, *lines)) for body in bodies))
    assert {(answer.status, answer.snippet, answer.address) for answer in answers} == {(200, b"ok", "127.0.0.1")}
    assert all(0 < answer.duration < 20 for answer in answers)
    ours = busy.callback.requests
    assert sorted(request.body for request in ours) == sorted(bodies)
    assert {request.connection for request in ours} == {2}
    # libcurl, which is given what is not plain, says the same of it but for that line.
    assert (await busy.sender.send(post(bodies[0], *lines, "TE: trailers"))).status == 200
    theirs = busy.callback.requests[-1]
    assert theirs.connection == 1
    first = next(request for request in ours if request.body == bodies[0])
    assert {name: value for name, value in theirs.headers.items() if name != "te"} == first.headers


async def test_a_large_body_or_one_of_another_trust_is_libcurls(busy: Busy, post, authority) -> None:
    assert (await busy.sender.send(post(b"x" * 20_000))).status == 200
    assert (await busy.sender.send(post(b"{}", "x-own: " + "v" * 17_000))).status == 200
    other = Trust(
        authorities=authority.certificate,
        client_certificate=authority.client_certificate,
        client_key=authority.client_key,
    )
    request = OutgoingRequest(url=busy.callback.url, headers=["expect:"], body=b"{}", trust=other)
    assert (await busy.sender.send(request)).status == 200
    assert {request.connection for request in busy.callback.requests} == {1, 3}


async def test_of_a_busy_receivers_answers_all_is_told_that_matters(busy: Busy, post) -> None:
    async def script(session, request) -> None:
        if request.body == b"busy":
            headers = [(":status", "503"), ("retry-after", "7"), ("date", "now")]
            session.h2.send_headers(request.stream, headers)
            session.h2.send_data(request.stream, b"a" * 1000)
            session.h2.send_data(request.stream, b"b" * 1000, pad_length=9)
            session.h2.send_headers(request.stream, [("trailer", "x")], end_stream=True)
        elif request.body == b"early":
            session.h2.send_headers(request.stream, [(":status", "103"), ("link", "</a>")])
            session.h2.send_headers(request.stream, [(":status", "204")], end_stream=True)
        else:
            session.h2.send_headers(request.stream, [(":status", "307"), ("location", "/b")], end_stream=True)
        session.flush()

    busy.callback.script = script
    refused = await busy.sender.send(post(b"busy"))
    assert (refused.status, refused.retry_after) == (503, "7")
    assert refused.snippet == b"a" * 1000 + b"b" * 24
    assert (await busy.sender.send(post(b"early"))).status == 204
    moved = await busy.sender.send(post(b"moved"))
    assert (moved.status, moved.retry_after, moved.snippet) == (307, None, b"")
    assert [request.connection for request in busy.callback.requests] == [2, 2, 2]


async def test_a_busy_receivers_endless_answer_is_cut_off_and_its_silence_ends(h2_callback, post) -> None:
    sender = await busy_sender(h2_callback, post, timeout=timedelta(seconds=1))

    async def script(session, request) -> None:
        if request.body == b"endless":
            session.h2.send_headers(request.stream, [(":status", "200")])
            session.h2.send_data(request.stream, b"z" * 8000)
            session.h2.send_data(request.stream, b"z" * 8000)
            session.flush()
        elif request.body == b"begun":
            session.h2.send_headers(request.stream, [(":status", "202")])
            session.flush()
        elif request.body == b"{}":
            session.answer(request, 200)

    h2_callback.script = script
    hanging = asyncio.gather(*(sender.send(post(body)) for body in (b"silent", b"begun")))
    endless = await sender.send(post(b"endless"))
    assert (endless.status, endless.snippet) == (200, b"z" * 1024)
    assert (await sender.send(post())).status == 200
    silent, begun = await hanging
    assert (silent.status, silent.failure, silent.address) == (None, FailureKind.TIMEOUT, "127.0.0.1")
    assert 1 <= silent.duration < 5
    assert begun.status == 202
    assert {request.connection for request in h2_callback.requests[-4:]} == {2}
    sender.close()


async def test_a_connection_that_has_gone_dumb_is_not_used_again(h2_callback, post) -> None:
    sender = await busy_sender(h2_callback, post, timeout=timedelta(seconds=1))
    dumb = h2_callback.sessions[1]

    async def script(session, request) -> None:
        if session is not dumb:
            session.answer(request, 200)

    dumb.h2.acknowledge_received_data = lambda *_: None  # not even a window is given
    h2_callback.script = script
    first = asyncio.create_task(sender.send(post(b"first")))
    await asyncio.sleep(0.5)
    second = asyncio.create_task(sender.send(post(b"second")))
    assert (await first).failure is FailureKind.TIMEOUT
    again = await second  # what was left there libcurl makes, in what is left of its time
    assert (again.status, again.failure) == (200, None)
    assert again.duration >= 0.4
    assert (await sender.send(post(b"third"))).status == 200
    assert [request.body for request in h2_callback.requests if request.connection != 2][-2:] == [b"second", b"third"]
    sender.close()


@pytest.mark.parametrize("code", [ErrorCodes.REFUSED_STREAM, ErrorCodes.INTERNAL_ERROR])
async def test_a_stream_of_ours_that_is_reset_fails_alone_or_is_made_again(busy: Busy, post, code: ErrorCodes) -> None:
    async def script(session, request) -> None:
        if request.body == b"bad" and session is busy.ours:
            session.h2.reset_stream(request.stream, code)
            session.flush()
            return
        session.answer(request, 200)

    busy.callback.script = script
    bodies = [b"bad" if number % 4 == 0 else b"good" for number in range(16)]
    answers = await asyncio.gather(*(busy.sender.send(post(body)) for body in bodies))
    again = code is ErrorCodes.REFUSED_STREAM
    for body, answer in zip(bodies, answers, strict=True):
        assert answer.failure is (None if again or body == b"good" else FailureKind.CONNECTION_LOST)
    carried = [request.connection for request in busy.callback.requests]
    assert (carried.count(2), carried.count(1)) == (16, 4 if again else 0)


@pytest.mark.parametrize("manner", ["goaway", "drop", "continuation", "push", "garbage"])
async def test_when_a_connection_of_ours_ends_libcurl_makes_what_was_not_answered(
    busy: Busy, post, manner: str
) -> None:
    async def script(session, request) -> None:
        if session is not busy.ours:
            session.answer(request, 200)
        elif request.body == b"last":
            session.answer(request, 200)
            transport = session._transport
            match manner:
                case "goaway":
                    transport.write(b"\0\0\x08\7\0\0\0\0\0" + request.stream.to_bytes(4, "big") + bytes(4))
                case "drop":
                    session.drop()
                case "continuation":
                    transport.write(b"\0\0\1\1\0" + request.stream.to_bytes(4, "big") + b"\x88")
                case "push":
                    transport.write(b"\0\0\4\5\4" + request.stream.to_bytes(4, "big") + b"\0\0\0\2")
                case "garbage":
                    transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(20_000))

    busy.callback.script = script
    waiting = asyncio.gather(*(busy.sender.send(post(b"%d" % number)) for number in range(8)))
    while len(busy.callback.requests) < 8:
        await asyncio.sleep(0)
    first = busy.sender.send(post(b"last"))
    answers = [await first, *await waiting] if manner != "goaway" else [await first]
    assert {answer.status for answer in answers} == {200}
    if manner == "goaway":  # what was under way before is still theirs to answer
        for request in busy.callback.requests[:8]:
            busy.ours.answer(request, 200)
        assert {answer.status for answer in await waiting} == {200}
    assert (await busy.sender.send(post())).status == 200
    assert busy.callback.requests[-1].connection != 2
    assert busy.sender.in_flight == 0


async def test_a_receiver_that_ends_a_connection_of_ours_at_once_has_another_soon(
    h2_callback, post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may just be starting anew, or have no worker to spare."""
    monkeypatch.setattr(busy_receivers, "_ENDED_SECONDS", 0.01)
    h2_callback.ends_at_once = 2
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(answers_before=1))
    async with asyncio.timeout(10):
        while not any(request.connection == 3 for request in h2_callback.requests):
            assert (await sender.send(post())).status == 200
    sender.close()


@pytest.mark.parametrize("heads", ["in parts", "of more than we read"])
async def test_a_receiver_whose_answers_have_large_heads_is_told_once_too_often_and_is_libcurls(
    h2_callback, post, heads: str
) -> None:
    """Cookies of 20 KiB, say: each connection of ours would end, and all that is under way there be told again."""
    large = [(f"x-{number}", "~" * 4000) for number in range(5)] if heads == "in parts" else [("x-1", "e" * 17_000)]

    async def script(session, request) -> None:
        session.h2.send_headers(request.stream, [(":status", "200"), *large], end_stream=True)
        session.flush()

    h2_callback.script = script
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(answers_before=1))
    answers = [await sender.send(post(b"%d" % number)) for number in range(20)]
    assert {answer.status for answer in answers} == {200}
    carried = [request.connection for request in h2_callback.requests]
    assert (carried.count(1), carried.count(2), len(carried)) == (20, 1, 21)
    sender.close()


async def test_a_busy_receiver_is_given_no_more_streams_than_it_allows(h2_callback, post) -> None:
    h2_callback.most_streams = 3
    sender = await busy_sender(h2_callback, post)
    answers = await asyncio.gather(*(sender.send(post()) for _ in range(60)))
    assert {answer.status for answer in answers} == {200}
    assert h2_callback.sessions[1].most_open == 3
    sender.close()


async def test_a_closed_sender_breaks_off_what_is_under_way_at_a_busy_receiver(busy: Busy, post) -> None:
    async def script(_session, _request) -> None:
        return

    busy.callback.script = script
    waiting = asyncio.gather(*(busy.sender.send(post(b"%d" % number)) for number in range(3)))
    while len(busy.callback.requests) < 3:
        await asyncio.sleep(0)
    assert busy.sender.in_flight == 3
    busy.sender.close()
    assert {answer.failure for answer in await waiting} == {FailureKind.LOCAL}
    assert busy.sender.in_flight == 0


async def test_a_connections_end_ends_every_attempt_whatever_their_endings_do(busy: Busy, post) -> None:
    async def script(session, request) -> None:
        session.h2.send_headers(request.stream, [(":status", "202")])
        session.flush()
        if request.body == b"2":
            session._transport.close()  # when all three heads are sent

    busy.callback.script = script
    ended: list[int | None] = []
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context["exception"]))

    def on_done(answer: Answer) -> None:
        ended.append(answer.status)
        raise LookupError("an ending that fails")

    for number in range(3):
        busy.sender.start(post(b"%d" % number), on_done)
    async with asyncio.timeout(30):
        while not faults:
            await asyncio.sleep(0)
    assert ended == [202] * 3
    assert [type(fault) for fault in faults] == [LookupError]
    assert busy.sender.in_flight == 0


async def test_an_address_that_the_rules_forbid_gets_no_connection_of_ours(h2_callback, post, monkeypatch) -> None:
    monkeypatch.setattr(DestinationRules, "permits", lambda *_: len(h2_callback.sessions) == 0)
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(answers_before=1))
    for _ in range(20):
        assert (await sender.send(post())).status == 200
    assert {request.connection for request in h2_callback.requests} == {1}
    sender.close()
