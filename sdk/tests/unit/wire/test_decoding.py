"""What a lenient reader takes, what it refuses, and that it refuses with nothing but its own errors."""

import inspect
import typing

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firmcast_sdk.wire import authentication, devices, notifications, operations, packages, subscriptions
from firmcast_sdk.wire.decoding import (
    FieldError,
    InvalidValueError,
    MissingFieldError,
    NotAnObjectError,
    NotJsonError,
    TooLongError,
    UnknownNotifyTypeError,
    WireError,
    WrongTypeError,
    decode_struct,
)
from firmcast_sdk.wire.queries import decode_query

MODULES = (authentication, devices, operations, packages, subscriptions)
STRUCTS = sorted(
    {
        value
        for module in MODULES
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, msgspec.Struct)
    },
    key=lambda struct: struct.__name__,
)
NAMES = sorted({name for struct in STRUCTS for name in struct.__struct_encode_fields__})

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=8),
    max_leaves=20,
)
FIRMWARE_STATE = {
    "notifyType": "fwUpgradeStateChangeNotify",
    "deviceId": "d",
    "appId": "a",
    "operationId": "o",
    "subOperationId": "s",
    "step": "1",
    "stepDesc": "downloading",
}


@given(body=st.binary(max_size=300))
@example(body=b'{"a":' * 20_000)
@example(body=b"[" * 100_000)
@example(body=b'{"notifyType":"\xff"}')
@example(body=b'{"notifyType":"\\ud800"}')
@example(body=b'{"notifyType":1e999}')
@example(body=b'{"notifyType":' + b"9" * 5000 + b"}")
def test_any_bytes_decode_or_raise_a_wire_error(body):
    for decode in (notifications.decode, lambda it: decode_struct(operations.CreateUpgradeRequest, it)):
        try:
            decode(body)
        except WireError:
            continue


@settings(max_examples=200)
@given(struct=st.sampled_from(STRUCTS), value=st.dictionaries(st.sampled_from(NAMES), json_values, max_size=12))
def test_any_object_decodes_or_raises_a_wire_error(struct, value):
    try:
        decode_struct(struct, msgspec.json.encode(value))
    except WireError:
        return


@given(
    struct=st.sampled_from([operations.OperationQuery, devices.DeviceQuery, authentication.LoginRequest]),
    query=st.text(max_size=200) | st.binary(max_size=200),
)
@example(struct=devices.DeviceQuery, query="?&pageNo=%zz&=&&pageSize")
def test_any_query_decodes_or_raises_a_field_error(struct, query):
    try:
        decode_query(struct, query)
    except FieldError:
        return


PUSH_FIELDS = sorted(
    {
        field.encode_name
        for struct in typing.get_args(notifications.TypedNotification)
        for field in msgspec.structs.fields(struct)
    }
)


@given(field=st.sampled_from(sorted(FIRMWARE_STATE)), value=json_values)
def test_any_value_in_a_push_decodes_or_names_its_field(field, value):
    body = msgspec.json.encode(FIRMWARE_STATE | {field: value})
    blamed = field
    try:
        notifications.decode(body)
    except FieldError as error:
        blamed = error.field
    except UnknownNotifyTypeError:
        blamed = "notifyType"
    assert blamed == field


@pytest.mark.parametrize("field", sorted(FIRMWARE_STATE))
@pytest.mark.parametrize("absent", [True, False], ids=["absent", "null"])
def test_every_field_of_a_push_is_mandatory(field, absent):
    values = {name: value for name, value in FIRMWARE_STATE.items() if name != field}
    with pytest.raises(MissingFieldError) as caught:
        notifications.decode(msgspec.json.encode(values if absent else values | {field: None}))
    assert caught.value.field == field


@pytest.mark.parametrize("body", [b"", b"   ", b"nonsense", b"{", b'{"a":1}x', b"\xff\xfe", b"NaN", b"{'a':1}"])
def test_not_json(body):
    with pytest.raises(NotJsonError):
        notifications.decode(body)


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b"true"])
def test_json_but_no_object(body):
    with pytest.raises(NotAnObjectError):
        notifications.decode(body)


@pytest.mark.parametrize("value", [[], {}, [1]])
def test_wrong_type(value):
    with pytest.raises(WrongTypeError) as caught:
        notifications.decode(msgspec.json.encode(FIRMWARE_STATE | {"deviceId": value}))
    assert caught.value.field == "deviceId"


@pytest.mark.parametrize(("step", "read"), [("1", "1"), (1, "1"), (1.0, "1")])
def test_a_number_is_taken_for_a_step(step, read):
    assert notifications.decode(msgspec.json.encode(FIRMWARE_STATE | {"step": step})).step == read


@pytest.mark.parametrize("step", ["4", "-1", "", "downloading", True])
def test_a_step_that_is_none(step):
    with pytest.raises(InvalidValueError) as caught:
        notifications.decode(msgspec.json.encode(FIRMWARE_STATE | {"step": step}))
    assert caught.value.field == "step"


@pytest.mark.parametrize("value", ["somethingNew", "", "deviceaddedtwice", 'x"notifyType":"fwUpgradeResultNotify"'])
def test_a_type_that_has_no_body_here(value):
    with pytest.raises(UnknownNotifyTypeError) as caught:
        notifications.decode(msgspec.json.encode(FIRMWARE_STATE | {"notifyType": value}))
    assert caught.value.value == value


@given(
    struct=st.sampled_from(typing.get_args(notifications.TypedNotification)),
    values=st.dictionaries(st.sampled_from(PUSH_FIELDS), json_values, max_size=6),
)
def test_any_body_of_any_type_decodes_or_is_refused(struct, values):
    body = msgspec.json.encode({"notifyType": struct.notify_type.value} | values)
    try:
        notification = notifications.decode(body)
    except WireError:
        return
    assert type(notification) is struct
    if struct is not notifications.FwUpgradeStateChangeNotify:  # its two fields must agree to be written
        assert notifications.decode(notifications.encode(notification)) == notification


@pytest.mark.parametrize("missing", ["deviceId", "result"])
def test_a_command_status_needs_its_fields(missing):
    values = {"deviceId": "d", "commandId": "c", "result": {"resultCode": "SENT"}}
    assert isinstance(notifications.decode(msgspec.json.encode(values)), notifications.CommandStatusNotify)
    with pytest.raises(MissingFieldError) as caught:
        notifications.decode(msgspec.json.encode({name: value for name, value in values.items() if name != missing}))
    assert caught.value.field == missing


def test_a_byte_order_mark_is_ignored():
    assert notifications.decode(b"\xef\xbb\xbf" + msgspec.json.encode(FIRMWARE_STATE)).device_id == "d"


def test_a_value_that_quotes_another_type_does_not_misroute():
    body = msgspec.json.encode(FIRMWARE_STATE | {"stepDesc": '"notifyType":"fwUpgradeResultNotify"'})
    assert isinstance(notifications.decode(body), notifications.FwUpgradeStateChangeNotify)


@pytest.mark.parametrize(
    ("policy", "error", "field"),
    [
        ({"executeType": "soon"}, InvalidValueError, "policy.executeType"),
        ({"executeType": ["now"]}, WrongTypeError, "policy.executeType"),
        ({"startTime": "tomorrow"}, InvalidValueError, "policy.startTime"),
        ({"startTime": "20261301T000000Z"}, InvalidValueError, "policy.startTime"),
        ({"endTime": 5}, WrongTypeError, "policy.endTime"),
        ({"retryType": "perhaps"}, WrongTypeError, "policy.retryType"),
        ({"retryType": []}, WrongTypeError, "policy.retryType"),
        ({"retryTimes": "three"}, WrongTypeError, "policy.retryTimes"),
        ({"retryTimes": 1.5}, WrongTypeError, "policy.retryTimes"),
        ({"retryTimes": 10**30}, InvalidValueError, "policy.retryTimes"),
        ("now", WrongTypeError, "policy"),
    ],
)
def test_a_refusal_names_the_field_by_its_path(policy, error, field):
    body = {"fileId": "f", "targets": {"devices": ["d"]}, "policy": policy}
    with pytest.raises(error) as caught:
        decode_struct(operations.CreateUpgradeRequest, msgspec.json.encode(body))
    assert caught.value.field == field


def test_lists_and_texts_have_limits_and_places():
    with pytest.raises(TooLongError) as too_long:
        decode_struct(operations.CreateUpgradeRequest, msgspec.json.encode({"fileId": "f" * 257, "targets": {}}))
    assert (too_long.value.field, too_long.value.limit) == ("fileId", 256)
    body = {"fileId": "f", "targets": {"devices": ["d", None]}}
    with pytest.raises(WrongTypeError) as wrong:
        decode_struct(operations.CreateUpgradeRequest, msgspec.json.encode(body))
    assert wrong.value.field == "targets.devices[1]"


def test_a_blank_mandatory_text_is_missing():
    with pytest.raises(MissingFieldError):
        decode_query(authentication.LoginRequest, "appId=a&secret=+")


@pytest.mark.parametrize("word", ["fail", "failed", "FAIL", "Failed"])
def test_both_words_for_failed_are_taken(word):
    assert operations.OperationStatus(word) is operations.OperationStatus.FAILED
    assert operations.SubOperationStatus(word) is operations.SubOperationStatus.FAIL


def test_a_business_type_is_no_management_subscription():
    body = {"notifyType": "deviceAdded", "callbackurl": "https://h:1/p"}
    with pytest.raises(InvalidValueError) as caught:
        decode_struct(subscriptions.ManagementSubscribeRequest, msgspec.json.encode(body))
    assert caught.value.field == "notifyType"


@pytest.mark.parametrize(
    ("query", "page_no", "page_size", "name"),
    [
        ("?&pageNo=0&pageSize=5&manufactureName=Acme", 0, 5, "Acme"),
        ("PageNo=2&pagesize=7&manufacturerName=A+B&", 2, 7, "A B"),
        ("%00com.Some.InDTO%00pageNo=1&manufacturerName=&pageSize=", 1, None, None),
        ("pageNo=1&pageNo=2&manufacturerName=http://x:1/y?z=1", 1, None, "http://x:1/y?z=1"),
        ("", None, None, None),
    ],
)
def test_queries_as_real_clients_write_them(query, page_no, page_size, name):
    read = decode_query(packages.PackageQuery, query)
    assert (read.page_no, read.page_size, read.manufacturer_name) == (page_no, page_size, name)
