"""A session is one life of a device from boot to reboot: one socket, its registration, and whoever observes it there.

What the device is and decides outlives the session; what others know of the socket does not.
"""

import asyncio
import contextlib
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from firmcast.clock import Clock
from firmcast.coap.block import BlockSink
from firmcast.coap.codes import Code, ContentFormat
from firmcast.coap.events import (
    EndReason,
    Event,
    FailureReason,
    ObservationEnded,
    ObservationId,
    Peer,
    RequestReceived,
    ResponseReceived,
)
from firmcast.coap.message import Message
from firmcast.coap.options import options
from firmcast.coap.udp import RequestFailedError
from firmcast.lwm2m.errors import PathFormatError
from firmcast.lwm2m.firmware_update import UpdateResult
from firmcast.lwm2m.paths import FIRMWARE_RESULT, FIRMWARE_STATE, FIRMWARE_VERSION, PACKAGE, REBOOT, Path
from firmcast.lwm2m.registration import RegisterRequest, format_object_links, format_register_query
from firmcast.lwm2m.senml import encode_senml_cbor
from firmcast.lwm2m.values import ResourceValues
from firmcast.simulator.answers import Reply, input_of_execute, input_of_write, reply_of, reply_to_read
from firmcast.simulator.download import resolve
from firmcast.simulator.firmware_steps import Answer, Input, PackageStarted, Step, TransferFailed
from firmcast.simulator.network import Network
from firmcast.simulator.package_intake import PackageIntake
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.resources import object_links
from firmcast.simulator.timing import DeviceTiming
from firmcast.simulator.transport import Transport
from firmcast.simulator.upload import Upload


class SessionOwner(Protocol):
    """The device that a session speaks for."""

    def values(self) -> ResourceValues:
        """Return what can be read."""
        ...

    def decide(self, happened: Input) -> Step:
        """Let the firmware object take in what happened."""
        ...

    def perform(self, step: Step) -> None:
        """Do and report what `decide` returned."""
        ...

    def registered(self, location: tuple[str, ...] | None) -> None:
        """Note that the session has a registration, or None."""
        ...

    def progressed(self, intake: PackageIntake) -> None:
        """Note that more of a package has come."""
        ...

    def missed(self) -> None:
        """Note that a datagram came while the device slept."""
        ...

    def reboot(self) -> None:
        """End this session and begin another."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """Who the device is, whose it is, and how it waits; `admission` bounds how many devices register at a time.

    With a `key` it speaks through secure sessions.
    """

    endpoint_name: str
    key: bytes | None
    profile: DeviceProfile
    server: tuple[str, int]
    timing: DeviceTiming
    clock: Clock
    random: Random
    network: Network
    admission: asyncio.Semaphore


@dataclass(slots=True, kw_only=True)
class _Observer:
    """Whom to tell of a path, in which format, and what was told last."""

    path: Path
    accept: int | None
    told: Reply


class Session:
    """One socket of one device, from `open` to `close`."""

    def __init__(self, settings: SessionSettings, owner: SessionOwner, transport: Transport, server: Peer) -> None:
        self.transport = transport
        self.udp = transport.udp
        self._settings = settings
        self._owner = owner
        self._server = server
        self._observers: dict[ObservationId, _Observer] = {}
        self._location: tuple[str, ...] | None = None
        self._contact_lost = asyncio.Event()
        self._registers_anew = False
        self._upload: Upload | None = None
        self._kept_waiting: list[RequestReceived] = []

    @classmethod
    async def open(cls, settings: SessionSettings, owner: SessionOwner) -> "Session":
        """Open a socket. Raises OSError when the server's name is not known or no port is free."""
        server = await resolve(*settings.server)
        parameters = replace(settings.timing.transmission, block_szx=settings.profile.block_szx)
        profile = settings.profile
        answers_all = profile.serves_while_written and profile.answers_update and not profile.power_cuts_at_update
        if not answers_all or profile.unanswered_resets:
            # A device that is busy, about to vanish, or hears nothing of it, acknowledges nothing meanwhile.
            parameters = replace(parameters, ack_delay=parameters.exchange_lifetime)
        session: Session | None = None

        def on_event(event: Event) -> None:
            if session is not None:
                session.handle(event)

        def on_session_ended() -> None:
            if session is not None:
                session._contact_lost.set()

        transport = await Transport.open(
            _local_host(str(server[0])),
            identity=settings.endpoint_name,
            key=settings.key,
            on_event=on_event,
            on_session_ended=on_session_ended,
            clock=settings.clock.monotonic,
            parameters=parameters,
            random=settings.random,
            network=settings.network,
            habit=settings.profile.sleep,
            on_missed=owner.missed,
        )
        session = cls(settings, owner, transport, transport.peer(server))
        session.udp.endpoint.upload_route(session.accept_upload)
        return session

    def close(self, *, silently: bool) -> None:
        """Close the socket; a secure session ends without a word when `silently`, as by a power cut."""
        self.drop_upload()
        self._observers.clear()
        self.udp.close(silently=silently)

    # Registration.

    async def keep_registered(self) -> None:
        """Register, keep the registration alive, and register anew whenever it is lost, until cancelled."""
        while True:
            self._location = await self._register()
            self._owner.registered(self._location)
            if self._settings.profile.sends_after_reboot:
                await self.send()
            while await self._update(self._location):
                pass
            self._location = None
            self._owner.registered(None)

    def register_anew(self) -> None:
        """Give up the registration, which still stands, and make another."""
        self._registers_anew = True
        self._contact_lost.set()

    async def send(self) -> None:
        """Tell state, result and version unasked (LwM2M 1.1, Send); whether the server wants to know is its affair."""
        told = {FIRMWARE_STATE, FIRMWARE_RESULT, FIRMWARE_VERSION}
        values = {path: value for path, value in self._owner.values().items() if path in told}
        with contextlib.suppress(RequestFailedError):
            await self._request(Code.POST, ("dp",), (), encode_senml_cbor(values, None), ContentFormat.SENML_CBOR)

    async def deregister(self) -> None:
        """Take back the registration, if there is one and the server answers soon."""
        location, self._location = self._location, None
        if location is None:
            return
        with contextlib.suppress(RequestFailedError, TimeoutError):
            async with asyncio.timeout(self._settings.timing.deregister_patience):
                await self._request(Code.DELETE, location)

    async def _register(self) -> tuple[str, ...]:
        failures = 0
        while True:
            async with self._settings.admission:
                location = await self._try_to_register()
            if location is not None:
                return location
            failures += 1
            await asyncio.sleep(self._settings.timing.registration_delay(failures, self._settings.random.random()))

    async def _try_to_register(self) -> tuple[str, ...] | None:
        # A new registration voids what was observed under the old one (LwM2M 1.1 section 6.4), and a server may observe
        # again before its answer has reached us.
        for observation in self._observers:
            self.udp.endpoint.end_observation(observation)
        self._observers.clear()
        self._contact_lost.clear()
        self._registers_anew = False
        profile = self._settings.profile
        query = format_register_query(
            RegisterRequest(
                endpoint_name=self._settings.endpoint_name,
                lifetime=profile.lifetime,
                lwm2m_version=profile.lwm2m_version,
                binding=profile.binding,
                queue_mode=profile.sleep is not None,
            )
        )
        try:
            links = format_object_links(object_links(profile))
            response = await self._request(Code.POST, ("rd",), query, links)
        except RequestFailedError:
            return None
        return response.message.location_path if response.code == Code.CREATED else None

    async def _update(self, location: tuple[str, ...]) -> bool:
        """Wait until the registration needs an update, or the server seems gone; say whether it still stands."""
        profile = self._settings.profile
        habit = profile.sleep
        delay = habit.update_every if habit else profile.lifetime * self._settings.random.uniform(0.5, 0.8)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._contact_lost.wait()
        self._contact_lost.clear()
        if self._registers_anew:
            return False
        try:
            response = await self._request(Code.POST, location)
        except RequestFailedError:
            return False
        return response.code == Code.CHANGED

    async def _request(
        self,
        method: Code,
        path: tuple[str, ...],
        query: tuple[str, ...] = (),
        payload: bytes = b"",
        content_format: ContentFormat = ContentFormat.LINK_FORMAT,
    ) -> ResponseReceived:
        wording = options(uri_path=path, uri_query=query, content_format=content_format if payload else None)
        try:
            return await self.udp.request(self._server, method, options=wording, payload=payload)
        except RequestFailedError as error:
            if error.reason is FailureReason.TIMEOUT:
                self.transport.unanswered(self._server)
            raise

    # What the server asks.

    def handle(self, event: Event) -> None:
        """Take in an event of the socket."""
        if isinstance(event, RequestReceived):
            self._handle_request(event)
        elif isinstance(event, ObservationEnded) and event.observation is not None:
            self._observers.pop(event.observation, None)
            if event.reason in (EndReason.UNREACHABLE, EndReason.TIMEOUT):
                self._contact_lost.set()

    def report(self, path: Path) -> None:
        """Notify whoever observes `path` of its value, unless that is what was told last."""
        for observation, observer in list(self._observers.items()):
            if observer.path.covers(path):
                reply = self._read(observer.path, observer.accept)
                if reply == observer.told:
                    continue
                observer.told = reply
                self.udp.notify(
                    observation,
                    reply.code,
                    options(content_format=reply.content_format),
                    reply.payload,
                    confirmable=self._settings.profile.notifies_confirmable,
                )

    def accept_upload(self, message: Message, peer: Peer) -> BlockSink | Code | None:
        """Name the sink of a body whose first block has come, or refuse it."""
        if peer != self._server or _path_of(message) != PACKAGE or message.code != Code.PUT:
            return None
        if message.block1 is not None and not message.block1.more:
            # All in one block: it may be a reset, and is looked at as a whole.
            return None
        profile = self._settings.profile
        if profile.loses_packages:
            return Code.REQUEST_ENTITY_INCOMPLETE
        if profile.refuses_large_blocks and message.block1 is not None and message.block1.szx > profile.block_szx:
            return Code.REQUEST_ENTITY_TOO_LARGE
        if self._upload is not None and profile.refuses_while_written:
            return Code.SERVICE_UNAVAILABLE
        step = self._owner.decide(PackageStarted())
        if self._upload is not None and not profile.restarts_push:
            return self._upload.take
        self.drop_upload()
        refusal = reply_of(step.answer)
        if refusal is not None and step.answer is not Answer.CHANGED:
            return refusal.code
        self._upload = self._new_upload()
        self._upload.intake.total = message.size1
        # The engine is at work just now; it is told what to report when it has finished.
        asyncio.get_running_loop().call_soon(self._owner.perform, step)
        return self._upload.take

    def drop_upload(self) -> None:
        """Forget the package that is being written."""
        if self._upload is not None:
            self._upload.close()
            self._upload = None
            waiting, self._kept_waiting = self._kept_waiting, []
            for request in waiting:
                asyncio.get_running_loop().call_soon(self._handle_request, request)

    def _new_upload(self) -> Upload:
        return Upload(
            self._settings.profile,
            patience=self._settings.timing.upload_patience,
            clock=self._settings.clock,
            on_progress=self._owner.progressed,
            on_lost=self._upload_lost,
        )

    def _upload_lost(self) -> None:
        self.drop_upload()
        self._owner.perform(self._owner.decide(TransferFailed(result=UpdateResult.CONNECTION_LOST)))

    def _handle_request(self, request: RequestReceived) -> None:
        if request.peer != self._server:
            self._send(request, Reply(code=Code.UNAUTHORIZED))
            return
        path = _path_of(request.message)
        if path is None:
            self._send(request, Reply(code=Code.NOT_FOUND))
            return
        if self._upload is not None and path != PACKAGE:
            if self._settings.profile.refuses_while_written:
                self._send(request, Reply(code=Code.SERVICE_UNAVAILABLE))
                return
            if not self._settings.profile.serves_while_written:
                self._kept_waiting.append(request)
                return
        match request.method:
            case Code.GET:
                self._handle_read(request, path)
            case Code.PUT:
                self._handle_write(request, path)
            case Code.POST if path == REBOOT:
                self._send(request, Reply(code=Code.CHANGED))
                self._owner.reboot()
            case Code.POST:
                self._answer(request, input_of_execute(path, self._settings.profile))
            case _:
                self._send(request, Reply(code=Code.METHOD_NOT_ALLOWED))

    def _handle_read(self, request: RequestReceived, path: Path) -> None:
        accept = request.message.accept
        reply = self._read(path, accept)
        if request.observe == 0 and reply.code == Code.CONTENT:
            observer = _Observer(path=path, accept=accept, told=reply)
            self._observers[self.udp.endpoint.accept_observation(request)] = observer
        self._send(request, reply)

    def _read(self, path: Path, accept: int | None) -> Reply:
        return reply_to_read(self._owner.values(), path, accept, self._settings.profile)

    def _handle_write(self, request: RequestReceived, path: Path) -> None:
        message = request.message
        if not request.body_size and message.uri_query:
            # Write-Attributes: accepted, and without effect on when this device notifies.
            self._send(request, Reply(code=Code.CHANGED))
            return
        intact = path == PACKAGE and self._take_whole(request)
        happened = input_of_write(path, message.content_format, request.payload, request.body_size, intact=intact)
        if path == PACKAGE:
            self.drop_upload()
        self._answer(request, happened)

    def _take_whole(self, request: RequestReceived) -> bool:
        """Take in what came of a package in one message; say whether the package is intact."""
        if request.body_size > 1 and len(request.payload) == request.body_size:
            step = self._owner.decide(PackageStarted())
            self.drop_upload()
            if step.answer is Answer.CHANGED:
                self._upload = self._new_upload()
                self._owner.perform(step)
                self._upload.take(0, request.payload)
        return self._upload is not None and self._upload.intake.intact

    def _answer(self, request: RequestReceived, happened: Input | Reply) -> None:
        if isinstance(happened, Reply):
            self._send(request, happened)
            return
        step = self._owner.decide(happened)
        reply = reply_of(step.answer)
        if reply is not None:
            self._send(request, reply)
        self._owner.perform(step)

    def _send(self, request: RequestReceived, reply: Reply) -> None:
        delay = self._settings.profile.answer_delay
        if delay:
            self.udp.acknowledge(request)
            asyncio.get_running_loop().call_later(delay, self._respond, request, reply)
        else:
            self._respond(request, reply)

    def _respond(self, request: RequestReceived, reply: Reply) -> None:
        self.udp.respond(
            request, reply.code, options=options(content_format=reply.content_format), payload=reply.payload
        )


def _path_of(message: Message) -> Path | None:
    try:
        return Path.from_segments(message.uri_path)
    except PathFormatError:
        return None


def _local_host(server_host: str) -> str:
    """Return where to bind: the loopback for a server there, so that nobody else can speak to the device."""
    if server_host.startswith("127."):
        return "127.0.0.1"
    if server_host == "::1":
        return "::1"
    return "::" if ":" in server_host else "0.0.0.0"  # noqa: S104 -- a device is reached from wherever its server is
