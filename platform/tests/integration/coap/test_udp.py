"""The driver: what sockets and loops do to it, on asyncio and on uvloop."""

import asyncio
import gc
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from firmcast.coap.codes import Code, MessageType
from firmcast.coap.datagram_socket import bind
from firmcast.coap.endpoint import Event, FailureReason, Peer, RequestReceived, StaticBody, StaticRequest
from firmcast.coap.message import Message, decode, encode
from firmcast.coap.options import options
from firmcast.coap.parameters import TransmissionParameters
from firmcast.coap.udp import RequestFailedError, UdpEndpoint

OpenUdp = Callable[..., Awaitable[UdpEndpoint]]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def run_on(loop: str, main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main)


async def echo_server() -> UdpEndpoint:
    def answer(event: Event) -> None:
        if isinstance(event, RequestReceived):
            server.respond(event, Code.CONTENT, payload=event.payload)

    server = await UdpEndpoint.open("127.0.0.1", 0, on_event=answer)
    return server


@pytest.mark.parametrize("loop", LOOPS)
def test_vanished_clients_do_not_deafen_the_server(loop: str) -> None:
    async def main() -> None:
        server = await echo_server()
        client = await UdpEndpoint.open("127.0.0.1", 0)
        for _ in range(50):
            # The answer to each of these meets a closed port, so the kernel gets an ICMP port unreachable for it.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
                gone.sendto(bytes.fromhex("40010001"), server.address)
            response = await client.request(server.address, Code.POST, payload=b"still here")
            assert response.payload == b"still here"
        server.close()
        client.close()

    run_on(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_burst_is_drained_and_bodies_pass_both_ways(loop: str) -> None:
    async def main() -> None:
        server = await echo_server()
        clients = [await UdpEndpoint.open("127.0.0.1", 0) for _ in range(100)]
        answers = await asyncio.gather(
            *(
                client.request(server.address, Code.POST, payload=bytes(number * 50))
                for number, client in enumerate(clients)
            )
        )
        assert [len(answer.payload) for answer in answers] == [number * 50 for number in range(100)]
        for udp in (server, *clients):
            udp.close()

    run_on(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_lost_datagrams_are_sent_again_by_the_timer(loop: str) -> None:
    async def main() -> None:
        fast = TransmissionParameters(ack_timeout=0.02, max_retransmit=2)
        client = await UdpEndpoint.open("127.0.0.1", 0, parameters=fast)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            with pytest.raises(RequestFailedError) as failed:
                await client.request(deaf.getsockname(), Code.GET)
            assert failed.value.reason is FailureReason.TIMEOUT
            deaf.setblocking(False)
            datagrams = [deaf.recv(100) for _ in range(3)]
            assert len(set(datagrams)) == 1
            with pytest.raises(BlockingIOError):
                deaf.recv(100)
        client.close()

    run_on(loop, main())


async def test_closing_fails_what_is_awaited_and_leaves_nothing_open() -> None:
    client = await UdpEndpoint.open("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        waiting = asyncio.ensure_future(client.request(deaf.getsockname(), Code.GET))
        await asyncio.sleep(0)
        client.close()
        client.close()
        with pytest.raises(RequestFailedError) as failed:
            await waiting
        assert failed.value.reason is FailureReason.CANCELLED
        with pytest.raises(RequestFailedError):
            await client.request(deaf.getsockname(), Code.GET)
    del client, waiting
    gc.collect()


async def test_a_cancelled_call_abandons_its_request(open_udp: OpenUdp) -> None:
    client = await open_udp()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.request(deaf.getsockname(), Code.GET)
    (state,) = client.endpoint._states.values()
    assert state.is_idle


async def test_an_address_that_cannot_be_reached_fails_at_once(open_udp: OpenUdp) -> None:
    client = await open_udp()
    # From a socket bound to loopback the kernel refuses to route to any other network.
    with pytest.raises(RequestFailedError) as failed:
        await client.request(("192.0.2.1", 5683), Code.GET)
    assert failed.value.reason is FailureReason.UNREACHABLE


async def test_a_failing_handler_costs_only_its_event() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    calls: list[Event] = []

    def handle(event: Event) -> None:
        calls.append(event)
        if len(calls) == 1:
            raise LookupError("a fault of the application")
        if isinstance(event, RequestReceived):
            server.respond(event, Code.CONTENT, payload=b"fine")

    server = await UdpEndpoint.open("127.0.0.1", 0, on_event=handle)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
        first.sendto(bytes.fromhex("40010001"), server.address)
    client = await UdpEndpoint.open("127.0.0.1", 0)
    response = await client.request(server.address, Code.GET, options=options(uri_path=("a",)))
    assert response.payload == b"fine"
    assert [type(each["exception"]) for each in complaints] == [LookupError]
    server.close()
    client.close()


async def test_a_fault_over_one_datagram_costs_none_that_came_with_it(open_udp: OpenUdp) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))

    def body_of(request: StaticRequest, _: Peer) -> StaticBody:
        if request.uri_path == ("faulty",):
            raise ValueError
        return StaticBody(b"whole", etag=b"e")

    server = await open_udp()
    server.endpoint.fast_route(body_of)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(5)
        paths = ("sound", "faulty", "sound", "faulty", "sound")
        for number, path in enumerate(paths):
            # All of them are there when the server's turn comes.
            request = Message(MessageType.CON, Code.GET, number, b"", options(uri_path=(path,)))
            peer.sendto(encode(request), server.address)
        answers = [decode(await asyncio.to_thread(peer.recv, 2048)) for path in paths if path == "sound"]
    assert [(answer.message_id, answer.payload) for answer in answers] == [(n, b"whole") for n in (0, 2, 4)]
    assert [type(fault["exception"]) for fault in faults] == [ValueError]


async def test_an_address_in_use_is_refused_without_leaving_a_socket(open_udp: OpenUdp) -> None:
    taken = await open_udp()
    with pytest.raises(OSError):
        await UdpEndpoint.open("127.0.0.1", taken.address[1])
    gc.collect()


async def test_the_receive_buffer_is_large() -> None:
    sock = await bind("127.0.0.1", 0)
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    sock.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        assert granted > plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere datagrams are not marked")
@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
async def test_routers_may_cut_what_is_sent_in_pieces(host: str) -> None:
    sock = await bind(host, 0)
    try:
        assert sock.getsockopt(socket.IPPROTO_IP, 10) == 0, "IP_MTU_DISCOVER is IP_PMTUDISC_DONT"
    finally:
        sock.close()
