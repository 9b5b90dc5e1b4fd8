"""The bytes in here are written by hand from the formats' descriptions, never produced by the code under test."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.lwm2m.content import ContentFormat, decode_content, decode_sent, encode_content
from firmcast.lwm2m.errors import ContentFormatError
from firmcast.lwm2m.paths import (
    DELIVERY_METHOD,
    FIRMWARE_INSTANCE,
    FIRMWARE_RESULT,
    FIRMWARE_STATE,
    FIRMWARE_VERSION,
    HIGHEST_ID,
    PACKAGE_URI,
    PROTOCOL_SUPPORT,
    Path,
)
from firmcast.lwm2m.values import (
    ResourceValues,
    Value,
    as_float,
    as_integer,
    as_text,
    integer_at,
    integers_at,
    text_at,
)

FIRMWARE_TLV = bytes.fromhex(
    "c8 01 09"  # resource 1, 8-bit length 9
    "636f61703a2f2f612f"  # coap://a/
    "c1 03 01"  # resource 3, one byte
    "c1 05 00"
    "86 08 41 00 00 41 01 02"  # multiple resource 8 of six bytes: instance 0 holds 0, instance 1 holds 2
    "c1 09 02"
)
FIRMWARE_SENML_CBOR = bytes.fromhex(
    "84"  # four records
    "a3 21 65 2f352f302f 00 61 33 02 01"  # bn "/5/0/", n "3", v 1
    "a2 00 61 35 02 00"  # n "5", v 0
    "a2 00 63 382f30 02 00"  # n "8/0", v 0
    "a2 00 61 31 03 69 636f61703a2f2f612f"  # n "1", vs "coap://a/"
)
MANY_IN_LWM2M_CBOR = bytes.fromhex("a1 05 b9 2711") + b"".join(
    b"\x19%b\xa1\x03\x01" % n.to_bytes(2) for n in range(10_001)
)
FIRMWARE_LWM2M_CBOR = bytes.fromhex("a1 05 a1 00 a4 01 69 636f61703a2f2f612f 03 01 05 00 82 08 00 00")
FIRMWARE_LWM2M_JSON = (
    b'{"bn":"/5/0/","e":[{"n":"3","v":1},{"n":"5","v":0},{"n":"8/0","v":0},{"n":"1","sv":"coap://a/"}]}'
)
FIRMWARE_SENML_JSON = b'[{"bn":"/5/0/","n":"3","v":1},{"n":"5","v":0},{"n":"8/0","v":0},{"n":"1","vs":"coap://a/"}]'


def test_an_object_instance_in_tlv() -> None:
    values = decode_content(ContentFormat.TLV, FIRMWARE_TLV, FIRMWARE_INSTANCE)
    assert values == {
        PACKAGE_URI: b"coap://a/",
        FIRMWARE_STATE: b"\x01",
        FIRMWARE_RESULT: b"\x00",
        PROTOCOL_SUPPORT.child(0): b"\x00",
        PROTOCOL_SUPPORT.child(1): b"\x02",
        DELIVERY_METHOD: b"\x02",
    }
    assert integer_at(values, FIRMWARE_STATE) == 1
    assert integers_at(values, PROTOCOL_SUPPORT) == (0, 2)
    assert text_at(values, PACKAGE_URI) == "coap://a/"
    assert integer_at(values, FIRMWARE_VERSION) is None


def test_an_object_instance_written_in_tlv() -> None:
    values: ResourceValues = {
        DELIVERY_METHOD: 2,
        PROTOCOL_SUPPORT.child(1): 2,
        PROTOCOL_SUPPORT.child(0): 0,
        FIRMWARE_RESULT: 0,
        FIRMWARE_STATE: 1,
        PACKAGE_URI: "coap://a/",
    }
    assert encode_content(ContentFormat.TLV, values, FIRMWARE_INSTANCE) == FIRMWARE_TLV


@pytest.mark.parametrize(
    ("content_format", "payload"),
    [(ContentFormat.SENML_CBOR, FIRMWARE_SENML_CBOR), (ContentFormat.SENML_JSON, FIRMWARE_SENML_JSON)],
)
def test_an_object_instance_in_senml(content_format: ContentFormat, payload: bytes) -> None:
    expected = {FIRMWARE_STATE: 1, FIRMWARE_RESULT: 0, PROTOCOL_SUPPORT.child(0): 0, PACKAGE_URI: "coap://a/"}
    assert decode_content(content_format, payload, FIRMWARE_INSTANCE) == expected
    assert decode_sent(content_format, payload) == expected


@pytest.mark.parametrize("content_format", [ContentFormat.LWM2M_JSON, 1543])
@pytest.mark.parametrize(
    "payload",
    [
        FIRMWARE_LWM2M_JSON,
        # coap-node leaves the slash out, and others the base name.
        b'{"bn":"/5/0","e":[{"n":"3","v":1},{"n":"5","v":0},{"n":"8/0","v":0},{"n":"1","sv":"coap://a/"}]}',
        b'{"e":[{"n":"3","v":1},{"n":"5","v":0},{"n":"8/0","v":0},{"n":"1","sv":"coap://a/"}]}',
        b'{"bn":"/","e":[{"n":"5/0/3","v":1},{"n":"5/0/5","v":0},{"n":"5/0/8/0","v":0},{"n":"5/0/1","sv":"coap://a/"}]}',
    ],
)
def test_an_object_instance_in_the_json_of_lwm2m_1_0(content_format: int, payload: bytes) -> None:
    expected = {FIRMWARE_STATE: 1, FIRMWARE_RESULT: 0, PROTOCOL_SUPPORT.child(0): 0, PACKAGE_URI: "coap://a/"}
    assert decode_content(content_format, payload, FIRMWARE_INSTANCE) == expected


@pytest.mark.parametrize("name", ["", '"n":"",'])
def test_a_resource_in_the_json_of_lwm2m_1_0_needs_no_name_of_its_own(name: str) -> None:
    payload = b'{"bn":"/5/0/3","e":[{%s"v":3}]}' % name.encode()
    assert decode_content(ContentFormat.LWM2M_JSON, payload, FIRMWARE_STATE) == {FIRMWARE_STATE: 3}


def test_every_kind_of_value_in_the_json_of_lwm2m_1_0() -> None:
    payload = (
        b'{"bn":"/9/0/","bt":10,"e":[{"n":"1","bv":true},{"n":"2","v":1.5},{"n":"3","ov":"3:0"},{"n":"4"},'
        b'{"n":"5","t":1,"v":2},{"n":"5","t":-1,"v":1}]}'
    )
    assert decode_content(ContentFormat.LWM2M_JSON, payload, Path.of(9, 0)) == {
        Path.of(9, 0, 1): True,
        Path.of(9, 0, 2): 1.5,
        Path.of(9, 0, 3): "3:0",
        Path.of(9, 0, 5): 2,
    }


def test_an_object_instance_written_in_senml_cbor() -> None:
    payload = encode_content(ContentFormat.SENML_CBOR, {FIRMWARE_STATE: 2, PACKAGE_URI: "a"}, FIRMWARE_INSTANCE)
    assert payload == bytes.fromhex("82 a3 21 64 2f352f30 00 62 2f31 03 61 61 a2 00 62 2f33 02 02")


def test_a_resource_in_senml_cbor_needs_no_name_of_its_own() -> None:
    payload = bytes.fromhex("81 a2 21 66 2f352f302f33 02 03")
    assert decode_content(ContentFormat.SENML_CBOR, payload, FIRMWARE_STATE) == {FIRMWARE_STATE: 3}
    assert encode_content(ContentFormat.SENML_CBOR, {FIRMWARE_STATE: 3}, FIRMWARE_STATE) == payload


def test_of_several_times_the_latest_counts() -> None:
    payload = b'[{"bn":"/5/0/3","bt":1000,"t":-1,"v":1},{"t":0,"v":2},{"t":-5,"v":0}]'
    assert decode_sent(ContentFormat.SENML_JSON, payload) == {FIRMWARE_STATE: 2}


@pytest.mark.parametrize(
    "payload",
    [
        "a1 05 a1 00 a4 01 69 636f61703a2f2f612f 03 01 05 00 08 a1 00 00",  # a map in a map in a map
        "a1 82 05 00 a4 01 69 636f61703a2f2f612f 03 01 05 00 82 08 00 00",  # with numbers that are taken together
        "bf 05 bf 00 bf 08 bf 00 00 ff 05 00 03 01 01 69 636f61703a2f2f612f ff ff ff",  # of no length told beforehand
        "a4 83 05 00 03 01 83 05 00 05 00 84 05 00 08 00 00 83 05 00 01 69 636f61703a2f2f612f",  # flat
    ],
)
def test_an_object_instance_in_lwm2m_cbor(payload: str) -> None:
    expected = {FIRMWARE_STATE: 1, FIRMWARE_RESULT: 0, PROTOCOL_SUPPORT.child(0): 0, PACKAGE_URI: "coap://a/"}
    assert decode_content(ContentFormat.LWM2M_CBOR, bytes.fromhex(payload), FIRMWARE_INSTANCE) == expected
    assert decode_content(ContentFormat.LWM2M_CBOR, bytes.fromhex(payload), Path.of(5)) == expected
    assert decode_sent(ContentFormat.LWM2M_CBOR, bytes.fromhex(payload)) == expected


def test_every_kind_of_value_in_cbor() -> None:
    for written, value in (("42 fbff", b"\xfb\xff"), ("f5", True), ("f9 3e00", 1.5), ("63 333a30", "3:0"), ("20", -1)):
        assert decode_content(ContentFormat.CBOR, bytes.fromhex(written), FIRMWARE_STATE) == {FIRMWARE_STATE: value}
        in_maps = bytes.fromhex("a1 83 05 00 03") + bytes.fromhex(written)
        assert decode_content(ContentFormat.LWM2M_CBOR, in_maps, FIRMWARE_STATE) == {FIRMWARE_STATE: value}


def test_an_object_without_values_in_lwm2m_cbor() -> None:
    for payload in (bytes.fromhex("a0"), bytes.fromhex("a1 05 a0"), bytes.fromhex("bf ff")):
        assert decode_content(ContentFormat.LWM2M_CBOR, payload, FIRMWARE_INSTANCE) == {}


def test_every_kind_of_senml_value() -> None:
    payload = (
        b'[{"bn":"/9/0/","n":"0","vd":"-_8"},{"n":"1","vb":true},{"n":"2","v":1.5},{"n":"3","vlo":"3:0"},{"n":"4"}]'
    )
    assert decode_sent(ContentFormat.SENML_JSON, payload) == {
        Path.of(9, 0, 0): b"\xfb\xff",
        Path.of(9, 0, 1): True,
        Path.of(9, 0, 2): 1.5,
        Path.of(9, 0, 3): "3:0",
    }
    cbor = bytes.fromhex(
        "84 a3 21 65 2f392f302f 00 61 30 08 42 fbff a2 00 61 31 04 f5 a2 00 61 32 02 f9 3e00 a1 00 61 34"
    )
    assert decode_sent(ContentFormat.SENML_CBOR, cbor) == {
        Path.of(9, 0, 0): b"\xfb\xff",
        Path.of(9, 0, 1): True,
        Path.of(9, 0, 2): 1.5,
    }


def test_a_whole_object_in_tlv_with_and_without_its_instance() -> None:
    with_instance = bytes.fromhex("05 00 c3 03 312e30")
    without_instance = bytes.fromhex("c3 03 312e30")
    for payload in (with_instance, without_instance):
        assert decode_content(ContentFormat.TLV, payload, Path.of(3)) == {FIRMWARE_VERSION: b"1.0"}
    assert encode_content(ContentFormat.TLV, {FIRMWARE_VERSION: "1.0"}, Path.of(3)) == with_instance
    assert decode_content(ContentFormat.TLV, with_instance, Path.of(3, 0)) == {FIRMWARE_VERSION: b"1.0"}


def test_wide_identifiers_and_lengths_in_tlv() -> None:
    path = Path.of(26241, 0, 300)
    for size, head in ((7, "e7 012c"), (200, "e8 012c c8"), (300, "f0 012c 012c"), (70_000, "f8 012c 011170")):
        payload = bytes.fromhex(head) + bytes(size)
        assert decode_content(ContentFormat.TLV, payload, path) == {path: bytes(size)}
        assert encode_content(ContentFormat.TLV, {path: bytes(size)}, path) == payload


def test_text_and_opaque_are_one_value() -> None:
    assert decode_content(ContentFormat.TEXT, b"2", FIRMWARE_STATE) == {FIRMWARE_STATE: "2"}
    assert decode_content(ContentFormat.OPAQUE, b"\x00", FIRMWARE_STATE) == {FIRMWARE_STATE: b"\x00"}
    assert encode_content(ContentFormat.TEXT, {FIRMWARE_STATE: 2}, FIRMWARE_STATE) == b"2"
    assert encode_content(ContentFormat.OPAQUE, {FIRMWARE_STATE: b"2"}, FIRMWARE_STATE) == b"2"


def test_without_a_content_format_the_path_decides() -> None:
    assert decode_content(None, b"2", FIRMWARE_STATE) == {FIRMWARE_STATE: "2"}
    assert decode_content(None, bytes.fromhex("c10302"), FIRMWARE_INSTANCE) == {FIRMWARE_STATE: b"\x02"}


@pytest.mark.parametrize(("number", "payload"), [(1541, b"2"), (1542, bytes.fromhex("c10302"))])
def test_the_numbers_of_the_drafts_are_understood(number: int, payload: bytes) -> None:
    assert integer_at(decode_content(number, payload, FIRMWARE_STATE), FIRMWARE_STATE) == 2


@pytest.mark.parametrize(
    ("content_format", "payload", "base"),
    [
        (ContentFormat.TEXT, b"2", FIRMWARE_INSTANCE),
        (ContentFormat.TEXT, b"\xff", FIRMWARE_STATE),
        (11543, b"{}", FIRMWARE_STATE),
        (ContentFormat.TLV, b"\xc1", FIRMWARE_INSTANCE),
        (ContentFormat.TLV, b"\xc1\x03", FIRMWARE_INSTANCE),
        (ContentFormat.TLV, b"\xc8\x03\x05a", FIRMWARE_INSTANCE),
        (ContentFormat.TLV, bytes.fromhex("e1 ffff 00"), FIRMWARE_INSTANCE),
        (ContentFormat.TLV, bytes.fromhex("c10300"), FIRMWARE_RESULT),
        (ContentFormat.TLV, bytes.fromhex("410000"), FIRMWARE_INSTANCE),
        (ContentFormat.TLV, bytes.fromhex("8308c10000"), FIRMWARE_INSTANCE),
        (ContentFormat.TLV, bytes.fromhex("0300410000"), Path.of(5)),
        (ContentFormat.SENML_CBOR, b"", FIRMWARE_INSTANCE),
        (ContentFormat.SENML_CBOR, bytes.fromhex("a0"), FIRMWARE_INSTANCE),
        (ContentFormat.SENML_CBOR, bytes.fromhex("8101"), FIRMWARE_INSTANCE),
        (ContentFormat.SENML_CBOR, bytes.fromhex("81 a2 00 66 2f332f302f33 02 03"), FIRMWARE_INSTANCE),
        (ContentFormat.SENML_CBOR, bytes.fromhex("81 a2 00 01 02 03"), FIRMWARE_STATE),
        (ContentFormat.SENML_CBOR, bytes.fromhex("81 a2 00 66 2f352f302f33 02 61 33"), FIRMWARE_STATE),
        (ContentFormat.SENML_CBOR, bytes.fromhex("c2 41 01"), FIRMWARE_STATE),
        (ContentFormat.SENML_CBOR, bytes.fromhex("d8 23 61 2a"), FIRMWARE_STATE),
        (ContentFormat.SENML_CBOR, bytes.fromhex("9b ffffffffffffffff"), FIRMWARE_STATE),
        (ContentFormat.SENML_CBOR, b"\x81" * 100_000, FIRMWARE_STATE),
        (ContentFormat.CBOR, b"", FIRMWARE_STATE),
        (ContentFormat.CBOR, bytes.fromhex("01"), FIRMWARE_INSTANCE),
        (ContentFormat.CBOR, bytes.fromhex("81 01"), FIRMWARE_STATE),
        (ContentFormat.CBOR, bytes.fromhex("f6"), FIRMWARE_STATE),
        (ContentFormat.CBOR, bytes.fromhex("c2 41 01"), FIRMWARE_STATE),
        (ContentFormat.LWM2M_CBOR, b"", FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("01"), FIRMWARE_STATE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("80"), FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("a1 61 35 a1 00 a1 03 01"), FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("a1 05 a1 00 a1 f5 01"), FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("a1 05 a1 00 a1 20 01"), FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("a1 05 a1 00 a1 03 f6"), FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("a1 05 a1 00 a1 03 81 01"), FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("a1 05 a1 00 01"), FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("a1 80 a1 05 01"), FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("a1 03 a1 00 a1 03 01"), FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("a1 85 05 00 08 00 00 01"), FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("a1 85 05 00 08 00 00 a0"), FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, bytes.fromhex("a1 83 05 00 03 d8 23 61 2a"), FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, b"\xa1\x05" * 100_000, FIRMWARE_INSTANCE),
        (ContentFormat.LWM2M_CBOR, MANY_IN_LWM2M_CBOR, Path.of(5)),
        (ContentFormat.SENML_JSON, b"[" * 100_000, FIRMWARE_STATE),
        (ContentFormat.LWM2M_JSON, b'{"e":' + b"[" * 100_000, FIRMWARE_STATE),
        (ContentFormat.LWM2M_JSON, b'[{"n":"/5/0/3","v":1}]', FIRMWARE_STATE),
        (ContentFormat.LWM2M_JSON, b'{"bn":"/5/0/3","e":[{"v":"1"}]}', FIRMWARE_STATE),
        (ContentFormat.LWM2M_JSON, b'{"bn":"/5/0/5","e":[{"v":1}]}', FIRMWARE_STATE),
        (ContentFormat.SENML_JSON, b'{"bn":"/5/0/3"}', FIRMWARE_STATE),
        (ContentFormat.SENML_JSON, b'[{"n":"/5/0/3","v":"1"}]', FIRMWARE_STATE),
        (ContentFormat.SENML_JSON, b'[{"n":"/5/0/3","vd":"***"}]', FIRMWARE_STATE),
        (ContentFormat.SENML_JSON, b'[{"n":"/5/0/3","v":1},\xff]', FIRMWARE_STATE),
        (ContentFormat.SENML_JSON, b"[" + b",".join([b'{"n":"/5/0/3","v":1}'] * 10_001) + b"]", FIRMWARE_STATE),
    ],
)
def test_what_does_not_fit_its_format_is_refused(content_format: int, payload: bytes, base: Path) -> None:
    with pytest.raises(ContentFormatError):
        decode_content(content_format, payload, base)


@pytest.mark.parametrize(
    ("content_format", "values", "base"),
    [
        (ContentFormat.TEXT, {FIRMWARE_STATE: 1, FIRMWARE_RESULT: 0}, FIRMWARE_INSTANCE),
        (ContentFormat.TEXT, {}, FIRMWARE_STATE),
        (ContentFormat.OPAQUE, {FIRMWARE_STATE: 1}, FIRMWARE_STATE),
        (ContentFormat.SENML_JSON, {FIRMWARE_STATE: 1}, FIRMWARE_STATE),
        (ContentFormat.LWM2M_JSON, {FIRMWARE_STATE: 1}, FIRMWARE_STATE),
        (ContentFormat.LWM2M_CBOR, {FIRMWARE_STATE: 1}, FIRMWARE_STATE),
        (ContentFormat.CBOR, {FIRMWARE_STATE: 1}, FIRMWARE_STATE),
        (ContentFormat.TLV, {FIRMWARE_STATE: 1}, FIRMWARE_RESULT),
        (ContentFormat.SENML_CBOR, {FIRMWARE_STATE: 1}, FIRMWARE_RESULT),
        (ContentFormat.TLV, {FIRMWARE_STATE: 2**63}, FIRMWARE_STATE),
        (ContentFormat.TLV, {PROTOCOL_SUPPORT: 1, PROTOCOL_SUPPORT.child(0): 1}, FIRMWARE_INSTANCE),
        (ContentFormat.TLV, {FIRMWARE_STATE: bytes(2**24)}, FIRMWARE_STATE),
        (40, {FIRMWARE_STATE: 1}, FIRMWARE_STATE),
    ],
)
def test_what_a_format_cannot_say_is_refused(content_format: int, values: ResourceValues, base: Path) -> None:
    with pytest.raises(ContentFormatError):
        encode_content(content_format, values, base)


def test_a_send_comes_in_senml_or_lwm2m_cbor_only() -> None:
    with pytest.raises(ContentFormatError):
        decode_sent(ContentFormat.TLV, FIRMWARE_TLV)


identifiers = st.integers(0, HIGHEST_ID)
simple_values = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
    | st.binary(max_size=300)
)


@st.composite
def instances(draw: st.DrawFn) -> tuple[Path, dict[Path, Value]]:
    base = Path.of(draw(identifiers), draw(identifiers))
    values: dict[Path, Value] = {}
    for resource in draw(st.sets(identifiers, max_size=5)):
        inner = draw(st.none() | st.sets(identifiers, min_size=1, max_size=3))
        place = base.child(resource)
        for path in [place] if inner is None else [place.child(number) for number in inner]:
            values[path] = draw(simple_values)
    return base, values


def same(read: Value, written: Value) -> bool:
    match written:
        case bool() | int():
            return as_integer(read) == written
        case float():
            return as_float(read) == written
        case str():
            return as_text(read) == written
        case bytes():
            return read == written


@given(instances(), st.sampled_from([ContentFormat.TLV, ContentFormat.SENML_CBOR]))
def test_what_is_written_is_read_again(drawn: tuple[Path, dict[Path, Value]], content_format: ContentFormat) -> None:
    instance, values = drawn
    for base in (instance, Path.of(instance.object_id)):
        read = decode_content(content_format, encode_content(content_format, values, base), base)
        assert read.keys() == values.keys()
        assert all(same(read[path], value) for path, value in values.items())


WRITTEN = [FIRMWARE_TLV, FIRMWARE_SENML_CBOR, FIRMWARE_SENML_JSON, FIRMWARE_LWM2M_CBOR, FIRMWARE_LWM2M_JSON]
mutilated = st.sampled_from(WRITTEN).flatmap(
    lambda payload: st.tuples(st.integers(0, len(payload) - 1), st.binary(max_size=4), st.integers(0, 4)).map(
        lambda cut: payload[: cut[0]] + cut[1] + payload[cut[0] + cut[2] :]
    )
)


@given(
    st.binary(max_size=80) | mutilated, st.none() | st.sampled_from([*ContentFormat, 1542, 11545]), st.integers(1, 4)
)
@settings(max_examples=400)
def test_any_bytes_are_values_or_the_one_error(payload: bytes, content_format: int | None, depth: int) -> None:
    base = Path((5, 0, 8, 0)[:depth])
    try:
        values = decode_content(content_format, payload, base)
    except ContentFormatError:
        return
    for path, value in values.items():
        assert base.covers(path) or path.covers(base)
        for read in (as_integer, as_float, as_text):
            try:
                read(value)
            except ContentFormatError:
                continue


@given(st.binary(max_size=60) | mutilated)
@settings(max_examples=200)
def test_any_send_is_values_or_the_one_error(payload: bytes) -> None:
    for content_format in (ContentFormat.SENML_CBOR, ContentFormat.SENML_JSON, ContentFormat.LWM2M_CBOR):
        try:
            decode_sent(content_format, payload)
        except ContentFormatError:
            continue


@pytest.mark.parametrize(
    ("value", "integer"),
    [(b"\xff", -1), (b"\x01\x00", 256), (b"\x7f\xff\xff\xff", 2**31 - 1), ("-7", -7), (" 3\n", 3), (2.0, 2), (True, 1)],
)
def test_integers(value: Value, integer: int) -> None:
    assert as_integer(value) == integer


@pytest.mark.parametrize("value", [b"", bytes(9), "", "1.5", "--1", "1_0", "²", "9" * 5000, 1.5, float("inf")])
def test_what_is_no_integer_is_refused(value: Value) -> None:
    with pytest.raises(ContentFormatError):
        as_integer(value)


@pytest.mark.parametrize(
    ("value", "number"), [(b"\x3f\xc0\x00\x00", 1.5), (bytes.fromhex("3ff8000000000000"), 1.5), ("1.5", 1.5), (2, 2.0)]
)
def test_numbers(value: Value, number: float) -> None:
    assert as_float(value) == number


@pytest.mark.parametrize("value", [b"\x00", "one", 10**400])
def test_what_is_no_number_is_refused(value: Value) -> None:
    with pytest.raises(ContentFormatError):
        as_float(value)


@pytest.mark.parametrize(
    ("value", "text"), [(b"1.0", "1.0"), (7, "7"), (True, "1"), (False, "0"), (1.5, "1.5"), ("x", "x")]
)
def test_texts(value: Value, text: str) -> None:
    assert as_text(value) == text
