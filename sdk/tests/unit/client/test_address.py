"""Which base URLs are addresses, and that the message says what is wrong with the others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast_sdk import AddressError, NorthboundClient
from firmcast_sdk.client.address import PlatformAddress


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("https://platform.example:8743", "https://platform.example:8743"),
        ("https://platform.example", "https://platform.example:443"),
        ("http://127.0.0.1/", "http://127.0.0.1:80"),
        ("HTTPS://Platform.Example:8743/iot/", "https://platform.example:8743/iot"),
        ("https://[::1]:8743/a/b%20c", "https://[::1]:8743/a/b%20c"),
        ("https://localhost:1", "https://localhost:1"),
        ("https://plattform.müller.example:8743", "https://plattform.müller.example:8743"),
    ],
)
def test_an_address(url, written):
    address = PlatformAddress.parse(url)
    assert address.url == written
    assert PlatformAddress.parse(address.url) == address


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "empty"),
        ("https://a b", "blanks"),
        ("https://a\r\n.example", "blanks"),
        ("platform.example:8743", "begin with"),
        ("ftp://platform.example", "begin with"),
        ("https://", "no host"),
        ("https://:8743", "no host"),
        ("https://-a.example", "no host"),
        ("https://[::g]:1", "cannot be read|no host"),
        ("https://platform.example:0", "port"),
        ("https://platform.example:65536", "cannot be read"),
        ("https://platform.example:port", "cannot be read"),
        ("https://platform.example/?a=b", "no query"),
        ("https://platform.example/#top", "no query"),
        ("https://platform.example//iot", "path"),
        ("https://platform.example/../iot", "path"),
        ("https://platform.example/{id}", "path"),
        ("https://app:word@platform.example", "name or a password"),
    ],
)
def test_no_address(url, why):
    with pytest.raises(AddressError, match=why) as caught:
        PlatformAddress.parse(url)
    assert "word" not in str(caught.value).replace("password", "")


@settings(max_examples=200)
@given(st.text(max_size=40) | st.text(max_size=40).map("https://".__add__))
def test_any_text_is_an_address_or_an_address_error(text):
    try:
        address = PlatformAddress.parse(text)
    except AddressError:
        return
    assert PlatformAddress.parse(address.url) == address


def test_the_client_refuses_it_before_anything_else():
    with pytest.raises(ValueError, match="begin with"):
        NorthboundClient("platform.example", app_id="app", secret="word")
