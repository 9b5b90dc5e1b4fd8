"""Callbacks in a process of their own: they answer as they are told to, and keep a record of everything that came.

It takes commands on standard input, one JSON object a line, and answers each with one that has the same `id`. It is
written to be faster than any sender, so that what is slow is what is tested.

| do | given | answer |
| --- | --- | --- |
| listen | name, port (0 for a free one) | port |
| hang_up | name | |
| secrets | path, secrets (`whsec_…`) | |
| behave | path, device (or none), and a Behaviour's fields | |
| arrivals | since (how many are known already) | arrivals, in the order in which they came |
| release | | answers all that is held, and holds nothing more |
| wait | count, path (or none) | when so many have come |
| numbers | path | in_flight, most_in_flight (since the last time asked), arrivals, connections |
"""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import re
import ssl
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
DEVICE = re.compile(rb'"deviceId":"([^"]*)"')


SETTLING_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How requests are answered."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the answer."""

    share: float = 1.0
    """The portion of the requests that is treated so; the others are answered with 200."""

    how: str = "answer"
    """`hold` answers when it is released, `silence` never, `reset` breaks the connection off, `drip` sends one byte of
    a body each second.
    """


@dataclass(slots=True)
class Record:
    """What came, and how it stands."""

    arrivals: list[list[Any]] = field(default_factory=list)
    secrets: dict[str, list[bytes]] = field(default_factory=dict)
    behaviours: dict[tuple[str, str | None], Behaviour] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    in_flight: Counter[str] = field(default_factory=Counter)
    most_in_flight: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    waiting: list[tuple[int, str | None, int]] = field(default_factory=list)
    """(count, path, id of the command)"""


OK = Behaviour()
RECORD = Record()
DRAW = random.Random(1)
SERVERS: dict[str, asyncio.Server] = {}
HELD: list["Connection"] = []
OPEN: defaultdict[str, set["Connection"]] = defaultdict(set)


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class Connection(asyncio.Protocol):
    """One connection of a sender; requests on it are answered one after another."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._held = b""
        self._path = ""
        self._busy = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        RECORD.connections += 1
        OPEN[self._name].add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        OPEN[self._name].discard(self)
        if self._busy:
            RECORD.in_flight[self._path] -= 1

    def let_go(self) -> None:
        self._answer(OK)

    def break_off(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._held += data
        while not self._busy and (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end]
            found = LENGTH.search(head)
            total = end + 4 + (int(found[1]) if found else 0)
            if len(self._held) < total:
                return
            body, self._held = self._held[end + 4 : total], self._held[total:]
            self._take(head.decode(), body)

    def _take(self, head: str, body: bytes) -> None:
        line, *rest = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (item.partition(": ") for item in rest)}
        self._path = path = line.split(" ")[1]
        found = DEVICE.search(body)
        device = found[1].decode() if found else ""
        behaviour = RECORD.behaviours.get((path, device)) or RECORD.behaviours.get((path, None), OK)
        if behaviour.share < 1.0 and DRAW.random() >= behaviour.share:
            behaviour = OK
        note(path, device, headers, body, behaviour)
        self._busy = True
        RECORD.in_flight[path] += 1
        if RECORD.in_flight[path] > RECORD.most_in_flight[path]:
            # Counted a moment later: the end of a connection may be read after the beginning of its successor.
            asyncio.get_running_loop().call_later(SETTLING_SECONDS, count_most, path)
        if behaviour.how == "reset":
            self.break_off()
        elif behaviour.how == "hold":
            HELD.append(self)
        elif behaviour.how == "drip":
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            self._drip()
        elif behaviour.how == "answer":
            if behaviour.delay:
                asyncio.get_running_loop().call_later(behaviour.delay, self._answer, behaviour)
            else:
                self._answer(behaviour)

    def _drip(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b".")
            asyncio.get_running_loop().call_later(1.0, self._drip)

    def _answer(self, behaviour: Behaviour) -> None:
        if self._transport.is_closing():
            return
        self._busy = False
        RECORD.in_flight[self._path] -= 1
        lines = "".join(f"{name}: {value}\r\n" for name, value in behaviour.headers.items())
        self._transport.write(f"HTTP/1.1 {behaviour.status} -\r\nContent-Length: 0\r\n{lines}\r\n".encode())
        if self._held:
            self.data_received(b"")


def count_most(path: str) -> None:
    RECORD.most_in_flight[path] = max(RECORD.most_in_flight[path], RECORD.in_flight[path])


def note(path: str, device: str, headers: dict[str, str], body: bytes, behaviour: Behaviour) -> None:
    RECORD.arrivals.append(
        [
            path,
            device,
            int(headers.get("firmcast-sequence", "0")),
            int(headers.get("firmcast-attempt", "0")),
            headers.get("webhook-id", ""),
            int(headers.get("webhook-timestamp", "0")),
            keys_that_signed(path, headers, body),
            hashlib.sha256(body).hexdigest()[:16],
            time.time(),
            headers.get("firmcast-occurred-at", ""),
            behaviour.status if behaviour.how in {"answer", "hold"} else 0,
            headers.get("firmcast-replay", ""),
            RECORD.in_flight[path],
        ]
    )
    RECORD.counts[path] += 1
    if RECORD.waiting:
        tell_who_waits()


def keys_that_signed(path: str, headers: dict[str, str], body: bytes) -> list[int]:
    """Say which of the secrets of a path, by their places, have signed (Standard Webhooks, "Signature scheme")."""
    content = f"{headers.get('webhook-id', '')}.{headers.get('webhook-timestamp', '')}.".encode() + body
    given = headers.get("webhook-signature", "").split(" ")
    return [
        number
        for number, key in enumerate(RECORD.secrets.get(path, []))
        if "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode() in given
    ]


def tell_who_waits() -> None:
    still = []
    for count, path, command in RECORD.waiting:
        if (len(RECORD.arrivals) if path is None else RECORD.counts[path]) >= count:
            say({"id": command})
        else:
            still.append((count, path, command))
    RECORD.waiting = still


async def listen(name: str, port: int, context: ssl.SSLContext | None) -> int:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(name), "127.0.0.1", port, ssl=context, backlog=4096)
    SERVERS[name] = server
    return int(server.sockets[0].getsockname()[1])


def hang_up(name: str) -> None:
    """Listen no longer, and break off what is open."""
    SERVERS.pop(name).close()
    for connection in list(OPEN[name]):
        connection.break_off()


async def obey(command: dict[str, Any], context: ssl.SSLContext | None) -> dict[str, Any] | None:
    """Carry a command out; None when it is answered later."""
    match command["do"]:
        case "listen":
            return {"port": await listen(command["name"], command["port"], context)}
        case "hang_up":
            hang_up(command["name"])
        case "secrets":
            keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in command["secrets"]]
            RECORD.secrets[command["path"]] = keys
        case "behave":
            RECORD.behaviours[command["path"], command["device"]] = Behaviour(**command["behaviour"])
        case "release":
            RECORD.behaviours = {key: it for key, it in RECORD.behaviours.items() if it.how != "hold"}
            for connection in HELD:
                connection.let_go()
            HELD.clear()
        case "arrivals":
            return {"arrivals": RECORD.arrivals[command["since"] :]}
        case "wait":
            RECORD.waiting.append((command["count"], command["path"], command["id"]))
            tell_who_waits()
            return None
        case "numbers":
            path = command["path"]
            most = RECORD.most_in_flight.pop(path, 0)
            RECORD.most_in_flight[path] = RECORD.in_flight[path]
            return {
                "in_flight": RECORD.in_flight[path],
                "most_in_flight": most,
                "arrivals": RECORD.counts[path],
                "connections": RECORD.connections,
            }
    return {}


async def serve() -> None:
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say({"id": 0})
    async for line in reader:
        command = json.loads(line)
        answer = await obey(command, context)
        if answer is not None:
            say({"id": command["id"], **answer})


if __name__ == "__main__":
    uvloop.run(serve())
