"""A platform for tests: numbers events by device, signs, and sends to one receiver."""

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from firmcast_sdk import _clock
from firmcast_sdk.events import FirmwareState, Outcome, SoftwareState, device_of
from firmcast_sdk.receiver.reception import DEFAULT_PATH
from firmcast_sdk.signatures import sign
from firmcast_sdk.testing.pushes import OutgoingPush, Response
from firmcast_sdk.testing.sending import AsgiApplication, run_apart, send_asgi, send_http, send_wsgi
from firmcast_sdk.wire import headers as names
from firmcast_sdk.wire.devices import DeviceInfo, NodeType
from firmcast_sdk.wire.notifications import (
    STEP_DESCRIPTIONS,
    BindDeviceNotify,
    BindResult,
    ChangedDeviceInfo,
    CommandResult,
    CommandResultCode,
    CommandStatusNotify,
    DeviceAddedNotify,
    DeviceDataChangedNotify,
    DeviceDeletedNotify,
    DeviceInfoChangedNotify,
    FwUpgradeResultNotify,
    FwUpgradeStateChangeNotify,
    Notification,
    ServiceData,
    SwUpgradeResultNotify,
    SwUpgradeState,
    SwUpgradeStateChangeNotify,
    UpgradeStatus,
    encode,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_STEPS = {state: str(number) for number, state in enumerate(FirmwareState)}
_SOFTWARE_WORDS = {
    SoftwareState.IDLE: SwUpgradeState.IDLE,
    SoftwareState.DOWNLOADING: SwUpgradeState.DOWNLOADING,
    SoftwareState.DOWNLOADED: SwUpgradeState.DOWNLOADED,
    SoftwareState.UPDATING: SwUpgradeState.UPDATING,
    SoftwareState.CREATED: SwUpgradeState.OTA_CREATED,
    SoftwareState.DOWNLOAD_REQUESTED: SwUpgradeState.REQUEST_DOWNLOAD,
}
_STATUSES = {Outcome.SUCCEEDED: UpgradeStatus.SUCCESS, Outcome.FAILED: UpgradeStatus.FAIL}


class Platform:
    """Makes the pushes of a platform and sends them to one receiver.

    Args:
        asgi: the application to push at, or
        wsgi: the application to push at, or
        url: a callback URL to push at over HTTP or HTTPS.
        path: where the application in this process listens; a URL has its own.
        secrets: `whsec_…` to sign with, and private keys, `whsk_…`; without any, pushes are not signed.
        tls: how the certificate behind an https URL is judged.
        clock: gives the time, aware UTC.

    Raises:
        ValueError: when not exactly one of the three is given.
    """

    def __init__(
        self,
        *,
        asgi: AsgiApplication | None = None,
        wsgi: "WSGIApplication | None" = None,
        url: str | None = None,
        path: str = DEFAULT_PATH,
        secrets: Sequence[str] = (),
        application_id: str = "application-1",
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], datetime] = _clock.now,
    ) -> None:
        if [asgi, wsgi, url].count(None) != 2:
            raise ValueError("give exactly one of asgi, wsgi and url")
        self._asgi = asgi
        self._wsgi = wsgi
        self._url = url
        self._path = path
        self._secrets = tuple(secrets)
        self._application_id = application_id
        self._tls = tls
        self._clock = clock
        self._sequences: dict[str, int] = {}

    def firmware_state(
        self, device_id: str, state: FirmwareState, *, task_id: str = "task-1", synthesised: bool = False
    ) -> OutgoingPush:
        """The push that tells of a state of a firmware upgrade."""
        step = _STEPS[state]
        notification = FwUpgradeStateChangeNotify(
            **self._ids(device_id, task_id), step=step, step_desc=STEP_DESCRIPTIONS[step]
        )
        return replace(self.push(notification), synthesised=synthesised)

    def firmware_result(
        self, device_id: str, outcome: Outcome = Outcome.SUCCEEDED, *, task_id: str = "task-1"
    ) -> OutgoingPush:
        """The push that tells of the end of a firmware upgrade."""
        succeeded = outcome is Outcome.SUCCEEDED
        return self.push(
            FwUpgradeResultNotify(
                **self._ids(device_id, task_id),
                cur_version="2.0" if succeeded else "1.0",
                target_version="2.0",
                source_version="1.0",
                status=_STATUSES[outcome],
                status_desc="Firmware updated successfully" if succeeded else "Firmware update failed",
                upgrade_time="60",
            )
        )

    def software_state(self, device_id: str, state: SoftwareState, *, task_id: str = "task-1") -> OutgoingPush:
        """The push that tells of a state of a software upgrade."""
        ids = self._ids(device_id, task_id)
        return self.push(SwUpgradeStateChangeNotify(**ids, sw_upgrade_state=_SOFTWARE_WORDS[state]))

    def software_result(
        self, device_id: str, outcome: Outcome = Outcome.SUCCEEDED, *, task_id: str = "task-1"
    ) -> OutgoingPush:
        """The push that tells of the end of a software upgrade."""
        succeeded = outcome is Outcome.SUCCEEDED
        return self.push(
            SwUpgradeResultNotify(
                **self._ids(device_id, task_id),
                cur_version="2.0" if succeeded else "1.0",
                target_version="2.0",
                source_version="1.0",
                sw_upgrade_result=_STATUSES[outcome],
                upgrade_time="60",
                result_desc="done" if succeeded else "not done",
                error_code="0" if succeeded else "5",
                description="success" if succeeded else "not enough space",
            )
        )

    def firmware_upgrade(
        self, device_id: str, outcome: Outcome = Outcome.SUCCEEDED, *, task_id: str = "task-1"
    ) -> list[OutgoingPush]:
        """All pushes of one upgrade in order: downloading, downloaded, updating, idle, result."""
        states = (
            FirmwareState.DOWNLOADING,
            FirmwareState.DOWNLOADED,
            FirmwareState.UPDATING,
            FirmwareState.IDLE,
        )
        pushes = [self.firmware_state(device_id, state, task_id=task_id) for state in states]
        return [*pushes, self.firmware_result(device_id, outcome, task_id=task_id)]

    def device_added(self, device_id: str, **facts: str) -> OutgoingPush:
        """The push that tells of a new device; `facts` are named as in `DeviceInfo`."""
        info = DeviceInfo(**({"node_id": device_id, "status": "OFFLINE", "status_detail": "NOT_ACTIVE"} | facts))
        return self.push(
            DeviceAddedNotify(device_id=device_id, gateway_id=device_id, node_type=NodeType.ENDPOINT, device_info=info)
        )

    def device_bound(self, device_id: str, *, expired: bool = False) -> OutgoingPush:
        """The push that tells that a device came for the first time, or did not in time."""
        result = BindResult.EXPIRED if expired else BindResult.SUCCEEDED
        return self.push(BindDeviceNotify(device_id=device_id, result_code=result))

    def device_info_changed(self, device_id: str, **changes: str) -> OutgoingPush:
        """The push that tells of changed facts; `changes` are named as in `DeviceInfo`."""
        info = ChangedDeviceInfo(**changes)
        return self.push(DeviceInfoChangedNotify(device_id=device_id, gateway_id=device_id, device_info=info))

    def device_deleted(self, device_id: str) -> OutgoingPush:
        """The push that tells that a device was deleted."""
        return self.push(DeviceDeletedNotify(device_id=device_id, gateway_id=device_id))

    def device_data(self, device_id: str, service_id: str, data: Mapping[str, object]) -> OutgoingPush:
        """The push that tells what one service of a device reported."""
        service = ServiceData(service_id=service_id, service_type=service_id, data=dict(data))
        return self.push(DeviceDataChangedNotify(device_id=device_id, gateway_id=device_id, service=service))

    def command_status(self, device_id: str, command_id: str, status: CommandResultCode) -> OutgoingPush:
        """The push that tells how far a command came."""
        result = CommandResult(result_code=status)
        return self.push(CommandStatusNotify(device_id=device_id, command_id=command_id, result=result))

    def callback_test(self) -> OutgoingPush:
        """The push by which an operator tries a callback: of a device that does not exist, in no order."""
        push = self.firmware_state("firmcast-callback-test", FirmwareState.IDLE, task_id="firmcast-callback-test")
        return replace(push, event_id=f"test_{push.event_id}", sequence=None, callback_test=True)

    def push(self, notification: Notification) -> OutgoingPush:
        """The push of any notification: the next event of its device, or one of no device."""
        device_id = device_of(notification)
        name = device_id or "no device"
        number = self._sequences[name] = self._sequences.get(name, 0) + 1
        return OutgoingPush(
            body=encode(notification),
            event_id=f"{name}-{number}",
            sequence=None if device_id is None else number,
            occurred_at=self._clock(),
        )

    def headers(self, push: OutgoingPush) -> dict[str, str]:
        """The headers that `push` is sent with now, names in lower case; a forged one needs secrets."""
        headers = {
            names.CONTENT_TYPE: names.JSON,
            names.WEBHOOK_ID: push.event_id,
            names.ATTEMPT: str(push.attempt),
            names.OCCURRED_AT: push.occurred_at.isoformat().replace("+00:00", "Z"),
        }
        if push.sequence is not None:
            headers[names.SEQUENCE] = str(push.sequence)
        if push.synthesised:
            headers[names.SYNTHESISED] = "true"
        if push.replay:
            headers[names.REPLAY] = "true"
        if push.callback_test:
            headers[names.TEST] = "true"
        if not self._secrets and not push.signed_well:
            raise ValueError("a platform without secrets has no signature to forge")
        if self._secrets:
            signed = push.body if push.signed_well else push.body + b"another body"
            attempted_at = self._clock() - push.delay
            headers |= sign(self._secrets, message_id=push.event_id, attempted_at=attempted_at, body=signed)
        return headers

    def send(self, push: OutgoingPush) -> Response:
        """Send `push` and wait for the answer. In an async test use `send_async`."""
        headers = self.headers(push)
        if self._wsgi is not None:
            return send_wsgi(self._wsgi, self._path, headers, push.body)
        if self._url is not None:
            return send_http(self._url, headers, push.body, self._tls)
        assert self._asgi is not None
        return run_apart(send_asgi, self._asgi, self._path, headers, push.body)

    async def send_async(self, push: OutgoingPush) -> Response:
        """Send `push` from an event loop; an ASGI application runs on this very loop."""
        if self._asgi is not None:
            return await send_asgi(self._asgi, self._path, self.headers(push), push.body)
        return await asyncio.to_thread(self.send, push)

    def send_all(self, pushes: Iterable[OutgoingPush]) -> list[Response]:
        """Send one after the other."""
        return [self.send(push) for push in pushes]

    def _ids(self, device_id: str, task_id: str) -> dict[str, str]:
        return {
            "device_id": device_id,
            "app_id": self._application_id,
            "operation_id": task_id,
            "sub_operation_id": f"{task_id}-{device_id}",
        }
