"""What each call sends, judged by the golden files, and how answers are read."""

import inspect
import re
from datetime import timedelta

import msgspec
import pytest

from firmcast_sdk import NorthboundError, NotFoundError, NotifyType, UnexpectedAnswerError
from firmcast_sdk.client.call import Call, Following, Paging, Repeat, Reply, Request
from firmcast_sdk.client.calls import authentication, device_groups, devices, events, packages, subscriptions, upgrades
from firmcast_sdk.wire import device_groups as group_wire
from firmcast_sdk.wire import devices as device_wire
from firmcast_sdk.wire import errors, operations
from firmcast_sdk.wire import packages as package_wire
from firmcast_sdk.wire import subscriptions as subscription_wire
from firmcast_sdk.wire.decoding import decode_struct
from firmcast_sdk.wire.errors import encode_error
from firmcast_sdk.wire.times import parse_time

JSON = {"content-type": "application/json"}
SECTIONS = (subscriptions, packages, upgrades, devices, device_groups, events)
URL = "https://192.0.2.7:8099/v1.0.0/messageReceiver"
GROUP = "5f0c9d7e-5b0a-4f55-9b58-2f0e1a6c7d11"


def ok(body=b""):
    return Reply(status=200, body=body)


def test_login_is_a_form(golden):
    call = authentication.login("RgPq3V4xQ2yYJ0m8sWc1dT6kB5oa", "vT3_xk-9")
    assert call.request == Request(
        method="POST",
        path="/iocm/app/sec/v1.1.0/login",
        headers={"content-type": "application/x-www-form-urlencoded"},
        body=golden("login_request.form"),
    )
    assert call.parse(ok(golden("login_response.json"))).expires_in == 3600


def test_refresh_and_logout(golden):
    call = authentication.refresh("RgPq3V4xQ2yYJ0m8sWc1dT6kB5oa", "vT3_xk-9", "57aa90d31e")
    assert call.request.path == "/iocm/app/sec/v1.1.0/refreshToken"
    assert call.request.body == golden("refresh_request.json")
    ending = authentication.logout("tok")
    assert ending.request.path == "/iocm/app/sec/v1.1.0/logout"
    assert ending.request.body == b'{"accessToken":"tok"}'
    assert ending.parse(Reply(status=204, body=b"")) is None


def test_subscribe_and_its_empty_answer(golden):
    call = subscriptions.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, URL)
    assert call.request == Request(
        method="POST",
        path="/iodm/app/sub/v1.1.0/subscribe",
        headers=JSON,
        body=golden("subscribe_request.json"),
    )
    assert call.parse(ok()) is None
    with pytest.raises(ValueError, match="management subscription"):
        subscriptions.subscribe(NotifyType.DEVICE_ADDED, URL)


def test_business_subscriptions(golden):
    made = subscriptions.create_subscription(NotifyType.DEVICE_ADDED, URL, owner_flag=False)
    assert made.request.target == "/iocm/app/sub/v1.2.0/subscriptions?ownerFlag=false"
    assert made.request.body == golden("business_subscribe_request.json")
    read = made.parse(Reply(status=201, body=golden("subscription.json")))
    assert read.notify_type is subscription_wire.SubscribableType.DEVICE_ADDED
    one = subscriptions.subscription(read.subscription_id, app_id="other")
    assert one.request.target == f"/iocm/app/sub/v1.2.0/subscriptions/{read.subscription_id}?appId=other"
    assert one.parse(ok(golden("subscription.json"))) == read
    assert subscriptions.delete_subscription("s").request == Request(
        method="DELETE", path="/iocm/app/sub/v1.2.0/subscriptions/s"
    )
    many = subscriptions.delete_subscriptions(notify_type=NotifyType.DEVICE_ADDED, callback_url=URL, channel="HTTP")
    assert many.request.query.encode() == golden("subscription_deletion.form")
    assert subscriptions.delete_subscriptions(everything=True).request.query == ""


@pytest.mark.parametrize("filters", [{}, {"app_id": "other"}, {"channel": "HTTP", "everything": True}])
def test_all_subscriptions_are_deleted_only_when_that_is_said(filters):
    with pytest.raises(ValueError, match="everything=True"):
        subscriptions.delete_subscriptions(**filters)


def test_devices(golden):
    registering = devices.register_device("863703030000011", verify_code="863703030000011", timeout_seconds=0)
    assert registering.request.path == "/iocm/app/reg/v1.1.0/deviceCredentials"
    assert registering.request.body == golden("register_device_request.json")
    assert registering.parse(ok(golden("register_device_response.json"))).timeout == 180
    config = device_wire.DeviceConfig(data_config=device_wire.DataConfig(data_aging_time=30))
    modifying = devices.modify_device(
        "d/1?x",
        name="meter 7",
        mute="FALSE",
        manufacturer_id="Acme",
        manufacturer_name="Acme",
        device_type="WaterMeter",
        model="WM1",
        protocol_type="LWM2M",
        device_config=config,
    ).request
    assert (modifying.method, modifying.target) == ("PUT", "/iocm/app/dm/v1.4.0/devices/d%2F1%3Fx")
    assert modifying.body == golden("modify_device_request.json")
    deleting = devices.delete_device("d", cascade=True)
    assert deleting.request == Request(method="DELETE", path="/iocm/app/dm/v1.4.0/devices/d", query="cascade=true")
    assert deleting.parse(Reply(status=204, body=b"")) is None
    refreshing = devices.refresh_device(
        "d", verify_code="863703030000022", node_id="863703030000022", timeout_seconds=300
    )
    assert (refreshing.request.method, refreshing.request.body) == ("PUT", golden("refresh_device_request.json"))
    assert refreshing.parse(ok(golden("refresh_device_response.json"))).timeout == 300
    assert devices.device_activation("d").parse(ok(golden("device_activation.json"))).activated is True
    device = devices.device("d", select="imsi")
    assert device.request.query == "select=imsi"
    assert device.parse(ok(golden("device.json"))).device_info.fw_version == "1.3"


def test_device_groups(golden):
    making = device_groups.create_device_group(
        "quarterNorth", description="meters of the north", max_dev_num=5000, device_ids=["3e3c1d2a", "8b20f477"]
    )
    assert making.request.target == "/iocm/app/devgroup/v1.3.0/devGroups"
    assert making.request.body == golden("create_device_group_request.json")
    assert making.parse(ok(golden("device_group.json"))).id == GROUP
    assert device_groups.device_group("g").parse(ok(golden("device_group_details.json"))).creator == "a8K2pX"
    changing = device_groups.modify_device_group(
        "g", name="quarterSouth", description="meters of the south", max_dev_num=0
    )
    assert (changing.request.method, changing.request.body) == ("PUT", golden("modify_device_group_request.json"))
    assert device_groups.delete_device_group("g", access_app_id="other").request.target == (
        "/iocm/app/devgroup/v1.3.0/devGroups/g?accessAppId=other"
    )
    adding = device_groups.add_to_device_group(GROUP, ["3e3c1d2a", "8b20f477"])
    removing = device_groups.remove_from_device_group(GROUP, ("3e3c1d2a", "8b20f477"))
    assert adding.request.body == removing.request.body == golden("device_group_with_devices.json")
    assert adding.request.path == "/iocm/app/dm/v1.1.0/devices/addDevGroupTagToDevices"
    assert removing.request.path == "/iocm/app/dm/v1.1.0/devices/deleteDevGroupTagFromDevices"
    assert adding.parse(ok(golden("device_group_with_devices.json"))) is None
    assert removing.parse(ok()) is None


def test_tasks(golden):
    policy = operations.Policy(
        execute_type=operations.ExecuteType.CUSTOM,
        start_time=parse_time("20260101T000000Z"),
        end_time=parse_time("20260101T060000Z"),
        retry_type=True,
        retry_times=3,
    )
    creating = upgrades.create_firmware_upgrade("c8f9", devices=["3e3c1d2a", "8b20f477"], policy=policy)
    assert creating.request.path == "/iodm/northbound/v1.5.0/operations/firmwareUpgrade"
    assert creating.request.body == golden("create_upgrade_devices.json")
    assert creating.request.headers == JSON
    assert creating.parse(ok(golden("create_upgrade_response.json"))) == "7ee1e0a4"
    keyed = upgrades.create_firmware_upgrade("c8f9", devices=["d"], idempotency_key="mine")
    assert keyed.request.headers["idempotency-key"] == "mine"
    software = upgrades.create_software_upgrade(
        "c8f9",
        device_groups=["north"],
        device_type="WaterMeter",
        model="WM1",
        manufacturer_name="Acme",
        policy=operations.Policy(execute_type=operations.ExecuteType.NOW),
    )
    assert software.request.path == "/iodm/northbound/v1.5.0/operations/softwareUpgrade"
    assert software.request.body == golden("create_upgrade_groups.json")
    task = upgrades.operation("7ee1e0a4").parse(ok(golden("operation.json")))
    assert task.sta_result.processing == 1


def test_packages(golden):
    assert packages.package("c8f9").parse(ok(golden("package.json"))).version == "1.6"
    deleting = packages.delete_package("c8f9")
    assert deleting.request.target == "/iodm/northbound/v1.5.0/category/c8f9"
    assert deleting.parse(ok()) is None


@pytest.mark.parametrize(
    ("paging", "target", "name", "total", "first"),
    [
        (
            devices.devices(status=device_wire.DeviceStatus.ONLINE, page_size=7),
            "/iocm/app/dm/v1.4.0/devices?pageNo=2&pageSize=7&status=ONLINE",
            "device_list",
            1,
            "3e3c1d2a",
        ),
        (
            packages.packages(model="WM 1", file_type=package_wire.FileType.FIRMWARE),
            "/iodm/northbound/v1.5.0/category?fileType=firmwarePackage&model=WM+1&pageNo=2&pageSize=100",
            "package_list",
            1,
            "c8f9",
        ),
        (
            upgrades.operations(operation_status=operations.OperationStatus.FAILED),
            "/iodm/northbound/v1.5.0/operations?operationStatus=failed&pageNo=2&pageSize=100",
            "operation_list",
            1,
            "7ee1e0a4",
        ),
        (
            upgrades.sub_operations("o", status=operations.SubOperationStatus.FAIL),
            "/iodm/northbound/v1.5.0/operations/o/subOperations?subOperationStatus=fail&pageNo=2&pageSize=100",
            "sub_operation_list",
            1,
            "d1b6f2a9",
        ),
        (
            subscriptions.subscriptions(notify_type=NotifyType.DEVICE_ADDED),
            "/iocm/app/sub/v1.2.0/subscriptions?notifyType=deviceAdded&pageNo=2&pageSize=100",
            "subscription_list",
            12,
            "8e8d1c4e-5b5f-4a39-b7c4-6b1f0c2f6f11",
        ),
        (
            device_groups.device_groups(name="quarterNorth"),
            "/iocm/app/devgroup/v1.3.0/devGroups?pageNo=2&pageSize=100&name=quarterNorth",
            "device_group_list",
            7,
            GROUP,
        ),
        (
            device_groups.device_group_members("g"),
            "/iocm/app/dm/v1.2.0/devices/ids?devGroupId=g&pageNo=2&pageSize=1000",
            "device_group_members",
            2,
            "3e3c1d2a",
        ),
    ],
)
def test_lists(golden, paging, target, name, total, first):
    call = paging.call(2)
    assert call.request.target == target
    page = call.parse(ok(golden(f"{name}.json")))
    assert (page.total, paging.identify(page.items[0])) == (total, first)
    assert page.page_size >= 1


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_an_id_that_would_name_another_path_is_refused(value):
    with pytest.raises(ValueError, match="device_id"):
        devices.delete_device(value)


def test_one_text_is_no_list_of_ids():
    with pytest.raises(TypeError):
        upgrades.create_firmware_upgrade("f", devices="d1")
    with pytest.raises(TypeError):
        upgrades.create_firmware_upgrade("f", device_groups="north")
    with pytest.raises(TypeError):
        device_groups.add_to_device_group("g", "d1")


# Which record of the wire each call fills; the parameters must be the record's fields, so that none is forgotten.
RECORDS = {
    subscriptions.create_subscription: [subscription_wire.SubscribeRequest],
    subscriptions.subscriptions: [subscription_wire.SubscriptionQuery],
    subscriptions.delete_subscriptions: [subscription_wire.SubscriptionDeletion],
    packages.packages: [package_wire.PackageQuery],
    upgrades.create_firmware_upgrade: [operations.CreateUpgradeRequest, operations.Targets],
    upgrades.create_software_upgrade: [operations.CreateUpgradeRequest, operations.Targets],
    upgrades.operations: [operations.OperationQuery],
    devices.register_device: [device_wire.RegisterDeviceRequest],
    devices.refresh_device: [device_wire.RefreshDeviceRequest],
    devices.modify_device: [device_wire.ModifyDeviceRequest],
    devices.devices: [device_wire.DeviceQuery],
    device_groups.create_device_group: [group_wire.CreateDeviceGroupRequest],
    device_groups.modify_device_group: [group_wire.ModifyDeviceGroupRequest],
    device_groups.device_groups: [group_wire.DeviceGroupQuery],
}
NOT_PARAMETERS = {"page_no", "targets"}  # the iterator counts pages; targets are given one by one
FURTHER = {"device_id", "group_id", "app_id", "access_app_id", "everything", "idempotency_key"}


@pytest.mark.parametrize(("declared", "records"), RECORDS.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_every_field_of_the_wire_is_a_parameter(declared, records):
    fields = {field.name for record in records for field in msgspec.structs.fields(record)} - NOT_PARAMETERS
    parameters = {name.removesuffix("_seconds") for name in inspect.signature(declared).parameters}
    assert fields <= parameters
    assert parameters - fields <= FURTHER


def declarations():
    for section in SECTIONS:
        for name, function in vars(section).items():
            if inspect.isfunction(function) and function.__module__ == section.__name__ and not name.startswith("_"):
                yield function


@pytest.mark.parametrize("declared", list(declarations()), ids=lambda one: one.__name__)
def test_every_docstring_explains_each_parameter_and_names_its_source(declared):
    documentation = inspect.getdoc(declared)
    explained = re.findall(r"^    ([a-z_]+): ", documentation, re.MULTILINE)
    assert list(inspect.signature(declared).parameters) == explained
    assert documentation.endswith(
        ("section 3.", "section 4.", "section 5.", "section 6.", "section 7.", "section events.")
    )
    returned = declared.__annotations__["return"]
    assert getattr(returned, "__origin__", returned) in {Call, Following, Paging}


@pytest.mark.parametrize("declared", list(declarations()), ids=lambda one: one.__name__)
def test_what_may_be_repeated(declared):
    required = [
        parameter
        for parameter in inspect.signature(declared).parameters.values()
        if parameter.default is inspect.Parameter.empty
    ]
    given = {"notify_type": NotifyType.FW_UPGRADE_RESULT, "device_ids": ["d"]}
    further = {"everything": True} if declared.__name__ == "delete_subscriptions" else {}
    made = declared(*(given.get(parameter.name, "x") for parameter in required), **further)
    match made:
        case Paging():
            call = made.call(0)
        case Following():
            call = made.call(None)
        case _:
            call = made
    match call.request.method:
        case "GET" | "PUT" | "DELETE":
            assert call.repeat is Repeat.ALWAYS
        case "POST" if declared.__name__ == "create_firmware_upgrade":
            assert call.repeat is Repeat.WITH_KEY
        case "POST":
            assert call.repeat is Repeat.UNLESS_SENT


@pytest.mark.parametrize(
    ("call", "gone"),
    [
        (devices.delete_device("d"), errors.DEVICE_NOT_FOUND),
        (packages.delete_package("p"), errors.PACKAGE_NOT_FOUND),
        (subscriptions.delete_subscription("s"), errors.SUBSCRIPTION_NOT_FOUND),
        (device_groups.delete_device_group("g"), errors.DEVICE_GROUP_NOT_FOUND),
    ],
)
def test_what_is_gone_at_the_second_try_was_deleted_by_the_first(call, gone):
    reply = Reply(status=gone.status, body=encode_error(gone))
    with pytest.raises(NotFoundError):
        call.parse(reply)
    assert call.parse_repeated(reply) is None
    other = Reply(status=403, body=encode_error(errors.APPLICATION_NOT_FOUND))
    with pytest.raises(NorthboundError):
        call.parse_repeated(other)


@pytest.mark.parametrize(
    ("status", "body"),
    [(502, b"<html>bad gateway</html>"), (200, b"<html>"), (200, b"{}"), (404, b""), (301, b"[]")],
)
def test_an_answer_that_makes_no_sense(status, body):
    with pytest.raises(UnexpectedAnswerError) as caught:
        upgrades.operation("o").parse(Reply(status=status, body=body))
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("body", "fine"), [(b"", True), (b" \n", True), (b"{}", True), (b"<html>", False), (b"\xff", False)]
)
def test_a_page_of_another_server_is_not_taken_for_success(body, fine):
    call = devices.delete_device("d")
    if fine:
        assert call.parse(ok(body)) is None
    else:
        with pytest.raises(UnexpectedAnswerError):
            call.parse(ok(body))


def test_a_device_named_error_code_is_no_error(golden):
    body = golden("device_activation.json").replace(b"meter 7", b"error_code")
    assert devices.device_activation("d").parse(ok(body)).name == "error_code"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "9" * 400}, 10**9),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:30 GMT", "date": "Thu, 01 Jan 2026 00:01:00 GMT"}, 30),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:00 GMT", "date": "Thu, 01 Jan 2026 00:01:30 GMT"}, 0),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:00 GMT"}, None),
    ],
)
def test_how_long_an_answer_asks_to_keep_away(headers, seconds):
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert Reply(status=503, body=b"", headers=headers).retry_after == expected


def test_the_reason_and_the_wait_of_a_refusal_are_told():
    headers = {"firmcast-reason": "no such day", "retry-after": "5"}
    with pytest.raises(NorthboundError, match="no such day") as caught:
        upgrades.operation("o").parse(Reply(status=400, body=encode_error(errors.WINDOW_INVALID), headers=headers))
    assert (caught.value.reason, caught.value.retry_after) == ("no such day", timedelta(seconds=5))


def test_requests_are_read_by_the_platform_as_they_were_meant():
    body = devices.register_device("n", psk="ab" * 8, is_secure=True).request.body
    read = decode_struct(device_wire.RegisterDeviceRequest, body)
    assert (read.node_id, read.psk, read.is_secure, read.verify_code) == ("n", "ab" * 8, True, None)
