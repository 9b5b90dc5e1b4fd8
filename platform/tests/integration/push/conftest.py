"""A callback that does what its script says, on loopback, with and without TLS."""

import asyncio
import json
import select
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from firmcast.applications import use_cases as applications
from firmcast.clock import Clock, SystemClock
from firmcast.db.page import Page
from firmcast.db.sqlite import SqliteDatabase
from firmcast.events.log import EventLog
from firmcast.events.model import Event, EventType, Fact, FirmwareStateChanged, NewEvent
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, SubscriptionId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push import api as push_api
from firmcast.push import use_cases as push
from firmcast.push.configuration import destination_rules, proxy_of, retry_policy, sender_limits
from firmcast.push.destination import DestinationRules, parse_callback_url
from firmcast.push.dispatcher import Dispatcher
from firmcast.push.envelope import encode_event
from firmcast.push.http_sender import HttpSender, SenderLimits
from firmcast.push.management import api as push_management_api
from firmcast.push.metrics import PushMetrics
from firmcast.push.model import Attempt, DeadLetter, DeliveryFilter
from firmcast.rest.application import http_application
from firmcast.rest.authentication import administrator_authentication
from firmcast.sealing import Sealer
from firmcast.settings import PushSettings
from firmcast.subscriptions import use_cases as subscriptions

LOOPBACK = DestinationRules(allowed_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came in."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int
    client: str = ""
    """The common name of the certificate that the client presented."""


Script = Callable[[Received, asyncio.StreamWriter], Awaitable[bool]]
"""Answers one request; False ends the connection."""


async def answer_ok(_request: Received, writer: asyncio.StreamWriter) -> bool:
    writer.write(OK)
    return True


@dataclass(slots=True)
class Callback:
    """A raw HTTP/1.1 server."""

    script: Script = answer_ok
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    scheme: str = "http"
    host: str = "127.0.0.1"
    protocols: list[str | None] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def listen(self, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=context, backlog=1024)
        if context is not None:
            self.scheme = "https"

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def lanes(self) -> dict[str, list[int]]:
        """Sequences by device, in the order of their first arrival."""
        found: dict[str, list[int]] = {}
        for request in self.requests:
            arrived = found.setdefault(json.loads(request.body)["deviceId"], [])
            sequence = int(request.headers["firmcast-sequence"])
            if sequence not in arrived:
                arrived.append(sequence)
        return found

    def url(self, path: str = "/v1.0.0/messageReceiver") -> str:
        return f"{self.scheme}://{self.host}:{self.port}{path}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        connection = self.connections
        socket_tls = writer.get_extra_info("ssl_object")
        self.protocols.append(socket_tls.selected_alpn_protocol() if socket_tls else None)
        try:
            await self._converse(reader, writer, connection)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self.closed.set()
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *rest = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (item.partition(":") for item in rest)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            request = Received(line=line, headers=headers, body=body, connection=connection, client=_presented(writer))
            self.requests.append(request)
            if not await self.script(request, writer):
                return
            await writer.drain()


def _presented(writer: asyncio.StreamWriter) -> str:
    certificate = writer.get_extra_info("peercert") or {}
    return next((value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"), "")


@pytest.fixture
async def callback(new_callback) -> Callback:
    return await new_callback()


@pytest.fixture
def callback_class() -> type[Callback]:
    return Callback


@pytest.fixture
async def new_callback() -> AsyncIterator[Callable[..., Awaitable[Callback]]]:
    """Makes callbacks that are stopped at the end of the test."""
    made: list[Callback] = []

    async def make(context: ssl.SSLContext | None = None, port: int = 0) -> Callback:
        server = Callback()
        await server.listen(context, port)
        made.append(server)
        return server

    yield make
    for server in made:
        await server.stop()


@pytest.fixture(params=["epoll", "loop"])
async def sender(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpSender]:
    """A sender on each way of watching sockets that the system offers; libcurl makes all of its attempts."""
    if request.param == "loop":
        monkeypatch.delattr(select, "epoll", raising=False)
    limits = SenderLimits(
        attempt_timeout=timedelta(seconds=20), connect_timeout=timedelta(seconds=10), answers_before=1_000_000
    )
    it = HttpSender(rules=LOOPBACK, limits=limits)
    yield it
    it.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate authority of its own, and what it has signed."""

    certificate: bytes
    server: Path
    """PEM of the chain and the key, for 127.0.0.1 and localhost."""

    stranger: Path
    """The same for another host."""

    client_certificate: bytes
    client_key: bytes
    issue: Callable[..., tuple[bytes, bytes]]
    """Returns the chain and the key of a new client."""


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    root = _certify("Firmcast test authority", key, None, None, authority=True)

    def spelt(private: ec.EllipticCurvePrivateKey) -> bytes:
        return private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def issue(
        name: str, hosts: list[x509.GeneralName] | None = None, *, through_intermediate: bool = False
    ) -> tuple[bytes, bytes]:
        own = ec.generate_private_key(ec.SECP256R1())
        issuer, issuer_key, above = root, key, b""
        if through_intermediate:
            issuer_key = ec.generate_private_key(ec.SECP256R1())
            issuer = _certify("intermediate", issuer_key, root, key, authority=True)
            above = issuer.public_bytes(serialization.Encoding.PEM)
        issued = _certify(name, own, issuer, issuer_key, hosts=hosts)
        return issued.public_bytes(serialization.Encoding.PEM) + above, spelt(own)

    loopback = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
    for name, hosts in (("server", loopback), ("stranger", [x509.DNSName("other.example")])):
        (folder / f"{name}.pem").write_bytes(b"".join(issue(name, list(hosts))))
    client_certificate, client_key = issue("platform", [x509.DNSName("platform.example")])
    return Authority(
        certificate=root.public_bytes(serialization.Encoding.PEM),
        server=folder / "server.pem",
        stranger=folder / "stranger.pem",
        client_certificate=client_certificate,
        client_key=client_key,
        issue=issue,
    )


def _certify(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey | None,
    *,
    hosts: list[x509.GeneralName] | None = None,
    authority: bool = False,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = key if issuer_key is None else issuer_key
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return builder.sign(signer, hashes.SHA256())


@pytest.fixture
def tls_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server)
    return context


@pytest.fixture
async def tls_callback(new_callback, tls_context: ssl.SSLContext) -> Callback:
    return await new_callback(tls_context)


@dataclass(slots=True)
class World:
    """A store with one application, and a dispatcher that can be taken away and made anew."""

    database: SqliteDatabase
    sealer: Sealer
    log: EventLog
    application_id: ApplicationId
    signing_secret: str
    settings: PushSettings
    dispatchers: list[Dispatcher] = field(default_factory=list)

    async def subscribe(self, url: str, event_type: EventType = EventType.FIRMWARE_STATE_CHANGED) -> SubscriptionId:
        now = datetime.now(UTC)
        subscription = await self.database.write(subscriptions.subscribe, self.application_id, event_type, url, now)
        return subscription.subscription_id

    async def happen(self, *devices: str, fact: Fact | None = None, synthesised: bool = False) -> list[Event]:
        new_events = [
            NewEvent(
                application_id=self.application_id,
                device_id=DeviceId(device),
                task_id=TaskId("task"),
                device_upgrade_id=DeviceUpgradeId(f"upgrade-{device}"),
                occurred_at=datetime.now(UTC),
                synthesised=synthesised,
                fact=fact or FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING),
            )
            for device in devices
        ]
        return await self.database.write(self.log.append, new_events)

    async def dispatch(self, metrics: PushMetrics | None = None, clock: Clock | None = None) -> Dispatcher:
        settings = self.settings
        sender = HttpSender(rules=destination_rules(settings), limits=sender_limits(settings), proxy=proxy_of(settings))
        dispatcher = Dispatcher(
            database=self.database,
            sender=sender,
            clock=clock or SystemClock(),
            settings=self.settings,
            sealer=self.sealer,
            metrics=metrics,
        )
        await dispatcher.start()
        self.dispatchers.append(dispatcher)
        return dispatcher

    def kill(self, dispatcher: Dispatcher) -> None:
        """Take everything from a dispatcher that a killed process would lose."""
        self.dispatchers.remove(dispatcher)
        dispatcher._stopping = True
        for task in dispatcher._tasks:
            task.cancel()
        dispatcher._sender.close()
        self.database._listeners.clear()

    async def pending(self) -> int:
        _, total = await self.database.read(push.pending, DeliveryFilter(), Page())
        return total

    async def dead(self) -> list[DeadLetter]:
        letters, _ = await self.database.read(push.dead_letters, DeliveryFilter(), Page())
        return letters

    async def attempts(self) -> list[Attempt]:
        entries, _ = await self.database.read(push.attempts, DeliveryFilter(), Page())
        return entries[::-1]

    async def tell_another(self, callback: Callback) -> None:
        """Have another application told something: by then whatever may be sent to ours has been."""
        other = await self.database.write(applications.create, "other", self.sealer, datetime.now(UTC))
        ours, self.application_id = self.application_id, other.application_id
        told = DeliveryFilter(subscription_id=await self.subscribe(callback.url("/other")))
        await self.happen("bystander")
        while (await self.database.read(push.pending, told, Page()))[1]:
            await asyncio.sleep(0.01)
        self.application_id = ours

    async def settled(self) -> None:
        """Wait until nothing is left to be delivered; the test's own time limit bounds it."""
        while await self.pending():
            await asyncio.sleep(0.01)


@pytest.fixture
async def world(database: SqliteDatabase) -> AsyncIterator[World]:
    sealer = Sealer(bytes(32))
    credentials = await database.write(applications.create, "app", sealer, datetime.now(UTC))
    it = World(
        database=database,
        sealer=sealer,
        log=EventLog(encode=encode_event, projections=[push.fan_out]),
        application_id=credentials.application_id,
        signing_secret=credentials.signing_secret,
        settings=PushSettings(
            allowed_networks=("127.0.0.0/8",),
            probe_interval=timedelta(milliseconds=100),
            attempt_timeout=timedelta(seconds=10),
        ),
    )
    yield it
    for dispatcher in it.dispatchers:
        await dispatcher.stop(0)


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    """The management API of push, in process."""
    rules = destination_rules(world.settings)
    sender = HttpSender(rules=rules, limits=sender_limits(world.settings))
    calls = push_api.endpoints(
        database=world.database,
        clock=SystemClock(),
        authorise_administrator=administrator_authentication("operators-token"),
        sealer=world.sealer,
        check_callback=lambda url: rules.check(parse_callback_url(url)),
        send_callback=sender.send,
    )
    calls += push_management_api.endpoints(
        database=world.database,
        clock=SystemClock(),
        authorise_administrator=administrator_authentication("operators-token"),
        usual=retry_policy(world.settings),
        resend_rate=world.settings.replay_rate,
    )
    transport = httpx2.ASGITransport(http_application(calls))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://platform", headers={"authorization": "Bearer operators-token"}
    ) as it:
        yield it
    sender.close()
