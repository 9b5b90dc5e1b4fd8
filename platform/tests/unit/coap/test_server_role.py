"""What the server role answers to messages written by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.endpoint import RequestReceived, UploadProgress
from firmcast.coap.message import Message, encode
from firmcast.coap.options import options

CON, NON, ACK, RST = MessageType
MakeLone = Callable[..., Any]


def get(
    mid: int, *, path: tuple[str, ...] = ("a",), kind: MessageType = CON, token: bytes = b"t", **more: Any
) -> Message:
    return Message(kind, Code.GET, mid, token, options(uri_path=path, **more))


def put(mid: int, block: Block, payload: bytes, *, token: bytes = b"t", **more: Any) -> Message:
    return Message(CON, Code.PUT, mid, token, options(uri_path=("p",), block1=block, **more), payload)


def request_of(peer: Any) -> RequestReceived:
    (event,) = [event for event in peer.told() if isinstance(event, RequestReceived)]
    return event


def test_ping_is_answered_by_a_reset(lone: MakeLone) -> None:
    assert lone().give(Message(CON, Code.EMPTY, 9)) == [Message(RST, Code.EMPTY, 9)]


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        ("400100ff" + "ff", [Message(RST, Code.EMPTY, 255)]),
        ("500100ff" + "ff", []),
        ("800100ff", []),
        ("4001", []),
        ("40e000ff", [Message(RST, Code.EMPTY, 255)]),
        ("60010001", []),
    ],
)
def test_malformed_and_reserved_messages_are_rejected_as_the_rfc_says(
    lone: MakeLone, wire: str, answer: list[Message]
) -> None:
    peer = lone()
    assert peer.give(bytes.fromhex(wire)) == answer
    assert peer.told() == []


def test_a_quick_answer_rides_in_the_acknowledgement_and_is_repeated(lone: MakeLone) -> None:
    peer = lone()
    assert peer.give(get(1)) == []
    request = request_of(peer)
    assert peer.endpoint.respond(request, Code.CONTENT, payload=b"x", now=0.1)
    answer = Message(ACK, Code.CONTENT, 1, b"t", (), b"x")
    assert peer.taken() == [answer]
    assert peer.give(get(1)) == [answer]
    assert peer.told() == []
    assert not peer.endpoint.respond(request, Code.CONTENT, now=0.2)
    assert peer.endpoint.counters.repeated == 1


def test_a_restarted_device_that_counts_from_the_start_is_not_taken_for_its_former_self(lone: MakeLone) -> None:
    peer = lone()
    peer.give(get(1, token=b"old"))
    peer.endpoint.respond(request_of(peer), Code.CONTENT, now=0.0)
    peer.give(get(1, token=b"new"))
    assert request_of(peer).token == b"new"


def test_a_message_id_is_free_again_after_an_exchange_lifetime(lone: MakeLone) -> None:
    peer = lone()
    peer.give(get(1))
    peer.endpoint.respond(request_of(peer), Code.CONTENT, now=0.0)
    peer.taken()
    peer.now = 248.0
    assert peer.give(get(1)) == []
    assert request_of(peer).token == b"t"


def test_a_late_answer_is_a_message_of_its_own_and_retransmitted(lone: MakeLone) -> None:
    peer = lone()
    peer.give(get(1))
    request = request_of(peer)
    assert peer.wait(0.6) == [Message(ACK, Code.EMPTY, 1)]
    assert peer.give(get(1)) == [Message(ACK, Code.EMPTY, 1)]
    peer.endpoint.respond(request, Code.CONTENT, payload=b"x", now=peer.now)
    (separate,) = peer.taken()
    assert (separate.type, separate.code, separate.token, separate.payload) == (CON, Code.CONTENT, b"t", b"x")
    again = peer.wait(20.0)
    assert again
    assert set(map(encode, again)) == {encode(separate)}
    assert peer.give(Message(ACK, Code.EMPTY, separate.message_id)) == []
    assert peer.wait(100.0) == []


def test_a_late_answer_may_be_non_confirmable(lone: MakeLone) -> None:
    peer = lone()
    peer.give(get(1))
    request = request_of(peer)
    peer.endpoint.acknowledge(request, 0.0)
    assert peer.taken() == [Message(ACK, Code.EMPTY, 1)]
    peer.endpoint.respond(request, Code.CONTENT, now=0.0, confirmable=False)
    (answer,) = peer.taken()
    assert answer.type is NON
    assert peer.wait(300.0) == []


def test_a_separate_answer_that_nobody_acknowledges_is_given_up(lone: MakeLone) -> None:
    peer = lone()
    peer.give(get(1))
    request = request_of(peer)
    peer.wait(0.6)
    peer.endpoint.respond(request, Code.CONTENT, now=peer.now)
    assert len(peer.taken()) == 1
    assert len(peer.wait(100.0)) == 4
    assert peer.endpoint.counters.given_up == 1


def test_a_non_confirmable_request_gets_a_non_confirmable_answer_and_its_repeat_none(lone: MakeLone) -> None:
    peer = lone()
    peer.give(get(1, kind=NON))
    peer.endpoint.respond(request_of(peer), Code.CONTENT, now=0.0)
    (answer,) = peer.taken()
    assert (answer.type, answer.token) == (NON, b"t")
    assert peer.give(get(1, kind=NON)) == []
    assert peer.told() == []


def test_critical_options_that_nobody_knows(lone: MakeLone) -> None:
    peer = lone()
    strange = options(uri_path=("a",), others=((2049, b""),))
    (answer,) = peer.give(Message(CON, Code.GET, 1, b"t", strange))
    assert (answer.type, answer.code, answer.token) == (ACK, Code.BAD_OPTION, b"t")
    assert peer.give(Message(NON, Code.GET, 2, b"t", strange)) == [Message(RST, Code.EMPTY, 2)]
    (answer,) = peer.give(Message(CON, Code.GET, 3, b"t", options(others=((35, b"coap://x"),))))
    assert answer.code == Code.PROXYING_NOT_SUPPORTED
    peer.give(Message(CON, Code.GET, 4, b"t", options(uri_path=("a",), others=((2048, b""),))))
    assert request_of(peer).message.message_id == 4


def test_an_unknown_method_is_not_allowed(lone: MakeLone) -> None:
    (answer,) = lone().give(Message(CON, 30, 1, b"t", options(uri_path=("a",))))
    assert answer.code == Code.METHOD_NOT_ALLOWED


def test_a_reserved_block_size_is_a_bad_request(lone: MakeLone) -> None:
    (answer,) = lone().give(Message(CON, Code.GET, 1, b"t", options(uri_path=("a",), others=((23, b"\x07"),))))
    assert answer.code == Code.BAD_REQUEST


def test_more_unanswered_requests_than_allowed_are_refused(lone: MakeLone) -> None:
    peer = lone(max_pending_per_peer=2)
    assert peer.give(get(1)) == peer.give(get(2)) == []
    (answer,) = peer.give(get(3))
    assert answer.code == Code.SERVICE_UNAVAILABLE


def test_a_request_that_nobody_answers_is_dropped_in_the_end(lone: MakeLone) -> None:
    peer = lone()
    peer.give(get(1))
    request = request_of(peer)
    assert peer.wait(600.0) == [Message(ACK, Code.EMPTY, 1)]
    assert not peer.endpoint.respond(request, Code.CONTENT, now=peer.now)
    assert peer.endpoint.peer_count == 0
    assert peer.endpoint.next_timer() is None


def test_a_large_answer_is_served_in_blocks_of_one_body(lone: MakeLone) -> None:
    peer = lone()
    body = bytes(range(256)) * 10
    peer.give(get(1))
    peer.endpoint.respond(request_of(peer), Code.CONTENT, payload=body, options=options(content_format=42), now=0.0)
    (first,) = peer.taken()
    assert (first.block2, first.size2, first.content_format) == (Block(0, True, 6), 2560, 42)
    (second,) = peer.give(get(2, token=b"u", block2=Block(1, False, 6)))
    (third,) = peer.give(get(3, token=b"v", block2=Block(2, False, 6)))
    assert (second.block2, third.block2) == (Block(1, True, 6), Block(2, False, 6))
    assert first.payload + second.payload + third.payload == body
    assert first.etag == second.etag == third.etag is not None
    assert second.size2 is None
    assert peer.told() == []
    (smaller,) = peer.give(get(4, token=b"w", block2=Block(4, False, 5)))
    assert (smaller.block2, smaller.payload) == (Block(4, False, 5), body[2048:])


def test_a_block_beyond_the_end_is_a_bad_request(lone: MakeLone) -> None:
    peer = lone()
    peer.give(get(1))
    peer.endpoint.respond(request_of(peer), Code.CONTENT, payload=bytes(2000), now=0.0)
    peer.taken()
    (answer,) = peer.give(get(2, block2=Block(2, False, 6)))
    assert answer.code == Code.BAD_REQUEST


def test_a_block_size_asked_for_at_the_start_is_kept(lone: MakeLone) -> None:
    peer = lone()
    peer.give(get(1, block2=Block(0, False, 1)))
    peer.endpoint.respond(request_of(peer), Code.CONTENT, payload=bytes(100), now=0.0)
    (first,) = peer.taken()
    assert (first.block2, len(first.payload)) == (Block(0, True, 1), 32)
    (last,) = peer.give(get(2, block2=Block(3, False, 1)))
    assert (last.block2, len(last.payload)) == (Block(3, False, 1), 4)


def test_a_later_block_of_a_get_not_held_is_cut_from_a_new_answer(lone: MakeLone) -> None:
    peer = lone()
    peer.give(get(1, block2=Block(1, False, 6)))
    peer.endpoint.respond(request_of(peer), Code.CONTENT, payload=b"a" * 1024 + b"b", now=0.0)
    (answer,) = peer.taken()
    assert (answer.block2, answer.payload) == (Block(1, False, 6), b"b")


def test_a_later_block_of_a_post_not_held_is_incomplete(lone: MakeLone) -> None:
    (answer,) = lone().give(Message(CON, Code.POST, 1, b"t", options(uri_path=("a",), block2=Block(1, False, 6))))
    assert answer.code == Code.REQUEST_ENTITY_INCOMPLETE


def test_held_answers_are_bounded_and_forgotten(lone: MakeLone) -> None:
    peer = lone(max_held_responses=5000)
    for mid, name in enumerate(("a", "b", "c"), 1):
        peer.give(get(mid, path=(name,)))
        peer.endpoint.respond(request_of(peer), Code.CONTENT, payload=bytes(2000), now=0.0)
    peer.taken()
    assert peer.give(get(10, path=("a",), block2=Block(1, False, 6))) == []
    assert len(peer.give(get(11, path=("c",), block2=Block(1, False, 6)))) == 1
    peer.wait(1_000.0)
    assert peer.endpoint._server._held._bytes == 0


def test_a_body_by_blocks_is_told_once_it_is_whole(lone: MakeLone) -> None:
    peer = lone()
    (first,) = peer.give(put(1, Block(0, True, 0), b"a" * 16, size1=36))
    (second,) = peer.give(put(2, Block(1, True, 0), b"b" * 16))
    assert (first.code, first.block1) == (Code.CONTINUE, Block(0, True, 0))
    assert (second.code, second.block1) == (Code.CONTINUE, Block(1, True, 0))
    assert [(event.received, event.total, event.uri_path) for event in peer.told()] == [
        (16, 36, ("p",)),
        (32, 36, ("p",)),
    ]
    assert peer.give(put(3, Block(2, False, 0), b"cccc")) == []
    request = request_of(peer)
    assert (request.payload, request.body_size) == (b"a" * 16 + b"b" * 16 + b"cccc", 36)
    peer.endpoint.respond(request, Code.CHANGED, now=0.0)
    assert peer.taken() == [Message(ACK, Code.CHANGED, 3, b"t", options(block1=Block(2, False, 0)))]


def test_a_repeated_block_is_answered_again_and_a_gap_is_incomplete(lone: MakeLone) -> None:
    peer = lone()
    peer.give(put(1, Block(0, True, 0), b"a" * 16))
    (again,) = peer.give(put(2, Block(0, True, 0), b"a" * 16))
    assert again.code == Code.CONTINUE
    peer.give(put(3, Block(1, True, 0), b"b" * 16))
    (new_message,) = peer.give(put(4, Block(1, True, 0), b"b" * 16))
    assert new_message.code == Code.CONTINUE
    (gap,) = peer.give(put(5, Block(3, True, 0), b"d" * 16))
    assert gap.code == Code.REQUEST_ENTITY_INCOMPLETE
    peer.give(put(6, Block(2, False, 0), b"c"))
    assert request_of(peer).payload == b"a" * 16 + b"b" * 16 + b"c"
    (lost,) = peer.give(put(7, Block(3, True, 0), b"d" * 16))
    assert lost.code == Code.REQUEST_ENTITY_INCOMPLETE


def test_a_block_cut_short_before_the_last_is_a_bad_request(lone: MakeLone) -> None:
    peer = lone()
    peer.give(put(1, Block(0, True, 0), b"a" * 16))
    (answer,) = peer.give(put(2, Block(1, True, 0), b"b" * 15))
    assert answer.code == Code.BAD_REQUEST


def test_smaller_blocks_are_asked_for_without_losing_the_first(lone: MakeLone) -> None:
    peer = lone(block_szx=0)
    (answer,) = peer.give(put(1, Block(0, True, 2), b"a" * 64))
    assert (answer.code, answer.block1) == (Code.CONTINUE, Block(0, True, 0))
    (answer,) = peer.give(put(2, Block(4, True, 0), b"b" * 16))
    assert answer.code == Code.CONTINUE


def test_larger_blocks_are_refused_where_so_configured(lone: MakeLone) -> None:
    peer = lone(block_szx=3, refuse_larger_blocks=True)
    (answer,) = peer.give(put(1, Block(0, True, 5), b"a" * 512))
    assert (answer.code, answer.block1) == (Code.REQUEST_ENTITY_TOO_LARGE, Block(0, True, 3))


def test_a_body_too_large_is_refused_as_soon_as_that_is_known(lone: MakeLone) -> None:
    peer = lone(max_body=40)
    (announced,) = peer.give(put(1, Block(0, True, 0), b"a" * 16, size1=41))
    assert (announced.code, announced.size1) == (Code.REQUEST_ENTITY_TOO_LARGE, 40)
    for number in range(2):
        peer.give(put(2 + number, Block(number, True, 0), b"a" * 16))
    (grown,) = peer.give(put(4, Block(2, True, 0), b"a" * 16))
    assert grown.code == Code.REQUEST_ENTITY_TOO_LARGE
    assert peer.endpoint._server._uploads._held == 0


def test_incomplete_bodies_are_bounded_per_peer_over_all_and_in_time(lone: MakeLone) -> None:
    peer = lone(max_assembled=100, max_assemblies_per_peer=2)

    def begin(mid: int, name: str, where: Any = None) -> list[Message]:
        return peer.give(
            Message(CON, Code.PUT, mid, b"t", options(uri_path=(name,), block1=Block(0, True, 1)), b"x" * 32), where
        )

    for mid, name in enumerate("abc", 1):
        assert begin(mid, name)[0].code == Code.CONTINUE
    assert peer.endpoint._server._uploads._held == 64
    assert begin(4, "d", ("other", 1))[0].code == Code.CONTINUE
    assert begin(5, "e", ("other", 2))[0].code == Code.SERVICE_UNAVAILABLE
    peer.wait(1_000.0)
    assert peer.endpoint._server._uploads._held == 0
    assert peer.endpoint.peer_count == 0


def test_a_sink_takes_a_body_larger_than_the_limit(lone: MakeLone) -> None:
    peer = lone(max_body=20)
    taken: list[tuple[int, bytes]] = []
    peer.endpoint.upload_route(lambda message, source: lambda offset, part: taken.append((offset, part)))
    peer.give(put(1, Block(0, True, 1), b"a" * 32))
    peer.give(put(2, Block(1, False, 1), b"b"))
    assert taken == [(0, b"a" * 32), (32, b"b")]
    progress, request = peer.told()
    assert isinstance(progress, UploadProgress)
    assert isinstance(request, RequestReceived)
    assert (request.payload, request.body_size) == (b"", 33)


def test_a_body_can_be_refused_at_its_first_block(lone: MakeLone) -> None:
    peer = lone()
    peer.endpoint.upload_route(lambda message, source: Code.METHOD_NOT_ALLOWED)
    (answer,) = peer.give(put(1, Block(0, True, 1), b"a" * 32))
    assert (answer.code, answer.block1) == (Code.METHOD_NOT_ALLOWED, None)
    (answer,) = peer.give(put(2, Block(1, False, 1), b"b"))
    assert answer.code == Code.REQUEST_ENTITY_INCOMPLETE
    assert peer.told() == []


def test_peers_are_bounded_and_busy_ones_stay(lone: MakeLone) -> None:
    peer = lone(max_peers=2)
    peer.give(get(1), ("busy", 1))
    peer.give(Message(CON, 30, 1), ("idle", 1))
    peer.give(get(1), ("new", 1))
    assert set(peer.endpoint._states) == {("busy", 1), ("new", 1)}
    assert peer.give(get(1), ("too many", 1)) == []
    assert peer.endpoint.counters.refused == 1


def test_busy_peers_do_not_keep_everybody_else_out_when_strangers_fill_the_table(lone: MakeLone) -> None:
    peer = lone(max_peers=200)
    busy = [("busy", number) for number in range(40)]
    for each in busy:
        peer.endpoint.observe(each, options(uri_path=("5", "0", "3")), 0.0)
    for number in range(300):
        peer.give(Message(CON, 30, 1), ("stranger", number))
    assert [answer.code for answer in peer.give(Message(CON, 30, 1), ("known", 1))] == [Code.METHOD_NOT_ALLOWED]
    assert set(busy) < set(peer.endpoint._states)


def test_forgetting_a_peer_leaves_nothing_of_it(lone: MakeLone) -> None:
    peer = lone()
    peer.give(get(1, observe=0))
    request = request_of(peer)
    peer.endpoint.accept_observation(request)
    peer.endpoint.respond(request, Code.CONTENT, payload=bytes(2000), now=0.0)
    peer.give(put(2, Block(0, True, 0), b"a" * 16))
    peer.give(get(3))
    peer.endpoint.forget(peer.peer, 0.0)
    assert peer.endpoint.peer_count == 0
    assert peer.endpoint.next_timer() is None


def test_a_repeat_so_late_that_its_reply_is_gone_is_met_by_silence(lone: MakeLone) -> None:
    peer = lone(replies_per_peer=2, messages_per_peer=4)
    for mid in range(1, 5):
        peer.give(get(mid))
        peer.endpoint.respond(request_of(peer), Code.CONTENT, now=0.0)
        peer.taken()
    assert [len(peer.give(get(mid))) for mid in range(1, 5)] == [0, 0, 1, 1]
    assert peer.told() == []


def test_a_request_still_unanswered_is_known_however_many_came_since(lone: MakeLone) -> None:
    peer = lone(messages_per_peer=2)
    for mid in range(1, 5):
        peer.give(get(mid))
    assert len(peer.told()) == 4
    assert peer.give(get(1)) == []
    assert peer.told() == []
