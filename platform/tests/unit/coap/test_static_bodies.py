"""Static bodies: the fast path answers what the general one answers, within its bounds."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.endpoint import RequestReceived, StaticBody, StaticRequest
from firmcast.coap.message import Message
from firmcast.coap.options import options

CON, NON, ACK, RST = MessageType
MakeLone = Callable[..., Any]
BODY = bytes(range(256)) * 12 + b"end"


def get(mid: int, number: int | None = None, szx: int = 6, kind: MessageType = CON, **more: Any) -> Message:
    block = None if number is None else Block(number, False, szx)
    more.setdefault("uri_path", ("fw", "token"))
    return Message(kind, Code.GET, mid, b"tok", options(block2=block, **more))


def serving(peer: Any, body: StaticBody) -> list[tuple[Any, ...]]:
    served: list[tuple[Any, ...]] = []

    def route(request: StaticRequest, source: Any) -> StaticBody | None:
        return body if request.uri_path == ("fw", "token") else None

    peer.endpoint.fast_route(route, lambda *told: served.append(told))
    return served


def test_a_body_is_served_in_blocks_with_etag_size_and_progress(lone: MakeLone) -> None:
    peer = lone()
    served = serving(peer, StaticBody(BODY, etag=b"e1", content_format=42))
    (first,) = peer.give(get(1))
    assert (first.type, first.code, first.message_id, first.token) == (ACK, Code.CONTENT, 1, b"tok")
    assert (first.block2, first.size2, first.etag, first.content_format) == (Block(0, True, 6), 3075, b"e1", 42)
    got = first.payload
    for number in (1, 2, 3):
        (block,) = peer.give(get(1 + number, number))
        assert (block.block2, block.size2, block.etag) == (Block(number, number < 3, 6), None, b"e1")
        got += block.payload
    assert got == BODY
    path = ("fw", "token")
    assert served == [
        (peer.peer, path, 0, 1024, 3075),
        (peer.peer, path, 1024, 1024, 3075),
        (peer.peer, path, 2048, 1024, 3075),
        (peer.peer, path, 3072, 3, 3075),
    ]
    assert peer.told() == []


def test_a_small_body_needs_no_block(lone: MakeLone) -> None:
    peer = lone()
    serving(peer, StaticBody(b"small", etag=b"e"))
    for mid in (1, 2):
        (answer,) = peer.give(get(mid))
        assert (answer.payload, answer.block2, answer.message_id) == (b"small", None, mid)
    (answer,) = peer.give(get(3, 0))
    assert (answer.payload, answer.block2) == (b"small", Block(0, False, 6))


requests = st.builds(
    get,
    mid=st.integers(0, 0xFFFF),
    number=st.none() | st.integers(0, 5) | st.integers(0, 200),
    szx=st.integers(0, 6),
    kind=st.sampled_from([CON, CON, CON, NON]),
    uri_path=st.sampled_from([("fw", "token"), ("fw", "token"), ("fw",), ("fw", "tokem"), ("fw", "token", "x")]),
    uri_query=st.sampled_from([(), ("a=b",)]),
    accept=st.sampled_from([None, 42, 0]),
    etag=st.sampled_from([None, b"e1", b"other"]),
    size2=st.sampled_from([None, 0]),
    observe=st.sampled_from([None, None, 0]),
)


@given(st.lists(requests, min_size=2, max_size=12), st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_the_fast_path_answers_what_the_general_one_answers(lone: MakeLone, asked: list[Message], cached: int) -> None:
    """One engine sees all requests, in turn; for each another engine sees that one alone, so never has a memo."""
    peer = lone()
    body = StaticBody(BODY, etag=b"e1", content_format=42, cached_tails=cached)
    serving(peer, body)
    for message in (*asked, *asked):
        fresh = lone()
        serving(fresh, body)
        expected, found = fresh.give(message), peer.give(message)
        if message.type is NON:
            # Its message id is the engine's own.
            expected, found = ([(each.code, each.options, each.payload) for each in side] for side in (expected, found))
        if message.uri_path == ("fw", "token"):
            assert found == expected
            assert len(found) == 1
        told = peer.told()
        assert told == [] or message.uri_path != ("fw", "token")
    assert body._cached <= cached
    assert body._cached == sum(map(len, body.tails_after.values()))


def test_tails_are_shared_by_peers_and_bounded(lone: MakeLone) -> None:
    peer = lone()
    read: list[int] = []

    def source(offset: int, length: int) -> bytes:
        read.append(offset)
        return BODY[offset : offset + length]

    serving(peer, StaticBody(source, size=len(BODY), etag=b"e", cached_tails=2))
    for name in ("a", "b"):
        peer.give(get(1, 0), (name, 1))
    for number in (1, 0):
        for name in ("a", "b"):
            peer.give(get(1, number), (name, 1))
    # Each new peer is decoded once; after that both share what is kept.
    assert read == [0, 0, 1024]
    peer.give(get(2, 2), ("a", 1))
    peer.give(get(3, 0), ("a", 1))
    assert read == [0, 0, 1024, 2048, 0]


def test_the_route_is_asked_for_every_block(lone: MakeLone) -> None:
    peer = lone()
    bodies: list[StaticBody | None] = [StaticBody(BODY, etag=b"1")]
    peer.endpoint.fast_route(lambda request, source: bodies[0])
    for mid in (1, 2):
        (answer,) = peer.give(get(mid, 0))
        assert answer.etag == b"1"
    bodies[0] = StaticBody(BODY[::-1], etag=b"2")
    for mid in (3, 4):
        (answer,) = peer.give(get(mid, 0))
        assert (answer.etag, answer.payload) == (b"2", BODY[::-1][:1024])
    bodies[0] = None
    assert peer.give(get(5, 0)) == []
    (event,) = peer.told()
    assert isinstance(event, RequestReceived)


def test_a_source_that_fails_is_an_internal_error(lone: MakeLone) -> None:
    peer = lone()
    serving(peer, StaticBody(lambda offset, length: b"short", size=3000, etag=b"e"))
    (answer,) = peer.give(get(1, 0))
    assert answer.code == Code.INTERNAL_SERVER_ERROR


def test_an_empty_body(lone: MakeLone) -> None:
    peer = lone()
    serving(peer, StaticBody(b"", etag=b"e"))
    for mid in (1, 2):
        (answer,) = peer.give(get(mid))
        assert (answer.code, answer.payload, answer.block2) == (Code.CONTENT, b"", None)


def test_a_token_of_a_wrong_length_does_not_reach_the_fast_path(lone: MakeLone) -> None:
    peer = lone()
    serving(peer, StaticBody(BODY, etag=b"e"))
    peer.give(get(1, 0))
    assert peer.give(bytes((0x49, 1, 0, 2)) + b"t" * 9) == [Message(RST, Code.EMPTY, 2)]
    assert peer.give(b"") == []


@pytest.mark.parametrize("etag", [b"", b"123456789"])
def test_what_is_no_static_body_is_refused(etag: bytes) -> None:
    with pytest.raises(ValueError, match="entity tag"):
        StaticBody(b"x", etag=etag)
    with pytest.raises(ValueError, match="size"):
        StaticBody(lambda offset, length: b"", etag=b"e")


def test_a_body_of_another_format_than_asked_for_is_not_acceptable(lone: MakeLone) -> None:
    peer = lone()
    bodies = [StaticBody(BODY, etag=b"1", content_format=42)]
    peer.endpoint.fast_route(lambda request, source: bodies[0])
    for mid in (1, 2):
        (answer,) = peer.give(get(mid, 0, accept=42))
        assert answer.code == Code.CONTENT
    bodies[0] = StaticBody(BODY, etag=b"2", content_format=0)
    assert peer.give(get(3, 0, accept=0), ("other", 1))[0].code == Code.CONTENT
    for mid in (3, 4):
        (answer,) = peer.give(get(mid, 0, accept=42))
        assert answer.code == Code.NOT_ACCEPTABLE
