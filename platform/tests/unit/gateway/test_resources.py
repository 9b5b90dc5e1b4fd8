"""Reports are made of what makes sense in a device's words, in whatever format it spoke."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.gateway.resources import NOTHING, merged, resources_of
from firmcast.lwm2m.content import ContentFormat, decode_content, encode_content
from firmcast.lwm2m.paths import (
    DELIVERY_METHOD,
    FIRMWARE_INSTANCE,
    FIRMWARE_RESULT,
    FIRMWARE_STATE,
    FIRMWARE_VERSION,
    PACKAGE_URI,
    PROTOCOL_SUPPORT,
)
from firmcast.lwm2m.values import ResourceValues
from firmcast.upgrades.model import ResourcesReported

WHOLE: ResourceValues = {
    PACKAGE_URI: "coap://127.0.0.1/fw/x",
    FIRMWARE_STATE: 2,
    FIRMWARE_RESULT: 0,
    PROTOCOL_SUPPORT.child(0): 0,
    PROTOCOL_SUPPORT.child(1): 2,
    DELIVERY_METHOD: 1,
}


@pytest.mark.parametrize("content_format", [ContentFormat.TLV, ContentFormat.SENML_CBOR])
def test_every_format_tells_the_same(content_format: ContentFormat) -> None:
    payload = encode_content(content_format, WHOLE, FIRMWARE_INSTANCE)
    assert resources_of(decode_content(content_format, payload, FIRMWARE_INSTANCE)) == ResourcesReported(
        state=2, result=0, package_uri="coap://127.0.0.1/fw/x", protocols=(0, 2), delivery_method=1
    )


def test_nonsense_was_not_told() -> None:
    values: ResourceValues = {
        FIRMWARE_STATE: "two",
        FIRMWARE_RESULT: b"",
        FIRMWARE_VERSION: b"\xff\xfe",
        PROTOCOL_SUPPORT.child(0): "no",
        DELIVERY_METHOD: 1.5,
    }
    assert resources_of(values) == NOTHING


def test_a_version_is_cut_and_freed_of_the_zeros_behind_it() -> None:
    assert resources_of({FIRMWARE_VERSION: "1.0\x00\x00"}).firmware_version == "1.0"
    assert resources_of({FIRMWARE_VERSION: "v" * 1000}).firmware_version == "v" * 255


REPORTS = st.builds(
    ResourcesReported,
    state=st.none() | st.integers(0, 3),
    result=st.none() | st.integers(0, 20),
    firmware_version=st.none() | st.text(max_size=3),
    protocols=st.none() | st.just((0,)),
)


@given(earlier=REPORTS, later=REPORTS)
def test_of_two_reports_the_later_word_counts(earlier: ResourcesReported, later: ResourcesReported) -> None:
    both = merged(earlier, later)
    for name in ("state", "result", "firmware_version", "protocols"):
        said = getattr(later, name)
        assert getattr(both, name) == (getattr(earlier, name) if said is None else said)
    assert merged(both, NOTHING) == both
