"""Whatever bytes arrive, at whatever stage of whatever is under way, the engine takes them without a fault."""

import random
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.coap.codes import Code, MessageType
from firmcast.coap.endpoint import Endpoint, NotificationUnmatched, RequestReceived, StaticBody
from firmcast.coap.message import Message, encode
from firmcast.coap.options import options

Datagrams = list[bytes]
MakeLone = Callable[..., Any]
SERVER = ("server", 1)


def busy_endpoint() -> tuple[Endpoint, Datagrams]:
    """Return an engine in the middle of everything, and the datagrams that got it there or would carry it on."""
    endpoint = Endpoint(random=random.Random(1))
    body = StaticBody(bytes(5000), etag=b"e")
    endpoint.fast_route(lambda request, peer: body if request.uri_path == ("fw",) else None)
    asked = [
        encode(Message(MessageType.CON, Code.GET, 1, b"a", options(uri_path=("fw",)))),
        encode(Message(MessageType.CON, Code.GET, 2, b"b", options(uri_path=("x",), observe=0))),
        bytes.fromhex("4103000361" + "b178" + "d1030e" + "ff") + bytes(1024),
    ]
    for datagram in asked:
        endpoint.receive(datagram, SERVER, 0.0)
    for event in endpoint.take_events():
        if isinstance(event, RequestReceived):
            endpoint.notify(endpoint.accept_observation(event), now=0.0, confirmable=True)
            endpoint.respond(event, Code.CONTENT, payload=bytes(2000), now=0.0)
    endpoint.observe(SERVER, options(uri_path=("5",)), 0.0, b"o")
    endpoint.request(SERVER, Code.PUT, options=options(uri_path=("p",)), payload=bytes(5000), now=0.0, token=b"p")
    sent = [datagram for datagram, _ in endpoint.take_datagrams()]
    observe = sent[-1]
    answered = b"\x61\x45" + observe[2:4] + b"o" + b"\x60"
    endpoint.receive(answered, SERVER, 0.0)
    (put,) = [datagram for datagram, _ in endpoint.take_datagrams()]
    follow = [
        b"\x61\x5f" + put[2:4] + b"p" + b"\xd1\x0e\x0e",
        b"\x51\x45\x00\x09o\x61\x05\xff1",
        b"\x60\x00" + put[2:4],
    ]
    return endpoint, [*asked, *sent, put, answered, *follow]


_KNOWN = busy_endpoint()[1]


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A datagram that means something here, cut, lengthened or with a few bytes changed."""
    datagram = bytearray(draw(st.sampled_from(_KNOWN)))
    for _ in range(draw(st.integers(0, 3))):
        if datagram:
            datagram[draw(st.integers(0, min(len(datagram), 24) - 1))] = draw(st.integers(0, 255))
    return bytes(datagram[: draw(st.integers(0, len(datagram)))]) + draw(st.binary(max_size=4))


@given(st.lists(bent() | st.binary(max_size=40), max_size=20), st.floats(0, 5))
@settings(max_examples=150, deadline=None)
def test_the_engine_takes_any_bytes(datagrams: Datagrams, pause: float) -> None:
    endpoint, _ = busy_endpoint()
    now = 0.0
    for datagram in datagrams:
        endpoint.receive(datagram, SERVER, now)
        now += pause
        endpoint.handle_timer(now)
        for event in endpoint.take_events():
            if isinstance(event, RequestReceived):
                endpoint.respond(event, Code.CONTENT, payload=event.payload, now=now)
            elif isinstance(event, NotificationUnmatched):
                endpoint.adopt_observation(event.peer, event.token)
        endpoint.take_datagrams()
    endpoint.forget(SERVER, now)
    endpoint.handle_timer(now + 1_000.0)
    assert endpoint.peer_count == 0
    assert endpoint.next_timer() is None


@given(st.binary(max_size=60))
@settings(max_examples=100)
def test_a_stranger_gets_no_more_than_it_sent(lone: MakeLone, datagram: bytes) -> None:
    """No answer to one datagram of a stranger is larger than a small refusal: a spoofed source gains nothing."""
    peer = lone()
    peer.give(datagram)
    sent = sum(len(encode(message)) for message in peer.wait(0.4))
    assert sent <= 3 * max(len(datagram), 8)
