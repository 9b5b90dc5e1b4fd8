"""An address that nobody has shown to be real is sent little unasked, until it answers or is vouched for."""

from collections.abc import Callable
from typing import Any

import pytest

from firmcast.coap.codes import Code, MessageType
from firmcast.coap.endpoint import RequestReceived
from firmcast.coap.message import Message
from firmcast.coap.options import options

CON, NON, ACK, RST = MessageType
MakeLone = Callable[..., Any]
ALL_TRANSMISSIONS = 5
REQUEST = Message(CON, Code.POST, 1, b"t", options(uri_path=("rd",)), b"0123456789")


def ask(peer: Any) -> list[Message]:
    """Have the endpoint ask something; return each time that it does until it gives up."""
    peer.endpoint.request(peer.peer, Code.GET, options=options(uri_path=("5", "0", "3")), token=b"q", now=peer.now)
    return [sent for sent in peer.taken() + peer.wait(200.0) if sent.code == Code.GET]


@pytest.fixture
def approached(lone: MakeLone) -> Any:
    """An endpoint that somebody spoke to, and that has answered."""
    peer = lone(amplification=3)
    peer.give(REQUEST)
    (request,) = [event for event in peer.told() if isinstance(event, RequestReceived)]
    peer.endpoint.respond(request, Code.CREATED, now=0.0)
    peer.taken()
    return peer


def test_an_address_that_never_answers_is_asked_as_often_as_what_came_from_it_allows(approached: Any) -> None:
    # 19 bytes came: of 57 the answer takes 5, and each question 11.
    assert len(ask(approached)) == 4
    assert approached.endpoint.counters.withheld == 1
    assert ask(approached) == []


def test_what_comes_again_counts_again(approached: Any) -> None:
    ask(approached)
    assert len(approached.give(REQUEST)) == 1
    assert len(ask(approached)) == 5


@pytest.mark.parametrize("reply", ["a response", "an acknowledgement", "a reset"])
def test_whoever_answers_hears_us(approached: Any, reply: str) -> None:
    approached.endpoint.request(approached.peer, Code.GET, token=b"q", now=0.0)
    (asked,) = approached.taken()
    approached.give(
        {
            "a response": Message(ACK, Code.CONTENT, asked.message_id, b"q"),
            "an acknowledgement": Message(ACK, Code.EMPTY, asked.message_id),
            "a reset": Message(RST, Code.EMPTY, asked.message_id),
        }[reply]
    )
    approached.endpoint.cancel_request(approached.peer, b"q", 0.0)
    assert len(ask(approached)) == ALL_TRANSMISSIONS


def test_an_answer_to_something_else_proves_nothing(approached: Any) -> None:
    approached.endpoint.request(approached.peer, Code.GET, token=b"q", now=0.0)
    (asked,) = approached.taken()
    approached.give(Message(ACK, Code.CONTENT, asked.message_id, b"other"))
    approached.give(Message(ACK, Code.EMPTY, asked.message_id ^ 1))
    approached.endpoint.cancel_request(approached.peer, b"q", 0.0)
    assert len(ask(approached)) < ALL_TRANSMISSIONS


def test_who_is_vouched_for_is_believed(approached: Any) -> None:
    approached.endpoint.vouch(approached.peer)
    assert len(ask(approached)) == ALL_TRANSMISSIONS


def test_who_is_addressed_first_was_chosen(lone: MakeLone) -> None:
    assert len(ask(lone(amplification=3))) == ALL_TRANSMISSIONS


def test_a_peer_of_a_secure_session_was_there_for_its_handshake(lone: MakeLone) -> None:
    peer = lone(amplification=3)
    peer.peer = ("192.0.2.1", 1, 0, 0, "device-1")
    peer.give(REQUEST)
    assert len(ask(peer)) == ALL_TRANSMISSIONS


def test_a_separate_answer_is_sent_once_and_again_within_the_bound(lone: MakeLone) -> None:
    peer = lone(amplification=3)
    peer.give(REQUEST)
    (request,) = [event for event in peer.told() if isinstance(event, RequestReceived)]
    assert [message.code for message in peer.wait(1.0)] == [Code.EMPTY]
    peer.endpoint.respond(request, Code.CONTENT, payload=bytes(40), now=1.0)
    assert len(peer.taken() + peer.wait(200.0)) == 1


@pytest.mark.parametrize(("payload", "is_explained"), [(b"", False), (bytes(20), True)])
def test_an_error_is_explained_to_whoever_said_enough(lone: MakeLone, payload: bytes, is_explained: bool) -> None:
    peer = lone(amplification=3)
    peer.give(Message(CON, Code.POST, 1, b"", options(uri_path=("rd",)), payload))
    (request,) = [event for event in peer.told() if isinstance(event, RequestReceived)]
    peer.endpoint.respond(request, Code.FORBIDDEN, payload=bytes(40), now=0.0)
    (answer,) = peer.taken()
    assert (answer.code, bool(answer.payload)) == (Code.FORBIDDEN, is_explained)
