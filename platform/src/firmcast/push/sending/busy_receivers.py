"""A receiver that answers many attempts has connections of our own, at a part of libcurl's cost.

libcurl comes first: it finds the address out, which the rules judge, and shows by its answers that the receiver speaks
HTTP/2, or keeps a connection open for the next attempt. Only then a connection is opened, to that very address, beside
libcurl's; until one is ready, and whenever none has room, libcurl makes the attempt. So what is unusual need not be
coped with here: it ends a connection, and the receiver is libcurl's again for a while.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import structlog

from firmcast.push.answer import FailureKind
from firmcast.push.destination import DestinationRules, spelt_address
from firmcast.push.sending.attempt_slot import system_authorities
from firmcast.push.sending.busy_receiver import BusyReceiver, Http1Receiver, Http2Receiver, OwnConnection
from firmcast.push.sending.header_lines import WireError
from firmcast.push.sending.http1_connection import Http1Connection
from firmcast.push.sending.outgoing import OnDone, OutgoingRequest
from firmcast.push.sending.posted import Posted
from firmcast.push.trust import Trust

_log = structlog.get_logger()

_MOST_RECEIVERS: Final = 1000
_MOST_CONTEXTS: Final = 64
_SWEEP_SECONDS: Final = 15.0
_FORGOTTEN_SECONDS: Final = 60.0
_REFUSED_SECONDS: Final = 300.0
"""A receiver that takes no connection of ours, or whose certificate we do not take, is left to libcurl for so long."""

_ENDED_SECONDS: Final = 5.0
"""One that has ended a connection while it was opened is left to libcurl for so long: it may just be starting anew."""

_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN (?P<kind>(?:X509 |TRUSTED )?CERTIFICATE)-----.*?-----END (?P=kind)-----", re.DOTALL
)
"""In a PEM (RFC 7468, section 2), by the names that OpenSSL knows."""

HandBack = Callable[[OutgoingRequest, OnDone, float], None]
"""Has libcurl make an attempt of whose time so many seconds have passed."""


class BusyReceivers:
    """The receivers that are told much, and our connections to them."""

    def __init__(
        self,
        *,
        rules: DestinationRules,
        attempt_timeout: float,
        connect_timeout: float,
        idle_connection: float,
        connections: int,
        answers_before: int,
        hand_back: HandBack,
    ) -> None:
        """Bind to the running loop.

        Times are in seconds; there are at the most so many `connections`. A receiver is busy when libcurl has had
        `answers_before` answers of it, and as many again after a connection that has brought fewer.
        """
        self._loop = asyncio.get_running_loop()
        self._rules = rules
        self._attempt_timeout = attempt_timeout
        self._connect_timeout = connect_timeout
        self._idle_connection = idle_connection
        self._most_connections = connections
        self._connections = 0  # open and opening
        self._answers_before = answers_before
        self._hand_back = hand_back
        self._receivers: dict[str, BusyReceiver] = {}
        self._contexts: dict[tuple[bytes, str], ssl.SSLContext] = {}
        self._openings: set[asyncio.Task[None]] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def in_flight(self) -> int:
        """How many attempts are under way here."""
        return sum(receiver.in_flight for receiver in self._receivers.values())

    def post(self, request: OutgoingRequest, on_done: OnDone) -> bool:
        """Make an attempt, unless it is libcurl's to make."""
        receiver = self._receivers.get(request.url)
        if receiver is None or receiver.trust != request.trust:
            return False
        size = len(request.body)
        try:
            head = receiver.spell(request, size)
        except WireError:
            return False
        connection = receiver.connection_for(size)
        if connection is None:
            return False
        posted = Posted(self._loop.time(), on_done, partial(self._hand_back, request, on_done))
        connection.post(head, request.body, posted)
        return True

    def answered_libcurl(self, url: str, trust: Trust, address: str, port: int, *, http2: bool) -> None:
        """Take note of an answer that libcurl has had from an address that it has dialled.

        It came over HTTP/2, or else on a connection that had carried another.
        """
        kind = Http2Receiver if http2 else Http1Receiver
        receiver = self._receivers.get(url)
        if receiver is not None and (receiver.trust != trust or type(receiver) is not kind):
            if receiver.connections or receiver.opening:
                return
            receiver = None
        if receiver is None:
            if len(self._receivers) >= _MOST_RECEIVERS or not _is_spelt_plainly(url):
                return
            receiver = self._receivers[url] = kind(url, trust)
            self._sweep_later()
        receiver.answers += 1
        receiver.address, receiver.port, receiver.learnt_at = address, port, self._loop.time()
        openable = self._openable(receiver) if receiver.answers >= self._answers_before else 0
        if openable:
            receiver.missed = 0
        for _ in range(openable):
            receiver.opening += 1
            self._connections += 1
            task = self._loop.create_task(self._open(receiver, address, port), name="push-connection")
            self._openings.add(task)
            task.add_done_callback(self._openings.discard)

    def close(self) -> None:
        """Break off what is under way, answering it with LOCAL, and close all connections."""
        self._closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for task in self._openings:
            task.cancel()
        receivers, self._receivers = list(self._receivers.values()), {}
        now = self._loop.time()
        with ExitStack() as endings:
            for receiver in receivers:
                for connection in list(receiver.connections):
                    for posted in connection.break_off():
                        endings.callback(posted.failed, now, receiver.address, FailureKind.LOCAL, "shutting down")

    # ------------------------------------------------------------------ connections

    def _openable(self, receiver: BusyReceiver) -> int:
        """Return how many more the receiver should have now: libcurl has had attempts since none had room for them."""
        if self._closed or receiver.opening or not receiver.missed or self._loop.time() < receiver.quiet_until:
            return 0
        most = min(receiver.most_connections - len(receiver.connections), self._most_connections - self._connections)
        if most <= 0 or not self._rules.permits(receiver.address, receiver.port):
            return 0
        return min(most, receiver.missed, receiver.opened_at_once)

    async def _open(self, receiver: BusyReceiver, address: str, port: int) -> None:
        """Open a connection to what the rules permit; meanwhile libcurl may have found the receiver elsewhere."""

        def make() -> OwnConnection:
            return receiver.make(address, self._attempt_timeout, partial(self._over, receiver))

        connection: OwnConnection | None = None
        try:
            async with asyncio.timeout(self._connect_timeout):
                context = await self._context(receiver) if receiver.is_tls else None
                _, connection = await self._loop.create_connection(
                    make,
                    address,
                    port,
                    ssl=context,
                    server_hostname=receiver.host if receiver.is_tls else None,
                )
                await connection.settled()
        except Exception as error:  # whatever it is: it would be so again at the next answer
            self._connections -= 1
            is_ended = isinstance(error, ConnectionError)
            if connection is not None:
                connection.break_off()
                is_ended = is_ended and connection.is_understood
            seconds = _ENDED_SECONDS if is_ended else _REFUSED_SECONDS
            self._leave_alone(receiver, str(error) or type(error).__name__, seconds)
        else:
            receiver.add(connection)
        finally:
            receiver.opening -= 1

    async def _context(self, receiver: BusyReceiver) -> ssl.SSLContext:
        wanted = receiver.trust.authorities, receiver.protocol
        found = self._contexts.get(wanted)
        if found is None:
            # To read the system's authorities takes some milliseconds, which the loop has not.
            found = await self._loop.run_in_executor(None, _context, *wanted)
            if len(self._contexts) >= _MOST_CONTEXTS:
                self._contexts.clear()
            self._contexts[wanted] = found
        return found

    def _over(self, receiver: BusyReceiver, connection: OwnConnection) -> None:
        """Take note of a connection's end; one that has served for long may be followed by another at once."""
        if connection in receiver.connections:
            receiver.remove(connection)
            self._connections -= 1
            if connection.answers < self._answers_before:
                receiver.answers = 0
            if not connection.is_understood:
                self._leave_alone(receiver, f"its answer is not as a connection of ours reads {receiver.protocol}")
            elif isinstance(connection, Http1Connection) and connection.is_silent:
                self._leave_alone(receiver, "it does not answer on one connection more")

    def _leave_alone(self, receiver: BusyReceiver, reason: str, seconds: float = _REFUSED_SECONDS) -> None:
        if receiver.quiet_until <= self._loop.time():  # or another connection has said so
            _log.info("push.left_to_libcurl", url=receiver.url, error=reason)
        receiver.leave_alone_until(max(receiver.quiet_until, self._loop.time() + seconds))

    # ------------------------------------------------------------------ what is old

    def _sweep_later(self) -> None:
        if self._sweep_timer is None and self._receivers and not self._closed:
            self._sweep_timer = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Close connections that are idle, and forget receivers that have none and are told nothing any more."""
        self._sweep_timer = None
        now = self._loop.time()
        for url, receiver in list(self._receivers.items()):
            for connection in list(receiver.connections):
                if connection.in_flight:
                    continue
                if not connection.is_open:
                    connection.break_off()  # it has been left, and the receiver does not read the last of it
                elif connection.last_used < now - self._idle_connection:
                    connection.leave()
            is_quiet = max(receiver.learnt_at, receiver.quiet_until) < now - _FORGOTTEN_SECONDS
            if is_quiet and not receiver.connections and not receiver.opening:
                del self._receivers[url]
        self._sweep_later()


def _is_spelt_plainly(url: str) -> bool:
    """Say whether a URL's host and port are sent as they are spelt: of every spelling libcurl makes the usual one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = spelt_address(host)
    authority, port = parts.netloc, parts.port
    has_usual_port = authority[-1:] != ":" if port is None else authority.endswith(f":{port}")
    return has_usual_port and (address is None or str(address) == host)


def _context(authorities: bytes, protocol: str) -> ssl.SSLContext:
    """Return how a receiver is checked: as libcurl does it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if authorities:
        # What is between the certificates may be in any language and encoding.
        certificates = b"\n".join(match[0] for match in _CERTIFICATE.finditer(authorities))
        context.load_verify_locations(cadata=certificates.decode())
    elif known := system_authorities():
        context.load_verify_locations(cafile=known)
    context.set_alpn_protocols([protocol])
    return context
