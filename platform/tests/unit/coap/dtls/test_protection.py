"""The records of an open session: OpenSSL understands them, each counts once, and nothing forged is one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firmcast.coap.dtls import binding
from firmcast.coap.dtls.protection import LARGEST_MESSAGE, RecordProtection, SessionKeys, expand
from firmcast.coap.dtls.records import ALERT, FINISHED, HANDSHAKE, HELLO, split_records
from firmcast.coap.dtls.sessions import SecureSession

SUITES = ("PSK-AES128-CCM8", "PSK-AES128-CCM", "PSK-AES128-GCM-SHA256")
HERE = ("192.0.2.9", 40000)
PEER = (*HERE, 0, 0, "device-1")
HEADER = 13
FIRST = 1 << 48
CHANGE = b"\x14\xfe\xfd" + (3).to_bytes(8, "big") + b"\0\x01\x01"
OUR_FINISHED = FINISHED + bytes(range(23))


def keys(suite: str, *, of_server: bool) -> SessionKeys:
    one, other = (b"S" * 16, b"s" * 4), (b"C" * 16, b"c" * 4)
    own, peer = (one, other) if of_server else (other, one)
    return SessionKeys(suite=suite, own_key=own[0], own_salt=own[1], peer_key=peer[0], peer_salt=peer[1])


def last_record(explicit: int = FIRST) -> bytes:
    """Return what tells where a handshake ended: the head of its last record, and the told part of its nonce."""
    return b"\x16\xfe\xfd" + FIRST.to_bytes(8, "big") + b"\0\x20" + explicit.to_bytes(8, "big") + bytes(24)


def both_ends(suite: str = SUITES[0], explicit: int = FIRST) -> tuple[RecordProtection, RecordProtection]:
    return tuple(RecordProtection(keys(suite, of_server=one), last_record(explicit)) for one in (True, False))


def session(suite: str = SUITES[0], explicit: int = FIRST) -> tuple[SecureSession, RecordProtection]:
    """Return a session of a server, and its peer's end, which has seen the end of the handshake."""
    ours, device = both_ends(suite, explicit)
    ours._next = FIRST
    finished = ours.write(OUR_FINISHED, HANDSHAKE)
    assert device.open(finished) == OUR_FINISHED
    return SecureSession(keys(suite, of_server=True), CHANGE + finished, HERE, PEER, 0.0), device


def test_the_pseudo_random_function_is_that_of_tls_1_2() -> None:
    """The test vector for SHA-256 that the TLS working group exchanged."""
    secret = bytes.fromhex("9bbe436ba940f017b17652849a71db35")
    seed = bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c")
    assert expand(secret, b"test label" + seed, 100).hex() == (
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a"
        "6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab"
        "4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
        "87347b66"
    )


@pytest.mark.parametrize("suite", SUITES)
def test_openssl_reads_what_is_written_and_writes_what_is_read(network, monkeypatch, suite: str) -> None:
    monkeypatch.setattr(binding, "SUITES", f"{suite}:@SECLEVEL=0".encode())
    client = network.client()
    network.speak(client, b"first")
    (association,) = client._associations.values()
    assert association.connection.get_cipher_name() == suite
    lengths = (1, 2, 15, 16, 17, 100, 1024, 1100, 4000, LARGEST_MESSAGE)
    for length in lengths:
        network.speak(client, b"u" * length)
        assert network.server.send(b"d" * length, PEER, network.now)
        network.run()
    assert [message for message, _ in network.at_server] == [b"first", *(b"u" * length for length in lengths)]
    assert [message for message, _ in network.at_clients] == [b"d" * length for length in lengths]


def test_more_than_a_record_holds_is_not_sent(network) -> None:
    network.speak(network.client())
    assert not network.server.send(bytes(LARGEST_MESSAGE + 1), PEER, network.now)
    assert network.server.send(b"still here", PEER, network.now)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("explicit", [FIRST, 0, (1 << 64) - 3])
def test_nonces_and_numbers_go_on_where_the_handshake_left_them(suite: str, explicit: int) -> None:
    ours, peer = both_ends(suite, explicit)
    records = [ours.write(b"message") for _ in range(10)]
    told = [int.from_bytes(record[HEADER : HEADER + 8], "big") for record in records]
    assert told == [(explicit + 1 + count) % (1 << 64) for count in range(10)]
    assert [record[3:11] for record in records] == [(FIRST + 1 + count).to_bytes(8, "big") for count in range(10)]
    assert [peer.open(record) for record in records] == [b"message"] * 10


@given(st.lists(st.integers(0, 200), max_size=60))
@example([168, 169, 104])
def test_a_record_counts_once_in_whatever_order_they_come(order: list[int]) -> None:
    ours, peer = both_ends()
    records = [ours.write(bytes((count,))) for count in range(201)]
    taken: set[int] = set()
    newest, oldest = -1, 0
    for count in order:
        # The handshake ended with a record of number 0, so that the first of these has number 1.
        wanted = count not in taken and count >= oldest
        assert peer.open(records[count]) == (bytes((count,)) if wanted else None)
        if wanted:
            taken.add(count)
            if count > newest + 1:
                oldest = count - 64  # of those before a gap the last may come yet, until there is another gap
            newest = max(newest, count)


@pytest.mark.parametrize("suite", SUITES)
def test_nothing_forged_is_taken_and_nothing_is_lost_by_it(suite: str) -> None:
    ours, peer = both_ends(suite)
    record = ours.write(b"genuine")
    for at in range(len(record)):
        forged = bytearray(record)
        forged[at] ^= 0x01
        assert peer.open(bytes(forged)) is None
    for cut in range(len(record)):
        assert peer.open(record[:cut]) is None
    assert peer.open(record + b"\0") is None
    assert peer.open(b"\x17\xfe\xfd" + ((1 << 49) - 1).to_bytes(8, "big") + record[11:]) is None
    assert ours.open(record) is None
    assert peer.open(record) == b"genuine"


def test_what_is_not_of_this_epoch_is_not_opened_though_the_key_is_right() -> None:
    ours, peer = both_ends()
    ours._next = 2 << 48
    assert peer.open(ours.write(b"later")) is None
    ours._next = (1 << 48) - 1
    assert peer.open(ours.write(b"earlier")) is None
    ours._next = FIRST
    assert peer.open(ours.write(b"the first")) == b"the first"


@given(st.binary(max_size=200))
def test_no_noise_does_harm(noise: bytes) -> None:
    ours, peer = session()
    assert ours.take(noise) == ([], b"", False, False)
    assert ours.take(b"\x17\xfe\xfd" + FIRST.to_bytes(8, "big") + noise) == ([], b"", False, False)
    assert ours.take(peer.write(b"message")).messages == [b"message"]


# What else a session is told.


def test_a_datagram_may_have_several_records() -> None:
    ours, peer = session()
    first, second, third = (peer.write(each) for each in (b"one", b"", b"two"))
    taken = ours.take(first + b"\x17\xfe\xfd" + bytes(8) + b"\0\x01x" + second + third + third)
    assert taken == ([b"one", b"two"], b"", True, False)


def test_so_many_records_of_a_datagram_are_looked_at() -> None:
    ours, peer = session()
    messages = [bytes((count,)) for count in range(20)]
    assert ours.take(b"".join(peer.write(each) for each in messages)).messages == messages[:16]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("explicit", [FIRST, (1 << 64) - 1])
def test_a_finished_that_comes_again_is_answered_by_the_last_flight_in_new_records(suite: str, explicit: int) -> None:
    """RFC 6347 section 4.2.4."""
    ours, peer = session(suite, explicit)
    for number in (4, 5):
        again = peer.write(FINISHED + bytes(23), HANDSHAKE)
        change, finished = split_records(ours.take(again).answers)
        assert change == CHANGE[:3] + number.to_bytes(8, "big") + CHANGE[11:]
        assert (finished[0], peer.open(finished)) == (HANDSHAKE, OUR_FINISHED)
        assert ours.take(again).answers == b"", "a copy of it is answered by nothing"
        assert peer.open(ours.write(b"message")) == b"message"


def test_another_handshake_within_the_session_is_refused() -> None:
    ours, peer = session()
    taken = ours.take(peer.write(HELLO + bytes(60), HANDSHAKE))
    assert (taken.answers[0], peer.open(taken.answers)) == (ALERT, b"\x01\x64")
    assert not taken.ended
    assert ours.take(peer.write(b"\x02" + bytes(60), HANDSHAKE)) == ([], b"", True, False)


@pytest.mark.parametrize(
    ("alert", "ends"), [(b"\x01\x00", True), (b"\x02\x14", True), (b"\x02", True), (b"\x01\x5a", False), (b"", False)]
)
def test_an_alert_ends_the_session_where_it_says_so(alert: bytes, ends: bool) -> None:
    ours, peer = session()
    assert ours.take(peer.write(alert, ALERT)) == ([], b"", True, ends)
    clear = b"\x15\xfe\xfd" + bytes(8) + b"\0\x02\x02\x14"
    assert ours.take(clear) == ([], b"", False, False), "anybody could have said that"


def test_the_end_is_told_by_a_record_of_the_session() -> None:
    ours, peer = session()
    farewell = ours.close()
    assert (farewell[0], peer.open(farewell)) == (ALERT, b"\x01\x00")
