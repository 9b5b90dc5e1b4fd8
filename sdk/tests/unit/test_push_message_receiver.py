"""The vendor's surface: an override is enough, and it is handed the vendor's attributes."""

import base64
import typing

import msgspec
import pytest

from firmcast_sdk import (
    FirmwareState,
    NotifyFwUpgradeResultDTO,
    NotifyFwUpgradeStateChangedDTO,
    NotifySwUpgradeResultDTO,
    NotifySwUpgradeStateChangedDTO,
    PushMessageReceiver,
    dto,
)
from firmcast_sdk.push_message_receiver import _HANDLERS
from firmcast_sdk.testing import Platform
from firmcast_sdk.wire import notifications

SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()


def recording(name, asynchronous):
    if asynchronous:

        async def handle(self, body):
            self.calls.append((name, body))

        return handle
    return lambda self, body: self.calls.append((name, body))


HANDLERS = sorted(name for name in vars(PushMessageReceiver) if name.startswith("handle") and name != "handleBody")


class Recorder(PushMessageReceiver):
    def __init__(self):  # deliberately without super().__init__()
        self.calls = []

    @property
    def bodies(self):
        return [body for _, body in self.calls]


for number, handler in enumerate(HANDLERS):
    setattr(Recorder, handler, recording(handler, asynchronous=number % 2))


@pytest.fixture(params=["asgi", "wsgi"])
def push_at(request):
    def send(receiver, body):
        platform = Platform(**{request.param: getattr(receiver, request.param)})
        return platform.send(platform.firmware_state("d", FirmwareState.IDLE).with_body(body))

    return send


def test_the_vendors_example_reaches_its_handler_with_seven_attributes(push_at, golden):
    recorder = Recorder()
    assert push_at(recorder, golden("fw_upgrade_state_change_pretty.json")).status == 200
    (body,) = recorder.bodies
    assert body == NotifyFwUpgradeStateChangedDTO(
        notifyType="fwUpgradeStateChangeNotify",
        deviceId="*************",
        appId="*************",
        operationId="*************",
        subOperationId="*************",
        step="1",
        stepDesc="downloading",
    )


INFO = dto.DeviceInfo(nodeId="863703030000011", status="OFFLINE", statusDetail="NOT_ACTIVE")
SERVICES = [
    dto.DeviceService(
        serviceId="Brightness", serviceType="Brightness", data={"brightness": 80}, eventTime="20170311T163657Z"
    ),
    dto.DeviceService(
        serviceId="Battery", serviceType="Battery", data={"level": [1, None]}, eventTime="20170311T163657Z"
    ),
]
MODEL = {
    "appId": "a",
    "deviceType": "WaterMeter",
    "manufacturerName": "maker",
    "manufacturerId": "m",
    "model": "W1",
    "protocolType": "LWM2M",
}
EXPECTED = {
    "device_added": ("handleDeviceAdded", dto.NotifyDeviceAddedDTO, {"nodeType": "GATEWAY", "deviceInfo": INFO}),
    "bind_device": ("handleBindDevice", dto.NotifyBindDeviceDTO, {"resultCode": "succeeded"}),
    "bind_device_expired": ("handleBindDevice", dto.NotifyBindDeviceDTO, {"resultCode": "expired", "deviceInfo": None}),
    "device_info_changed": (
        "handleDeviceInfoChanged",
        dto.NotifyDeviceInfoChangedDTO,
        {"deviceInfo": dto.DeviceInfo(fwVersion="1.1.0", status="ONLINE", statusDetail="NONE")},
    ),
    "device_data_changed": (
        "handleDeviceDataChanged",
        dto.NotifyDeviceDataChangedDTO,
        {"requestId": "r1", "gatewayId": "d", "service": SERVICES[0]},
    ),
    "device_data_changed_short": (
        "handleDeviceDataChanged",
        dto.NotifyDeviceDataChangedDTO,
        {"requestId": None, "service": dto.DeviceService(serviceId="Brightness", data={})},
    ),
    "device_datas_changed": (
        "handleDeviceDatasChanged",
        dto.NotifyDeviceDatasChangedDTO,
        {"services": SERVICES, "service": SERVICES},
    ),
    "device_datas_changed_service": (
        "handleDeviceDatasChanged",
        dto.NotifyDeviceDatasChangedDTO,
        {"services": SERVICES, "service": SERVICES},
    ),
    "service_info_changed": (
        "handleServiceInfoChanged",
        dto.NotifyServiceInfoChangedDTO,
        {"serviceId": "Discover", "serviceInfo": dto.ServiceInfo(muteCmds=["CLOSE", "OPEN"])},
    ),
    "device_deleted": ("handleDeviceDeleted", dto.NotifyDeviceDeletedDTO, {"deviceId": "d", "gatewayId": "d"}),
    "message_confirm": (
        "handleMessageConfirm",
        dto.NotifyMessageConfirmDTO,
        {
            "header": dto.MessageConfirmHeader(
                requestId="r1", from_="/devices/d", to="/users/a", status="delivered", timestamp="20170311T163657Z"
            ),
            "body": {},
        },
    ),
    "command_rsp": (
        "handleCommandRsp",
        dto.NotifyCommandRspDTO,
        {
            "header": dto.CommandRspHeader(
                requestId="r1",
                from_="/devices/d/services/Camera",
                to="/users/a",
                deviceId="d",
                serviceType="Camera",
                method="MUTE_COMMANDS",
            ),
            "body": {"code": 0},
        },
    ),
    "device_event": (
        "handleDeviceEvent",
        dto.NotifyDeviceEventDTO,
        {
            "header": dto.DeviceEventHeader(
                eventType="alarm",
                from_="/devices/d/services/Smoke",
                timestamp="20170311T163657Z",
                eventTime="20170311T163657Z",
                deviceId="d",
                serviceType="Smoke",
            ),
            "body": {"level": "high"},
        },
    ),
    "device_model_added": ("handleDeviceModelAdded", dto.NotifyDeviceModelAddedDTO, MODEL),
    "device_model_deleted": ("handleDeviceModelDeleted", dto.NotifyDeviceModelDeletedDTO, MODEL),
    "rule_event": (
        "handleRuleEvent",
        dto.NotifyRuleEventDTO,
        {
            "logic": "and",
            "reasons": [
                dto.ConditionReason(
                    satisfactionTime="20170311T163657Z",
                    type="DEVICE_DATA",
                    id="1",
                    info={"deviceId": "d"},
                    transInfo={"note": "x"},
                )
            ],
            "actionsResults": [
                dto.ActionResult(type="DEVICE_CMD", id="1", result={"resultCode": "SUCCESS"}, info={"deviceId": "d"}),
                dto.ActionResult(type="SMS", id="2", exception="no number"),
            ],
        },
    ),
    "desired_properties_changed": (
        "handleDeviceDesiredStatusChanged",
        dto.NotifyDeviceDesiredStatusChangedDTO,
        {"serviceId": "Battery", "properties": {"level": 5}, "status": "DELIVERED"},
    ),
    "fw_upgrade_state_change": (
        "handleFwUpgradeStateChanged",
        NotifyFwUpgradeStateChangedDTO,
        {"step": "1", "stepDesc": "downloading"},
    ),
    "fw_upgrade_result": (
        "handleFwUpgradeResult",
        NotifyFwUpgradeResultDTO,
        {"curVersion": "1.6", "status": "SUCCESS", "upgradeTime": "42"},
    ),
    "sw_upgrade_state_change": (
        "handleSwUpgradeStateChanged",
        NotifySwUpgradeStateChangedDTO,
        {"swUpgradeState": "downloading"},
    ),
    "sw_upgrade_result": (
        "handleSwUpgradeResult",
        NotifySwUpgradeResultDTO,
        {"swUpgradeResult": "FAIL", "errorCode": "5"},
    ),
    "command_status": (
        "handleNBCommandStateChanged",
        dto.NotifyNBCommandStatusChangedDTO,
        {"commandId": "c", "result": dto.NBCommandResult(resultCode="DELIVERED")},
    ),
    "command_status_detail": (
        "handleNBCommandStateChanged",
        dto.NotifyNBCommandStatusChangedDTO,
        {"result": dto.NBCommandResult(resultCode="SUCCESSFUL", resultDetail={"level": 5})},
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_push_reaches_its_handler_as_the_vendor_has_it(push_at, golden, name):
    handler, kind, attributes = EXPECTED[name]
    recorder = Recorder()
    answer = push_at(recorder, golden(f"{name}.json"))
    assert (answer.status, answer.json()) == (200, {"result": "accepted"})
    ((called, body),) = recorder.calls
    assert called == handler
    assert type(body) is kind
    assert {key: getattr(body, key) for key in attributes} == attributes
    if name not in {"command_status", "command_status_detail"}:
        assert body.notifyType == msgspec.json.decode(golden(f"{name}.json"))["notifyType"]


def test_every_handler_and_every_push_is_among_them():
    assert {handler for handler, _, _ in EXPECTED.values()} == set(HANDLERS)
    assert set(_HANDLERS) == set(typing.get_args(notifications.Notification))
    assert {kind for _, kind in _HANDLERS.values()} == {kind for _, kind, _ in EXPECTED.values()}


def test_the_body_as_it_came_is_handed_over_first(push_at, golden):
    class Raw(Recorder):
        async def handleBody(self, body):
            self.calls.append(("handleBody", body))

    recorder = Raw()
    assert push_at(recorder, golden("device_deleted.json")).status == 200
    assert [name for name, _ in recorder.calls] == ["handleBody", "handleDeviceDeleted"]
    assert recorder.calls[0][1] == golden("device_deleted.json").decode()


def test_what_fails_on_the_body_keeps_the_handler_from_running(push_at, golden, caplog):
    class Raw(Recorder):
        def handleBody(self, body):
            raise ValueError

    recorder = Raw()
    assert push_at(recorder, golden("device_deleted.json")).status == 500
    assert recorder.calls == []


def test_an_unknown_type_is_answered_and_logged(push_at, caplog):
    recorder = Recorder()
    answer = push_at(recorder, b'{"notifyType":"somethingNew"}')
    assert (answer.status, answer.json()["result"]) == (200, "ignored")
    assert "somethingNew" in caplog.text
    assert recorder.calls == []


@pytest.mark.parametrize("path", ["/v1.0.0/messageReceiver", "/v1.0.0/messageReceiver/cmd"])
@pytest.mark.parametrize("name", ["command_status", "device_added"])
def test_both_paths_take_every_push(golden, path, name):
    recorder = Recorder()
    platform = Platform(wsgi=recorder.wsgi, path=path)
    assert platform.send(platform.device_deleted("d").with_body(golden(f"{name}.json"))).status == 200
    assert len(recorder.calls) == 1


def test_handlers_that_are_not_overridden_accept(push_at, golden):
    answer = push_at(PushMessageReceiver(), golden("fw_upgrade_result.json"))
    assert (answer.status, answer.json()) == (200, {"result": "accepted"})


def test_a_copy_is_handled_once(golden):
    recorder = Recorder()
    platform = Platform(asgi=recorder.asgi)
    push = platform.firmware_state("d", FirmwareState.IDLE)
    platform.send_all([push, push.again()])
    assert len(recorder.bodies) == 1


def test_a_handler_that_raises_makes_the_platform_come_again(push_at, golden, caplog):
    class Failing(PushMessageReceiver):
        def handleFwUpgradeStateChanged(self, body):
            raise RuntimeError

    assert push_at(Failing(), golden("fw_upgrade_state_change.json")).status == 500


def test_signatures_are_asked_for_when_there_is_a_secret(golden):
    receiver = PushMessageReceiver(secrets=[SECRET])
    unsigned, signed = Platform(wsgi=receiver.wsgi), Platform(wsgi=receiver.wsgi, secrets=[SECRET])
    assert unsigned.send(unsigned.firmware_result("d")).status == 401
    assert signed.send(signed.firmware_result("d")).status == 200
