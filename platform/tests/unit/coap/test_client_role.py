"""What the client role sends and concludes when its peer's messages are written by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from firmcast.coap.block import Block
from firmcast.coap.client import BacklogFullError
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.endpoint import (
    DownloadProgress,
    FailureReason,
    RequestFailed,
    ResponseReceived,
    StaticBody,
    TransferProgress,
)
from firmcast.coap.message import Message
from firmcast.coap.options import options

CON, NON, ACK, RST = MessageType
MakeLone = Callable[..., Any]
PATH = options(uri_path=("5", "0", "0"))


def ask(peer: Any, method: Code = Code.GET, **more: Any) -> Message:
    """Begin a request and return its first message."""
    peer.endpoint.request(peer.peer, method, options=more.pop("options", PATH), now=peer.now, **more)
    sent = peer.taken()
    assert len(sent) == 1
    return sent[0]


def answer(to: Message, code: Code, payload: bytes = b"", **pairs: Any) -> Message:
    return Message(ACK, code, to.message_id, to.token, options(**pairs), payload)


def end_of(peer: Any) -> ResponseReceived | RequestFailed:
    (event,) = [event for event in peer.told() if isinstance(event, ResponseReceived | RequestFailed)]
    return event


def test_a_response_in_the_acknowledgement(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer, token=b"tok")
    assert (sent.type, sent.code, sent.token, sent.uri_path) == (CON, Code.GET, b"tok", ("5", "0", "0"))
    assert peer.give(answer(sent, Code.CONTENT, b"1", content_format=0)) == []
    end = end_of(peer)
    assert isinstance(end, ResponseReceived)
    assert (end.code, end.payload, end.token, end.body_size) == (Code.CONTENT, b"1", b"tok", 1)
    assert not end.observing
    assert peer.wait(300.0) == []


def test_retransmission_doubles_its_waits_and_gives_up(lone: MakeLone) -> None:
    peer = lone(ack_random_factor=1.0)
    sent = ask(peer)
    times = []
    while (due := peer.endpoint.next_timer()) is not None and due < 200.0:
        again = peer.wait(due - peer.now)
        assert again in ([sent], [])
        times += [peer.now] * len(again)
    assert times == [2.0, 6.0, 14.0, 30.0]
    assert end_of(peer) == RequestFailed(peer=peer.peer, token=sent.token, reason=FailureReason.TIMEOUT)
    assert peer.endpoint.counters.retransmitted == 4


def test_a_reset_and_an_answer_for_somebody_else(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer)
    assert peer.give(Message(ACK, Code.CONTENT, sent.message_id, b"else")) == []
    assert peer.give(Message(ACK, Code.CONTENT, sent.message_id ^ 1, sent.token)) == []
    assert peer.told() == []
    peer.give(Message(RST, Code.EMPTY, sent.message_id))
    end = end_of(peer)
    assert isinstance(end, RequestFailed)
    assert end.reason is FailureReason.RESET


def test_a_separate_response_is_acknowledged_each_time_and_told_once(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer)
    peer.give(Message(ACK, Code.EMPTY, sent.message_id))
    assert peer.wait(10.0) == []
    separate = Message(CON, Code.CONTENT, 77, sent.token, (), b"x")
    assert peer.give(separate) == [Message(ACK, Code.EMPTY, 77)]
    assert peer.give(separate) == [Message(ACK, Code.EMPTY, 77)]
    end = end_of(peer)
    assert isinstance(end, ResponseReceived)
    assert end.payload == b"x"


def test_a_response_may_overtake_its_acknowledgement(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer)
    assert peer.give(Message(NON, Code.CONTENT, 77, sent.token, (), b"x")) == []
    assert peer.give(Message(ACK, Code.EMPTY, sent.message_id)) == []
    assert isinstance(end_of(peer), ResponseReceived)
    assert peer.wait(300.0) == []


def test_a_response_that_never_follows_its_acknowledgement_times_out(lone: MakeLone) -> None:
    peer = lone(response_timeout=50.0)
    sent = ask(peer)
    peer.give(Message(ACK, Code.EMPTY, sent.message_id))
    assert peer.wait(49.0) == []
    assert peer.told() == []
    peer.wait(2.0)
    end = end_of(peer)
    assert isinstance(end, RequestFailed)
    assert end.reason is FailureReason.TIMEOUT


def test_a_read_whose_separate_response_is_lost_is_sent_anew(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer)
    peer.give(Message(ACK, Code.EMPTY, sent.message_id))
    (again,) = peer.wait(16.0)
    assert (again.type, again.code, again.token, again.options) == (sent.type, sent.code, sent.token, sent.options)
    assert again.message_id != sent.message_id
    peer.give(Message(ACK, Code.CONTENT, again.message_id, sent.token, (), b"x"))
    end = end_of(peer)
    assert isinstance(end, ResponseReceived)
    assert end.payload == b"x"
    assert peer.wait(300.0) == []


def test_a_read_that_is_only_ever_acknowledged_times_out_once(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer)
    asked = 0
    while peer.now < 92.0:
        peer.give(Message(ACK, Code.EMPTY, sent.message_id))
        again = peer.wait(1.0)
        asked += len(again)
        sent = again[-1] if again else sent
    assert (asked, peer.told()) == (2, [])
    peer.wait(2.0)
    assert end_of(peer) == RequestFailed(peer=peer.peer, token=sent.token, reason=FailureReason.TIMEOUT)


def test_a_block_whose_separate_response_is_lost_is_sent_anew_unless_it_is_the_last(lone: MakeLone) -> None:
    peer = lone()
    first = ask(peer, Code.PUT, payload=bytes(64), szx=1)
    peer.give(Message(ACK, Code.EMPTY, first.message_id))
    (again,) = peer.wait(16.0)
    assert (again.block1, again.payload, again.token) == (first.block1, first.payload, first.token)
    assert again.message_id != first.message_id
    (last,) = peer.give(answer(again, Code.CONTINUE, block1=again.block1))
    assert last.block1 == Block(1, more=False, szx=1)
    peer.give(Message(ACK, Code.EMPTY, last.message_id))
    assert peer.wait(94.0) == []
    assert isinstance(end_of(peer), RequestFailed)


def test_a_late_refusal_of_the_block_size_before_is_not_one_of_the_package(lone: MakeLone) -> None:
    peer = lone()
    first = ask(peer, Code.PUT, payload=bytes(100), szx=2)
    too_large = options(block1=Block(0, more=True, szx=1))
    peer.give(Message(ACK, Code.EMPTY, first.message_id))
    (sent,) = peer.give(Message(NON, Code.REQUEST_ENTITY_TOO_LARGE, 70, first.token, too_large))
    (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=sent.block1))
    assert sent.block1 == Block(1, more=True, szx=1)
    # A repeat of the first block reaches the device after all, which refuses it as before.
    assert peer.give(Message(NON, Code.REQUEST_ENTITY_TOO_LARGE, 71, first.token, too_large)) == []
    (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=sent.block1))
    (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=sent.block1))
    peer.give(answer(sent, Code.CHANGED, block1=sent.block1))
    end = end_of(peer)
    assert isinstance(end, ResponseReceived)
    assert end.code == Code.CHANGED


@pytest.mark.parametrize("method", [Code.PUT, Code.POST])
def test_what_was_acknowledged_and_may_change_something_is_not_sent_anew(lone: MakeLone, method: Code) -> None:
    peer = lone()
    peer.endpoint.request(peer.peer, method, payload=b"1", now=peer.now)
    (sent,) = peer.taken()
    peer.give(Message(ACK, Code.EMPTY, sent.message_id))
    assert peer.wait(94.0) == []
    assert isinstance(end_of(peer), RequestFailed)


def test_a_non_confirmable_request_is_sent_once(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer, confirmable=False)
    assert sent.type is NON
    assert peer.wait(200.0) == []
    assert isinstance(end_of(peer), RequestFailed)


@pytest.mark.parametrize("kind", [CON, NON, ACK])
def test_a_response_with_an_unknown_critical_option_is_rejected(lone: MakeLone, kind: MessageType) -> None:
    peer = lone()
    sent = ask(peer)
    mid = sent.message_id if kind is ACK else 99
    strange = Message(kind, Code.CONTENT, mid, sent.token, ((2049, b""),))
    assert peer.give(strange) == ([Message(RST, Code.EMPTY, 99)] if kind is CON else [])
    assert peer.told() == []


def test_a_response_to_nothing_is_reset_when_confirmable(lone: MakeLone) -> None:
    peer = lone()
    assert peer.give(Message(CON, Code.CONTENT, 5, b"who")) == [Message(RST, Code.EMPTY, 5)]
    assert peer.give(Message(NON, Code.CONTENT, 6, b"who")) == []
    assert peer.told() == []
    assert peer.endpoint.peer_count == 0


def test_message_ids_count_per_peer(lone: MakeLone) -> None:
    peer = lone(nstart=3)
    ids: dict[str, list[int]] = {"a": [], "b": []}
    for _ in range(3):
        for name, seen in ids.items():
            peer.endpoint.request((name, 1), Code.GET, now=0.0)
            seen.append(peer.taken()[0].message_id)
    for seen in ids.values():
        assert [(mid - seen[0]) & 0xFFFF for mid in seen] == [0, 1, 2]


def test_the_backlog_is_bounded_and_a_token_is_used_once(lone: MakeLone) -> None:
    peer = lone(max_backlog_per_peer=1)
    ask(peer, token=b"a")
    peer.endpoint.request(peer.peer, Code.GET, now=0.0, token=b"b")
    with pytest.raises(BacklogFullError):
        peer.endpoint.request(peer.peer, Code.GET, now=0.0)
    another = lone()
    ask(another, token=b"a")
    with pytest.raises(ValueError, match="in use"):
        another.endpoint.request(another.peer, Code.GET, now=0.0, token=b"a")
    with pytest.raises(ValueError, match="8 bytes"):
        lone().endpoint.request(peer.peer, Code.GET, now=0.0, token=b"123456789")


def test_a_cancelled_request_makes_way_for_the_next(lone: MakeLone) -> None:
    peer = lone()
    first = ask(peer)
    peer.endpoint.request(peer.peer, Code.GET, now=0.0, token=b"next")
    assert peer.taken() == []
    assert peer.endpoint.cancel_request(peer.peer, first.token, 0.0)
    (second,) = peer.taken()
    assert second.token == b"next"
    end = end_of(peer)
    assert isinstance(end, RequestFailed)
    assert end.reason is FailureReason.CANCELLED
    assert not peer.endpoint.cancel_request(peer.peer, first.token, 0.0)


# Block1.


def test_a_large_body_goes_block_by_block(lone: MakeLone) -> None:
    peer = lone()
    body = bytes(range(250)) * 10
    sent = ask(peer, Code.PUT, payload=body, options=options(uri_path=("5", "0", "0"), content_format=42))
    got = b""
    for number in range(3):
        assert (sent.block1, sent.size1) == (Block(number, number < 2, 6), 2500 if number == 0 else None)
        assert sent.content_format == 42
        got += sent.payload
        if number < 2:
            (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=Block(number, True, 6)))
    assert got == body
    peer.give(answer(sent, Code.CHANGED, block1=Block(2, False, 6)))
    told = peer.told()
    assert [(event.sent, event.total) for event in told if isinstance(event, TransferProgress)] == [
        (1024, 2500),
        (2048, 2500),
    ]
    assert isinstance(told[-1], ResponseReceived)
    assert told[-1].code == Code.CHANGED


def test_a_body_read_piece_by_piece(lone: MakeLone) -> None:
    peer = lone()
    read: list[tuple[int, int]] = []

    def source(offset: int, length: int) -> bytes:
        read.append((offset, length))
        return bytes(length)

    sent = ask(peer, Code.PUT, payload=StaticBody(source, size=40, etag=b"e"), szx=1)
    (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=Block(0, True, 1)))
    assert (sent.block1, len(sent.payload)) == (Block(1, False, 1), 8)
    assert read == [(0, 32), (32, 8)]


def test_a_source_that_fails_fails_the_request(lone: MakeLone) -> None:
    peer = lone()

    def source(offset: int, length: int) -> bytes:
        raise OSError("gone")

    peer.endpoint.request(peer.peer, Code.PUT, payload=StaticBody(source, size=40, etag=b"e"), now=0.0)
    end = end_of(peer)
    assert isinstance(end, RequestFailed)
    assert end.reason is FailureReason.BLOCK_FAILED


def test_smaller_blocks_are_used_once_the_peer_asks_for_them(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer, Code.PUT, payload=bytes(200), szx=3)
    assert sent.block1 == Block(0, True, 3)
    (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=Block(0, True, 1)))
    assert (sent.block1, len(sent.payload)) == (Block(4, True, 1), 32)


@pytest.mark.parametrize("whole_at_first", [True, False])
def test_a_body_refused_for_its_blocks_begins_again_with_smaller_ones(lone: MakeLone, whole_at_first: bool) -> None:
    peer = lone()
    sent = ask(peer, Code.PUT, payload=bytes(200), szx=6 if whole_at_first else 3)
    assert (sent.block1 is None) == whole_at_first
    (sent,) = peer.give(answer(sent, Code.REQUEST_ENTITY_TOO_LARGE, block1=Block(0, True, 2)))
    assert (sent.block1, len(sent.payload)) == (Block(0, True, 2), 64)


def test_a_body_refused_for_blocks_of_which_no_size_is_named_is_tried_in_ever_smaller_ones(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer, Code.PUT, payload=bytes(200))
    assert sent.block1 is None
    for szx in (3, 2, 1, 0):
        (sent,) = peer.give(answer(sent, Code.REQUEST_ENTITY_TOO_LARGE))
        assert (sent.block1, len(sent.payload)) == (Block(0, True, szx), 16 << szx)
    peer.give(answer(sent, Code.REQUEST_ENTITY_TOO_LARGE))
    end = end_of(peer)
    assert isinstance(end, ResponseReceived)
    assert end.code == Code.REQUEST_ENTITY_TOO_LARGE


def test_a_body_refused_in_the_middle_is_not_tried_in_smaller_blocks(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer, Code.PUT, payload=bytes(3000))
    (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=Block(0, True, 6)))
    assert peer.give(answer(sent, Code.REQUEST_ENTITY_TOO_LARGE)) == []
    end = end_of(peer)
    assert isinstance(end, ResponseReceived)
    assert end.code == Code.REQUEST_ENTITY_TOO_LARGE


def test_a_first_request_may_leave_the_block_size_open(lone: MakeLone) -> None:
    peer = lone(asks_block_size_early=False, block_szx=2)
    sent = ask(peer)
    assert sent.block2 is None
    (sent,) = peer.give(answer(sent, Code.CONTENT, bytes(128), block2=Block(0, True, 3)))
    assert sent.block2 == Block(2, False, 2)


def test_a_body_too_large_for_the_peer_is_its_response(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer, Code.PUT, payload=bytes(3000))
    peer.give(answer(sent, Code.REQUEST_ENTITY_TOO_LARGE, size1=100))
    end = end_of(peer)
    assert isinstance(end, ResponseReceived)
    assert end.code == Code.REQUEST_ENTITY_TOO_LARGE


def test_a_peer_that_lost_the_transfer_gets_it_again_a_few_times(lone: MakeLone) -> None:
    peer = lone(max_block_restarts=2)
    sent = ask(peer, Code.PUT, payload=bytes(3000))
    for _ in range(2):
        (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=Block(0, True, 6)))
        (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=Block(1, True, 6)))
        (sent,) = peer.give(answer(sent, Code.REQUEST_ENTITY_INCOMPLETE))
        assert sent.block1 == Block(0, True, 6)
    (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=Block(0, True, 6)))
    assert peer.give(answer(sent, Code.REQUEST_ENTITY_INCOMPLETE)) == []
    end = end_of(peer)
    assert isinstance(end, ResponseReceived)
    assert end.code == Code.REQUEST_ENTITY_INCOMPLETE


def test_a_peer_that_lacks_the_rest_of_each_first_block_gets_smaller_ones(lone: MakeLone) -> None:
    peer = lone(max_block_restarts=3)
    sent = ask(peer, Code.PUT, payload=bytes(3000))
    for exponent in (6, 5, 4):
        (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=Block(0, True, sent.block1.szx)))
        (sent,) = peer.give(answer(sent, Code.REQUEST_ENTITY_INCOMPLETE))
        assert sent.block1 == Block(0, True, exponent)


@pytest.mark.parametrize(
    ("code", "pairs"),
    [
        (Code.CONTINUE, {"block1": Block(5, True, 6)}),
        (Code.CONTINUE, {"others": ((27, b"\x07"),)}),
    ],
)
def test_answers_that_make_no_transfer_fail_it(lone: MakeLone, code: Code, pairs: dict[str, Any]) -> None:
    peer = lone()
    sent = ask(peer, Code.PUT, payload=bytes(3000))
    peer.give(answer(sent, code, **pairs))
    end = end_of(peer)
    assert isinstance(end, RequestFailed)
    assert end.reason is FailureReason.BLOCK_FAILED


@pytest.mark.parametrize("blocks", [0, 1])
def test_who_takes_a_block_for_the_whole_is_told_from_who_loses_one(lone: MakeLone, blocks: int) -> None:
    peer = lone()
    sent = ask(peer, Code.PUT, payload=bytes(3000))
    for _ in range(blocks):
        (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=sent.block1))
    peer.give(answer(sent, Code.CHANGED))
    end = end_of(peer)
    assert isinstance(end, RequestFailed)
    assert end.reason is (FailureReason.BLOCK_FAILED if blocks else FailureReason.NOT_IN_BLOCKS)


def test_a_server_that_acts_on_each_block_is_served(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer, Code.PUT, payload=bytes(1500))
    (sent,) = peer.give(answer(sent, Code.CHANGED, block1=Block(0, False, 6)))
    assert sent.block1 == Block(1, False, 6)


# Block2.


def serve_blocks(peer: Any, sent: Message, body: bytes, szx: int, **pairs: Any) -> None:
    """Answer GETs for blocks until nothing more is asked."""
    while True:
        number = 0 if sent.block2 is None else sent.block2.number
        size = 1 << (szx + 4)
        part = body[number * size : (number + 1) * size]
        more = (number + 1) * size < len(body)
        following = peer.give(answer(sent, Code.CONTENT, part, block2=Block(number, more, szx), **pairs))
        if not following:
            return
        (sent,) = following


@pytest.mark.parametrize("szx", range(7))
def test_a_large_response_is_fetched_to_its_end(lone: MakeLone, szx: int) -> None:
    peer = lone()
    body = bytes(range(250)) * 10
    serve_blocks(peer, ask(peer), body, szx, etag=b"e", size2=2500)
    told = peer.told()
    assert isinstance(told[-1], ResponseReceived)
    assert (told[-1].payload, told[-1].body_size) == (body, 2500)
    progress = [event for event in told if isinstance(event, DownloadProgress)]
    assert [event.received for event in progress] == list(range(16 << szx, 2500, 16 << szx))
    assert {event.total for event in progress} == {2500}


def test_a_sink_takes_the_response_from_a_given_block_on(lone: MakeLone) -> None:
    peer = lone()
    taken: list[tuple[int, bytes]] = []
    sent = ask(
        peer,
        options=options(uri_path=("fw",), block2=Block(2, False, 0)),
        szx=0,
        sink=lambda offset, part: taken.append((offset, part)),
    )
    assert sent.block2 == Block(2, False, 0)
    serve_blocks(peer, sent, bytes(32) + b"a" * 16 + b"b" * 4, 0)
    end = end_of(peer)
    assert isinstance(end, ResponseReceived)
    assert (end.payload, end.body_size) == (b"", 52)
    assert taken == [(32, b"a" * 16), (48, b"bbbb")]


def test_one_block_alone_may_be_asked_for(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer, options=options(uri_path=("fw",), block2=Block(3, False, 0)), szx=0, whole=False)
    assert peer.give(answer(sent, Code.CONTENT, b"c" * 16, block2=Block(3, True, 0))) == []
    end = end_of(peer)
    assert isinstance(end, ResponseReceived)
    assert (end.payload, end.message.block2) == (b"c" * 16, Block(3, True, 0))


def test_a_body_that_changes_under_way_is_fetched_again_from_its_start(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer)
    (sent,) = peer.give(answer(sent, Code.CONTENT, b"a" * 16, block2=Block(0, True, 0), etag=b"1"))
    (sent,) = peer.give(answer(sent, Code.CONTENT, b"B" * 16, block2=Block(1, True, 0), etag=b"2"))
    assert sent.block2 == Block(0, False, 0)
    (sent,) = peer.give(answer(sent, Code.CONTENT, b"A" * 16, block2=Block(0, True, 0), etag=b"2"))
    peer.give(answer(sent, Code.CONTENT, b"B", block2=Block(1, False, 0), etag=b"2"))
    end = end_of(peer)
    assert isinstance(end, ResponseReceived)
    assert end.payload == b"A" * 16 + b"B"


def test_a_body_that_never_stays_the_same_fails(lone: MakeLone) -> None:
    peer = lone(max_block_restarts=1)
    sent = ask(peer)
    (sent,) = peer.give(answer(sent, Code.CONTENT, b"a" * 16, block2=Block(0, True, 0), etag=b"1"))
    (sent,) = peer.give(answer(sent, Code.CONTENT, b"B" * 16, block2=Block(1, True, 0), etag=b"2"))
    (sent,) = peer.give(answer(sent, Code.CONTENT, b"A" * 16, block2=Block(0, True, 0), etag=b"2"))
    peer.give(answer(sent, Code.CONTENT, b"B", block2=Block(1, False, 0), etag=b"3"))
    end = end_of(peer)
    assert isinstance(end, RequestFailed)
    assert end.reason is FailureReason.BLOCK_FAILED


@pytest.mark.parametrize("announced", [True, False])
def test_a_response_too_large_is_not_fetched_to_its_end(lone: MakeLone, announced: bool) -> None:
    peer = lone()
    sent = ask(peer, max_body=20)
    size = {"size2": 100} if announced else {}
    following = peer.give(answer(sent, Code.CONTENT, b"a" * 16, block2=Block(0, True, 0), **size))
    if not announced:
        peer.give(answer(following[0], Code.CONTENT, b"a" * 16, block2=Block(1, True, 0)))
    end = end_of(peer)
    assert isinstance(end, RequestFailed)
    assert end.reason is FailureReason.TOO_LARGE


@pytest.mark.parametrize(
    ("payload", "pairs"),
    [
        (b"a" * 16, {"block2": Block(3, True, 0)}),
        (b"a" * 15, {"block2": Block(1, True, 0)}),
        (b"a" * 16, {}),
        (b"a" * 16, {"others": ((23, b"\x17"),)}),
    ],
)
def test_blocks_that_make_no_body_fail_the_request(lone: MakeLone, payload: bytes, pairs: dict[str, Any]) -> None:
    peer = lone()
    sent = ask(peer)
    (sent,) = peer.give(answer(sent, Code.CONTENT, b"a" * 16, block2=Block(0, True, 0)))
    peer.give(answer(sent, Code.CONTENT, payload, **pairs))
    end = end_of(peer)
    assert isinstance(end, RequestFailed)
    assert end.reason is FailureReason.BLOCK_FAILED


def test_an_error_under_way_is_the_response(lone: MakeLone) -> None:
    peer = lone()
    sent = ask(peer)
    (sent,) = peer.give(answer(sent, Code.CONTENT, b"a" * 16, block2=Block(0, True, 0)))
    peer.give(answer(sent, Code.NOT_FOUND, b"gone"))
    end = end_of(peer)
    assert isinstance(end, ResponseReceived)
    assert (end.code, end.payload) == (Code.NOT_FOUND, b"gone")


def test_a_small_block_size_is_asked_for_at_once(lone: MakeLone) -> None:
    assert ask(lone(), szx=2).block2 == Block(0, False, 2)
    assert ask(lone(block_szx=1)).block2 == Block(0, False, 1)
