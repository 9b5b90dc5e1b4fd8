"""What each call sends, judged by the golden files, and how answers are read."""

import pytest

from firmcast_sdk import (
    AccessDeniedError,
    ConflictError,
    NorthboundError,
    NotFoundError,
    NotifyType,
    PlatformFailedError,
    ThrottledError,
    UnexpectedAnswerError,
)
from firmcast_sdk.client import calls
from firmcast_sdk.client.calls import Reply, Request
from firmcast_sdk.wire import devices, errors, operations, packages
from firmcast_sdk.wire.decoding import decode_struct
from firmcast_sdk.wire.errors import encode_error

JSON = {"content-type": "application/json"}


def test_login_is_a_form(golden):
    call = calls.login("RgPq3V4xQ2yYJ0m8sWc1dT6kB5oa", "vT3_xk-9")
    assert call.request == Request(
        method="POST",
        path="/iocm/app/sec/v1.1.0/login",
        headers={"content-type": "application/x-www-form-urlencoded"},
        body=golden("login_request.form"),
    )
    assert call.parse(Reply(status=200, body=golden("login_response.json"))).expires_in == 3600


def test_refresh(golden):
    call = calls.refresh("RgPq3V4xQ2yYJ0m8sWc1dT6kB5oa", "vT3_xk-9", "57aa90d31e")
    assert (call.request.path, call.request.body) == (
        "/iocm/app/sec/v1.1.0/refreshToken",
        golden("refresh_request.json"),
    )


def test_subscribe_and_its_empty_answer(golden):
    url = "https://192.0.2.7:8099/v1.0.0/messageReceiver"
    call = calls.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, url)
    assert call.request == Request(
        method="POST",
        path="/iodm/app/sub/v1.1.0/subscribe",
        headers=JSON,
        body=golden("subscribe_request.json"),
    )
    assert call.parse(Reply(status=200, body=b"")) is None


def test_devices(golden):
    request = decode_struct(devices.RegisterDeviceRequest, golden("register_device_request.json"))
    registering = calls.register_device(request)
    assert registering.request.path == "/iocm/app/reg/v1.1.0/deviceCredentials"
    assert registering.request.body == golden("register_device_request.json")
    registered = registering.parse(Reply(status=200, body=golden("register_device_response.json")))
    assert registered.timeout == 180
    change = decode_struct(devices.ModifyDeviceRequest, golden("modify_device_request.json"))
    modifying = calls.modify_device("d/1?x", change).request
    assert (modifying.method, modifying.path) == ("PUT", "/iocm/app/dm/v1.4.0/devices/d%2F1%3Fx")
    assert modifying.body == golden("modify_device_request.json")
    assert calls.delete_device("d").request == Request(method="DELETE", path="/iocm/app/dm/v1.4.0/devices/d")
    assert calls.delete_device("d").parse(Reply(status=204, body=b"")) is None
    refreshing = calls.refresh_device(
        "d", decode_struct(devices.RefreshDeviceRequest, golden("refresh_device_request.json"))
    )
    assert refreshing.request.method == "PUT"
    assert refreshing.parse(Reply(status=200, body=golden("refresh_device_response.json"))).timeout == 300
    activation = calls.device_activation("d")
    assert activation.parse(Reply(status=200, body=golden("device_activation.json"))).activated is True
    device = calls.device("d").parse(Reply(status=200, body=golden("device.json")))
    assert device.device_info.fw_version == "1.3"


def test_tasks(golden):
    request = decode_struct(operations.CreateUpgradeRequest, golden("create_upgrade_devices.json"))
    creating = calls.create_firmware_upgrade(request)
    assert creating.request.path == "/iodm/northbound/v1.5.0/operations/firmwareUpgrade"
    assert creating.request.body == golden("create_upgrade_devices.json")
    assert creating.parse(Reply(status=200, body=golden("create_upgrade_response.json"))) == "7ee1e0a4"
    task = calls.operation("7ee1e0a4").parse(Reply(status=200, body=golden("operation.json")))
    assert task.sta_result.processing == 1


def test_packages(golden):
    package = calls.package("c8f9").parse(Reply(status=200, body=golden("package.json")))
    assert package.version == "1.6"
    assert calls.delete_package("c8f9").request.target == "/iodm/northbound/v1.5.0/category/c8f9"


@pytest.mark.parametrize(
    ("paging", "target", "name"),
    [
        (
            calls.device_pages(devices.DeviceQuery(status=devices.DeviceStatus.ONLINE, page_size=7)),
            "/iocm/app/dm/v1.4.0/devices?pageNo=2&pageSize=7&status=ONLINE",
            "device_list",
        ),
        (
            calls.package_pages(packages.PackageQuery(model="WM 1")),
            "/iodm/northbound/v1.5.0/category?model=WM+1&pageNo=2&pageSize=100",
            "package_list",
        ),
        (
            calls.operation_pages(None),
            "/iodm/northbound/v1.5.0/operations?pageNo=2&pageSize=100",
            "operation_list",
        ),
        (
            calls.sub_operation_pages("o", operations.SubOperationStatus.FAIL),
            "/iodm/northbound/v1.5.0/operations/o/subOperations?subOperationStatus=fail&pageNo=2&pageSize=100",
            "sub_operation_list",
        ),
    ],
)
def test_lists(golden, paging, target, name):
    call = paging.call(2)
    assert call.request.target == target
    page = call.parse(Reply(status=200, body=golden(f"{name}.json")))
    assert (len(page.items), page.total) == (1, 1)
    assert paging.is_last(2, page)


def test_a_page_is_the_last_when_nothing_can_follow():
    paging = calls.operation_pages(operations.OperationQuery(page_size=2))
    assert not paging.is_last(0, calls.Page(items=(1, 2), total=3))
    assert paging.is_last(1, calls.Page(items=(3,), total=3))
    assert paging.is_last(5, calls.Page(items=(), total=100))


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.APP_ID_OR_SECRET_WRONG, None, AccessDeniedError),
        (errors.THROTTLED, None, ThrottledError),
        (errors.TASK_NOT_FOUND, None, NotFoundError),
        (errors.DEVICE_QUERY_NOT_FOUND, None, NotFoundError),
        (errors.NODE_ID_DUPLICATED, None, ConflictError),
        (errors.UPGRADE_INTERNAL_ERROR, None, PlatformFailedError),
        (errors.TARGETS_MISSING, None, NorthboundError),
    ],
)
def test_errors_are_typed_by_their_code(error, status, kind):
    with pytest.raises(NorthboundError) as caught:
        calls.operation("o").parse(Reply(status=error.status, body=encode_error(error)))
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.description, caught.value.status) == (
        error.code,
        error.description,
        error.status,
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [(502, b"<html>bad gateway</html>"), (200, b"<html>"), (200, b"{}"), (404, b""), (301, b"[]")],
)
def test_an_answer_that_makes_no_sense(status, body):
    with pytest.raises(UnexpectedAnswerError) as caught:
        calls.operation("o").parse(Reply(status=status, body=body))
    assert caught.value.status == status


def test_a_device_named_error_code_is_no_error(golden):
    body = golden("device_activation.json").replace(b"meter 7", b"error_code")
    assert calls.device_activation("d").parse(Reply(status=200, body=body)).name == "error_code"
