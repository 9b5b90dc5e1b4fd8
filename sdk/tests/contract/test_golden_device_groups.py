"""Device groups against the golden files: one spelling is written, each one that a client sends is read."""

import pytest

from firmcast_sdk.wire import device_groups
from firmcast_sdk.wire.decoding import (
    InvalidValueError,
    MissingFieldError,
    TooLongError,
    WrongTypeError,
    decode_struct,
)
from firmcast_sdk.wire.encoding import encode_request, encode_response
from firmcast_sdk.wire.queries import decode_query, encode_query

ANSWERS = {
    "device_group.json": device_groups.DeviceGroup,
    "device_group_details.json": device_groups.DeviceGroupDetails,
    "device_group_list.json": device_groups.DeviceGroupList,
    "device_group_members.json": device_groups.DeviceGroupMembers,
    "device_group_with_devices.json": device_groups.DeviceGroupWithDevices,
}
REQUESTS = {
    "create_device_group_request.json": device_groups.CreateDeviceGroupRequest,
    "modify_device_group_request.json": device_groups.ModifyDeviceGroupRequest,
    "device_group_with_devices.json": device_groups.DeviceGroupWithDevices,
}
QUERIES = {
    "device_group_query.form": device_groups.DeviceGroupQuery,
    "device_group_members_query.form": device_groups.DeviceGroupMembersQuery,
}


@pytest.mark.parametrize(("name", "struct"), REQUESTS.items())
def test_request_is_read_and_written_byte_for_byte(golden, name, struct):
    assert encode_request(decode_struct(struct, golden(name))) == golden(name)


@pytest.mark.parametrize(("name", "struct"), ANSWERS.items())
def test_answer_is_read_and_written_byte_for_byte(golden, name, struct):
    assert encode_response(decode_struct(struct, golden(name))) == golden(name)


@pytest.mark.parametrize(("name", "struct"), QUERIES.items())
def test_query_is_read_and_written_byte_for_byte(golden, name, struct):
    assert encode_query(decode_query(struct, golden(name))).encode() == golden(name)


def test_nulls_and_an_id_in_a_creation_say_nothing(golden):
    plain = decode_struct(device_groups.CreateDeviceGroupRequest, golden("create_device_group_request.json"))
    nulls = golden("create_device_group_request_nulls.json")
    assert decode_struct(device_groups.CreateDeviceGroupRequest, nulls) == plain


@pytest.mark.parametrize(
    ("name", "other", "struct"),
    [
        ("device_group_query.form", "device_group_query_raw.form", device_groups.DeviceGroupQuery),
        (
            "device_group_members_query.form",
            "device_group_members_query_access.form",
            device_groups.DeviceGroupMembersQuery,
        ),
    ],
)
def test_the_owner_is_read_by_both_of_its_names(golden, name, other, struct):
    assert decode_query(struct, golden(other)) == decode_query(struct, golden(name))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{}", MissingFieldError),
        (b'{"name":""}', MissingFieldError),
        (b'{"name":null}', MissingFieldError),
        (b'{"name":"' + b"a" * 51 + b'"}', TooLongError),
        (b'{"name":"a","description":"' + b"a" * 1025 + b'"}', TooLongError),
        (b'{"name":"a","maxDevNum":-1}', InvalidValueError),
        (b'{"name":"a","maxDevNum":"many"}', WrongTypeError),
        (b'{"name":"a","deviceIds":"b"}', WrongTypeError),
        (b'{"name":"a","deviceIds":[null]}', WrongTypeError),
    ],
)
def test_what_is_no_group_is_refused(body, error):
    with pytest.raises(error):
        decode_struct(device_groups.CreateDeviceGroupRequest, body)
