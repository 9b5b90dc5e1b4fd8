"""What secure sessions make of all that comes, or goes, in one turn of the loop: the same as of one thing by one."""

import pytest

from firmcast.coap.dtls.client import DtlsClient
from firmcast.coap.dtls.parameters import HandshakeOutcome
from firmcast.coap.dtls.peers import secure_peer
from firmcast.coap.events import Peer

SERVER = ("192.0.2.1", 5684)
ADDRESSES = [("192.0.2.9", 40000 + number) for number in range(3)]
PEERS = [secure_peer(address, "device-1") for address in ADDRESSES]


@pytest.fixture
def clients(network) -> list[DtlsClient]:
    """Return clients that have their sessions, with nothing on its way."""
    made = [network.client(address=address) for address in ADDRESSES]
    for client in made:
        network.speak(client)
    network.at_server.clear()
    network.sent.clear()
    return made


def send(network, client: DtlsClient, *messages: bytes) -> None:
    for message in messages:
        client.send(message, client.peer(SERVER), network.now)


def receive_turn(network, *more: tuple[bytes, Peer]) -> None:
    """Let the server have everything that is on its way to it in one turn."""
    turn = [*network.to_server, *more]
    network.to_server.clear()
    network.server.receive_all(iter(turn), network.now)


def test_messages_come_in_the_order_of_their_datagrams(network, clients) -> None:
    for message in (b"first", b"second"):
        for client in clients:
            send(network, client, message)
    receive_turn(network)
    assert network.at_server == [(message, peer) for message in (b"first", b"second") for peer in PEERS]


def test_a_record_that_comes_twice_in_a_turn_counts_once(network, clients) -> None:
    send(network, clients[0], b"once")
    receive_turn(network, *network.to_server)
    assert network.at_server == [(b"once", PEERS[0])]


def test_what_was_said_before_the_end_of_a_session_is_told_before_it(network, clients) -> None:
    told: list[object] = []
    network.server._deliver = lambda message, peer, _: told.append((message, peer))
    network.server._sessions._ended = lambda peer, _: told.append(peer)
    send(network, clients[0], b"last words")
    send(network, clients[1], b"hello")
    clients[0].end_session(clients[0].peer(SERVER), network.now)
    send(network, clients[1], b"hello again")
    receive_turn(network)
    assert told == [(b"last words", PEERS[0]), (b"hello", PEERS[1]), PEERS[0], (b"hello again", PEERS[1])]


def test_forged_and_stray_datagrams_between_messages_change_nothing(network, clients) -> None:
    send(network, clients[0], b"one", b"two")
    forged = bytearray(network.to_server[0][0])
    forged[-1] ^= 1
    stray = (network.to_server[0][0], ("198.51.100.7", 1))
    network.to_server[1:1] = [(bytes(forged), ADDRESSES[0]), stray, (b"", ADDRESSES[1]), (b"\x17", ADDRESSES[2])]
    receive_turn(network)
    assert network.at_server == [(b"one", PEERS[0]), (b"two", PEERS[0])]
    assert network.outcomes[HandshakeOutcome.STRAY] == 2, "of nobody, and of nothing"
    assert network.server.session_count == 3


def test_a_fault_over_one_message_costs_none_of_what_came_with_it(network, clients) -> None:
    def deliver(message: bytes, peer: Peer, _now: float) -> None:
        if message == b"bad":
            raise LookupError
        network.at_server.append((message, peer))

    network.server._deliver = deliver
    send(network, clients[0], b"one", b"bad", b"two")
    clients[0].end_session(clients[0].peer(SERVER), network.now)
    send(network, clients[1], b"bad", b"three")
    with pytest.raises(LookupError):
        receive_turn(network)
    assert network.at_server == [(b"one", PEERS[0]), (b"two", PEERS[0]), (b"three", PEERS[1])]
    assert network.ended == [PEERS[0]]


def test_of_several_messages_those_to_nobody_are_told_and_the_others_sent(network, clients) -> None:
    clients[1].end_session(clients[1].peer(SERVER), network.now)
    network.run()
    network.sent.clear()
    nobody = ("192.0.2.9", 40000)
    messages = [(b"one", PEERS[0]), (b"two", PEERS[1]), (b"three", PEERS[2]), (b"four", nobody), (b"five", PEERS[0])]
    assert network.server.send_all(messages, network.now) == [PEERS[1], nobody]
    assert [address for _, address in network.sent] == [ADDRESSES[0], ADDRESSES[2], ADDRESSES[0]]
    network.run()
    assert network.at_clients == [(b"one", ADDRESSES[0]), (b"three", ADDRESSES[2]), (b"five", ADDRESSES[0])]


def test_a_client_takes_and_sends_as_many(network, clients) -> None:
    server = clients[0].peer(SERVER)
    assert clients[0].send_all([(b"one", server), (b"two", server)], network.now) == []
    receive_turn(network)
    assert network.at_server == [(b"one", PEERS[0]), (b"two", PEERS[0])]
    network.server.send_all([(b"three", PEERS[0]), (b"four", PEERS[0])], network.now)
    clients[0].receive_all(iter([(datagram, SERVER) for datagram, _ in network.to_clients]), network.now)
    assert network.at_clients == [(b"three", ADDRESSES[0]), (b"four", ADDRESSES[0])]
