"""What real clients do with a package that comes in blocks, by the number of the quirk; the peer is written by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.endpoint import FailureReason, RequestFailed, ResponseReceived
from firmcast.coap.message import Message
from firmcast.coap.options import options

MakeLone = Callable[..., Any]
PACKAGE = bytes(range(256)) * 16
"""Four blocks of 1024 bytes."""


def begin(peer: Any, szx: int = 6, payload: bytes = PACKAGE, *, slow: bool = False) -> Message:
    """Begin to write the package, and return the first block."""
    wording = options(uri_path=("5", "0", "0"))
    peer.endpoint.request(peer.peer, Code.PUT, options=wording, payload=payload, szx=szx, now=peer.now, slow=slow)
    (sent,) = peer.taken()
    return sent


def answer(to: Message, code: Code, **pairs: Any) -> Message:
    return Message(MessageType.ACK, code, to.message_id, to.token, options(**pairs), b"")


class Keeping:
    """A client that takes a second block 0 for a repeat of the first, and goes on where it was."""

    def __init__(self) -> None:
        self.package = b""

    def take(self, sent: Message) -> Message:
        block = sent.block1
        assert block is not None
        if block.offset == len(self.package):
            self.package += sent.payload
        return answer(sent, Code.CONTINUE if block.more else Code.CHANGED, block1=block)


def test_quirk_15_a_client_that_takes_a_new_beginning_for_a_repeat_has_the_package_whole(lone: MakeLone) -> None:
    peer, client = lone(), Keeping()
    sent = begin(peer)
    for _ in range(2):
        (sent,) = peer.give(client.take(sent))
    peer.endpoint.cancel_request(peer.peer, sent.token, peer.now)
    peer.told()
    sent = begin(peer)
    assert sent.block1 == Block(0, more=True, szx=6), "the beginning is the beginning, with a token of its own"
    while sent.block1 is not None and sent.block1.more:
        (sent,) = peer.give(client.take(sent))
    peer.give(client.take(sent))
    (end,) = [event for event in peer.told() if isinstance(event, ResponseReceived)]
    assert end.code == Code.CHANGED
    assert client.package == PACKAGE


def test_quirk_15_a_client_that_refuses_every_new_beginning_ends_the_transfer(lone: MakeLone) -> None:
    peer = lone(max_block_restarts=2)
    sent = begin(peer)
    beginnings = 1
    while following := peer.give(answer(sent, Code.REQUEST_ENTITY_INCOMPLETE)):
        (sent,) = following
        beginnings += 1
    (end,) = [event for event in peer.told() if isinstance(event, ResponseReceived | RequestFailed)]
    assert isinstance(end, ResponseReceived)
    assert (end.code, beginnings) == (Code.REQUEST_ENTITY_INCOMPLETE, 3)


def test_a_client_that_refuses_a_block_and_repeats_its_size_names_none(lone: MakeLone) -> None:
    peer = lone()
    sent = begin(peer)
    for szx in (5, 4):
        (sent,) = peer.give(answer(sent, Code.REQUEST_ENTITY_TOO_LARGE, block1=sent.block1))
        assert sent.block1 == Block(0, more=True, szx=szx)


@pytest.mark.parametrize("largest", [0, 3, 5])
def test_quirk_21_a_client_with_small_blocks_refuses_large_ones_and_is_sent_small_ones(
    lone: MakeLone, largest: int
) -> None:
    peer = lone()
    sent = begin(peer, szx=5)
    package = b""
    while True:
        block = sent.block1
        assert block is not None
        if block.szx > largest:
            (sent,) = peer.give(answer(sent, Code.REQUEST_ENTITY_TOO_LARGE, block1=Block(0, more=True, szx=largest)))
            continue
        assert block.offset == len(package)
        package += sent.payload
        if not block.more:
            break
        (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=block))
    peer.give(answer(sent, Code.CHANGED, block1=sent.block1))
    (end,) = [event for event in peer.told() if isinstance(event, ResponseReceived)]
    assert (end.code, package) == (Code.CHANGED, PACKAGE)


def test_quirk_21_a_client_that_wants_smaller_blocks_in_the_middle_loses_nothing(lone: MakeLone) -> None:
    peer = lone()
    sent = begin(peer)
    package = sent.payload
    (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=Block(0, more=True, szx=3)))
    while True:
        assert sent.block1 is not None
        assert (sent.block1.szx, sent.block1.offset) == (3, len(package))
        package += sent.payload
        if not sent.block1.more:
            break
        (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=sent.block1))
    assert package == PACKAGE


def test_quirk_21_a_client_that_asks_for_the_impossible_ends_the_transfer(lone: MakeLone) -> None:
    peer = lone()
    sent = begin(peer)
    peer.give(answer(sent, Code.CONTINUE, block1=Block(7, more=True, szx=6)))
    (end,) = [event for event in peer.told() if isinstance(event, RequestFailed)]
    assert end.reason is FailureReason.BLOCK_FAILED


@pytest.mark.parametrize(("length", "begins_again"), [(3000, False), (2000, True)], ids=["third block", "second block"])
def test_zephyr_says_that_blocks_are_missing_of_a_package_that_it_found_wrong(
    lone: MakeLone, length: int, begins_again: bool
) -> None:
    """Where it is the last one that says so the caller asks; the second one may follow a first that was cut short."""
    peer = lone()
    sent = begin(peer, payload=bytes(length), slow=True)
    while sent.block1 is not None and sent.block1.more:
        (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=sent.block1))
    following = peer.give(answer(sent, Code.REQUEST_ENTITY_INCOMPLETE))
    ends = [event for event in peer.told() if isinstance(event, ResponseReceived)]
    if begins_again:
        assert (following[0].block1, ends) == (Block(0, more=True, szx=6), [])
    else:
        assert ([end.code for end in ends], following) == ([Code.REQUEST_ENTITY_INCOMPLETE], [])


def refuse(to: Message) -> Message:
    return answer(to, Code.SERVICE_UNAVAILABLE)


def test_a_client_that_is_busy_for_a_block_that_came_again_has_it(lone: MakeLone) -> None:
    peer = lone()
    sent = begin(peer)
    package = b""
    while sent.block1 is not None and sent.block1.more:
        package += sent.payload
        again = peer.wait(3.5)
        assert again[0] == sent, "its answer is lost"
        (sent,) = peer.give(refuse(sent))
        assert sent.block1 is not None
        assert sent.block1.offset == len(package), "it waits for the next one"
    peer.give(answer(sent, Code.CHANGED, block1=sent.block1))
    (end,) = [event for event in peer.told() if isinstance(event, ResponseReceived)]
    assert (end.code, package + sent.payload) == (Code.CHANGED, PACKAGE)


def test_a_client_that_is_busy_for_a_block_is_sent_it_again_before_the_next_one(lone: MakeLone) -> None:
    peer = lone()
    (second,) = peer.give(answer(first := begin(peer), Code.CONTINUE, block1=first.block1))
    (again,) = peer.give(refuse(second))
    assert (again.block1, again.payload) == (second.block1, second.payload)
    (third,) = peer.give(refuse(again))
    assert third.block1 == Block(2, more=True, szx=6)
    (last,) = peer.give(answer(third, Code.CONTINUE, block1=third.block1))
    assert last.block1 == Block(3, more=False, szx=6)


@pytest.mark.parametrize("taken", [0, 1])
def test_a_client_that_is_busy_for_the_next_block_too_is_busy(lone: MakeLone, taken: int) -> None:
    peer = lone()
    sent = begin(peer)
    for _ in range(taken):
        (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=sent.block1))
    (again,) = peer.give(refuse(sent))
    (following,) = peer.give(refuse(again))
    (again,) = peer.give(refuse(following))
    assert peer.give(refuse(again)) == []
    (end,) = [event for event in peer.told() if isinstance(event, ResponseReceived)]
    assert end.code == Code.SERVICE_UNAVAILABLE


def test_a_client_that_is_busy_for_a_moment_gets_the_block_that_it_was_too_busy_for(lone: MakeLone) -> None:
    peer = lone()
    (again,) = peer.give(refuse(begin(peer)))
    assert again.block1 == Block(0, more=True, szx=6)
    (second,) = peer.give(answer(again, Code.CONTINUE, block1=again.block1))
    assert second.block1 == Block(1, more=True, szx=6)


def test_a_client_that_is_busy_for_the_last_block_is_busy(lone: MakeLone) -> None:
    peer = lone()
    sent = begin(peer)
    while sent.block1 is not None and sent.block1.more:
        (sent,) = peer.give(answer(sent, Code.CONTINUE, block1=sent.block1))
    assert peer.give(refuse(sent)) == []
    (end,) = [event for event in peer.told() if isinstance(event, ResponseReceived)]
    assert end.code == Code.SERVICE_UNAVAILABLE
