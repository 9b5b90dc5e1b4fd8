"""What is read of records without a key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.coap.dtls.records import (
    client_random,
    identity_offered,
    is_client_hello,
    is_single_record,
    longest_fragment,
    needed_for_handshake,
    pack_records,
    split_records,
)

CLIENT_KEY_EXCHANGE = bytes.fromhex("16 fefd 0000 000000000002 0012 10 000006 0002 000000 000006 0004 6e6f6465")

CLIENT_HELLO = bytes.fromhex(
    "16 fefd 0000 000000000001 0045 01 000039 0001 000000 000039"
    "fefd" + "00" * 32 + "00 02 c0c0 0004 c0a8 00ff 01 00 0009 0017 0000 0001 0001 01"
)
"""With a cookie, two suites, and as extensions the extended master secret and a longest fragment of 512 bytes."""


CHANGE = bytes.fromhex("14 fefd 0000 000000000003 0001 01")
FINISHED = bytes.fromhex("16 fefd 0001 000000000000 0028") + bytes(40)
A_PART_OF_A_LONG_MESSAGE = bytes.fromhex("16 fefd 0000 000000000004 000d 0b 0186a0 0005 00ffff 000001 78")
"""One byte of 100,000."""


def a_record(content: bytes) -> bytes:
    return b"\x17\xfe\xfd\x00\x01\x00\x00\x00\x00\x00\x07" + len(content).to_bytes(2, "big") + content


records = st.binary(max_size=300).map(a_record)


@given(st.lists(records, max_size=8))
def test_records_are_found_where_they_end(written: list[bytes]) -> None:
    assert split_records(b"".join(written)) == written
    assert all(is_single_record(record) for record in written)
    assert is_single_record(b"".join(written)) is (len(written) == 1)


@given(st.lists(records, max_size=8), st.integers(13, 700))
def test_a_datagram_has_whole_records_and_is_no_longer_than_allowed(written: list[bytes], largest: int) -> None:
    packed = pack_records(b"".join(written), largest)
    assert b"".join(packed) == b"".join(written)
    assert all(split_records(datagram)[-1] in written for datagram in packed)
    assert all(len(datagram) <= largest or datagram in written for datagram in packed)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_looked_at(noise: bytes) -> None:
    assert b"".join(split_records(noise)) == noise
    identity_offered(noise)
    longest_fragment(noise)
    longest_fragment(CLIENT_HELLO[:25] + noise)
    is_single_record(noise)
    if is_client_hello(noise):
        assert len(client_random(noise)) == 32


def test_the_longest_fragment_of_a_client_hello() -> None:
    """RFC 6066 section 4: 2^9 to 2^12."""
    assert is_client_hello(CLIENT_HELLO)
    assert longest_fragment(CLIENT_HELLO) == 512
    for value, longest in ((0, None), (2, 1024), (4, 4096), (5, None)):
        assert longest_fragment(CLIENT_HELLO[:-1] + bytes((value,))) == longest


@given(st.integers(0, len(CLIENT_HELLO) - 1))
def test_half_a_client_hello_has_no_longest_fragment(length: int) -> None:
    assert longest_fragment(CLIENT_HELLO[:length]) is None


def test_the_identity_of_a_client_key_exchange() -> None:
    """RFC 4279 section 2, behind the headers of RFC 6347."""
    assert identity_offered(CLIENT_KEY_EXCHANGE) == b"node"


def test_the_identity_is_found_behind_other_records() -> None:
    assert identity_offered(a_record(b"...") + CLIENT_KEY_EXCHANGE + a_record(b"...")) == b"node"


@given(st.integers(0, len(CLIENT_KEY_EXCHANGE) - 1))
def test_half_a_client_key_exchange_has_no_identity(length: int) -> None:
    assert identity_offered(CLIENT_KEY_EXCHANGE[:length]) is None


def test_an_encrypted_message_has_no_identity() -> None:
    encrypted = CLIENT_KEY_EXCHANGE[:3] + b"\x00\x01" + CLIENT_KEY_EXCHANGE[5:]
    assert identity_offered(encrypted) is None


def test_what_ends_a_handshake_is_needed() -> None:
    last_flight = CLIENT_KEY_EXCHANGE + CHANGE + FINISHED
    assert needed_for_handshake(last_flight) == last_flight
    assert needed_for_handshake(A_PART_OF_A_LONG_MESSAGE + last_flight + a_record(b"...")) == last_flight


@pytest.mark.parametrize(
    "record",
    [
        A_PART_OF_A_LONG_MESSAGE,
        A_PART_OF_A_LONG_MESSAGE.replace(b"\x0b", b"\x01"),
        CLIENT_KEY_EXCHANGE[:11] + b"\x00\x1f" + CLIENT_KEY_EXCHANGE[13:] + A_PART_OF_A_LONG_MESSAGE[13:],
        CLIENT_KEY_EXCHANGE[:-1],
        CLIENT_KEY_EXCHANGE[:11] + b"\x00\x11" + CLIENT_KEY_EXCHANGE[13:-1],
        b"\x16\x01\x01" + CLIENT_KEY_EXCHANGE[3:],
        FINISHED[:11] + b"\x02\x01" + bytes(513),
        a_record(b"..."),
    ],
    ids=["long", "long hello", "long behind another", "cut", "cut inside", "version", "long sealed", "message"],
)
def test_what_could_cost_much_is_not_needed_to_end_a_handshake(record: bytes) -> None:
    assert needed_for_handshake(record) == b""


pieces = st.sampled_from([CLIENT_KEY_EXCHANGE, CHANGE, FINISHED, A_PART_OF_A_LONG_MESSAGE, CLIENT_HELLO])


@given(st.lists(pieces | st.binary(max_size=40), max_size=6).map(b"".join))
def test_only_whole_records_are_needed_for_a_handshake(datagram: bytes) -> None:
    needed = needed_for_handshake(datagram)
    assert needed_for_handshake(needed) == needed
    assert all(is_single_record(record) and record in datagram for record in split_records(needed))
