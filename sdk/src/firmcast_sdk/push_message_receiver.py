"""The vendor's own surface, its names kept letter by letter: override a handler and serve the instance.

A program written for the vendor's SDK finds its classes here; new programs are better off with `Receiver`.
"""
# ruff: noqa: N802, N815 -- handlers and attributes are named as the vendor named them

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Self, assert_never

from firmcast_sdk import _clock
from firmcast_sdk.receiver.asgi import AsgiReceiver
from firmcast_sdk.receiver.deduplication import DeduplicationStore
from firmcast_sdk.receiver.delivery import Delivery, HandlerCall
from firmcast_sdk.receiver.receiver import make_delivery
from firmcast_sdk.receiver.reception import DEFAULT_PATH, DEFAULT_SIZE_LIMIT, Push
from firmcast_sdk.receiver.wsgi import WsgiReceiver
from firmcast_sdk.signatures import DEFAULT_TOLERANCE
from firmcast_sdk.wire.notifications import (
    FwUpgradeResultNotify,
    FwUpgradeStateChangeNotify,
    SwUpgradeResultNotify,
    SwUpgradeStateChangeNotify,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyFwUpgradeStateChangedDTO:
    """A device went to another step of a firmware upgrade: `step` is "0" idle, "1" downloading, "2" downloaded, "3"."""

    notifyType: str
    deviceId: str
    appId: str
    operationId: str
    subOperationId: str
    step: str
    stepDesc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyFwUpgradeResultDTO:
    """A device's firmware upgrade ended: `status` is SUCCESS or FAIL, `upgradeTime` seconds as digits."""

    notifyType: str
    deviceId: str
    appId: str
    operationId: str
    subOperationId: str
    curVersion: str
    targetVersion: str
    sourceVersion: str
    status: str
    statusDesc: str
    upgradeTime: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySwUpgradeStateChangedDTO:
    """A device went to another state of a software upgrade: `swUpgradeState` is its word."""

    notifyType: str
    deviceId: str
    appId: str
    operationId: str
    subOperationId: str
    swUpgradeState: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySwUpgradeResultDTO:
    """A device's software upgrade ended: `swUpgradeResult` is SUCCESS or FAIL, `errorCode` the device's own."""

    notifyType: str
    deviceId: str
    appId: str
    operationId: str
    subOperationId: str
    curVersion: str
    targetVersion: str
    sourceVersion: str
    swUpgradeResult: str
    upgradeTime: str
    resultDesc: str
    errorCode: str
    description: str


class PushMessageReceiver:
    """Serves POST /v1.0.0/messageReceiver; override the handlers of interest, sync or async.

        class Printer(PushMessageReceiver):
            def handleFwUpgradeStateChanged(self, body):
                print(body.deviceId, body.stepDesc)

        app = Printer().asgi  # or .wsgi

    A handler that returns makes the answer 200; one that raises makes it 500, and the platform sends the push again.

    Args:
        secrets: `whsec_…`, any of which may have signed; without one, signatures are not looked at.
        deduplicate: True keeps ids in memory, a store keeps them where it likes, False handles every copy.
    """

    asgi: AsgiReceiver
    wsgi: WsgiReceiver

    def __new__(cls, *_args: Any, **_options: Any) -> Self:
        # Made ready here, not in __init__: a subclass that forgets to call it receives all the same.
        receiver = super().__new__(cls)
        receiver._serve(secrets=(), deduplicate=True)
        return receiver

    def __init__(self, *, secrets: Sequence[str] = (), deduplicate: DeduplicationStore | bool = True) -> None:
        self._serve(secrets=secrets, deduplicate=deduplicate)

    def handleFwUpgradeStateChanged(self, body: NotifyFwUpgradeStateChangedDTO) -> Awaitable[None] | None:
        """A device went to another step of its firmware upgrade."""

    def handleFwUpgradeResult(self, body: NotifyFwUpgradeResultDTO) -> Awaitable[None] | None:
        """A device's firmware upgrade ended."""

    def handleSwUpgradeStateChanged(self, body: NotifySwUpgradeStateChangedDTO) -> Awaitable[None] | None:
        """A device went to another state of its software upgrade."""

    def handleSwUpgradeResult(self, body: NotifySwUpgradeResultDTO) -> Awaitable[None] | None:
        """A device's software upgrade ended."""

    def _serve(self, *, secrets: Sequence[str], deduplicate: DeduplicationStore | bool) -> None:
        delivery: Delivery = make_delivery(
            path=DEFAULT_PATH,
            secrets=secrets,
            tolerance=DEFAULT_TOLERANCE,
            deduplicate=deduplicate,
            size_limit=DEFAULT_SIZE_LIMIT,
            clock=_clock.now,
            find_handler=self._find_handler,
        )
        self.asgi = AsgiReceiver(delivery)
        self.wsgi = WsgiReceiver(delivery)

    def _find_handler(self, push: Push) -> HandlerCall:
        notification = push.notification
        values: dict[str, str] = {
            wire_name: str(getattr(notification, attribute))
            for attribute, wire_name in zip(
                notification.__struct_fields__, notification.__struct_encode_fields__, strict=True
            )
        }
        values["notifyType"] = notification.notify_type.value
        match notification:
            case FwUpgradeStateChangeNotify():
                return HandlerCall(
                    handler=self.handleFwUpgradeStateChanged, argument=NotifyFwUpgradeStateChangedDTO(**values)
                )
            case FwUpgradeResultNotify():
                return HandlerCall(handler=self.handleFwUpgradeResult, argument=NotifyFwUpgradeResultDTO(**values))
            case SwUpgradeStateChangeNotify():
                return HandlerCall(
                    handler=self.handleSwUpgradeStateChanged, argument=NotifySwUpgradeStateChangedDTO(**values)
                )
            case SwUpgradeResultNotify():
                return HandlerCall(handler=self.handleSwUpgradeResult, argument=NotifySwUpgradeResultDTO(**values))
            case _:
                assert_never(notification)
