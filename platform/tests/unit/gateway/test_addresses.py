"""An address comes back from the store as it went in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.coap.dtls.peers import secure_peer
from firmcast.gateway.addresses import (
    PackageAddresses,
    is_loopback,
    is_unspecified,
    local_host_towards,
    peer_of,
    stored_address,
    uri_host,
)
from firmcast.lwm2m.firmware_update import Protocol

PORTS = st.integers(1, 65535)


@given(host=st.ip_addresses(v=4).map(str), port=PORTS)
def test_ipv4_comes_back(host: str, port: int) -> None:
    assert peer_of(*stored_address((host, port))) == (host, port)


@given(host=st.ip_addresses(v=6).map(str), port=PORTS, zone=st.integers(0, 99))
def test_ipv6_comes_back_with_its_zone(host: str, port: int, zone: int) -> None:
    assert peer_of(*stored_address((host, port, 0, zone))) == (host, port, 0, zone)


@pytest.mark.parametrize(
    ("host", "spelt"), [("10.0.0.1", "10.0.0.1"), ("fe80::1%3", "[fe80::1]"), ("coap.example.org", "coap.example.org")]
)
def test_a_uri_spells_ipv6_in_brackets_and_without_its_zone(host: str, spelt: str) -> None:
    assert uri_host(host) == spelt


def test_the_address_towards_the_loopback_is_the_loopback() -> None:
    assert local_host_towards(("127.0.0.1", 5683)) == "127.0.0.1"


@pytest.mark.parametrize(("host", "expected"), [("", True), ("0.0.0.0", True), ("::", True), ("127.0.0.1", False)])
def test_what_listens_everywhere_is_no_address_for_a_uri(host: str, expected: bool) -> None:
    assert is_unspecified(host) is expected


@pytest.mark.parametrize(
    ("public", "bound", "uri"),
    [
        ("coap.example.org", "0.0.0.0", "coap://coap.example.org:5683/fw/secret"),
        ("", "192.0.2.7", "coap://192.0.2.7:5683/fw/secret"),
        ("", "0.0.0.0", "coap://127.0.0.1:5683/fw/secret"),
        ("2001:db8::1", "::", "coap://[2001:db8::1]:5683/fw/secret"),
    ],
)
def test_a_package_has_an_address_that_its_device_can_reach(public: str, bound: str, uri: str) -> None:
    addresses = PackageAddresses(public_host=public, bound_host=bound, port=5683)
    assert addresses.uri("secret", ("127.0.0.1", 40000)) == uri


@pytest.mark.parametrize(
    ("bound", "address", "uri"),
    [
        ("192.0.2.7", ("192.0.2.9", 40000), "coaps://192.0.2.7:5684/fw/secret"),
        ("0.0.0.0", ("127.0.0.1", 40000), "coaps://127.0.0.1:5684/fw/secret"),
        ("::", ("::1", 40000, 0, 0), "coaps://[::1]:5684/fw/secret"),
    ],
)
def test_a_device_with_a_session_fetches_through_it(bound: str, address: tuple, uri: str) -> None:
    addresses = PackageAddresses(public_host="", bound_host=bound, port=5683, secure_port=5684)
    assert addresses.uri("secret", secure_peer(address, "device-1")) == uri


@pytest.mark.parametrize(
    ("protocol", "uri"),
    [
        (None, "coap://192.0.2.7:5683/fw/secret"),
        (Protocol.COAP, "coap://192.0.2.7:5683/fw/secret"),
        (Protocol.HTTP, "http://192.0.2.7:8080/fw/secret"),
        (Protocol.HTTPS, "https://fw.example.org/devices/fw/secret"),
    ],
)
def test_a_package_has_an_address_for_each_protocol_that_it_is_served_by(protocol: Protocol | None, uri: str) -> None:
    addresses = PackageAddresses(
        public_host="", bound_host="192.0.2.7", port=5683, package_url="https://fw.example.org/devices/"
    )
    addresses.add(Protocol.HTTP, 8080)
    assert addresses.uri("secret", ("127.0.0.1", 40000), protocol) == uri


def test_what_is_not_served_has_no_address() -> None:
    with pytest.raises(KeyError):
        PackageAddresses(public_host="", bound_host="h", port=1).uri("secret", ("127.0.0.1", 1), Protocol.HTTP)


@pytest.mark.parametrize("address", [("192.0.2.9", 40000), ("2001:db8::1", 40000, 0, 0), ("fe80::1", 40000, 0, 3)])
def test_a_stored_address_of_a_secure_peer_gives_it_back(address: tuple) -> None:
    peer = secure_peer(address, "device-1")
    assert peer_of(*stored_address(peer), "device-1") == peer


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("h", False),
    ],
)
def test_a_loopback_address_is_of_this_machine_only(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
