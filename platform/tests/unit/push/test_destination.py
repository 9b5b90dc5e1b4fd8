"""Which callback URLs are taken, and which addresses are dialled."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.errors import InvalidValueError
from firmcast.push.destination import NAT64, CallbackUrl, DestinationRules, parse_callback_url, spelt_address

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
        "240.0.0.1",
        "192.0.0.170",
        "192.88.99.1",
        "198.51.100.1",
        "0.1.2.3",
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
        "2001:0:808:808:0:0:f7f7:f7f7",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
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
        "fec0::5efe:8.8.8.8",
        "fe80::5efe:8.8.8.8",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b:1:7f00:0:100::",
        "ff02::1",
        "ff0e::1",
        "4000::1",
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


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("::/96", "::{}"),
        ("::ffff:0:0:0/96", "::ffff:0:{}"),
        ("64:ff9b:1::/48", "64:ff9b:1::{}"),
        ("fd00::/8", "fd00::5efe:{}"),
        ("fd00::/8", "fd00::200:5efe:{}"),
        ("fe80::/10", "fe80::5efe:{}"),
        ("2002::/16", "2002:{:x}::1"),
        ("2001::/32", "2001:0:{:x}::f7f7:f7f7"),
        ("2001::/32", "2001:0:808:808:0:0:{:x}"),
    ],
)
def test_a_network_that_is_allowed_carries_nobody_to_an_address_that_is_not(network: str, address: str) -> None:
    def embedding(embedded: str) -> str:
        number = int(IPv4Address(embedded))
        if "{}" in address:
            return address.format(embedded)
        obfuscated = number ^ 0xFFFFFFFF if address.endswith(":{:x}") else number
        return address.replace("{:x}", f"{obfuscated >> 16:x}:{obfuscated & 0xFFFF:x}")

    translators = (NAT64, IPv6Network("64:ff9b:1::/96"))
    rules = DestinationRules(allowed_networks=(ip_network(network),), nat64_networks=translators)
    assert rules.permits(embedding("8.8.8.8"), 443)
    assert not rules.permits(embedding("127.0.0.1"), 443)
    assert not rules.permits(embedding("169.254.169.254"), 443)
    inside = DestinationRules(
        allowed_networks=(ip_network(network), ip_network("10.0.0.0/8")), nat64_networks=translators
    )
    assert inside.permits(embedding("10.1.2.3"), 443)


def test_loopback_and_the_unspecified_address_can_be_allowed() -> None:
    rules = DestinationRules(allowed_networks=(ip_network("::1/128"),))
    assert rules.permits("::1", 443)
    assert not rules.permits("::", 443)
    assert not rules.permits("::2", 443)


@pytest.mark.parametrize(
    ("translator", "public", "private"),
    [  # RFC 6052, section 2.4, with 8.8.8.8 and 10.0.2.33
        ("2001:db8::/32", "2001:db8:808:808::", "2001:db8:a00:221::"),
        ("2001:db8:100::/40", "2001:db8:108:808:8::", "2001:db8:10a:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:808:8:800::", "2001:db8:122:a00:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:308:8:808::", "2001:db8:122:30a:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:8:808:800::", "2001:db8:122:344:a:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::8.8.8.8", "2001:db8:122:344::10.0.2.33"),
    ],
)
def test_the_operators_translator_is_judged_by_what_it_translates_to(
    translator: str, public: str, private: str
) -> None:
    rules = DestinationRules(nat64_networks=(IPv6Network(translator),))
    assert rules.permits(public, 443)
    assert not rules.permits(private, 443)
    assert not rules.permits("64:ff9b::8.8.8.8", 443)
    inside = DestinationRules(nat64_networks=(IPv6Network(translator),), allowed_networks=(ip_network("10.0.2.0/24"),))
    assert inside.permits(private, 443)


def test_a_translators_prefix_has_one_of_six_lengths() -> None:
    with pytest.raises(ValueError, match="/96"):
        DestinationRules(nat64_networks=(IPv6Network("64:ff9b::/80"),))


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
        "https://[fe80::1%25eth0]:443/x",
        "https://[2606:4700::1111%1]:443/x",
        "https://%31%32%37.0.0.1:443/x",
        "https://１２７.0.0.1:443/x",
        "https://app.example:443/a\tb",
        "https://app.example:443/a\r",
        "https://app.example:443/a\n",
        "https://app.example\x00:443/a",
        "https://app.example\r\nx-evil: 1:443/",
        "https://app.example:443:80/x",
        "https://a@b@app.example:443/x",
        " https://app.example:443/x",
        "https://app.example:443/x ",
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
    spellings = ("127.0.0.1", "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "0x7f000001", "127.0.0.1.", "0")
    for host in (*spellings, "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::]"):
        text = f"http://{host}:80/"
        with pytest.raises(InvalidValueError, match="is not permitted"):
            PUBLIC.check(parse_callback_url(text))
    with pytest.raises(InvalidValueError, match="scheme"):
        DestinationRules(schemes=frozenset({"https"})).check(parse_callback_url("http://1.1.1.1:80/"))
    with pytest.raises(InvalidValueError, match="port"):
        DestinationRules(allowed_ports=frozenset({443})).check(parse_callback_url("http://1.1.1.1:80/"))
    PUBLIC.check(parse_callback_url("https://app.example:443/"))
    PUBLIC.check(parse_callback_url("https://1.1.1.1:443/"))
    PUBLIC.check(parse_callback_url("https://0x08.8.8.8:443/"))


@given(
    st.lists(
        st.integers(0, 2**33).flatmap(
            lambda number: st.sampled_from([str(number), hex(number), f"0{number:o}", f"{number & 0xFF}"])
        )
        | st.sampled_from(["", "0x", "08", "x", "-1", "00", "0x00000000000007f"]),
        min_size=1,
        max_size=5,
    ).map(".".join)
)
@settings(max_examples=500)
def test_an_address_is_read_as_the_c_library_reads_it(host: str) -> None:
    try:
        expected = IPv4Address(socket.inet_aton(host.removesuffix(".")))
    except OSError:
        expected = None
    assert spelt_address(host) == expected


def test_a_name_of_another_script_is_told_how_to_be_spelt() -> None:
    with pytest.raises(InvalidValueError, match="xn--"):
        parse_callback_url("https://exämple.example:443/x")
    assert parse_callback_url("https://xn--exmple-cua.example:443/x").host == "xn--exmple-cua.example"
