"""The vendor's own surface, its names kept letter by letter: override a handler and serve the instance.

A program written for the vendor's SDK finds its classes here and in `firmcast_sdk.dto`; new programs are better off
with `Receiver`.
"""
# ruff: noqa: N802 -- handlers are named as the vendor named them

from collections.abc import Awaitable, Sequence
from types import MappingProxyType
from typing import Any, Final, Self

from firmcast_sdk import _clock
from firmcast_sdk.dto import (
    NotifyBindDeviceDTO,
    NotifyCommandRspDTO,
    NotifyDeviceAddedDTO,
    NotifyDeviceDataChangedDTO,
    NotifyDeviceDatasChangedDTO,
    NotifyDeviceDeletedDTO,
    NotifyDeviceDesiredStatusChangedDTO,
    NotifyDeviceEventDTO,
    NotifyDeviceInfoChangedDTO,
    NotifyDeviceModelAddedDTO,
    NotifyDeviceModelDeletedDTO,
    NotifyFwUpgradeResultDTO,
    NotifyFwUpgradeStateChangedDTO,
    NotifyMessageConfirmDTO,
    NotifyNBCommandStatusChangedDTO,
    NotifyRuleEventDTO,
    NotifyServiceInfoChangedDTO,
    NotifySwUpgradeResultDTO,
    NotifySwUpgradeStateChangedDTO,
)
from firmcast_sdk.dto.making import make_dto
from firmcast_sdk.receiver.asgi import AsgiReceiver
from firmcast_sdk.receiver.delivery import Delivery, HandlerCall
from firmcast_sdk.receiver.delivery_store import DeliveryStore
from firmcast_sdk.receiver.receiver import Replays, make_delivery
from firmcast_sdk.receiver.reception import DEFAULT_PATH, DEFAULT_SIZE_LIMIT, Push
from firmcast_sdk.receiver.wsgi import WsgiReceiver
from firmcast_sdk.signatures import DEFAULT_TOLERANCE
from firmcast_sdk.wire import notifications as wire


class PushMessageReceiver:
    """Serves POST /v1.0.0/messageReceiver and …/cmd; override the handlers of interest, sync or async.

        class Printer(PushMessageReceiver):
            def handleFwUpgradeStateChanged(self, body):
                print(body.deviceId, body.stepDesc)

        app = Printer().asgi  # or .wsgi

    A handler that returns makes the answer 200; one that raises makes it 500, and the platform sends the push again.

    Args:
        secrets: `whsec_…`, any of which may have signed.
        public_keys: `whpk_…`, the same; without a secret and without a key, signatures are not looked at.
        deduplicate: True keeps what was handled in memory, a store keeps it where it likes, False handles every copy.
        replays: "handle" runs handlers also for what the platform repeats on request; "skip" treats it like any copy.
    """

    asgi: AsgiReceiver
    wsgi: WsgiReceiver

    def __new__(cls, *_args: Any, **_options: Any) -> Self:
        # Made ready here, not in __init__: a subclass that forgets to call it receives all the same.
        receiver = super().__new__(cls)
        receiver._serve(secrets=(), public_keys=(), deduplicate=True, replays="skip")
        return receiver

    def __init__(
        self,
        *,
        secrets: Sequence[str] = (),
        public_keys: Sequence[str] = (),
        deduplicate: DeliveryStore | bool = True,
        replays: Replays = "skip",
    ) -> None:
        self._serve(secrets=secrets, public_keys=public_keys, deduplicate=deduplicate, replays=replays)

    def handleBody(self, body: str) -> Awaitable[None] | None:
        """Any push that has a handler, as it came; called before that handler."""

    def handleDeviceAdded(self, body: NotifyDeviceAddedDTO) -> Awaitable[None] | None:
        """A device was registered."""

    def handleBindDevice(self, body: NotifyBindDeviceDTO) -> Awaitable[None] | None:
        """A device came for the first time, or its time ran out."""

    def handleDeviceInfoChanged(self, body: NotifyDeviceInfoChangedDTO) -> Awaitable[None] | None:
        """Facts of a device changed."""

    def handleDeviceDataChanged(self, body: NotifyDeviceDataChangedDTO) -> Awaitable[None] | None:
        """One service of a device reported data."""

    def handleDeviceDatasChanged(self, body: NotifyDeviceDatasChangedDTO) -> Awaitable[None] | None:
        """Several services of a device reported data."""

    def handleServiceInfoChanged(self, body: NotifyServiceInfoChangedDTO) -> Awaitable[None] | None:
        """A service takes other commands than before."""

    def handleDeviceDeleted(self, body: NotifyDeviceDeletedDTO) -> Awaitable[None] | None:
        """A device was deleted."""

    def handleMessageConfirm(self, body: NotifyMessageConfirmDTO) -> Awaitable[None] | None:
        """A message to a device came further."""

    def handleCommandRsp(self, body: NotifyCommandRspDTO) -> Awaitable[None] | None:
        """A device answered a command."""

    def handleDeviceEvent(self, body: NotifyDeviceEventDTO) -> Awaitable[None] | None:
        """A device reported an event of its own."""

    def handleDeviceModelAdded(self, body: NotifyDeviceModelAddedDTO) -> Awaitable[None] | None:
        """A device model was added."""

    def handleDeviceModelDeleted(self, body: NotifyDeviceModelDeletedDTO) -> Awaitable[None] | None:
        """A device model was deleted."""

    def handleRuleEvent(self, body: NotifyRuleEventDTO) -> Awaitable[None] | None:
        """A rule held, and its actions ran."""

    def handleDeviceDesiredStatusChanged(self, body: NotifyDeviceDesiredStatusChangedDTO) -> Awaitable[None] | None:
        """Desired properties reached a device, or did not."""

    def handleSwUpgradeStateChanged(self, body: NotifySwUpgradeStateChangedDTO) -> Awaitable[None] | None:
        """A device went to another state of its software upgrade."""

    def handleSwUpgradeResult(self, body: NotifySwUpgradeResultDTO) -> Awaitable[None] | None:
        """A device's software upgrade ended."""

    def handleFwUpgradeStateChanged(self, body: NotifyFwUpgradeStateChangedDTO) -> Awaitable[None] | None:
        """A device went to another step of its firmware upgrade."""

    def handleFwUpgradeResult(self, body: NotifyFwUpgradeResultDTO) -> Awaitable[None] | None:
        """A device's firmware upgrade ended."""

    def handleNBCommandStateChanged(self, body: NotifyNBCommandStatusChangedDTO) -> Awaitable[None] | None:
        """A command to a device came further; the platform tells it at `/v1.0.0/messageReceiver/cmd`."""

    def _serve(
        self,
        *,
        secrets: Sequence[str],
        public_keys: Sequence[str],
        deduplicate: DeliveryStore | bool,
        replays: Replays,
    ) -> None:
        delivery: Delivery = make_delivery(
            path=DEFAULT_PATH,
            secrets=secrets,
            public_keys=public_keys,
            tolerance=DEFAULT_TOLERANCE,
            deduplicate=deduplicate,
            replays=replays,
            size_limit=DEFAULT_SIZE_LIMIT,
            clock=_clock.now,
            find_handlers=self._find_handlers,
        )
        self.asgi = AsgiReceiver(delivery)
        self.wsgi = WsgiReceiver(delivery)

    def _find_handlers(self, push: Push) -> tuple[HandlerCall, ...]:
        name, kind = _HANDLERS[type(push.notification)]
        handled = HandlerCall(handler=getattr(self, name), argument=make_dto(kind, push.notification))
        if type(self).handleBody is PushMessageReceiver.handleBody:
            return (handled,)
        return (HandlerCall(handler=self.handleBody, argument=push.body.decode("utf-8", "replace")), handled)


# The name of the handler of each push and what it is given; a test holds it complete.
_HANDLERS: Final = MappingProxyType[type[wire.Notification], tuple[str, type[Any]]](
    {
        wire.DeviceAddedNotify: ("handleDeviceAdded", NotifyDeviceAddedDTO),
        wire.BindDeviceNotify: ("handleBindDevice", NotifyBindDeviceDTO),
        wire.DeviceInfoChangedNotify: ("handleDeviceInfoChanged", NotifyDeviceInfoChangedDTO),
        wire.DeviceDataChangedNotify: ("handleDeviceDataChanged", NotifyDeviceDataChangedDTO),
        wire.DeviceDatasChangedNotify: ("handleDeviceDatasChanged", NotifyDeviceDatasChangedDTO),
        wire.ServiceInfoChangedNotify: ("handleServiceInfoChanged", NotifyServiceInfoChangedDTO),
        wire.DeviceDeletedNotify: ("handleDeviceDeleted", NotifyDeviceDeletedDTO),
        wire.MessageConfirmNotify: ("handleMessageConfirm", NotifyMessageConfirmDTO),
        wire.CommandRspNotify: ("handleCommandRsp", NotifyCommandRspDTO),
        wire.DeviceEventNotify: ("handleDeviceEvent", NotifyDeviceEventDTO),
        wire.DeviceModelAddedNotify: ("handleDeviceModelAdded", NotifyDeviceModelAddedDTO),
        wire.DeviceModelDeletedNotify: ("handleDeviceModelDeleted", NotifyDeviceModelDeletedDTO),
        wire.RuleEventNotify: ("handleRuleEvent", NotifyRuleEventDTO),
        wire.DeviceDesiredPropertiesModifyStatusChangedNotify: (
            "handleDeviceDesiredStatusChanged",
            NotifyDeviceDesiredStatusChangedDTO,
        ),
        wire.SwUpgradeStateChangeNotify: ("handleSwUpgradeStateChanged", NotifySwUpgradeStateChangedDTO),
        wire.SwUpgradeResultNotify: ("handleSwUpgradeResult", NotifySwUpgradeResultDTO),
        wire.FwUpgradeStateChangeNotify: ("handleFwUpgradeStateChanged", NotifyFwUpgradeStateChangedDTO),
        wire.FwUpgradeResultNotify: ("handleFwUpgradeResult", NotifyFwUpgradeResultDTO),
        wire.CommandStatusNotify: ("handleNBCommandStateChanged", NotifyNBCommandStatusChangedDTO),
    }
)
