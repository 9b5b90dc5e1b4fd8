"""Never run: a type checker judges it, so that the public surface keeps the types that users see."""

from typing import assert_type

from firmcast_sdk import (
    DeviceDeleted,
    DeviceModelAdded,
    DeviceModelDeleted,
    Event,
    FirmwareState,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    MessageConfirmed,
    NotifyFwUpgradeResultDTO,
    NotifyFwUpgradeStateChangedDTO,
    Outcome,
    PushMessageReceiver,
    Receiver,
    RuleFired,
    SoftwareStateChanged,
    SoftwareUpgradeEnded,
    SqliteDeliveryStore,
)
from firmcast_sdk.testing import Platform, Response

receiver = Receiver(secrets=["whsec_c2VjcmV0"], deduplicate=SqliteDeliveryStore("pushes.sqlite"))


@receiver.on_firmware_state
def state(event: FirmwareStateChanged) -> None:
    assert_type(event.state, FirmwareState)


@receiver.on_firmware_result
async def result(event: FirmwareUpgradeEnded) -> None:
    assert_type(event.outcome, Outcome)


def wrong(event: FirmwareUpgradeEnded) -> None: ...


receiver.on_firmware_state(wrong)  # type: ignore[arg-type]  # a handler of another event must be refused


def every_event(event: Event) -> str:
    match event:
        case FirmwareStateChanged() | SoftwareStateChanged():
            return event.state.value
        case FirmwareUpgradeEnded() | SoftwareUpgradeEnded():
            return event.outcome.value
        case DeviceModelAdded() | DeviceModelDeleted():
            return event.model
        case RuleFired():
            return event.rule_name
        case MessageConfirmed():
            return event.status
        case _:
            return event.device_id


class Overriding(PushMessageReceiver):
    def handleFwUpgradeStateChanged(self, body: NotifyFwUpgradeStateChangedDTO) -> None:
        assert_type(body.stepDesc, str)

    async def handleFwUpgradeResult(self, body: NotifyFwUpgradeResultDTO) -> None:
        assert_type(body.status, str)


def pushing() -> None:
    platform = Platform(asgi=receiver.asgi)
    assert_type(platform.send(platform.firmware_result("d")), Response)
    Platform(wsgi=Overriding().wsgi)


@receiver.on_device_deleted
async def deleted(event: DeviceDeleted) -> None:
    """Can be awaited by its name, as a test of the application does."""


async def called_by_name(event: DeviceDeleted) -> None:
    await deleted(event)
