"""Register, Update and De-register are answered after their commit; those of one turn of the loop share a transaction.

Source: OMA LwM2M Core 1.1, sections 6.2 and 6.4.3 (the codes); CoAP's acknowledgement is the engine's affair and does
not wait for the store.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from firmcast.coap.codes import Code
from firmcast.coap.dtls.peers import identity_of
from firmcast.coap.events import RequestReceived
from firmcast.coap.options import options
from firmcast.coap.udp import UdpEndpoint
from firmcast.devices.model import NewRegistration, Registration, RegistrationUpdate
from firmcast.errors import StoreError
from firmcast.gateway.addresses import stored_address
from firmcast.gateway.awake_windows import AwakeWindows
from firmcast.gateway.batches import Answer, Keeping, Leaving, Registering, Updating
from firmcast.gateway.expiry import Expiry
from firmcast.gateway.journal_notes import JournalNotes
from firmcast.gateway.live_devices import OBSERVED, LiveDevice, LiveDevices
from firmcast.gateway.metrics import GatewayMetrics
from firmcast.gateway.reports import ReportIntake
from firmcast.gateway.sessions import DeviceSessions
from firmcast.gateway.sparing_log import SparingLog
from firmcast.ids import RegistrationId
from firmcast.journal.model import Exchange, ExchangeKind
from firmcast.lwm2m.errors import RegistrationFormatError
from firmcast.lwm2m.registration import parse_register, parse_update

PATH: Final = "rd"
_COME_AGAIN_SECONDS: Final = 60
_KEPT_BEFORE: Final = timedelta(minutes=1)
_KEPT_AGAIN: Final = timedelta(seconds=1)
_MOST_WAITING: Final = 50_000
"""Of reports and requests at one time; the store takes them in some seconds."""
_NOT_KNOWN: Final = "the endpoint name is not known here, or its device speaks through secure sessions only"
_log = structlog.get_logger()


class RegistrationInterface:
    """`/rd`, as devices see it."""

    def __init__(
        self,
        *,
        udp: UdpEndpoint,
        live: LiveDevices,
        windows: AwakeWindows,
        intake: ReportIntake,
        sessions: DeviceSessions,
        expiry: Expiry,
        now: Callable[[], datetime],
        metrics: GatewayMetrics,
        notes: JournalNotes,
        require_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._udp = udp
        self._live = live
        self._windows = windows
        self._intake = intake
        self._sessions = sessions
        self._expiry = expiry
        self._now = now
        self._metrics = metrics
        self._notes = notes
        self._require_room = require_room
        self._refusals = SparingLog()

    def handle(self, request: RequestReceived) -> None:
        """Take in a request to `/rd` or below."""
        path = request.message.uri_path
        if len(path) == 1 and request.method == Code.POST:
            self._register(request)
        elif len(path) == 2 and request.method == Code.POST:
            self._update(request, RegistrationId(path[1]))
        elif len(path) == 2 and request.method == Code.DELETE:
            self._deregister(request, RegistrationId(path[1]))
        else:
            self._udp.respond(request, Code.METHOD_NOT_ALLOWED if len(path) <= 2 else Code.NOT_FOUND)

    def add(self, registration: Registration) -> None:
        """Take in a registration that is in the store."""
        self._forget(self._live.add(registration))
        device = self._live.by_registration(registration.registration_id)
        if device is not None:
            self._expiry.watch(device)
            self._windows.open(device, heard_before=(self._now() - registration.updated_at).total_seconds())

    def adopted(self, registrations: Sequence[Registration]) -> None:
        """Go on with devices whose gateway was dead, and that are this one's now."""
        for registration in registrations:
            self.add(registration)
        self._metrics.adopted.value += len(registrations)
        self._sessions.wake(registration.device_id for registration in registrations)

    def showed_itself(self, registration: Registration) -> LiveDevice:
        """Go on with a device that came to this gateway in another way than by a registration or an update."""
        device = self._hold(registration)
        self._sessions.wake((device.device_id,))
        return device

    def keep(self, device: LiveDevice) -> None:
        """Have the registration of a device that takes a package live on, when it is about to end.

        Some clients do nothing else while they are written to, so that no update comes of them: their blocks tell that
        they are there.
        """
        now = self._now()
        if device.expires_at - now > min(device.lifetime / 2, _KEPT_BEFORE):
            return
        if device.kept_at is not None and now - device.kept_at < _KEPT_AGAIN:
            return
        if len(self._intake) >= _MOST_WAITING:
            return
        device.kept_at = now
        host, port = stored_address(device.peer)
        update = RegistrationUpdate(
            registration_id=device.registration_id, host=host, port=port, identity=identity_of(device.peer)
        )

        def committed(answer: asyncio.Future[Answer]) -> None:
            registration = None if answer.cancelled() or answer.exception() else answer.result()
            if isinstance(registration, Registration) and self._live.of(device.device_id) is device:
                self._hold(registration)

        self._intake.submit(Keeping(told=update, occurred_at=now)).add_done_callback(committed)

    def forget(self, device: LiveDevice) -> None:
        """Know nothing more of a device: its registration is over, or another gateway's."""
        self._sessions.end(device.device_id)
        self._forget(self._live.remove(device.device_id))

    def ended(self, registration: Registration) -> None:
        """Take in that a registration has run out."""
        self._metrics.expired.value += 1
        _log.info("registration.expired", device_id=registration.device_id, endpoint_name=registration.endpoint_name)
        words = {"lifetime": str(registration.lifetime_seconds)}
        self._notes.note(registration.device_id, Exchange(kind=ExchangeKind.EXPIRY, told=words))
        self._remove(registration.registration_id)

    # Register.

    def _register(self, request: RequestReceived) -> None:
        identity = identity_of(request.peer)
        try:
            told = parse_register(request.message.uri_query, request.payload, default_endpoint_name=identity)
        except RegistrationFormatError as error:
            self._metrics.malformed.value += 1
            self._refuse(request, Code.BAD_REQUEST, str(error))
            return
        try:
            self._require_room()
        except StoreError:
            self._turn_away(request)
            return
        if self._is_overrun(request):
            return
        host, port = stored_address(request.peer)
        if identity is not None and identity != told.endpoint_name:
            self._log_refusal("registration.foreign", endpoint_name=told.endpoint_name, identity=identity, host=host)
            self._refuse_foreign(request)
            return
        new = NewRegistration(
            endpoint_name=told.endpoint_name,
            host=host,
            port=port,
            lifetime_seconds=told.lifetime,
            binding=told.binding,
            queue_mode=told.queue_mode,
            lwm2m_version=told.lwm2m_version,
            objects=request.payload.decode(),
            is_secure=identity is not None,
        )

        def committed(answer: asyncio.Future[Answer]) -> None:
            if not self._was_written(request, answer):
                return
            registration = answer.result()
            if isinstance(registration, Registration):
                self._registered(request, registration)
            else:
                self._metrics.unknown.value += 1
                self._log_refusal("registration.refused", endpoint_name=told.endpoint_name, host=host, port=port)
                self._refuse(request, Code.FORBIDDEN, _NOT_KNOWN)

        self._intake.submit(Registering(told=new, occurred_at=self._now())).add_done_callback(committed)

    def _registered(self, request: RequestReceived, registration: Registration) -> None:
        self._metrics.made.value += 1
        self._udp.respond(request, Code.CREATED, options=options(location_path=(PATH, registration.registration_id)))
        if self._live.by_registration(registration.registration_id) is None:
            # What was under way belongs to a device that has perhaps restarted since.
            self._sessions.end(registration.device_id)
            self.add(registration)
        self._note_move(registration)
        self._sessions.wake((registration.device_id,))
        _log.info(
            "registration.made",
            device_id=registration.device_id,
            endpoint_name=registration.endpoint_name,
            host=registration.host,
            port=registration.port,
        )

    # Update.

    def _update(self, request: RequestReceived, registration_id: RegistrationId) -> None:
        try:
            told = parse_update(request.message.uri_query, request.payload)
        except RegistrationFormatError as error:
            self._metrics.malformed.value += 1
            self._refuse(request, Code.BAD_REQUEST, str(error))
            return
        if self._is_foreign(request, registration_id):
            self._refuse_foreign(request)
            return
        if self._is_overrun(request):
            return
        host, port = stored_address(request.peer)
        update = RegistrationUpdate(
            registration_id=registration_id,
            host=host,
            port=port,
            identity=identity_of(request.peer),
            lifetime_seconds=told.lifetime,
            binding=told.binding,
            queue_mode=told.queue_mode,
            objects=None if told.objects is None else request.payload.decode(),
        )

        def committed(answer: asyncio.Future[Answer]) -> None:
            if not self._was_written(request, answer):
                return
            registration = answer.result()
            if isinstance(registration, Registration):
                self._updated(request, registration)
            else:
                self._metrics.unknown.value += 1
                self._remove(registration_id)
                self._refuse(request, Code.NOT_FOUND, "")

        known = self._live.by_registration(registration_id)
        moved = known is not None and known.peer != request.peer
        updating = Updating(told=update, occurred_at=self._now(), moved=moved)
        self._intake.submit(updating).add_done_callback(committed)

    def _updated(self, request: RequestReceived, registration: Registration) -> None:
        self._metrics.updated.value += 1
        # It named its registration, which only it was told.
        self._udp.endpoint.vouch(request.peer)
        self._udp.respond(request, Code.CHANGED)
        device = self._hold(registration)
        self._sessions.wake((device.device_id,))

    def _hold(self, registration: Registration) -> LiveDevice:
        """Take in what a registration is now, and whose device may have been another gateway's."""
        former = self._live.of(registration.device_id)
        device, former_address = self._live.update(registration)
        if former is not None and former is not device:
            self._sessions.end(former.device_id)
            self._forget(former)
        self._expiry.watch(device)
        self._windows.open(device)
        if former_address is not None:
            self._sessions.moved(device.device_id)
            _log.info("registration.moved", device_id=device.device_id, host=registration.host, port=registration.port)
        self._note_move(registration)
        return device

    def _note_move(self, registration: Registration) -> None:
        if registration.came_from is not None:
            self._metrics.moved_in.value += 1

    # De-register.

    def _deregister(self, request: RequestReceived, registration_id: RegistrationId) -> None:
        if self._is_foreign(request, registration_id):
            self._refuse_foreign(request)
            return
        if self._is_overrun(request):
            return

        def committed(answer: asyncio.Future[Answer]) -> None:
            if self._was_written(request, answer):
                self._remove(registration_id)
                self._udp.endpoint.take_leave(request)
                known = answer.result() is not None
                (self._metrics.ended if known else self._metrics.unknown).value += 1
                self._udp.respond(request, Code.DELETED if known else Code.NOT_FOUND)

        identity = identity_of(request.peer)
        leaving = Leaving(registration_id=registration_id, identity=identity, occurred_at=self._now())
        self._intake.submit(leaving).add_done_callback(committed)

    # All of them.

    def _was_written(self, request: RequestReceived, answer: "asyncio.Future[Answer]") -> bool:
        """Tell whether the store took a request; answer the device when it could not."""
        error = answer.exception()
        if error is not None:
            if isinstance(error, StoreError):
                self._turn_away(request)
            else:
                self._udp.respond(request, Code.INTERNAL_SERVER_ERROR)
        return error is None

    def _turn_away(self, request: RequestReceived) -> None:
        """Have a device come again later: Max-Age of 5.03 says when (RFC 7252, 5.9.3.4)."""
        self._metrics.unwritten.value += 1
        self._udp.respond(request, Code.SERVICE_UNAVAILABLE, options=options(max_age=_COME_AGAIN_SECONDS))

    def _is_overrun(self, request: RequestReceived) -> bool:
        """Tell whether so many wait for the store that this one is turned away: a flood must not fill the memory."""
        overrun = len(self._intake) >= _MOST_WAITING
        if overrun:
            self._turn_away(request)
        return overrun

    def _is_foreign(self, request: RequestReceived, registration_id: RegistrationId) -> bool:
        """Tell whether somebody asks about the registration of another; one that is not live here is the store's."""
        device = self._live.by_registration(registration_id)
        return device is not None and not device.may_speak(request.peer)

    def _refuse_foreign(self, request: RequestReceived) -> None:
        self._metrics.foreign.value += 1
        self._refuse(request, Code.FORBIDDEN, "not the identity of this session")

    def _log_refusal(self, event: str, **words: object) -> None:
        left_out = self._refusals.left_out_before(self._udp.now())
        if left_out is not None:
            _log.warning(event, **words, left_out=left_out)

    def _refuse(self, request: RequestReceived, code: Code, why: str) -> None:
        self._udp.respond(request, code, payload=why.encode())

    def _remove(self, registration_id: RegistrationId) -> None:
        device = self._live.by_registration(registration_id)
        if device is not None:
            self.forget(device)

    def _forget(self, device: LiveDevice | None) -> None:
        """Stop listening to what a device was asked to tell under a registration that is over."""
        if device is not None:
            for path in OBSERVED:
                self._udp.endpoint.forget_observation(device.peer, device.token(path), self._udp.now())
            self._udp.flush()
