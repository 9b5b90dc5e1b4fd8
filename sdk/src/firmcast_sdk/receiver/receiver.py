"""An application's own code is reached from here only: one handler for each kind of event, sync or async."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar, get_args

from firmcast_sdk import _clock
from firmcast_sdk.events import (
    CommandAnswered,
    CommandStatusChanged,
    DesiredPropertiesSettled,
    DeviceAdded,
    DeviceBindingExpired,
    DeviceBound,
    DeviceDataReported,
    DeviceDeleted,
    DeviceEventReported,
    DeviceInfoChanged,
    DeviceModelAdded,
    DeviceModelDeleted,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    MessageConfirmed,
    RuleFired,
    ServiceInfoChanged,
    SoftwareStateChanged,
    SoftwareUpgradeEnded,
)
from firmcast_sdk.receiver.asgi import AsgiReceiver
from firmcast_sdk.receiver.delivery import Delivery, HandlerCall
from firmcast_sdk.receiver.delivery_store import DeliveryStore, MemoryDeliveryStore
from firmcast_sdk.receiver.reception import DEFAULT_PATH, DEFAULT_SIZE_LIMIT, Push, ReceptionRules
from firmcast_sdk.receiver.wsgi import WsgiReceiver
from firmcast_sdk.signatures import DEFAULT_TOLERANCE, parse_public_key, parse_secret

EventType = TypeVar("EventType")
Returned = TypeVar("Returned", bound=Awaitable[None] | None)
"""Kept by the decorators, so that an async handler can still be awaited by its name."""
Replays = Literal["skip", "handle"]
_AnyHandler = Callable[[Any], object]


class Receiver:
    """Receives pushes at a callback URL and hands them to handlers as typed events.

        receiver = Receiver(secrets=["whsec_…"])

        @receiver.on_firmware_state
        def show(event: FirmwareStateChanged) -> None: ...

    Serve `receiver.asgi` or `receiver.wsgi`, alone or mounted in a framework's application. A handler that returns
    makes the answer 200; one that raises makes it 500, and the platform sends the push again. Each event is handled
    once, one event of a device at a time, and none after a later one of its device: as far as the store reaches.
    Each `on_…` raises ValueError when a handler of its kind is set already.

    Args:
        path: where it listens, there and at `/cmd` below it; None takes every path. Mounted below a path, the mount's
            root is taken too.
        secrets: `whsec_…`, any of which may have signed.
        public_keys: `whpk_…`, the same; who holds them cannot sign. Without a secret and without a key, signatures are
            not looked at.
        tolerance: how far a signature's time may be from now.
        deduplicate: True keeps what was handled in memory, a store keeps it where it likes, False handles every copy
            in the order in which they come.
        replays: "handle" runs handlers also for what the platform repeats on request, however old; "skip" treats a
            replay like any copy.
        size_limit: largest body in bytes; a larger one is answered 413 without being read.
        clock: gives the time, aware UTC; for tests.

    Raises:
        ValueError: when a secret or a key is none, the limit is below 1, or `replays` is another word.
        Ed25519MissingError: when there are public keys, and firmcast-sdk[ed25519] is not installed.
    """

    def __init__(
        self,
        *,
        path: str | None = DEFAULT_PATH,
        secrets: Sequence[str] = (),
        public_keys: Sequence[str] = (),
        tolerance: timedelta = DEFAULT_TOLERANCE,
        deduplicate: DeliveryStore | bool = True,
        replays: Replays = "skip",
        size_limit: int = DEFAULT_SIZE_LIMIT,
        clock: Callable[[], datetime] = _clock.now,
    ) -> None:
        self._handlers: dict[type, _AnyHandler] = {}
        delivery = make_delivery(
            path=path,
            secrets=secrets,
            public_keys=public_keys,
            tolerance=tolerance,
            deduplicate=deduplicate,
            replays=replays,
            size_limit=size_limit,
            clock=clock,
            find_handlers=self._find_handlers,
        )
        self.asgi = AsgiReceiver(delivery)
        self.wsgi = WsgiReceiver(delivery)

    def on_firmware_state(
        self, handler: Callable[[FirmwareStateChanged], Returned]
    ) -> Callable[[FirmwareStateChanged], Returned]:
        """Have `handler` called with each state of a firmware upgrade."""
        return self._set(FirmwareStateChanged, handler)

    def on_firmware_result(
        self, handler: Callable[[FirmwareUpgradeEnded], Returned]
    ) -> Callable[[FirmwareUpgradeEnded], Returned]:
        """Have `handler` called when a firmware upgrade ended."""
        return self._set(FirmwareUpgradeEnded, handler)

    def on_software_state(
        self, handler: Callable[[SoftwareStateChanged], Returned]
    ) -> Callable[[SoftwareStateChanged], Returned]:
        """Have `handler` called with each state of a software upgrade."""
        return self._set(SoftwareStateChanged, handler)

    def on_software_result(
        self, handler: Callable[[SoftwareUpgradeEnded], Returned]
    ) -> Callable[[SoftwareUpgradeEnded], Returned]:
        """Have `handler` called when a software upgrade ended."""
        return self._set(SoftwareUpgradeEnded, handler)

    def on_device_added(self, handler: Callable[[DeviceAdded], Returned]) -> Callable[[DeviceAdded], Returned]:
        """Have `handler` called when a device was registered."""
        return self._set(DeviceAdded, handler)

    def on_device_bound(self, handler: Callable[[DeviceBound], Returned]) -> Callable[[DeviceBound], Returned]:
        """Have `handler` called when a registered device came for the first time."""
        return self._set(DeviceBound, handler)

    def on_device_binding_expired(
        self, handler: Callable[[DeviceBindingExpired], Returned]
    ) -> Callable[[DeviceBindingExpired], Returned]:
        """Have `handler` called when a registered device did not come in time."""
        return self._set(DeviceBindingExpired, handler)

    def on_device_info(
        self, handler: Callable[[DeviceInfoChanged], Returned]
    ) -> Callable[[DeviceInfoChanged], Returned]:
        """Have `handler` called when facts of a device changed."""
        return self._set(DeviceInfoChanged, handler)

    def on_device_deleted(self, handler: Callable[[DeviceDeleted], Returned]) -> Callable[[DeviceDeleted], Returned]:
        """Have `handler` called when a device was deleted."""
        return self._set(DeviceDeleted, handler)

    def on_device_data(
        self, handler: Callable[[DeviceDataReported], Returned]
    ) -> Callable[[DeviceDataReported], Returned]:
        """Have `handler` called when a device reported data."""
        return self._set(DeviceDataReported, handler)

    def on_service_info(
        self, handler: Callable[[ServiceInfoChanged], Returned]
    ) -> Callable[[ServiceInfoChanged], Returned]:
        """Have `handler` called when a service takes other commands than before."""
        return self._set(ServiceInfoChanged, handler)

    def on_desired_properties(
        self, handler: Callable[[DesiredPropertiesSettled], Returned]
    ) -> Callable[[DesiredPropertiesSettled], Returned]:
        """Have `handler` called when desired properties reached a device, or did not."""
        return self._set(DesiredPropertiesSettled, handler)

    def on_device_model_added(
        self, handler: Callable[[DeviceModelAdded], Returned]
    ) -> Callable[[DeviceModelAdded], Returned]:
        """Have `handler` called when a device model was added."""
        return self._set(DeviceModelAdded, handler)

    def on_device_model_deleted(
        self, handler: Callable[[DeviceModelDeleted], Returned]
    ) -> Callable[[DeviceModelDeleted], Returned]:
        """Have `handler` called when a device model was deleted."""
        return self._set(DeviceModelDeleted, handler)

    def on_device_event(
        self, handler: Callable[[DeviceEventReported], Returned]
    ) -> Callable[[DeviceEventReported], Returned]:
        """Have `handler` called when a device reported an event of its own."""
        return self._set(DeviceEventReported, handler)

    def on_command_status(
        self, handler: Callable[[CommandStatusChanged], Returned]
    ) -> Callable[[CommandStatusChanged], Returned]:
        """Have `handler` called when a command came further."""
        return self._set(CommandStatusChanged, handler)

    def on_command_answer(
        self, handler: Callable[[CommandAnswered], Returned]
    ) -> Callable[[CommandAnswered], Returned]:
        """Have `handler` called when a device answered a command."""
        return self._set(CommandAnswered, handler)

    def on_message_status(
        self, handler: Callable[[MessageConfirmed], Returned]
    ) -> Callable[[MessageConfirmed], Returned]:
        """Have `handler` called when a message came further."""
        return self._set(MessageConfirmed, handler)

    def on_rule(self, handler: Callable[[RuleFired], Returned]) -> Callable[[RuleFired], Returned]:
        """Have `handler` called when a rule held."""
        return self._set(RuleFired, handler)

    def _set(self, kind: type[EventType], handler: Callable[[EventType], Returned]) -> Callable[[EventType], Returned]:
        # One handler a kind: with two, a failure of the second would repeat the first.
        if kind in self._handlers:
            raise ValueError(f"a handler of {kind.__name__} is already set")
        self._handlers[kind] = handler
        return handler

    def _find_handlers(self, push: Push) -> tuple[HandlerCall, ...]:
        event = push.event()
        handler = self._handlers.get(type(event))
        return () if handler is None else (HandlerCall(handler=handler, argument=event),)


def make_delivery(
    *,
    path: str | None,
    secrets: Sequence[str],
    public_keys: Sequence[str],
    tolerance: timedelta,
    deduplicate: DeliveryStore | bool,
    replays: Replays,
    size_limit: int,
    clock: Callable[[], datetime],
    find_handlers: Callable[[Push], tuple[HandlerCall, ...]],
) -> Delivery:
    """The delivery that the given options mean; raises ValueError for those that make no sense."""
    for name, given in (("secrets", secrets), ("public_keys", public_keys)):
        if isinstance(given, str):
            raise TypeError(f"{name} is a list, not one of them")
    for secret in secrets:
        parse_secret(secret)
    for public_key in public_keys:
        parse_public_key(public_key)
    if size_limit < 1:
        raise ValueError("size_limit must be at least 1")
    if replays not in get_args(Replays):
        raise ValueError('replays is "skip" or "handle"')
    store: DeliveryStore | None
    if deduplicate is True:
        store = MemoryDeliveryStore()
    elif deduplicate is False:
        store = None
    else:
        store = deduplicate
    rules = ReceptionRules(
        path=path,
        secrets=tuple(secrets),
        public_keys=tuple(public_keys),
        tolerance=tolerance,
        size_limit=size_limit,
    )
    return Delivery(
        rules=rules,
        store=store,
        repeat_replays=replays == "handle",
        find_handlers=find_handlers,
        clock=clock,
    )
