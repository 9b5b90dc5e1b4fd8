"""What libcurl has found out of one URL, and our connections there: a few that carry many, or many that carry one."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Final
from urllib.parse import urlsplit

from firmcast.push.sending.header_lines import WireError, check_values
from firmcast.push.sending.http1_connection import Http1Connection, KnownAnswer
from firmcast.push.sending.http1_wire import post_head
from firmcast.push.sending.http2_connection import Http2Connection
from firmcast.push.sending.http2_wire import (
    CONTENT_LENGTH,
    LARGEST_FRAME,
    fields_block,
    lines_block,
    name_block,
    post_block,
)
from firmcast.push.sending.outgoing import OutgoingRequest
from firmcast.push.trust import Trust

_MOST_OPENED_AT_ONCE: Final = 32
"""Each may be a handshake, and the loop has other things to do."""

OwnConnection = Http1Connection | Http2Connection
OnOver = Callable[[OwnConnection], None]

_LARGEST_POST: Final = 64 * 1024
"""Over HTTP/1.1, with its head: beyond it libcurl waits better for a receiver that reads slowly."""


class BusyReceiver(ABC):
    """Of either kind."""

    most_connections: ClassVar[int]
    protocol: ClassVar[str]
    """As TLS names it (RFC 7301)."""

    def __init__(self, url: str, trust: Trust) -> None:
        """Know its URL, and how it is trusted."""
        parts = urlsplit(url)
        self.url = url
        self.trust = trust
        self.is_tls = parts.scheme == "https"
        self.host = (parts.hostname or "").removesuffix(".")
        self._authority = parts.netloc.removesuffix(":443" if self.is_tls else ":80")
        self._path = url[len(parts.scheme) + len("://") + len(parts.netloc) :]
        self.address = ""
        self.port = 0
        self.learnt_at = 0.0
        self.answers = 0
        """That libcurl has had since the last connection that brought few."""
        self.opening = 0
        """Connections that are being opened."""
        self.quiet_until = 0.0
        self.missed = 1
        """Attempts that have found no room since connections were opened last; the first one is libcurl's anyway."""
        self.connections: dict[OwnConnection, None] = {}
        self._lines: Sequence[str] = ()
        """The header lines of the last request, in a tuple; those of the next are mostly the same."""

    def leave_alone_until(self, time: float) -> None:
        """Open no connection before a time of the loop."""
        self.answers = 0
        self.quiet_until = time

    @property
    def in_flight(self) -> int:
        """How many attempts are under way on our connections."""
        return sum(connection.in_flight for connection in self.connections)

    @property
    def opened_at_once(self) -> int:
        """How many connections more may be opened together."""
        return 1

    @abstractmethod
    def make(self, address: str, timeout: float, on_over: OnOver) -> OwnConnection:
        """Return the protocol of a new connection to `address`, where attempts have `timeout` seconds.

        `on_over` is told of its end.
        """

    @abstractmethod
    def spell(self, request: OutgoingRequest, size: int) -> bytes:
        """Return what goes before a body of so many bytes.

        Raises:
            WireError: it is for libcurl to say.
        """

    @abstractmethod
    def connection_for(self, size: int) -> OwnConnection | None:
        """Return a connection that takes a body of so many bytes now; it is to be posted on at once."""

    def add(self, connection: OwnConnection) -> None:
        """Post on a connection that is settled."""
        self.connections[connection] = None

    def remove(self, connection: OwnConnection) -> None:
        """Forget a connection that is over."""
        del self.connections[connection]


class Http2Receiver(BusyReceiver):
    """With HTTP/2, which it speaks over TLS only."""

    most_connections = 8
    protocol = "h2"

    def __init__(self, url: str, trust: Trust) -> None:
        """See `BusyReceiver`."""
        super().__init__(url, trust)
        self._post = self._block = post_block(self._authority, self._path)
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def make(self, address: str, timeout: float, on_over: OnOver) -> OwnConnection:
        return Http2Connection(address, timeout, on_over)

    def spell(self, request: OutgoingRequest, size: int) -> bytes:
        if request.headers != self._lines:
            self._block = self._post + lines_block(request.headers)
            self._lines = tuple(request.headers)
        names = self._names.get(request.names)
        if names is None:
            names = self._names[request.names] = (*map(name_block, request.names), CONTENT_LENGTH)
        check_values(request.values)
        block = self._block + fields_block(names, (*request.values, str(size)))
        if len(block) > LARGEST_FRAME:
            raise WireError("more than one frame of headers")
        return block

    def connection_for(self, size: int) -> OwnConnection | None:
        for connection in self.connections:
            if connection.takes(size):
                return connection
        if not self.opening:
            self.missed = int(all(connection.is_full for connection in self.connections))
        return None


class Http1Receiver(BusyReceiver):
    """With HTTP/1.1."""

    most_connections = 1024
    protocol = "http/1.1"

    def __init__(self, url: str, trust: Trust) -> None:
        """See `BusyReceiver`."""
        super().__init__(url, trust)
        self._heads: dict[tuple[str, ...], str] = {}
        self._known = KnownAnswer()
        self._free: list[Http1Connection] = []  # the last one used is the next: those too many grow old and are closed
        self._aside: list[Http1Connection] = []  # with something unread, until the loop has read it

    @property
    def opened_at_once(self) -> int:
        """One until that is answered: the receiver may serve none but libcurl's."""
        return _MOST_OPENED_AT_ONCE if any(connection.answers for connection in self.connections) else 1

    def make(self, address: str, timeout: float, on_over: OnOver) -> OwnConnection:
        return Http1Connection(address, timeout, self._known, self._free.append, on_over)

    def spell(self, request: OutgoingRequest, size: int) -> bytes:
        if request.headers != self._lines:
            self._heads.clear()
            self._lines = tuple(request.headers)
        known = self._heads.get(request.names)
        if known is None:
            known = self._heads[request.names] = post_head(self._authority, self._path, self._lines, request.names)
        check_values(request.values)
        head = (known % (*request.values, size)).encode()
        if len(head) + size > _LARGEST_POST:
            raise WireError("more than a connection should hold back")
        return head

    def connection_for(self, size: int) -> OwnConnection | None:
        free = self._free
        while free:
            connection = free.pop()
            if connection.takes(size):
                return connection
            if connection.is_open:
                self._set_aside(connection)
        if not self.opening and not self._aside:
            self.missed += 1
        return None

    def _set_aside(self, connection: Http1Connection) -> None:
        if not self._aside:
            asyncio.get_running_loop().call_soon(self._take_back)
        self._aside.append(connection)

    def _take_back(self) -> None:
        aside, self._aside = self._aside, []
        self._free[:0] = [connection for connection in aside if connection.is_open]

    def add(self, connection: OwnConnection) -> None:
        super().add(connection)
        assert isinstance(connection, Http1Connection)
        self._free.append(connection)

    def remove(self, connection: OwnConnection) -> None:
        super().remove(connection)
        if connection in self._free:
            self._free.remove(connection)  # it would be found there only when all above it are busy
