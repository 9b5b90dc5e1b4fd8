"""The address of a package is noted without what opens it, in whatever format it is written to a device."""

import pytest

from firmcast.gateway.noting import written
from firmcast.lwm2m.content import ContentFormat, encode_content
from firmcast.lwm2m.paths import PACKAGE, PACKAGE_URI


@pytest.mark.parametrize("content_format", [ContentFormat.TEXT, ContentFormat.SENML_CBOR, ContentFormat.TLV])
def test_the_address_of_a_package(content_format: ContentFormat) -> None:
    for uri, noted in (("coap://[::1]/fw/secret", "coap://[::1]/fw/..."), ("", "")):
        payload = encode_content(content_format, {PACKAGE_URI: uri}, PACKAGE_URI)
        assert written(PACKAGE_URI, payload, content_format) == {"/5/0/1": noted}


def test_of_a_package_the_size_is_noted() -> None:
    assert written(PACKAGE, 5, ContentFormat.OPAQUE) == {"/5/0/0": "5 bytes"}
    assert written(PACKAGE, b"\0", ContentFormat.OPAQUE) == {"/5/0/0": "1 bytes"}
