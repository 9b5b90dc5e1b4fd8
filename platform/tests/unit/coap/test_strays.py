"""What answers nothing that was sent from here is told where that is wanted, by its address only."""

import pytest

from firmcast.coap.codes import ACK, CON, NON, RST, Code
from firmcast.coap.endpoint import StrayReceived
from firmcast.coap.message import Message, encode

CASES = [
    encode(Message(ACK, Code.EMPTY, 7)),
    encode(Message(RST, Code.EMPTY, 7)),
    encode(Message(ACK, Code.CONTENT, 7, b"token")),
    encode(Message(ACK, Code.CONTINUE, 7, b"token")),
    encode(Message(CON, Code.CONTENT, 7, b"token")),
    encode(Message(NON, Code.CHANGED, 7, b"token")),
]


@pytest.mark.parametrize("datagram", CASES)
@pytest.mark.parametrize("known", [False, True])
def test_it_is_told_once_for_each(lone, datagram: bytes, known: bool) -> None:
    peer = lone(tells_strays=True)
    if known:
        peer.endpoint.request(peer.peer, Code.GET, now=0.0, token=b"asked")
        peer.told()
    peer.endpoint.receive(datagram, peer.peer, 0.0)
    assert peer.told() == [StrayReceived(peer=peer.peer)]


@pytest.mark.parametrize("datagram", CASES)
def test_nobody_is_told_who_did_not_ask(lone, datagram: bytes) -> None:
    peer = lone()
    peer.endpoint.receive(datagram, peer.peer, 0.0)
    assert peer.told() == []
