"""Registrations of devices against the golden files, in both of their forms."""

import pytest

from firmcast_sdk.wire import devices
from firmcast_sdk.wire.decoding import MissingFieldError, decode_struct
from firmcast_sdk.wire.encoding import encode_request, encode_response


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("register_device_request_full.json", devices.RegisterDeviceRequest),
        ("register_secret_device_request.json", devices.RegisterSecretDeviceRequest),
    ],
)
def test_request_is_read_and_written_byte_for_byte(golden, name, struct):
    assert encode_request(decode_struct(struct, golden(name))) == golden(name)


def test_answer_is_read_and_written_byte_for_byte(golden):
    body = golden("register_secret_device_response.json")
    assert encode_response(decode_struct(devices.RegisterSecretDeviceResponse, body)) == body


def test_keys_that_only_the_vendors_platform_uses_are_passed_over(golden):
    plain = decode_struct(devices.RegisterDeviceRequest, golden("register_device_request.json"))
    nulls = decode_struct(devices.RegisterDeviceRequest, golden("register_device_request_nulls.json"))
    assert (nulls.node_id, nulls.verify_code, nulls.timeout) == (plain.node_id, plain.verify_code, plain.timeout)
    assert nulls.device_info is None


def test_a_number_is_taken_for_its_digits():
    body = b'{"nodeId":863703030000011,"verifyCode":5,"imsi":460011234567890,"psk":12345678}'
    said = decode_struct(devices.RegisterDeviceRequest, body)
    assert (said.node_id, said.verify_code) == ("863703030000011", "5")
    assert (said.imsi, said.psk) == ("460011234567890", "12345678")


def test_the_form_with_device_info_needs_it():
    with pytest.raises(MissingFieldError, match="deviceInfo"):
        decode_struct(devices.RegisterSecretDeviceRequest, b'{"nodeId":"a"}')
