"""HTTP/2 where a callback offers it, with everything that a server may do to a connection of many streams."""

import asyncio
import ssl
from datetime import timedelta
from ipaddress import ip_network

from h2.errors import ErrorCodes

from firmcast.push.answer import FailureKind
from firmcast.push.destination import DestinationRules
from firmcast.push.http_sender import HttpSender, OutgoingRequest, SenderLimits
from firmcast.push.sending.proxy import Proxy
from firmcast.push.trust import Trust

LOOPBACK = DestinationRules(allowed_networks=(ip_network("127.0.0.0/8"),))


async def test_requests_share_a_connection_and_each_gets_its_own_answer(sender, h2_callback, post) -> None:
    together = asyncio.Event()

    async def script(session, request) -> None:
        if len(h2_callback.requests) == 33:
            together.set()
        if len(h2_callback.requests) > 1:
            await together.wait()
        session.answer(request, 200, bytes(request.body))

    h2_callback.script = script
    assert (await sender.send(post(b"first", "webhook-id: evt_1"))).status == 200
    bodies = [b"%d" % number for number in range(32)]
    answers = await asyncio.gather(*(sender.send(post(body)) for body in bodies))
    assert [answer.snippet for answer in answers] == bodies
    assert len(h2_callback.sessions) == 1
    assert h2_callback.sessions[0].most_open == 32
    first = h2_callback.requests[0].headers
    assert (first[":method"], first[":scheme"], first["webhook-id"]) == ("POST", "https", "evt_1")


async def test_a_server_that_takes_one_stream_at_a_time_is_not_given_two(sender, h2_callback, post) -> None:
    h2_callback.most_streams = 1
    answers = await asyncio.gather(*(sender.send(post()) for _ in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert {session.most_open for session in h2_callback.sessions} == {1}
    assert len(h2_callback.requests) == 12


async def test_attempts_that_begin_together_share_a_connection_where_it_was_spoken(sender, h2_callback, post) -> None:
    assert (await sender.send(post())).status == 200
    h2_callback.sessions[0].drop()
    bodies = [b"%d" % number for number in range(24)]
    answers = await asyncio.gather(*(sender.send(post(body)) for body in bodies))
    assert {answer.status for answer in answers} == {200}
    assert sorted(request.body for request in h2_callback.requests[1:]) == sorted(bodies)
    assert len(h2_callback.sessions) == 2


async def test_a_stream_that_is_reset_fails_alone(sender, h2_callback, post) -> None:
    async def script(session, request) -> None:
        if request.body == b"bad":
            session.h2.reset_stream(request.stream, ErrorCodes.INTERNAL_ERROR)
            session.flush()
            return
        session.answer(request, 200)

    h2_callback.script = script
    bodies = [b"bad" if number % 4 == 0 else b"good" for number in range(16)]
    assert (await sender.send(post(b"good"))).status == 200
    answers = await asyncio.gather(*(sender.send(post(body)) for body in bodies))
    for body, answer in zip(bodies, answers, strict=True):
        assert answer.status == (None if body == b"bad" else 200)
        assert answer.failure is (FailureKind.CONNECTION_LOST if body == b"bad" else None)
    assert len(h2_callback.sessions) == 1


async def test_after_goaway_a_new_connection_is_made(sender, h2_callback, post) -> None:
    async def script(session, request) -> None:
        session.answer(request, 200)
        session.h2.close_connection(last_stream_id=request.stream)
        session.flush()

    h2_callback.script = script
    for _ in range(3):
        assert (await sender.send(post())).status == 200
    assert [request.connection for request in h2_callback.requests] == [1, 2, 3]


async def test_a_request_that_goaway_left_out_is_made_again_on_a_new_connection(sender, h2_callback, post) -> None:
    async def script(session, request) -> None:
        if session.number == 1 and request.stream > 1:
            session.h2.close_connection(last_stream_id=1)  # "I have not looked at what came after the first"
            session.flush()
            session.drop()
            return
        session.answer(request, 200)

    h2_callback.script = script
    assert (await sender.send(post())).status == 200
    assert (await sender.send(post())).status == 200
    assert [request.connection for request in h2_callback.requests] == [1, 1, 2]


async def test_a_connection_that_drops_fails_what_it_carried_and_nothing_after(sender, h2_callback, post) -> None:
    async def script(session, request) -> None:
        if session.number == 1 and len(h2_callback.requests) >= 9:
            session.drop()
        elif session.number > 1 or len(h2_callback.requests) == 1:
            session.answer(request, 200)

    h2_callback.script = script
    assert (await sender.send(post())).status == 200
    answers = await asyncio.gather(*(sender.send(post()) for _ in range(8)))
    for answer in answers:  # each was made again at once on a new connection, or is a failed attempt
        assert answer.status == 200 or answer.failure is FailureKind.CONNECTION_LOST
    assert (await sender.send(post())).status == 200
    assert sender.in_flight == 0


async def test_a_stream_that_never_answers_ends_at_its_deadline_and_alone(h2_callback, post) -> None:
    async def script(session, request) -> None:
        if request.body != b"hang":
            session.answer(request, 200)

    h2_callback.script = script
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(attempt_timeout=timedelta(seconds=1)))
    assert (await sender.send(post())).status == 200
    hanging = asyncio.create_task(sender.send(post(b"hang")))
    while len(h2_callback.requests) < 2:
        await asyncio.sleep(0)
    assert {(await sender.send(post())).status for _ in range(5)} == {200}
    answer = await hanging
    assert (answer.status, answer.failure) == (None, FailureKind.TIMEOUT)
    sender.close()


async def test_an_endless_answer_is_cut_off(sender, h2_callback, post) -> None:
    answers = h2_callback.script

    async def script(session, request) -> None:
        session.h2.send_headers(request.stream, [(":status", "200")])
        while session.h2.local_flow_control_window(request.stream) >= 16384:
            session.h2.send_data(request.stream, b"z" * 16384)
        session.flush()

    h2_callback.script = script
    answer = await sender.send(post())
    assert (answer.status, answer.snippet) == (200, b"z" * 1024)
    h2_callback.script = answers
    assert (await sender.send(post())).status == 200


async def test_it_is_spoken_through_a_tunnel_too(h2_callback, post) -> None:
    asked: list[bytes] = []

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        there, away = await asyncio.open_connection("127.0.0.1", int(asked[-1].split(b" ")[1].rpartition(b":")[2]))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(pump(reader, away), pump(there, writer))

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    proxy = Proxy(address=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(), proxy=proxy)
    assert (await sender.send(post())).status == 200
    answers = await asyncio.gather(*(sender.send(post()) for _ in range(8)))
    assert {answer.status for answer in answers} == {200}
    sender.close()
    while asyncio.all_tasks() != {asyncio.current_task()}:  # until the tunnel has seen its ends
        await asyncio.sleep(0)
    server.close()
    assert (len(asked), len(h2_callback.sessions)) == (1, 1)


async def test_switched_off_it_is_not_spoken(tls_callback, tls_context: ssl.SSLContext, authority) -> None:
    tls_context.set_alpn_protocols(["h2", "http/1.1"])
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(http2=False))
    trust = Trust(authorities=authority.certificate)
    assert (await sender.send(OutgoingRequest(url=tls_callback.url(), body=b"{}", trust=trust))).status == 200
    sender.close()
    assert tls_callback.protocols == ["http/1.1"]
    assert tls_callback.requests[0].line.endswith(" HTTP/1.1")


async def test_a_callback_without_it_is_spoken_to_as_ever(sender, tls_callback, tls_context, authority) -> None:
    tls_context.set_alpn_protocols(["http/1.1"])
    trust = Trust(authorities=authority.certificate)
    assert (await sender.send(OutgoingRequest(url=tls_callback.url(), body=b"{}", trust=trust))).status == 200
    assert tls_callback.requests[0].line.endswith(" HTTP/1.1")


async def test_a_request_that_every_kept_connection_leaves_out_is_made_on_a_new_one(h2_callback, post) -> None:
    """As while a receiver is reloaded that had to open many; libcurl by itself tries six and gives up."""
    kept = 7
    everyone = asyncio.Barrier(kept)

    async def script(session, request) -> None:
        if request.body != b"told":
            await everyone.wait()
            session.answer(request, 200)
        elif session.number > kept:
            session.answer(request, 200)
        else:
            session._transport.write(goaway(request.stream - 2))

    h2_callback.script = script
    h2_callback.most_streams = 1
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits())
    answers = await asyncio.gather(*(sender.send(post()) for _ in range(kept)))
    assert {answer.status for answer in answers} == {200}
    answer = await sender.send(post(b"told"))
    assert (answer.status, answer.failure) == (200, None)
    assert [request.connection for request in h2_callback.requests].count(kept + 1) == 1
    sender.close()


def goaway(last_stream: int) -> bytes:
    return b"\0\0\x08\7\0\0\0\0\0" + last_stream.to_bytes(4, "big") + bytes(4)
