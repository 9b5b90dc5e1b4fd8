"""A pooler before a real PostgreSQL that gives each transaction the session that was left alone for longest.

So it does with every transaction what others do under load: the next one finds nothing of what this one left.
"""

import asyncio
import itertools
import struct
from collections import defaultdict, deque
from urllib.parse import urlsplit, urlunsplit

import pytest

_MADE_UP_PROCESS = 4_000_000_000 & 0x7FFFFFFF
_NO_TLS = 80877103
_CANCEL = 80877102


def socket_of(url: str) -> str:
    """Return the socket of a server that is reached through one."""
    query = urlsplit(url).query
    if not query.startswith("host="):
        pytest.skip("the PostgreSQL of DATABASE_URL is not reached through a socket")
    return f"{query.removeprefix('host=')}/.s.PGSQL.5432"


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the kind and the body of the next message."""
    head = await reader.readexactly(5)
    return head[:1], await reader.readexactly(int.from_bytes(head[1:], "big") - 4)


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


class Session:
    """A session of the server, and whose transaction it serves just now."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.client: Client | None = None
        self.awaited = 0
        """Answers, each with its end, that are still to come."""
        self.known: set[bytes] = set()
        self.parsing: deque[bool] = deque()
        """Of each statement that is being prepared: whether the client is to hear of it."""
        self.pump: asyncio.Task[None]


class Client:
    """A connection that believes to have the server for itself."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.session: Session | None = None
        self.statements: dict[bytes, tuple[bytes, bytes]] = {}
        """By the client's name for it: ours, and what the server has to prepare."""


class Pooler:
    """Listens on a port of its own, from `start` to `stop`."""

    def __init__(self, url: str, *, keeps_statements: bool, sessions: int = 3) -> None:
        self._url = url
        self._socket = socket_of(url)
        self._sessions = sessions
        self._all: dict[bytes, list[Session]] = defaultdict(list)
        self._idle: dict[bytes, deque[Session]] = defaultdict(deque)
        self._greetings: dict[bytes, bytes] = {}
        self._freed = asyncio.Condition()
        self._names = itertools.count(1)
        self._clients: set[asyncio.Task[None]] = set()
        self.keeps_statements = keeps_statements

    async def start(self) -> str:
        """Return the address that leads through it to the database."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return urlunsplit(urlsplit(self._url)._replace(netloc=f"postgres@127.0.0.1:{port}", query="sslmode=disable"))

    async def stop(self) -> None:
        self._server.close()
        for task in [*self._clients, *(session.pump for pool in self._all.values() for session in pool)]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for session in itertools.chain.from_iterable(self._all.values()):
            session.writer.close()

    # Sessions.

    async def _open(self, start: bytes) -> Session:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        writer.write(start)
        greeting = b""
        session = Session(reader, writer)
        while True:
            kind, body = await read_message(reader)
            if kind == b"K":
                body = struct.pack("!ii", _MADE_UP_PROCESS, 0)
            greeting += message(kind, body)
            if kind == b"Z":
                break
            assert kind != b"E", body
        self._greetings[start] = greeting
        self._all[start].append(session)
        session.pump = asyncio.create_task(self._pump(session, start))
        return session

    async def _pump(self, session: Session, start: bytes) -> None:
        while True:
            kind, body = await read_message(session.reader)
            if kind == b"1" and not session.parsing.popleft():
                continue
            client = session.client
            if client is not None:
                client.writer.write(message(kind, body))
            if kind == b"Z":
                session.awaited -= 1
                session.parsing.clear()
                if not session.awaited and body == b"I":
                    if client is not None:
                        client.session = session.client = None
                    await self._free(session, start)

    async def _free(self, session: Session, start: bytes) -> None:
        async with self._freed:
            self._idle[start].append(session)
            self._freed.notify_all()

    async def _take(self, start: bytes) -> Session:
        async with self._freed:
            await self._freed.wait_for(lambda: self._idle[start])
            return self._idle[start].popleft()

    # Clients.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._clients.add(task)
        client = Client(writer)
        try:
            start = await self._greet(reader, writer)
            while start:
                kind, body = await read_message(reader)
                if kind == b"X":
                    break
                if client.session is None:
                    client.session = await self._take(start)
                    client.session.client = client
                self._pass_on(client, client.session, kind, body)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # it has gone without a word, or the pooler ends
        finally:
            self._clients.discard(task)
            writer.close()
            if client.session is not None:
                # What it has begun is undone; then the session is another's.
                client.session.client = None
                client.session.awaited += 1
                client.session.writer.write(message(b"Q", b"ROLLBACK\0"))

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        while True:
            head = await reader.readexactly(8)
            length, code = struct.unpack("!ii", head)
            if code != _NO_TLS:
                break
            writer.write(b"N")
        rest = await reader.readexactly(length - 8)
        if code == _CANCEL:
            return b""
        start = head + rest
        while len(self._all[start]) < self._sessions:
            await self._free(await self._open(start), start)
        writer.write(self._greetings[start])
        return start

    def _pass_on(self, client: Client, session: Session, kind: bytes, body: bytes) -> None:
        if kind in b"QSF":
            session.awaited += 1
        if self.keeps_statements:
            body = self._renamed(client, session, kind, body)
        if kind == b"P":
            session.parsing.append(True)
        session.writer.write(message(kind, body))

    def _renamed(self, client: Client, session: Session, kind: bytes, body: bytes) -> bytes:
        """Give the statements that a client names names of our own, and have the session know them."""
        if kind == b"P" and body[0]:
            name, _, rest = body.partition(b"\0")
            ours = b"KEPT_%d" % next(self._names)
            client.statements[name] = ours, rest
            session.known.add(ours)
            return ours + b"\0" + rest
        if kind == b"B":
            portal, _, rest = body.partition(b"\0")
            name, _, rest = rest.partition(b"\0")
            return portal + b"\0" + self._known(client, session, name) + b"\0" + rest
        if kind in b"DC" and body[:1] == b"S":
            return b"S" + self._known(client, session, body[1:-1]) + b"\0"
        return body

    def _known(self, client: Client, session: Session, name: bytes) -> bytes:
        if name not in client.statements:
            return name
        ours, rest = client.statements[name]
        if ours not in session.known:
            session.known.add(ours)
            session.parsing.append(False)
            session.writer.write(message(b"P", ours + b"\0" + rest))
        return ours
