"""The blocks of a body wait as long as its pace says, and nothing else changes; the peer is written by hand."""

from collections.abc import Callable
from typing import Any

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.endpoint import FailureReason, RequestFailed, ResponseReceived
from firmcast.coap.message import Message
from firmcast.coap.options import options

MakeLone = Callable[..., Any]
BODY = bytes(range(250)) * 10


class Pace:
    """Lets a block leave a second after it is asked for, the first one at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, size: int) -> float:
        self.asked.append(size)
        return 0.0 if len(self.asked) == 1 else 1.0


def answer(to: Message, code: Code, **pairs: Any) -> Message:
    return Message(MessageType.ACK, code, to.message_id, to.token, options(**pairs), b"")


def begin(peer: Any, pace: Pace) -> Message:
    peer.endpoint.request(
        peer.peer, Code.PUT, options=options(uri_path=("5", "0", "0")), payload=BODY, now=peer.now, pace=pace
    )
    (sent,) = peer.taken()
    return sent


def later(peer: Any, seconds: float) -> list[Message]:
    peer.now += seconds
    peer.endpoint.handle_timer(peer.now)
    return peer.taken()


def test_each_block_waits_for_its_time_and_is_sent_once(lone: MakeLone) -> None:
    peer, pace = lone(), Pace()
    sent = begin(peer, pace)
    package = sent.payload
    while sent.block1 is not None and sent.block1.more:
        assert peer.give(answer(sent, Code.CONTINUE, block1=sent.block1)) == []
        assert peer.endpoint.next_timer() == peer.now + 1.0
        # The acknowledgement again, by a network that repeats: it moves nothing.
        assert peer.give(answer(sent, Code.CONTINUE, block1=sent.block1)) == []
        assert later(peer, 0.5) == []
        (sent,) = later(peer, 0.5)
        package += sent.payload
    peer.give(answer(sent, Code.CHANGED, block1=sent.block1))
    (end,) = [event for event in peer.told() if isinstance(event, ResponseReceived)]
    assert (end.code, package, pace.asked) == (Code.CHANGED, BODY, [1024, 1024, 452])


def test_a_block_that_gets_no_answer_is_sent_again_without_asking(lone: MakeLone) -> None:
    peer, pace = lone(), Pace()
    sent = begin(peer, pace)
    peer.give(answer(sent, Code.CONTINUE, block1=sent.block1))
    (sent,) = later(peer, 1.0)
    assert [again.message_id for again in later(peer, 3.0)] == [sent.message_id]
    assert pace.asked == [1024, 1024]


def test_a_body_that_is_given_up_while_it_waits_sends_nothing_more(lone: MakeLone) -> None:
    peer, pace = lone(), Pace()
    sent = begin(peer, pace)
    peer.give(answer(sent, Code.CONTINUE, block1=Block(0, more=True, szx=6)))
    assert peer.endpoint.cancel_request(peer.peer, sent.token, peer.now)
    assert later(peer, 300.0) == []
    (end,) = [event for event in peer.told() if isinstance(event, RequestFailed)]
    assert end.reason is FailureReason.CANCELLED


def test_a_peer_that_refuses_while_the_next_block_waits_ends_it(lone: MakeLone) -> None:
    peer, pace = lone(), Pace()
    sent = begin(peer, pace)
    peer.give(answer(sent, Code.CONTINUE, block1=Block(0, more=True, szx=6)))
    refusal = Message(MessageType.CON, Code.FORBIDDEN, 7, sent.token, (), b"")
    assert [message.type for message in peer.give(refusal)] == [MessageType.ACK]
    assert later(peer, 300.0) == []
    (end,) = [event for event in peer.told() if isinstance(event, ResponseReceived)]
    assert end.code == Code.FORBIDDEN
