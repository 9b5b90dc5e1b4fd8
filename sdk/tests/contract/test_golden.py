"""Each side against the golden files: strict encoding gives their very bytes, lenient decoding takes each spelling."""

import msgspec
import pytest

from firmcast_sdk.wire import authentication, devices, errors, notifications, operations, packages, subscriptions
from firmcast_sdk.wire.decoding import decode_struct
from firmcast_sdk.wire.encoding import encode_request, encode_response
from firmcast_sdk.wire.queries import decode_query, encode_query

REQUESTS = {
    "refresh_request.json": authentication.RefreshRequest,
    "subscribe_request.json": subscriptions.ManagementSubscribeRequest,
    "register_device_request.json": devices.RegisterDeviceRequest,
    "refresh_device_request.json": devices.RefreshDeviceRequest,
    "modify_device_request.json": devices.ModifyDeviceRequest,
    "create_upgrade_devices.json": operations.CreateUpgradeRequest,
    "create_upgrade_groups.json": operations.CreateUpgradeRequest,
}
RESPONSES = {
    "login_response.json": authentication.TokenResponse,
    "register_device_response.json": devices.RegisterDeviceResponse,
    "refresh_device_response.json": devices.RefreshDeviceResponse,
    "device_activation.json": devices.DeviceActivation,
    "device.json": devices.Device,
    "device_list.json": devices.DeviceList,
    "package.json": packages.Package,
    "package_list.json": packages.PackageList,
    "create_upgrade_response.json": operations.CreateUpgradeResponse,
    "operation.json": operations.Operation,
    "operation_list.json": operations.OperationList,
    "sub_operation_list.json": operations.SubOperationList,
}
UPGRADE_PUSHES = {
    "fw_upgrade_state_change.json": notifications.FwUpgradeStateChangeNotify,
    "fw_upgrade_result.json": notifications.FwUpgradeResultNotify,
    "sw_upgrade_state_change.json": notifications.SwUpgradeStateChangeNotify,
    "sw_upgrade_result.json": notifications.SwUpgradeResultNotify,
}
PUSHES = UPGRADE_PUSHES | {
    "device_added.json": notifications.DeviceAddedNotify,
    "bind_device.json": notifications.BindDeviceNotify,
    "bind_device_expired.json": notifications.BindDeviceNotify,
    "device_info_changed.json": notifications.DeviceInfoChangedNotify,
    "device_data_changed.json": notifications.DeviceDataChangedNotify,
    "device_data_changed_short.json": notifications.DeviceDataChangedNotify,
    "device_datas_changed.json": notifications.DeviceDatasChangedNotify,
    "service_info_changed.json": notifications.ServiceInfoChangedNotify,
    "device_deleted.json": notifications.DeviceDeletedNotify,
    "message_confirm.json": notifications.MessageConfirmNotify,
    "command_rsp.json": notifications.CommandRspNotify,
    "device_event.json": notifications.DeviceEventNotify,
    "device_model_added.json": notifications.DeviceModelAddedNotify,
    "device_model_deleted.json": notifications.DeviceModelDeletedNotify,
    "rule_event.json": notifications.RuleEventNotify,
    "desired_properties_changed.json": notifications.DeviceDesiredPropertiesModifyStatusChangedNotify,
    "command_status.json": notifications.CommandStatusNotify,
    "command_status_detail.json": notifications.CommandStatusNotify,
}


@pytest.mark.parametrize(("name", "struct"), REQUESTS.items())
def test_request_is_read_and_written_byte_for_byte(golden, name, struct):
    assert encode_request(decode_struct(struct, golden(name))) == golden(name)


@pytest.mark.parametrize(("name", "struct"), RESPONSES.items())
def test_answer_is_read_and_written_byte_for_byte(golden, name, struct):
    assert encode_response(decode_struct(struct, golden(name))) == golden(name)


@pytest.mark.parametrize(("name", "struct"), PUSHES.items())
def test_push_is_read_and_written_byte_for_byte(golden, name, struct):
    notification = notifications.decode(golden(name))
    assert type(notification) is struct
    assert notifications.encode(notification) == golden(name)


def test_every_type_of_push_has_a_golden_body():
    typed = set(PUSHES.values()) - {notifications.CommandStatusNotify}
    assert {struct.notify_type for struct in typed} == set(notifications.NotifyType)


@pytest.mark.parametrize(
    ("odd", "even"),
    [
        ("device_datas_changed_service.json", "device_datas_changed.json"),
        ("service_info_changed_text.json", "service_info_changed.json"),
    ],
)
def test_what_the_examples_show_otherwise_is_the_same_push(golden, odd, even):
    assert notifications.decode(golden(odd)) == notifications.decode(golden(even))


def test_data_of_one_service_may_stand_where_a_list_should(golden):
    body = msgspec.json.decode(golden("device_datas_changed.json"))
    single = msgspec.json.encode(body | {"services": body["services"][0]})
    assert len(notifications.decode(single).services) == 1


def test_an_increment_names_only_what_changed(golden):
    notification = notifications.DeviceInfoChangedNotify(
        device_id="d",
        gateway_id="d",
        device_info=notifications.ChangedDeviceInfo(fw_version="1.1.0", status="ONLINE", status_detail="NONE"),
    )
    assert notifications.encode(notification) == golden("device_info_changed.json")


@pytest.mark.parametrize("name", UPGRADE_PUSHES)
def test_every_value_of_a_push_is_a_string(golden, name):
    assert {type(value) for value in msgspec.json.decode(golden(name)).values()} == {str}


def test_a_state_change_written_from_its_parts_is_the_golden_body(golden):
    notification = notifications.FwUpgradeStateChangeNotify(
        device_id="3e3c1d2a-7f58-4c55-9d0b-0b6a8a5f1c11",
        app_id="RgPq3V4xQ2yYJ0m8sWc1dT6kB5oa",
        operation_id="7ee1e0a4",
        sub_operation_id="d1b6f2a9",
        step="1",
        step_desc="downloading",
    )
    assert notifications.encode(notification) == golden("fw_upgrade_state_change.json")


def test_the_vendors_pretty_example_is_read(golden):
    notification = notifications.decode(golden("fw_upgrade_state_change_pretty.json"))
    assert notification == notifications.FwUpgradeStateChangeNotify(
        device_id="*************",
        app_id="*************",
        operation_id="*************",
        sub_operation_id="*************",
        step="1",
        step_desc="downloading",
    )


def test_spaced_reordered_and_extended_json_is_the_same_notification(golden):
    spaced = notifications.decode(golden("fw_upgrade_state_change_spaced.json"))
    assert spaced == notifications.decode(golden("fw_upgrade_state_change.json"))


def test_capital_status_and_a_number_for_upgrade_time_are_read(golden):
    result = notifications.decode(golden("fw_upgrade_result_capital_status.json"))
    assert isinstance(result, notifications.FwUpgradeResultNotify)
    assert (result.status, result.upgrade_time) == ("SUCCESS", "42")


def test_login_form_is_read_in_both_spellings_and_written_in_one(golden):
    plain = decode_query(authentication.LoginRequest, golden("login_request.form"))
    assert decode_query(authentication.LoginRequest, golden("login_request_capital_secret.form")) == plain
    assert encode_query(plain).encode() == golden("login_request.form")


def test_callback_url_is_read_in_both_spellings(golden):
    camel = decode_struct(subscriptions.ManagementSubscribeRequest, golden("subscribe_request_camel.json"))
    assert camel == decode_struct(subscriptions.ManagementSubscribeRequest, golden("subscribe_request.json"))


def test_nulls_and_numbers_as_strings_in_a_registration(golden):
    request = decode_struct(devices.RegisterDeviceRequest, golden("register_device_request_nulls.json"))
    assert (request.is_secure, request.timeout, request.psk) == (True, 0, None)


def test_a_task_with_a_null_policy_and_null_targets(golden):
    request = decode_struct(operations.CreateUpgradeRequest, golden("create_upgrade_nulls.json"))
    assert request.policy is None
    assert request.targets.devices == ("3e3c1d2a",)
    strange = decode_struct(operations.CreateUpgradeRequest, golden("create_upgrade_null_key.json"))
    assert strange.targets == operations.Targets()


def test_a_list_whose_key_is_misprinted(golden):
    page = decode_struct(operations.SubOperationList, golden("sub_operation_list_misprinted.json"))
    assert page.total_count == 1
    assert page.data[0].status is operations.SubOperationStatus.FAIL


def test_error_body_is_two_strings(golden):
    assert errors.encode_error(errors.APP_ID_OR_SECRET_WRONG) == golden("error.json")
    decoded = errors.decode_error(golden("error.json"))
    assert (decoded.error_code, decoded.error_desc) == ("100208", "AppId or secret is not right.")
