"""Which callbacks are reached through the operator's proxy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from firmcast.errors import StartError
from firmcast.push.configuration import proxy_of
from firmcast.push.sending.proxy import parse_proxy
from firmcast.settings import PushSettings


def test_a_proxy_is_read_with_its_credentials() -> None:
    proxy = parse_proxy("http://operator:p%40ss%3Aword@proxy.example:3128", [])
    assert (proxy.address, proxy.user, proxy.password) == ("http://proxy.example:3128", "operator", "p@ss:word")
    assert "p@ss" not in repr(proxy)
    assert parse_proxy("http://[2001:db8::1]:8080/", []).address == "http://[2001:db8::1]:8080"


def test_there_is_none_unless_the_operator_names_one() -> None:
    assert proxy_of(PushSettings()) is None
    assert proxy_of(PushSettings(proxy_bypass=("10.0.0.0/8",))) is None


@pytest.mark.parametrize(
    ("host", "carried"),
    [
        ("app.example", True),
        ("example.com", True),
        ("hooks.example.com", False),
        ("a.b.EXAMPLE.com.", False),
        ("badexample.com", True),
        ("intranet", False),
        ("intranet.", False),
        ("intranet.example.org", True),
        ("10.1.2.3", False),
        ("0x0a.1", False),
        ("11.1.2.3", True),
        ("192.0.2.7", False),
        ("192.0.2.8", True),
        ("fd00::7", False),
        ("2001:db8::1", True),
    ],
)
def test_what_goes_past_it(host: str, carried: bool) -> None:
    direct = [".example.com", "Intranet", "10.0.0.0/8", "192.0.2.7", "fd00::/8"]
    assert parse_proxy("http://proxy.example:3128", direct).carries(host) is carried


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy.example:3128",
        "https://proxy.example:3128",
        "socks5://proxy.example:1080",
        "http://proxy.example",
        "http://:3128",
        "http://secret@:3128",
        "http://user:secret@proxy.example:99999",
        "http://user:secret@proxy.example:3128/path",
        "http://user:secret@proxy.example:3128?x",
        "http://user:secret%00@proxy.example:3128",
        "http://us%3Aer:secret@proxy.example:3128",
        "http://user:sec ret@proxy.example:3128",
        "http://user:secret\r\nx: y@proxy.example:3128",
        "http://user:sécret@proxy.example:3128",
    ],
)
def test_what_is_no_proxy_ends_the_start_and_tells_no_password(url: str) -> None:
    with pytest.raises(StartError) as told:
        proxy_of(PushSettings(proxy_url=SecretStr(url)))
    assert "push.proxy_url" in str(told.value)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("direct", ["10.0.0.1/8", "exa mple", "http://x", "", ".", "a..b", "127.1", "*.example.com"])
def test_what_is_no_bypass_ends_the_start(direct: str) -> None:
    with pytest.raises(StartError, match="neither a network nor a host"):
        proxy_of(PushSettings(proxy_url=SecretStr("http://proxy.example:3128"), proxy_bypass=(direct,)))


@given(st.text(max_size=40) | st.from_regex(r"http://[^/]{0,20}:[0-9]{1,6}"))
def test_reading_refuses_and_never_breaks(text: str) -> None:
    try:
        proxy = parse_proxy(text, [])
    except ValueError:
        return
    assert proxy.address.startswith("http://")
    assert "@" not in proxy.address
    assert proxy.address.isprintable()
