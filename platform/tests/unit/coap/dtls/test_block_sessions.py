"""Sessions by CBC and an HMAC: OpenSSL understands both orders, each record counts once, nothing forged is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.coap.dtls import binding
from firmcast.coap.dtls.block_sessions import BlockSession
from firmcast.coap.dtls.protection import BLOCK_SUITE, LARGEST_MESSAGE, SessionKeys
from firmcast.coap.dtls.records import ALERT, FINISHED, HANDSHAKE, HELLO

HERE = ("192.0.2.9", 40000)
PEER = (*HERE, 0, 0, "device-1")
HEADER = 13
FIRST = 1 << 48
CHANGE = b"\x14\xfe\xfd" + (3).to_bytes(8, "big") + b"\0\x01\x01"
OUR_FINISHED = FINISHED + bytes(range(23))
WITHOUT_ENCRYPT_THEN_MAC = 1 << 19
"""OpenSSL's option."""

either_order = pytest.mark.parametrize("encrypts_first", [True, False], ids=["encrypted first", "HMAC first"])


def keys(own: bytes, peer: bytes) -> SessionKeys:
    return SessionKeys(
        suite=BLOCK_SUITE, own_key=own * 16, own_mac_key=own * 32, peer_key=peer * 16, peer_mac_key=peer * 32
    )


def end(own: bytes, peer: bytes, *, encrypts_first: bool) -> BlockSession:
    """Return one end of a session, the handshake of which ended with a record of its own of number 0."""
    writer = BlockSession.__new__(BlockSession)
    writer._key, writer._mac_key, writer._encrypts_first, writer._next = own * 16, own * 32, encrypts_first, FIRST
    made = BlockSession(keys(own, peer), CHANGE + writer.write(OUR_FINISHED, HANDSHAKE), HERE, PEER, 0.0)
    assert made._encrypts_first is encrypts_first
    return made


def session(*, encrypts_first: bool) -> tuple[BlockSession, BlockSession]:
    """Return a session of a server, and its peer's end."""
    return end(b"S", b"C", encrypts_first=encrypts_first), end(b"C", b"S", encrypts_first=encrypts_first)


@either_order
def test_openssl_reads_what_is_written_and_writes_what_is_read(network, monkeypatch, encrypts_first: bool) -> None:
    monkeypatch.setattr(binding, "SUITES", b"PSK-AES128-CBC-SHA256:@SECLEVEL=0")
    client = network.client()
    if not encrypts_first:
        client._context.set_options(WITHOUT_ENCRYPT_THEN_MAC)
    network.speak(client, b"first")
    (association,) = client._associations.values()
    assert association.connection.get_cipher_name() == BLOCK_SUITE
    (opened,) = network.server._sessions.of_address.values()
    assert (type(opened), opened._encrypts_first) == (BlockSession, encrypts_first)
    lengths = (1, 2, 15, 16, 17, 31, 32, 33, 100, 1024, 1100, 4000, LARGEST_MESSAGE)
    for length in lengths:
        network.speak(client, b"u" * length)
        assert network.server.send(b"d" * length, PEER, network.now)
        network.run()
    assert [message for message, _ in network.at_server] == [b"first", *(b"u" * length for length in lengths)]
    assert [message for message, _ in network.at_clients] == [b"d" * length for length in lengths]


def test_it_is_not_taken_where_anything_better_is_offered(network, monkeypatch) -> None:
    monkeypatch.setattr(binding, "SUITES", b"PSK-AES128-CBC-SHA256:PSK-AES128-CCM8:@SECLEVEL=0")
    client = network.client()
    network.speak(client, b"first")
    (association,) = client._associations.values()
    assert association.connection.get_cipher_name() == "PSK-AES128-CCM8"
    assert [message for message, _ in network.at_server] == [b"first"]


@either_order
@given(order=st.lists(st.integers(0, 90), max_size=40))
def test_a_record_counts_once_in_whatever_order_they_come(encrypts_first: bool, order: list[int]) -> None:
    ours, peer = session(encrypts_first=encrypts_first)
    records = [peer.write(bytes((count,))) for count in range(91)]
    taken: set[int] = set()
    newest, oldest = -1, 0
    for count in order:
        wanted = count not in taken and count >= oldest
        assert ours.open(records[count]) == (bytes((count,)) if wanted else None)
        if wanted:
            taken.add(count)
            if count > newest + 1:
                oldest = count - 64
            newest = max(newest, count)


@either_order
def test_nothing_forged_is_taken_and_nothing_is_lost_by_it(encrypts_first: bool) -> None:
    ours, peer = session(encrypts_first=encrypts_first)
    for length in (0, 7, 15, 16, 40):
        record = peer.write(bytes(length))
        for at in range(len(record)):
            for flip in (0x01, 0x10, 0x80):
                forged = bytearray(record)
                forged[at] ^= flip
                assert ours.open(bytes(forged)) is None
        for cut in range(len(record)):
            assert ours.open(record[:cut]) is None
        assert ours.open(record + b"\0" * 16) is None
        assert peer.open(record) is None
        assert ours.open(record) == bytes(length)
        assert ours.open(record) is None


def test_what_is_not_of_this_epoch_is_not_opened_though_the_key_is_right() -> None:
    ours, peer = session(encrypts_first=True)
    for number in (2 << 48, FIRST - 1):
        peer._next = number
        assert ours.open(peer.write(b"another")) is None
    peer._next = FIRST
    assert ours.open(peer.write(b"the first")) == b"the first"


@either_order
@given(noise=st.binary(max_size=200))
def test_no_noise_does_harm(encrypts_first: bool, noise: bytes) -> None:
    ours, peer = session(encrypts_first=encrypts_first)
    assert ours.take(noise) == ([], b"", False, False)
    sealed = b"\x17\xfe\xfd" + FIRST.to_bytes(8, "big") + len(noise).to_bytes(2, "big") + noise
    assert ours.take(sealed) == ([], b"", False, False)
    assert ours.take(peer.write(b"message")).messages == [b"message"]


@either_order
def test_what_else_a_session_is_told(encrypts_first: bool) -> None:
    ours, peer = session(encrypts_first=encrypts_first)
    first, second = peer.write(b"one"), peer.write(b"two")
    assert ours.take(first + second + second) == ([b"one", b"two"], b"", True, False)
    assert peer.take(ours.take(peer.write(HELLO + bytes(3), HANDSHAKE)).answers).heard
    again = ours.take(peer.write(OUR_FINISHED, HANDSHAKE)).answers
    assert again[:3] == CHANGE[:3]
    assert peer.open(again[len(CHANGE) :]) == OUR_FINISHED
    assert ours.take(peer.close()).ended
    assert peer.take(ours.write(b"\x02\x28", ALERT)).ended
