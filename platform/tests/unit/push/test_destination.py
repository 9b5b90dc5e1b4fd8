"""Which callback URLs are taken, and which addresses are dialled."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.errors import InvalidValueError
from firmcast.push.destination import CallbackUrl, DestinationRules, parse_callback_url

PUBLIC = DestinationRules()


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "193.0.6.139", "2606:4700::1111", "2a00:1450::5"])
def test_public_addresses_may_be_dialled(address: str) -> None:
    assert PUBLIC.permits(address, 443)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.168.1.1",
        "198.19.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::808:808",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:127.0.0.1",
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "not an address",
        "",
    ],
)
def test_special_addresses_may_not(address: str) -> None:
    assert not PUBLIC.permits(address, 443)


def test_a_translated_public_address_may_be_dialled() -> None:
    assert PUBLIC.permits("64:ff9b::8.8.8.8", 443)
    assert PUBLIC.permits("::ffff:8.8.8.8", 443)


def test_the_operator_may_allow_networks() -> None:
    rules = DestinationRules(allowed_networks=(ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")))
    assert rules.permits("10.1.255.1", 443)
    assert rules.permits("::ffff:10.1.255.1", 443)
    assert rules.permits("64:ff9b::10.1.255.1", 443)
    assert rules.permits("fd00:1::7", 443)
    assert not rules.permits("10.2.0.1", 443)
    assert not rules.permits("fd00:2::7", 443)


def test_ports_can_be_limited() -> None:
    rules = DestinationRules(allowed_ports=frozenset({443}))
    assert rules.permits("1.1.1.1", 443)
    assert not rules.permits("1.1.1.1", 22)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=200)
def test_every_embedding_is_judged_as_what_it_embeds(number: int) -> None:
    address = IPv4Address(number)
    permitted = PUBLIC.permits(str(address), 443)
    assert PUBLIC.permits(str(IPv6Address(0xFFFF << 32 | number)), 443) == permitted
    assert PUBLIC.permits(str(IPv6Address(0x64FF9B << 96 | number)), 443) == permitted
    assert PUBLIC.permits(str(IPv6Address(0x26064700 << 96 | 0x5EFE << 32 | number)), 443) == permitted


@given(st.integers(0, 2**128 - 1))
@settings(max_examples=200)
def test_no_ipv6_address_outside_global_unicast_is_permitted(number: int) -> None:
    address = IPv6Address(number)
    if PUBLIC.permits(str(address), 443):
        translated = number >> 32 in {0xFFFF, 0x64FF9B << 64}
        assert translated or number >> 125 == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://app.example:8443/v1.0.0/messageReceiver", ("https", "app.example", 8443)),
        ("http://192.0.2.7:80/", ("http", "192.0.2.7", 80)),
        ("http://[2001:db8::1]:8080/a?b=c", ("http", "2001:db8::1", 8080)),
        ("HTTPS://App.Example:1/x", ("https", "app.example", 1)),
    ],
)
def test_a_callback_url(text: str, expected: tuple[str, str, int]) -> None:
    scheme, host, port = expected
    assert parse_callback_url(text) == CallbackUrl(text=text, scheme=scheme, host=host, port=port)


def test_the_port_may_be_left_out_where_the_caller_says_so() -> None:
    assert parse_callback_url("https://app.example/x", port_required=False).port == 443
    assert parse_callback_url("http://app.example/x", port_required=False).port == 80


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://192.0.2.7:80",
        "http://192.0.2.7/path",
        "https://",
        "https:///path",
        "https://:443/path",
        "ftp://app.example:21/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//app.example:1/x",
        "app.example:1/x",
        "https://user:secret@app.example:443/x",
        "https://@app.example:443/x",
        "https://app.example:443/x#fragment",
        "https://app.example:443/x#",
        "https://app.example:443/a b",
        "https://app.example:443/a\r\nx-evil: 1",
        "https://app.example:443/a\x00",
        "https://app.example:443\\@evil.example/x",
        "https://app..example:443/x",
        "https://-.example:99999/x",
        "https://app.example:0/x",
        "https://app.example:-1/x",
        "https://app.example:x/x",
        "https://[::1/x",
        "https://[nonsense]:443/x",
        "https://exämple.example:443/x",
        "https://app.example:443/" + "x" * 1024,
    ],
)
def test_what_is_no_callback_url(text: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_callback_url(text)


@given(st.text(max_size=80) | st.from_regex(r"https?://[^/]{0,20}/.{0,20}"))
@settings(max_examples=200)
def test_parsing_refuses_and_never_breaks(text: str) -> None:
    try:
        url = parse_callback_url(text)
    except InvalidValueError:
        return
    assert url.text == text
    assert 0 < url.port < 65536
    assert text.isascii()


def test_a_url_that_spells_out_a_forbidden_address_is_refused_at_once() -> None:
    for text in ("http://127.0.0.1:80/", "http://[::ffff:10.0.0.1]:80/"):
        with pytest.raises(InvalidValueError, match="is not permitted"):
            PUBLIC.check(parse_callback_url(text))
    with pytest.raises(InvalidValueError, match="scheme"):
        DestinationRules(schemes=frozenset({"https"})).check(parse_callback_url("http://1.1.1.1:80/"))
    with pytest.raises(InvalidValueError, match="port"):
        DestinationRules(allowed_ports=frozenset({443})).check(parse_callback_url("http://1.1.1.1:80/"))
    PUBLIC.check(parse_callback_url("https://app.example:443/"))
    PUBLIC.check(parse_callback_url("https://1.1.1.1:443/"))
