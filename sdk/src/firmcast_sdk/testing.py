"""For an application's own tests: a platform that pushes at its receiver, well or badly, without a network or over one.

    platform = Platform(asgi=receiver.asgi)
    for push in platform.firmware_upgrade("device-1"):
        assert platform.send(push).status == 200

A push is a value: `again`, `delayed`, `forged` and `replayed` give changed copies, lists of them can be cut, repeated
and `reordered`. In an async test use `await platform.send_async(push)`.
"""

import asyncio
import http.client
import io
import random
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults

import msgspec

from firmcast_sdk import _clock
from firmcast_sdk.events import FirmwareState, Outcome, SoftwareState
from firmcast_sdk.receiver.asgi import Message, Receive, Scope, Send
from firmcast_sdk.receiver.reception import DEFAULT_PATH
from firmcast_sdk.signatures import sign
from firmcast_sdk.wire import headers as names
from firmcast_sdk.wire.notifications import (
    STEP_DESCRIPTIONS,
    FwUpgradeResultNotify,
    FwUpgradeStateChangeNotify,
    SwUpgradeResultNotify,
    SwUpgradeState,
    SwUpgradeStateChangeNotify,
    UpgradeNotification,
    UpgradeStatus,
    encode,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["OutgoingPush", "Platform", "Response", "reordered"]

AsgiApplication = Callable[[Scope, Receive, Send], Any]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingPush:
    """One attempt to tell a receiver of one event; it is signed when it is sent."""

    body: bytes
    event_id: str
    sequence: int
    occurred_at: datetime
    attempt: int = 1
    synthesised: bool = False
    replay: bool = False
    delay: timedelta = timedelta()
    signed_well: bool = True

    def again(self) -> "OutgoingPush":
        """The next attempt of the same event: the same id and body, another attempt number and signature."""
        return replace(self, attempt=self.attempt + 1)

    def replayed(self) -> "OutgoingPush":
        """A copy sent again on request, long after it was accepted."""
        return replace(self, attempt=1, replay=True)

    def delayed(self, delay: timedelta) -> "OutgoingPush":
        """A copy that was signed `delay` before it arrives."""
        return replace(self, delay=delay)

    def forged(self) -> "OutgoingPush":
        """A copy whose signature does not fit."""
        return replace(self, signed_well=False)

    def with_body(self, body: bytes) -> "OutgoingPush":
        """A copy with another body, signed as it stands."""
        return replace(self, body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What the receiver answered."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return msgspec.json.decode(self.body)


def reordered(pushes: Iterable[OutgoingPush], *, seed: int = 0) -> list[OutgoingPush]:
    """The same pushes in an order that depends on `seed` alone."""
    shuffled = list(pushes)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 -- an order, no secret
    return shuffled


class Platform:
    """Makes the pushes of a platform and sends them to one receiver.

    Args:
        asgi: the application to push at, or
        wsgi: the application to push at, or
        url: a callback URL to push at over HTTP or HTTPS.
        path: where the application in this process listens; a URL has its own.
        secrets: `whsec_…` to sign with; without one, pushes are not signed.
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
        return replace(self._push(notification), synthesised=synthesised)

    def firmware_result(
        self, device_id: str, outcome: Outcome = Outcome.SUCCEEDED, *, task_id: str = "task-1"
    ) -> OutgoingPush:
        """The push that tells of the end of a firmware upgrade."""
        succeeded = outcome is Outcome.SUCCEEDED
        return self._push(
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
        return self._push(SwUpgradeStateChangeNotify(**ids, sw_upgrade_state=_SOFTWARE_WORDS[state]))

    def software_result(
        self, device_id: str, outcome: Outcome = Outcome.SUCCEEDED, *, task_id: str = "task-1"
    ) -> OutgoingPush:
        """The push that tells of the end of a software upgrade."""
        succeeded = outcome is Outcome.SUCCEEDED
        return self._push(
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

    def headers(self, push: OutgoingPush) -> dict[str, str]:
        """The headers that `push` is sent with now, names in lower case."""
        headers = {
            names.CONTENT_TYPE: names.JSON,
            names.WEBHOOK_ID: push.event_id,
            names.SEQUENCE: str(push.sequence),
            names.ATTEMPT: str(push.attempt),
            names.OCCURRED_AT: push.occurred_at.isoformat().replace("+00:00", "Z"),
        }
        if push.synthesised:
            headers[names.SYNTHESISED] = "true"
        if push.replay:
            headers[names.REPLAY] = "true"
        if self._secrets:
            signed = push.body if push.signed_well else push.body + b"another body"
            attempted_at = self._clock() - push.delay
            headers |= sign(self._secrets, message_id=push.event_id, attempted_at=attempted_at, body=signed)
        return headers

    def send(self, push: OutgoingPush) -> Response:
        """Send `push` and wait for the answer. In an async test use `send_async`."""
        headers = self.headers(push)
        if self._wsgi is not None:
            return _send_wsgi(self._wsgi, self._path, headers, push.body)
        if self._url is not None:
            return _send_http(self._url, headers, push.body, self._tls)
        assert self._asgi is not None
        return _run_apart(_send_asgi, self._asgi, self._path, headers, push.body)

    async def send_async(self, push: OutgoingPush) -> Response:
        """Send `push` from an event loop; an ASGI application runs on this very loop."""
        if self._asgi is not None:
            return await _send_asgi(self._asgi, self._path, self.headers(push), push.body)
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

    def _push(self, notification: UpgradeNotification) -> OutgoingPush:
        device_id = notification.device_id
        sequence = self._sequences[device_id] = self._sequences.get(device_id, 0) + 1
        return OutgoingPush(
            body=encode(notification),
            event_id=f"{device_id}-{sequence}",
            sequence=sequence,
            occurred_at=self._clock(),
        )


def _send_wsgi(app: "WSGIApplication", path: str, headers: Mapping[str, str], body: bytes) -> Response:
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ |= {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": headers[names.CONTENT_TYPE],
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in headers.items():
        if name != names.CONTENT_TYPE:
            environ["HTTP_" + name.upper().replace("-", "_")] = value
    statuses: list[str] = []

    def start_response(
        status: str, _headers: list[tuple[str, str]], _error: object = None, /
    ) -> Callable[[bytes], object]:
        statuses.append(status)
        return lambda _: None

    answer = b"".join(app(environ, start_response))
    return Response(status=int(statuses[0].split()[0]), body=answer)


async def _send_asgi(app: AsgiApplication, path: str, headers: Mapping[str, str], body: bytes) -> Response:
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"receiver.test"),
            (b"content-length", str(len(body)).encode()),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
    }
    incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    outgoing: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        outgoing.append(message)

    await app(scope, receive, send)
    answer = b"".join(message.get("body", b"") for message in outgoing)
    return Response(status=int(outgoing[0]["status"]), body=answer)


def _send_http(url: str, headers: Mapping[str, str], body: bytes, tls: ssl.SSLContext | None) -> Response:
    parts = urlsplit(url)
    assert parts.hostname is not None, "the URL has no host"
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=15, context=tls)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=15)
    try:
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("POST", target, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return Response(status=answer.status, body=answer.read())
    finally:
        connection.close()


def _run_apart(function: Callable[..., Any], *arguments: object) -> Response:
    """Run a coroutine function on a loop of its own, in a thread of its own, so that a running loop does not matter."""
    future: Future[Response] = Future()

    def run() -> None:
        try:
            future.set_result(asyncio.run(function(*arguments)))
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, name="firmcast-test-platform")
    thread.start()
    thread.join()
    return future.result()
