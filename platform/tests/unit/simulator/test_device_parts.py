import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.lwm2m.content import ContentFormat, encode_content
from firmcast.lwm2m.paths import FIRMWARE_INSTANCE, FIRMWARE_STATE, FIRMWARE_VERSION, PACKAGE, PROTOCOL_SUPPORT, Path
from firmcast.simulator.firmware_object import start
from firmcast.simulator.package_address import PackageAddress, PackageAddressError, parse_package_address
from firmcast.simulator.package_intake import PackageIntake
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.resources import all_values, values_in

PLAIN = DeviceProfile()


@given(st.binary(max_size=300), st.integers(1, 64), st.integers(0, 5))
def test_a_package_is_the_same_however_its_blocks_arrive(package: bytes, size: int, restarts: int) -> None:
    wanted = PackageIntake(replace(PLAIN, expected_digest=hashlib.sha256(package).hexdigest()))
    corrupting = PackageIntake(replace(PLAIN, integrity_fails=True))
    for intake in (wanted, corrupting):
        for offset in [*range(0, len(package), size)[:restarts], *range(0, len(package), size)]:
            intake.write(offset, package[offset : offset + size])
        assert intake.received == len(package)
    assert wanted.intact
    assert corrupting.intact is (package == b"")


def test_another_package_than_the_expected_one_is_not_intact() -> None:
    intake = PackageIntake(replace(PLAIN, expected_digest=hashlib.sha256(b"one").hexdigest()))
    intake.write(0, b"two")
    assert not intake.intact


def test_blocks_received_twice_are_counted_once_and_gaps_are_noticed() -> None:
    intake = PackageIntake(PLAIN)
    intake.write(0, b"0123")
    intake.write(4, b"4567")
    intake.write(4, b"4567")
    assert intake.received == 8
    with pytest.raises(ValueError):
        intake.write(9, b"9")


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        (
            "coap://192.0.2.1/fw/a%20b",
            PackageAddress(host="192.0.2.1", port=5683, path=("fw", "a b"), query=(), target="/fw/a%20b"),
        ),
        (
            "coap://[2001:db8::1]:61616/a?x=1&y",
            PackageAddress(host="2001:db8::1", port=61616, path=("a",), query=("x=1", "y"), target="/a?x=1&y"),
        ),
        ("coaps://h/a", PackageAddress(scheme="coaps", host="h", port=5684, path=("a",), query=(), target="/a")),
        ("https://h/a?b", PackageAddress(scheme="https", host="h", port=443, path=("a",), query=("b",), target="/a?b")),
        ("COAP://host.example:5685", PackageAddress(host="host.example", port=5685, path=(), query=())),
        ("coap://h/a//b/", PackageAddress(host="h", port=5683, path=("a", "", "b", ""), query=(), target="/a//b/")),
    ],
)
def test_package_addresses(uri: str, address: PackageAddress) -> None:
    assert parse_package_address(uri) == address


@pytest.mark.parametrize(
    "uri", ["ftp://h/a", "coap:///a", "coap://h:0/a", "coap://h:99999/a", "coap://[::1/a", "coap://h/a#f", ""]
)
def test_what_is_no_package_address(uri: str) -> None:
    with pytest.raises(PackageAddressError):
        parse_package_address(uri)


@given(st.text(max_size=60) | st.text("coap:/[]@?#%0a.", max_size=30).map("coap://".__add__))
def test_any_text_is_an_address_or_the_one_error(uri: str) -> None:
    try:
        parse_package_address(uri)
    except PackageAddressError:
        return


def test_what_a_device_answers_to_reads() -> None:
    values = all_values("node-1", PLAIN, start(PLAIN))
    assert values_in(values, FIRMWARE_STATE) == {FIRMWARE_STATE: 0}
    assert values_in(values, PACKAGE) == {}
    assert values_in(values, FIRMWARE_VERSION) == {FIRMWARE_VERSION: "1.0.0"}
    assert values_in(values, PROTOCOL_SUPPORT) == {PROTOCOL_SUPPORT.child(0): 0}
    assert encode_content(ContentFormat.TLV, values_in(values, FIRMWARE_INSTANCE), FIRMWARE_INSTANCE) == bytes.fromhex(
        "c001 c10300 c10500 8308410000 c10902"
    )
    assert values_in(values, Path.of(9)) == {}
