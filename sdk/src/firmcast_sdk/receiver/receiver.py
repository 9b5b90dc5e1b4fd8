"""An application's own code is reached from here only: one handler for each kind of event, sync or async."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from firmcast_sdk import _clock
from firmcast_sdk.events import (
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    SoftwareStateChanged,
    SoftwareUpgradeEnded,
)
from firmcast_sdk.receiver.asgi import AsgiReceiver
from firmcast_sdk.receiver.deduplication import DeduplicationStore, MemoryDeduplicationStore
from firmcast_sdk.receiver.delivery import Delivery, HandlerCall
from firmcast_sdk.receiver.reception import DEFAULT_PATH, DEFAULT_SIZE_LIMIT, Push, ReceptionRules
from firmcast_sdk.receiver.wsgi import WsgiReceiver
from firmcast_sdk.signatures import DEFAULT_TOLERANCE, parse_secret

EventType = TypeVar("EventType")
Handler = Callable[[EventType], Awaitable[None] | None]
_AnyHandler = Callable[[Any], object]


class Receiver:
    """Receives pushes at a callback URL and hands them to handlers as typed events.

        receiver = Receiver(secrets=["whsec_…"])

        @receiver.on_firmware_state
        def show(event: FirmwareStateChanged) -> None: ...

    Serve `receiver.asgi` or `receiver.wsgi`, alone or mounted in a framework's application. A handler that returns
    makes the answer 200; one that raises makes it 500, and the platform sends the push again.

    Args:
        path: where it listens; None takes every path. Mounted below a path, the mount's root is taken too.
        secrets: `whsec_…`, any of which may have signed; without one, signatures are not looked at.
        tolerance: how far a signature's time may be from now.
        deduplicate: True keeps ids in memory, a store keeps them where it likes, False handles every copy.
        size_limit: largest body in bytes; a larger one is answered 413 without being read.
        clock: gives the time, aware UTC; for tests.

    Raises:
        ValueError: when a secret is empty or not base64, or the limit is below 1.
    """

    def __init__(
        self,
        *,
        path: str | None = DEFAULT_PATH,
        secrets: Sequence[str] = (),
        tolerance: timedelta = DEFAULT_TOLERANCE,
        deduplicate: DeduplicationStore | bool = True,
        size_limit: int = DEFAULT_SIZE_LIMIT,
        clock: Callable[[], datetime] = _clock.now,
    ) -> None:
        self._handlers: dict[type, _AnyHandler] = {}
        delivery = make_delivery(
            path=path,
            secrets=secrets,
            tolerance=tolerance,
            deduplicate=deduplicate,
            size_limit=size_limit,
            clock=clock,
            find_handler=self._find_handler,
        )
        self.asgi = AsgiReceiver(delivery)
        self.wsgi = WsgiReceiver(delivery)

    def on_firmware_state(self, handler: Handler[FirmwareStateChanged]) -> Handler[FirmwareStateChanged]:
        """Have `handler` called with each state of a firmware upgrade; raises ValueError when one is set already."""
        return self._set(FirmwareStateChanged, handler)

    def on_firmware_result(self, handler: Handler[FirmwareUpgradeEnded]) -> Handler[FirmwareUpgradeEnded]:
        """Have `handler` called when a firmware upgrade ended; raises ValueError when one is set already."""
        return self._set(FirmwareUpgradeEnded, handler)

    def on_software_state(self, handler: Handler[SoftwareStateChanged]) -> Handler[SoftwareStateChanged]:
        """Have `handler` called with each state of a software upgrade; raises ValueError when one is set already."""
        return self._set(SoftwareStateChanged, handler)

    def on_software_result(self, handler: Handler[SoftwareUpgradeEnded]) -> Handler[SoftwareUpgradeEnded]:
        """Have `handler` called when a software upgrade ended; raises ValueError when one is set already."""
        return self._set(SoftwareUpgradeEnded, handler)

    def _set(self, kind: type[EventType], handler: Handler[EventType]) -> Handler[EventType]:
        # One handler a kind: with two, a failure of the second would repeat the first.
        if kind in self._handlers:
            raise ValueError(f"a handler of {kind.__name__} is already set")
        self._handlers[kind] = handler
        return handler

    def _find_handler(self, push: Push) -> HandlerCall | None:
        event = push.event()
        handler = self._handlers.get(type(event))
        return None if handler is None else HandlerCall(handler=handler, argument=event)


def make_delivery(
    *,
    path: str | None,
    secrets: Sequence[str],
    tolerance: timedelta,
    deduplicate: DeduplicationStore | bool,
    size_limit: int,
    clock: Callable[[], datetime],
    find_handler: Callable[[Push], HandlerCall | None],
) -> Delivery:
    """The delivery that the given options mean; raises ValueError for those that make no sense."""
    if isinstance(secrets, str):
        raise TypeError("secrets is a list of secrets, not one")
    for secret in secrets:
        parse_secret(secret)
    if size_limit < 1:
        raise ValueError("size_limit must be at least 1")
    store: DeduplicationStore | None
    if deduplicate is True:
        store = MemoryDeduplicationStore()
    elif deduplicate is False:
        store = None
    else:
        store = deduplicate
    rules = ReceptionRules(path=path, secrets=tuple(secrets), tolerance=tolerance, size_limit=size_limit)
    return Delivery(rules=rules, store=store, find_handler=find_handler, clock=clock)
