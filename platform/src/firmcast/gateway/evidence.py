"""What a device says unasked is evidence, and no more: notifications and LwM2M Send become reports.

A notification is attributed by its token, so that one made before a restart, or arriving from a new address, counts; a
device behind a NAT is spoken to there from then on. A Send names nobody: the identity of its secure session does, or in
clear the address of its sender. It is answered after its commit, since a device says most things once. Either may be of
a device that another gateway holds.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from firmcast.coap.codes import Code, code_text, is_success
from firmcast.coap.events import NotificationReceived, NotificationUnmatched, Peer, RequestReceived
from firmcast.coap.options import options
from firmcast.coap.udp import UdpEndpoint
from firmcast.errors import StoreError
from firmcast.gateway.addresses import stored_address
from firmcast.gateway.awake_windows import AwakeWindows
from firmcast.gateway.batches import Answer
from firmcast.gateway.journal_notes import JournalNotes
from firmcast.gateway.live_devices import LiveDevice, LiveDevices, observed_of
from firmcast.gateway.noting import values_told
from firmcast.gateway.reports import ReportIntake
from firmcast.gateway.resources import NOTHING, resources_of
from firmcast.gateway.sessions import DeviceSessions
from firmcast.gateway.strangers import Strangers
from firmcast.journal.model import Exchange, ExchangeKind
from firmcast.lwm2m.content import decode_content, decode_sent
from firmcast.lwm2m.errors import ContentFormatError
from firmcast.lwm2m.paths import Path
from firmcast.lwm2m.values import ResourceValues
from firmcast.upgrades.model import DeviceReport

SEND_PATH: Final = "dp"
_COME_AGAIN_SECONDS: Final = 60
_log = structlog.get_logger()


class Evidence:
    """Takes in what devices tell of themselves."""

    def __init__(
        self,
        *,
        udp: UdpEndpoint,
        live: LiveDevices,
        windows: AwakeWindows,
        intake: ReportIntake,
        sessions: DeviceSessions,
        strangers: Strangers,
        now: Callable[[], datetime],
        notes: JournalNotes,
    ) -> None:
        self._udp = udp
        self._live = live
        self._windows = windows
        self._intake = intake
        self._sessions = sessions
        self._strangers = strangers
        self._now = now
        self._notes = notes

    def notified(self, notification: NotificationReceived | NotificationUnmatched) -> None:
        """Take in a notification; one that nobody asked for is left to the engine, which resets it."""
        found = self._live.by_token(notification.token)
        if found is not None:
            self._take_notification(*found, notification)
            return
        observed = observed_of(notification.token)
        if observed is None:
            return
        key, path = observed

        def identified(device: LiveDevice | None) -> None:
            if device is not None:
                self._take_notification(device, path, notification)

        self._strangers.by_registration(key, notification.peer, identified)

    def _take_notification(
        self, device: LiveDevice, path: Path, notification: NotificationReceived | NotificationUnmatched
    ) -> None:
        if not device.may_speak(notification.peer):
            return
        self._udp.endpoint.vouch(notification.peer)
        if isinstance(notification, NotificationUnmatched):
            self._udp.adopt_observation(notification.peer, notification.token)
            # One that is matched may be late, and from where the device was before.
            self._find_at(device, notification.peer)
        self._windows.heard(device)
        if not is_success(notification.code):
            return
        try:
            values = decode_content(notification.message.content_format, notification.payload, path)
        except ContentFormatError as error:
            _log.warning("notification.unreadable", device_id=device.device_id, path=str(path), reason=str(error))
            unreadable = Exchange(kind=ExchangeKind.NOTIFICATION, path=str(path), failure=f"unreadable: {error}")
            self._notes.exchange(device, unreadable)
            return
        told = Exchange(kind=ExchangeKind.NOTIFICATION, path=str(path), told=values_told(values))
        self._notes.exchange(device, told)
        report = self._report(device, values)
        if report is not None:
            self._intake.add(report)

    def sent(self, request: RequestReceived) -> None:
        """Take in an LwM2M Send (LwM2M 1.1, section 6.4.6) and answer it."""

        def identified(device: LiveDevice | None) -> None:
            if device is None:
                self._udp.respond(request, Code.NOT_FOUND)
            else:
                self._take_sent(device, request)

        device = self._live.speaker(request.peer)
        if device is None:
            self._strangers.by_peer(request.peer, identified)
        else:
            identified(device)

    def _take_sent(self, device: LiveDevice, request: RequestReceived) -> None:
        try:
            values = decode_sent(request.message.content_format, request.payload)
        except ContentFormatError as error:
            _log.warning("send.unreadable", device_id=device.device_id, reason=str(error))
            self._udp.respond(request, Code.BAD_REQUEST, payload=str(error).encode())
            return
        self._find_at(device, request.peer)
        self._windows.heard(device)
        told = Exchange(kind=ExchangeKind.SEND, told=values_told(values), answer=code_text(Code.CHANGED))
        self._notes.exchange(device, told)
        report = self._report(device, values)
        self._sessions.wake((device.device_id,))
        if report is None:
            self._udp.respond(request, Code.CHANGED)
            return

        def committed(answer: asyncio.Future[Answer]) -> None:
            error = answer.exception()
            if error is None:
                self._udp.respond(request, Code.CHANGED)
            elif isinstance(error, StoreError):
                wording = options(max_age=_COME_AGAIN_SECONDS)
                self._udp.respond(request, Code.SERVICE_UNAVAILABLE, options=wording)
            else:
                self._udp.respond(request, Code.INTERNAL_SERVER_ERROR)

        self._intake.submit(report).add_done_callback(committed)

    def _find_at(self, device: LiveDevice, peer: Peer) -> None:
        """Speak to a device where it was heard, before it updates its registration: the store learns of it then."""
        if self._live.of(device.device_id) is device and self._live.move(device, peer) is not None:
            host, port = stored_address(peer)
            _log.info("registration.moved", device_id=device.device_id, host=host, port=port)
            self._sessions.moved(device.device_id)

    def _report(self, device: LiveDevice, values: ResourceValues) -> DeviceReport | None:
        """Return what `values` tell of a device's upgrade, None where that is nothing."""
        resources = resources_of(values)
        if resources == NOTHING:
            return None
        self._sessions.notified(device.device_id)
        return DeviceReport(device_id=device.device_id, input=resources, occurred_at=self._now())
