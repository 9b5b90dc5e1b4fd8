"""A callback that answers 200 to every POST as fast as Python can, in a process of its own, and counts what it got.

Over TLS it offers HTTP/2 and HTTP/1.1. Of HTTP/2 (RFC 9113) it speaks what answering takes and no more: headers of
requests are not decoded, since every body of a benchmark is another one, and bodies are what is counted.

Usage: python -m bench.sink [--delay SECONDS] [--only-http1] [--times FILE] [CERTIFICATE KEY]. It prints its port; for
each line on standard input it prints how many requests, and how many distinct bodies, it received; it ends with
standard input. Into FILE it writes, before each such answer, when each body came first, by the machine's steady clock.
"""

import argparse
import asyncio
import re
import ssl
import struct
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_END_STREAM, _ACKNOWLEDGEMENT = 1, 1
_WINDOW = (1 << 31) - 1


class Sink(asyncio.Protocol):
    """Answers each complete request of one connection."""

    requests = 0
    bodies: dict[bytes, float] = {}  # noqa: RUF012 -- one process, one sink
    delay = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._held = b""
        self._streams: dict[int, bytes] = {}
        chosen = transport.get_extra_info("ssl_object")
        self._is_http2 = chosen is not None and chosen.selected_alpn_protocol() == "h2"
        self._preface_left = len(_PREFACE) if self._is_http2 else 0
        if self._is_http2:
            # Streams and windows without end: nothing has to be said about either afterwards, for some 2 GiB.
            settings = struct.pack("!HIHI", 3, 1000, 4, _WINDOW)
            whole = struct.pack("!BHBBII", 0, 4, 8, 0, 0, _WINDOW - 65535)
            self._transport.write(struct.pack("!BHBBI", 0, len(settings), _SETTINGS, 0, 0) + settings + whole)

    def data_received(self, data: bytes) -> None:
        self._held += data
        answers = self._http2() if self._is_http2 else self._http1()
        if not answers:
            return
        if Sink.delay:
            asyncio.get_running_loop().call_later(Sink.delay, self._transport.write, answers)
        else:
            self._transport.write(answers)

    def _http1(self) -> bytes:
        answers = 0
        held, at = self._held, 0
        while (end := held.find(b"\r\n\r\n", at)) >= 0:
            found = _LENGTH.search(held, at, end)
            total = end + 4 + (int(found[1]) if found else 0)
            if len(held) < total:
                break
            self._count(held[end + 4 : total])
            at = total
            answers += 1
        self._held = held[at:]
        return _ANSWER * answers

    def _http2(self) -> bytes:
        held, at = self._held, 0
        if self._preface_left:
            if len(held) < self._preface_left:
                return b""
            at, self._preface_left = self._preface_left, 0
        answers = []
        while len(held) - at >= 9:
            length = int.from_bytes(held[at : at + 3], "big")
            if len(held) - at < 9 + length:
                break
            kind, flags, stream = held[at + 3], held[at + 4], int.from_bytes(held[at + 5 : at + 9], "big")
            payload = held[at + 9 : at + 9 + length]
            at += 9 + length
            if kind == _DATA:
                self._streams[stream] = self._streams.get(stream, b"") + payload
            elif kind == _SETTINGS and not flags & _ACKNOWLEDGEMENT:
                answers.append(b"\0\0\0\4\1\0\0\0\0")
            elif kind == _PING and not flags & _ACKNOWLEDGEMENT:
                answers.append(b"\0\0\x08\6\1\0\0\0\0" + payload)
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                self._count(self._streams.pop(stream, b""))
                # One frame: the headers end, the stream ends, and `:status 200` is number 8 of the static table.
                answers.append(b"\0\0\1\1\5" + stream.to_bytes(4, "big") + b"\x88")
        self._held = held[at:]
        return b"".join(answers)

    @staticmethod
    def _count(body: bytes) -> None:
        Sink.requests += 1
        Sink.bodies.setdefault(body, time.monotonic())


async def serve(options: argparse.Namespace) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
        context.set_alpn_protocols(["http/1.1"] if options.only_http1 else ["h2", "http/1.1"])
    Sink.delay = options.delay
    server = await loop.create_server(Sink, "127.0.0.1", 0, ssl=context, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        if options.times:
            _write_times(Path(options.times))
        print(Sink.requests, len(Sink.bodies), flush=True)
    server.close()


def _write_times(file: Path) -> None:
    file.write_bytes(b"".join(b"%f %s\n" % (at, body) for body, at in Sink.bodies.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.sink", description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--only-http1", action="store_true")
    parser.add_argument("--times", default="")
    parser.add_argument("certificate", nargs="?")
    parser.add_argument("key", nargs="?")
    uvloop.run(serve(parser.parse_args()))
