"""The vendor's surface: an override is enough, and it is handed the vendor's attributes."""

import base64

import pytest

from firmcast_sdk import (
    FirmwareState,
    NotifyFwUpgradeResultDTO,
    NotifyFwUpgradeStateChangedDTO,
    NotifySwUpgradeResultDTO,
    NotifySwUpgradeStateChangedDTO,
    PushMessageReceiver,
)
from firmcast_sdk.testing import Platform

SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()


class Recorder(PushMessageReceiver):
    def __init__(self):  # deliberately without super().__init__()
        self.bodies = []

    def handleFwUpgradeStateChanged(self, body):
        self.bodies.append(body)

    async def handleFwUpgradeResult(self, body):
        self.bodies.append(body)

    def handleSwUpgradeStateChanged(self, body):
        self.bodies.append(body)

    async def handleSwUpgradeResult(self, body):
        self.bodies.append(body)


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


@pytest.mark.parametrize(
    ("name", "kind", "attributes"),
    [
        (
            "fw_upgrade_result",
            NotifyFwUpgradeResultDTO,
            {"curVersion": "1.6", "status": "SUCCESS", "upgradeTime": "42"},
        ),
        ("sw_upgrade_state_change", NotifySwUpgradeStateChangedDTO, {"swUpgradeState": "downloading"}),
        ("sw_upgrade_result", NotifySwUpgradeResultDTO, {"swUpgradeResult": "FAIL", "errorCode": "5"}),
    ],
)
def test_the_other_three(push_at, golden, name, kind, attributes):
    recorder = Recorder()
    assert push_at(recorder, golden(f"{name}.json")).status == 200
    (body,) = recorder.bodies
    assert type(body) is kind
    assert {key: getattr(body, key) for key in attributes} == attributes
    assert {type(getattr(body, key)) for key in attributes} == {str}


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
