"""The first and the last block of what is stored may be answered late: none comes twice for it, and no other waits."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.coap.codes import ACK, Code
from firmcast.coap.events import RequestFailed, ResponseReceived
from firmcast.coap.message import Message
from firmcast.coap.options import options

MakeLone = Callable[..., Any]
SLOW, USUAL = [15.0, 19.0, 27.0, 43.0], [2.0, 6.0, 14.0, 30.0]
BLOCK = 32


def put(peer: Any, size: int, *, slow: bool = True) -> Message:
    peer.endpoint.request(
        peer.peer,
        Code.PUT,
        options=options(uri_path=("5", "0", "0")),
        payload=bytes(size),
        now=peer.now,
        szx=1,
        slow=slow,
    )
    (sent,) = peer.taken()
    return sent


def repeats(peer: Any) -> list[float]:
    """Return after how many seconds the message that was sent last is sent again, until it is given up."""
    began, times = peer.now, []
    while not any(isinstance(event, RequestFailed) for event in peer.told()):
        due = peer.endpoint.next_timer()
        times += [due - began] * len(peer.wait(due - peer.now))
    return times


def goes_on(peer: Any, sent: Message) -> Message:
    (following,) = peer.give(Message(ACK, Code.CONTINUE, sent.message_id, sent.token, options(block1=sent.block1), b""))
    return following


@pytest.mark.parametrize(("block", "waits"), [(0, SLOW), (1, USUAL), (2, USUAL), (3, SLOW)])
def test_the_first_block_and_the_last_have_more_time_before_they_are_sent_again(lone: MakeLone, block, waits) -> None:
    peer = lone(ack_random_factor=1.0, slow_block_timeout=15.0)
    sent = put(peer, 4 * BLOCK)
    for _ in range(block):
        sent = goes_on(peer, sent)
    assert sent.block1.number == block
    assert repeats(peer) == waits


def test_what_fits_into_one_block_is_the_first_and_the_last(lone: MakeLone) -> None:
    peer = lone(ack_random_factor=1.0, slow_block_timeout=15.0)
    put(peer, 10)
    assert repeats(peer) == SLOW


def test_a_write_that_is_not_said_to_be_slow_is_not(lone: MakeLone) -> None:
    peer = lone(ack_random_factor=1.0, slow_block_timeout=15.0)
    put(peer, 4 * BLOCK, slow=False)
    assert repeats(peer) == USUAL


def test_nothing_waits_shorter_than_any_message(lone: MakeLone) -> None:
    peer = lone(ack_random_factor=1.0, slow_block_timeout=1.0)
    put(peer, 4 * BLOCK)
    assert repeats(peer) == USUAL


def test_an_answer_that_takes_thirteen_seconds_is_the_first_of_one_block(lone: MakeLone) -> None:
    peer = lone(slow_block_timeout=15.0)
    sent = put(peer, 4 * BLOCK)
    assert peer.wait(13.0) == []
    assert goes_on(peer, sent).block1.number == 1


def test_a_first_block_that_was_only_acknowledged_is_not_sent_anew_before_its_time(lone: MakeLone) -> None:
    peer = lone(slow_block_timeout=40.0)
    sent = put(peer, 4 * BLOCK)
    peer.give(Message(ACK, Code.EMPTY, sent.message_id))
    assert peer.wait(39.0) == []
    (anew,) = peer.wait(2.0)
    assert (anew.block1, anew.payload) == (sent.block1, sent.payload)
    middle = goes_on(peer, anew)
    peer.give(Message(ACK, Code.EMPTY, middle.message_id))
    assert [again.block1 for again in peer.wait(17.0)] == [middle.block1], "the usual patience"


def test_a_transfer_that_begins_again_has_the_time_again(lone: MakeLone) -> None:
    peer = lone(ack_random_factor=1.0, slow_block_timeout=15.0)
    second = goes_on(peer, put(peer, 4 * BLOCK))
    (first,) = peer.give(Message(ACK, Code.REQUEST_ENTITY_INCOMPLETE, second.message_id, second.token, (), b""))
    assert first.block1.number == 0
    assert repeats(peer) == SLOW


@settings(max_examples=100)
@given(size=st.integers(1, 10 * BLOCK), lost=st.sets(st.integers(0, 9)), late=st.sampled_from([0.0, 5.0, 14.0]))
def test_only_what_is_lost_is_sent_twice_and_the_rest_is_as_quick_as_ever(lone: MakeLone, size, lost, late) -> None:
    """A peer that is `late` with both ends of a payload, on a network that loses the first copy of some blocks."""
    peer = lone(ack_random_factor=1.0, slow_block_timeout=15.0)
    sent, copies, expected = put(peer, size), 0, 0.0
    last = (size - 1) // BLOCK
    for number in range(last + 1):
        assert sent.block1 is None or sent.block1.number == number
        is_end = number in (0, last)
        if number in lost:
            (sent,) = peer.wait(15.0 if is_end else 2.0)
            copies += 1
            expected += 15.0 if is_end else 2.0
        pause = late if is_end else 0.0
        if number in lost:
            pause = min(pause, 3.0)  # it is sent again after four seconds then
        assert peer.wait(pause) == []
        expected += pause
        if number < last:
            sent = goes_on(peer, sent)
        else:
            peer.give(Message(ACK, Code.CHANGED, sent.message_id, sent.token, (), b""))
    assert any(isinstance(event, ResponseReceived) for event in peer.told())
    assert peer.endpoint.counters.retransmitted == copies
    assert peer.now == expected
