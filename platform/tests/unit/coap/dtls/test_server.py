"""The server of secure sessions: who gets in, what is kept of the others, and when a session ends."""

import gc
import weakref
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmcast.coap.dtls import self_test
from firmcast.coap.dtls.parameters import HandshakeOutcome
from firmcast.coap.dtls.peers import address_of, identity_of, is_secure, secure_peer
from firmcast.coap.dtls.records import split_records
from firmcast.coap.dtls.self_test import check_dtls
from firmcast.errors import StartError

HERE = ("192.0.2.9", 40000)
ELSEWHERE = ("192.0.2.9", 40001)
SERVER = ("192.0.2.1", 5684)
WRONG_KEY = bytes(16)


def test_the_installed_binding_does_what_is_needed() -> None:
    check_dtls()


def test_a_handshake_that_the_machine_held_up_says_nothing_about_the_binding(monkeypatch) -> None:
    held_up = iter((True, True))
    speak = self_test._speak
    monkeypatch.setattr(self_test, "_speak", lambda key: not next(held_up, False) and speak(key))
    check_dtls()
    monkeypatch.setattr(self_test, "_speak", lambda _key: False)
    with pytest.raises(StartError):
        check_dtls()


@pytest.mark.parametrize("address", [HERE, ("2001:db8::9", 40000, 0, 3)])
def test_a_secure_peer_is_an_address_and_an_identity(address: tuple) -> None:
    peer = secure_peer(address, "device-1")
    assert (is_secure(peer), identity_of(peer), address_of(peer)) == (True, "device-1", address)
    assert (is_secure(address), identity_of(address), address_of(address)) == (False, None, address)


def test_messages_go_both_ways_under_the_identity(network) -> None:
    client = network.client()
    network.speak(client, b"hello")
    peer = secure_peer(HERE, "device-1")
    assert network.at_server == [(b"hello", peer)]
    assert network.server.send(b"x" * 1024, peer, network.now)
    network.run()
    assert network.at_clients == [(b"x" * 1024, HERE)]
    assert network.looked_up == ["device-1"]
    assert network.outcomes == {HandshakeOutcome.CHALLENGED: 1, HandshakeOutcome.COMPLETED: 1}
    assert (network.server.session_count, network.server.half_open_count) == (1, 0)


def test_a_client_that_reads_records_of_its_own_version_only_gets_a_session(network) -> None:
    """As the tinydtls that has come with Wakaama: it passes over what is not a record of DTLS 1.2."""
    client = network.client()
    client.send(b"hello", client.peer(SERVER), network.now)
    while network.to_server or network.to_clients:
        network.to_server = [(b"\x16\xfe\xfd" + hello[3:], peer) for hello, peer in network.to_server]
        network.server.receive(*network.to_server.pop(0), network.now)
        assert {datagram[1:3] for datagram, _ in network.to_clients} <= {b"\xfe\xfd"}
        network.run()
    assert network.at_server == [(b"hello", secure_peer(HERE, "device-1"))]


@pytest.mark.parametrize("version", [b"\xfe\xff", b"\xfe\xfd"])
def test_a_cookie_is_sent_under_the_version_of_the_hello(network, version: bytes) -> None:
    hello = network.hello(HERE)
    network.server.receive(hello[:1] + version + hello[3:], HERE, network.now)
    ((answer, _peer),) = network.sent
    assert (answer[1:3], answer[13], answer[25:27]) == (version, 3, b"\xfe\xff")


def test_no_datagram_is_longer_than_allowed(make_network) -> None:
    network = make_network(largest_datagram=256)
    network.speak(network.client())
    assert network.server.session_count == 1
    assert max(len(datagram) for datagram, _ in network.sent) <= 256


def test_nothing_can_be_sent_without_a_session(network) -> None:
    assert not network.server.send(b"hello", secure_peer(HERE, "device-1"), network.now)
    network.speak(network.client())
    assert not network.server.send(b"hello", secure_peer(HERE, "device-2"), network.now)
    assert not network.server.send(b"hello", HERE, network.now)


def test_nothing_longer_is_sent_than_the_client_takes(network) -> None:
    """It would end the session (RFC 6066 section 4: record_overflow)."""
    network.speak(network.client())
    peer = secure_peer(HERE, "device-1")
    network.server._sessions.of_address[HERE].longest_message = 512
    assert not network.server.send(bytes(513), peer, network.now)
    assert network.server.send(bytes(512), peer, network.now)


def test_an_unknown_identity_is_told_so(network) -> None:
    network.speak(network.client("stranger"))
    assert network.outcomes[HandshakeOutcome.UNKNOWN_IDENTITY] == 1
    alert = network.sent[-1][0]
    assert (alert[0], alert[-1]) == (21, 115)  # RFC 4279 section 6: unknown_psk_identity.
    assert (network.server.session_count, network.server.half_open_count) == (0, 0)


@pytest.mark.parametrize("identity", ["é" * 120, "x" * 257])
def test_an_identity_is_as_long_as_it_is(network, identity: str) -> None:
    network.keys[identity] = bytes(range(16))
    network.speak(network.client(identity))
    assert network.server.session_count == (1 if len(identity) <= 256 else 0)
    assert network.server.half_open_count == 0


def test_with_a_wrong_key_the_handshake_stalls_until_its_deadline(network) -> None:
    network.speak(network.client(key=WRONG_KEY))
    assert network.server.half_open_count == 1
    network.pass_time(31.0)
    assert network.server.half_open_count == 0
    assert network.outcomes[HandshakeOutcome.STALLED] == 1
    assert network.at_server == []
    assert network.server.next_timer() is None


def test_handshakes_wait_for_their_key(network) -> None:
    network.answers_look_ups = False
    network.speak(network.client())
    network.speak(network.client(address=ELSEWHERE))
    assert network.looked_up == ["device-1"]
    assert network.server.session_count == 0
    network.server.key_found("device-1", network.keys["device-1"], network.now)
    network.run()
    assert network.server.session_count == 2


def test_a_key_that_comes_too_late_is_asked_for_again(network) -> None:
    network.answers_look_ups = False
    network.speak(network.client())
    network.pass_time(31.0)
    network.server.key_found("device-1", network.keys["device-1"], network.now)
    assert (network.server.session_count, network.server.half_open_count) == (0, 0)
    network.speak(network.client())
    assert network.looked_up == ["device-1", "device-1"]


def _key_exchange(network, hellos: list[bytes] | None = None) -> list[bytes]:
    """Let a handshake go on until the client's last flight; return that flight's records, which nobody gets."""
    client = network.client()
    client.send(b"hello", client.peer(SERVER), network.now)
    while True:
        flight, address = network.to_server.pop(0)
        if flight[13] == 16:
            return split_records(flight)
        if hellos is not None:
            hellos.append(flight)
        network.server.receive(flight, address, network.now)
        client.receive(network.to_clients.pop(0)[0], SERVER, network.now)
        while network.to_clients:
            client.receive(network.to_clients.pop(0)[0], SERVER, network.now)


def test_who_has_a_former_key_gets_no_session_by_a_handshake_that_was_under_way(network) -> None:
    key_exchange, *rest = _key_exchange(network)
    network.server.receive(key_exchange, HERE, network.now)
    assert network.looked_up == ["device-1"]
    network.server.end_identity("device-1", network.now)
    network.server.receive(b"".join(rest), HERE, network.now)
    network.run()
    assert (network.server.session_count, network.server.half_open_count) == (0, 0)
    assert network.outcomes[HandshakeOutcome.REVOKED] == 1


def test_a_former_key_that_comes_after_its_end_opens_no_session(network) -> None:
    network.answers_look_ups = False
    network.speak(network.client())
    network.speak(network.client("device-2", address=ELSEWHERE))
    network.server.end_identity("device-1", network.now)
    for identity in ("device-1", "device-2"):
        network.server.key_found(identity, network.keys["device-1"], network.now)
    network.run()
    assert [peer[4] for _, peer in network.at_server] == ["device-2"]
    network.speak(network.client())
    assert network.looked_up == ["device-1", "device-2", "device-1"]
    network.server.key_found("device-1", network.keys["device-1"], network.now)
    network.run()
    assert [peer[4] for _, peer in network.at_server] == ["device-2", "device-1"]


def test_a_client_that_has_seen_our_number_elsewhere_takes_the_last_flight_when_it_comes_again(network) -> None:
    network.server.receive(b"".join(_key_exchange(network)), HERE, network.now)
    change, _ = split_records(network.to_clients.pop()[0])
    hello_done = b"\x16" + change[1:11] + b"\x00\x0c" + b"\x0e\x00\x00\x00\x00\x02" + bytes(6)
    network.clients[HERE].receive(hello_done, SERVER, network.now)
    network.clients[HERE].receive(network.server._sessions.of_address[HERE]._last_flight(), SERVER, network.now)
    network.run()
    assert network.at_server == [(b"hello", secure_peer(HERE, "device-1"))]


def test_sessions_and_handshakes_of_another_key_end_when_the_key_is_told(network) -> None:
    """That it was replaced went unheard."""
    network.keys["device-2"] = network.keys["device-1"]
    network.speak(network.client("device-2", address=ELSEWHERE), b"of another device")
    client = network.client()
    network.speak(client, b"one")
    key_exchange, *rest = _key_exchange(network)
    network.server.receive(key_exchange, HERE, network.now)
    assert sorted(network.server.identities()) == ["device-1", "device-2"]
    network.server.key_found("device-1", network.keys["device-1"], network.now)
    assert (network.server.session_count, network.server.half_open_count) == (2, 1)
    network.server.key_found("device-1", WRONG_KEY, network.now)
    network.server.receive(b"".join(rest), HERE, network.now)
    assert (network.server.session_count, network.server.half_open_count) == (1, 0)
    assert network.outcomes[HandshakeOutcome.REVOKED] == 1
    assert network.ended == [secure_peer(HERE, "device-1")]
    network.server.key_found("device-2", None, network.now)
    assert network.server.session_count == 0
    assert network.server.identities() == []


# From elsewhere, and again.


def test_a_device_that_restarts_on_its_port_gets_another_session(network) -> None:
    network.speak(network.client(), b"one")
    network.speak(network.client(), b"two")
    assert [message for message, _ in network.at_server] == [b"one", b"two"]
    assert network.ended == [secure_peer(HERE, "device-1")]
    assert network.server.session_count == 1


def test_a_session_goes_on_until_the_next_handshake_has_ended(network) -> None:
    client = network.client()
    network.speak(client, b"one")
    # Somebody who hears at the address, as behind the same NAT, though without the key.
    network.speak(network.client(key=WRONG_KEY))
    network.clients[HERE] = client
    network.speak(client, b"two")
    assert [message for message, _ in network.at_server] == [b"one", b"two"]
    network.pass_time(31.0)
    network.speak(client, b"three")
    assert network.at_server[-1][0] == b"three"
    assert network.ended == []


def test_a_late_copy_of_its_hello_begins_nothing_beside_a_session(network) -> None:
    hellos: list[bytes] = []
    network.server.receive(b"".join(_key_exchange(network, hellos)), HERE, network.now)
    network.run()
    before = len(network.sent)
    for hello in hellos:
        network.server.receive(hello, HERE, network.now)
    assert (network.server.half_open_count, len(network.sent)) == (0, before)
    # A device whose random numbers are no such begins each of its handshakes alike.
    network.pass_time(31.0)
    network.server.receive(hellos[-1], HERE, network.now)
    assert network.server.half_open_count == 1


def test_a_session_hears_its_peer_whatever_handshake_is_under_way_beside_it(network) -> None:
    client = network.client()
    network.speak(client, b"one")
    network.speak(network.client(key=WRONG_KEY))
    assert (network.server.session_count, network.server.half_open_count) == (1, 1)
    client.close(network.now)
    network.run()
    assert (network.server.session_count, network.server.half_open_count) == (0, 1)


def test_a_client_that_repeats_its_last_flight_is_answered_whatever_handshake_is_under_way_beside_it(network) -> None:
    hellos: list[bytes] = []
    last_flight = _key_exchange(network, hellos)
    network.server.receive(b"".join(last_flight), HERE, network.now)
    network.to_clients.clear()
    client = network.clients[HERE]
    network.speak(network.client(key=WRONG_KEY))
    assert (network.server.session_count, network.server.half_open_count) == (1, 1)
    network.clients[HERE] = client
    network.server.receive(b"".join(last_flight), HERE, network.now)
    network.run()
    assert network.at_server == [(b"hello", secure_peer(HERE, "device-1"))]


def test_a_device_behind_a_nat_comes_from_another_port(network) -> None:
    network.speak(network.client(), b"one")
    network.speak(network.client(address=ELSEWHERE), b"two")
    assert [peer for _, peer in network.at_server] == [
        secure_peer(HERE, "device-1"),
        secure_peer(ELSEWHERE, "device-1"),
    ]


def test_an_identity_has_a_few_sessions(make_network) -> None:
    network = make_network(sessions_of_identity=2)
    for port in (1, 2, 3):
        network.now += 1
        network.speak(network.client(address=("192.0.2.9", port)))
    assert network.ended == [secure_peer(("192.0.2.9", 1), "device-1")]


def test_beyond_the_limit_the_session_that_was_silent_longest_ends(make_network) -> None:
    network = make_network(session_limit=2)
    network.keys |= {"device-2": b"2" * 16, "device-3": b"3" * 16}
    first = network.client(address=("192.0.2.9", 1))
    network.speak(first)
    network.speak(network.client("device-2", b"2" * 16, ("192.0.2.9", 2)))
    network.now += 2
    network.speak(first)
    network.speak(network.client("device-3", b"3" * 16, ("192.0.2.9", 3)))
    assert network.ended == [secure_peer(("192.0.2.9", 2), "device-2")]


def test_a_silent_session_ends(make_network) -> None:
    network = make_network(idle_limit=100.0)
    client = network.client()
    network.speak(client)
    network.pass_time(60.0)
    network.speak(client)
    network.pass_time(60.0)
    assert network.ended == []
    network.pass_time(41.0)
    assert network.ended == [secure_peer(HERE, "device-1")]
    assert network.server.session_count == 0


def test_messages_that_come_in_one_datagram_are_heard(make_network) -> None:
    network = make_network(idle_limit=100.0)
    client = network.client()
    network.speak(client, b"one")
    network.pass_time(60.0)
    for message in (b"two", b"three"):
        client.send(message, client.peer(SERVER), network.now)
    network.server.receive(b"".join(datagram for datagram, _ in network.to_server), HERE, network.now)
    network.to_server.clear()
    assert [message for message, _ in network.at_server] == [b"one", b"two", b"three"]
    network.pass_time(60.0)
    assert network.server.session_count == 1


def test_an_ended_session_is_told_so_and_a_message_begins_another(network) -> None:
    client = network.client()
    network.speak(client, b"one")
    network.server.end_identity("device-1", network.now)
    network.run()
    assert network.server.session_count == 0
    network.speak(client, b"two")
    assert [message for message, _ in network.at_server] == [b"one", b"two"]


def test_a_client_that_leaves_ends_its_session(network) -> None:
    client = network.client()
    network.speak(client)
    client.close(network.now)
    network.run()
    assert network.server.session_count == 0


def test_nothing_is_left_of_an_ended_session(network) -> None:
    network.speak(network.client())
    session = network.server._sessions.of_address[HERE]
    network.server.end_identity("device-1", network.now)
    sessions = network.server._sessions
    assert sessions.of_address == sessions.of_peer == sessions._of_identity == {}
    assert [each for each in gc.get_referrers(session) if not isinstance(each, FrameType)] == []


def test_nothing_is_left_of_a_handshake_that_became_a_session(network) -> None:
    network.answers_look_ups = False
    network.speak(network.client())
    connection = weakref.ref(network.server._handshaking.under_way.get(HERE).connection)
    network.server.key_found("device-1", network.keys["device-1"], network.now)
    network.run()
    assert network.server.session_count == 1
    assert connection() is None, "that is what a session costs little by"


def test_nothing_is_left_of_a_handshake_that_was_given_up(make_network) -> None:
    network = make_network(half_open_limit=1)
    network.speak(network.client(key=WRONG_KEY))
    connection = weakref.ref(network.server._handshaking.under_way.get(HERE).connection)
    network.speak(network.client(key=WRONG_KEY, address=ELSEWHERE))
    assert network.outcomes[HandshakeOutcome.CROWDED_OUT] == 1
    assert connection() is None


def test_a_server_that_stops_says_so(network) -> None:
    network.speak(network.client())
    network.server.close(network.now)
    network.run()
    assert network.server.session_count == 0
    assert network.sent[-1][0][0] == 21


# Those who mean no good.


def test_spoofed_hellos_leave_nothing_and_gain_nothing(network) -> None:
    for port in range(1, 2000):
        network.server.receive(network.hello(("198.51.100.7", port)), ("198.51.100.7", port), network.now)
    assert (network.server.session_count, network.server.half_open_count) == (0, 0)
    assert network.server.next_timer() is None
    assert network.outcomes == {HandshakeOutcome.CHALLENGED: 1999}
    assert max(len(datagram) for datagram, _ in network.sent) <= len(network.hello(HERE))


def test_a_replayed_hello_gains_less_than_three_times_its_length(network) -> None:
    """Somebody saw a hello with its cookie, and sends it in the name of the address that it came from."""
    client = network.client()
    client.send(b"", client.peer(SERVER), network.now)
    network.server.receive(*network.to_server.pop(), network.now)
    client.receive(network.sent[-1][0], SERVER, network.now)
    hello, address = network.to_server.pop()
    before = len(network.sent)
    for _ in range(10):
        network.server.receive(hello, address, network.now)
    gained = sum(len(datagram) for datagram, _ in network.sent[before:])
    assert network.server.half_open_count == 1
    assert 0 < gained <= 3 * len(hello)


def test_half_open_handshakes_are_bounded_and_crowd_out_those_of_the_host_with_most(make_network) -> None:
    network = make_network(half_open_limit=20)
    network.answers_look_ups = False
    network.speak(network.client())
    for port in range(1, 60):
        network.speak(network.client("flood", WRONG_KEY, ("198.51.100.7", port)))
    assert network.server.half_open_count == 20, "one host has all the room that nobody else wants"
    for host in range(8, 12):
        network.speak(network.client("neighbour", WRONG_KEY, (f"198.51.100.{host}", 7)))
    assert network.server.half_open_count == 20
    network.server.key_found("device-1", network.keys["device-1"], network.now)
    network.run()
    assert network.server.session_count == 1, "the oldest of all is crowded out by nobody who has more"
    for host in range(20, 60):
        network.speak(network.client("flood", WRONG_KEY, (f"198.51.100.{host}", 7)))
    assert network.server.half_open_count == 20


def test_a_fleet_behind_one_address_makes_its_sessions_at_the_same_time(make_network) -> None:
    network = make_network()
    network.answers_look_ups = False
    names = [f"device-{number}" for number in range(200)]
    key = network.keys["device-1"]
    network.keys = dict.fromkeys(names, key)
    for port, name in enumerate(names, start=1):
        network.speak(network.client(name, address=("198.51.100.7", port)))
    for name in names:
        network.server.key_found(name, key, network.now)
    network.run()
    assert network.outcomes[HandshakeOutcome.COMPLETED] == len(names)


def test_a_session_is_served_during_a_flood(make_network) -> None:
    network = make_network(half_open_limit=10)
    client = network.client()
    network.speak(client, b"before")
    for port in range(1, 100):
        network.speak(network.client("flood", WRONG_KEY, ("198.51.100.7", port)))
    network.speak(client, b"during")
    assert network.at_server[-1] == (b"during", secure_peer(HERE, "device-1"))


@pytest.mark.parametrize("alert", [b"\x02\x28", b"\x01\x00"])
@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_nobody_else_ends_a_session_by_an_alert(network, alert: bytes, epoch: int) -> None:
    """Fatal handshake_failure and close_notify, in clear or of no key, in the name of the device's address."""
    client = network.client()
    network.speak(client, b"before")
    for number in range(40):
        header = b"\x15\xfe\xfd" + epoch.to_bytes(2, "big") + number.to_bytes(6, "big") + len(alert).to_bytes(2, "big")
        network.server.receive(header + alert, HERE, network.now)
    network.speak(client, b"after")
    assert [message for message, _ in network.at_server] == [b"before", b"after"]
    assert network.ended == []


def test_records_of_no_session_are_dropped_and_counted(network) -> None:
    client = network.client()
    network.speak(client)
    client.send(b"again", client.peer(SERVER), network.now)
    datagram = network.to_server.pop()[0]
    before = len(network.sent)
    network.server.receive(datagram, ELSEWHERE, network.now)
    assert network.outcomes[HandshakeOutcome.STRAY] == 1
    assert len(network.sent) == before


def test_a_record_counts_once(network) -> None:
    client = network.client()
    network.speak(client)
    client.send(b"again", client.peer(SERVER), network.now)
    datagram = network.to_server.pop()[0]
    for _ in range(3):
        network.server.receive(datagram, HERE, network.now)
    assert [message for message, _ in network.at_server] == [b"hello", b"again"]


@pytest.mark.parametrize("hidden", [b"", b"\x17\x01\x01" + bytes(7) + b"\x01\x00\x1a"], ids=["open", "hidden"])
def test_openssl_is_shown_no_part_of_a_message_that_claims_to_be_long(network, hidden: bytes) -> None:
    """It would keep 100,000 bytes of each. Behind a header of another version it finds records that are not there."""
    last_flight = _key_exchange(network)
    for number in range(100):
        part = bytes.fromhex("0b 0186a0 0005 00ffff 000001 78")
        header = b"\x16\xfe\xfd\x00\x00" + (100 + number).to_bytes(6, "big") + len(part).to_bytes(2, "big")
        network.server.receive(hidden + header + part, HERE, network.now)
    assert network.server._handshaking.under_way.get(HERE).taken == 0
    network.server.receive(b"".join(last_flight), HERE, network.now)
    network.run()
    assert network.server.session_count == 1


def _mutilated(genuine: bytes, cuts: list[tuple[int, int]], length: int) -> bytes:
    changed = bytearray(genuine)
    for at, value in cuts:
        if changed:
            changed[at % len(changed)] = value
    return bytes(changed[:length])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6), st.integers(0, 400), st.binary())
def test_no_datagram_does_harm(make_network: Callable, cuts: list[tuple[int, int]], length: int, noise: bytes) -> None:
    network = make_network()
    client = network.client()
    network.speak(client)
    genuine = [network.hello(ELSEWHERE), *[datagram for datagram, _ in network.sent]]
    for address in (HERE, ELSEWHERE):
        network.server.receive(noise, address, network.now)
        for datagram in genuine:
            before = len(network.sent)
            mutilated = _mutilated(datagram, cuts, length)
            network.server.receive(mutilated, address, network.now)
            assert sum(len(each) for each, _ in network.sent[before:]) <= 3 * len(mutilated)
    assert network.server.half_open_count == 0
    network.to_clients.clear()
    network.speak(client, b"still here")
    assert network.at_server[-1] == (b"still here", secure_peer(HERE, "device-1"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 9))
def test_a_handshake_with_a_mutilated_message_ends_one_way_or_the_other(
    make_network: Callable, cuts: list[tuple[int, int]], which: int
) -> None:
    network = make_network()
    client = network.client()
    client.send(b"hello", client.peer(SERVER), network.now)
    for turn in range(50):
        if network.to_server:
            datagram, address = network.to_server.pop(0)
            mutilated = _mutilated(datagram, cuts, 400) if turn == which else datagram
            network.server.receive(mutilated, address, network.now)
        elif network.to_clients:
            datagram, _ = network.to_clients.pop(0)
            client.receive(datagram, SERVER, network.now)
    network.pass_time(31.0)
    assert network.server.half_open_count == 0
