"""A callback that answers 200 to every POST as fast as Python can, in a process of its own, and counts what it got.

Usage: python -m bench.sink [CERTIFICATE KEY]. It prints its port; at the end of standard input it prints how many
requests, and how many distinct message ids, it received.
"""

import asyncio
import re
import ssl
import sys

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_IDENTIFIER = re.compile(rb"\r\nwebhook-id: ([^\r]+)", re.IGNORECASE)


class Sink(asyncio.Protocol):
    """Answers each complete request of one connection."""

    requests = 0
    identifiers: set[bytes] = set()  # noqa: RUF012 -- one process, one sink

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._held = b""

    def data_received(self, data: bytes) -> None:
        held = self._held + data
        answers = 0
        while (end := held.find(b"\r\n\r\n")) >= 0:
            head = held[:end]
            found = _LENGTH.search(head)
            total = end + 4 + (int(found[1]) if found else 0)
            if len(held) < total:
                break
            if identifier := _IDENTIFIER.search(head):
                Sink.identifiers.add(identifier[1])
            held = held[total:]
            answers += 1
        self._held = held
        if answers:
            Sink.requests += answers
            self._transport.write(_ANSWER * answers)  # type: ignore[attr-defined]  # a stream's transport writes


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    server = await loop.create_server(Sink, "127.0.0.1", 0, ssl=context, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(Sink.requests, len(Sink.identifiers), flush=True)
    server.close()


if __name__ == "__main__":
    uvloop.run(serve())
