"""A virtual device fetches over HTTP from servers that break off, change their mind, or have nothing for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from firmcast.clock import SystemClock
from firmcast.lwm2m.firmware_update import UpdateResult
from firmcast.simulator.download import Downloader
from firmcast.simulator.download_errors import DownloadFailedError
from firmcast.simulator.network import PERFECT, Network
from firmcast.simulator.package_intake import PackageIntake
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK
from firmcast.simulator.transport import Transport

PACKAGE = bytes(range(256)) * 300
HALF = len(PACKAGE) // 2
TIMING = replace(QUICK, download_retry_delay=0.01, download_patience=0.2)


def head(status: str, **fields: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


WHOLE = head("200 OK", Content_Length=len(PACKAGE), ETag='"a"')
REST = head("206 Partial Content", Content_Length=HALF, Content_Range=f"bytes {HALF}-{len(PACKAGE) - 1}/x", ETag='"a"')


@dataclass
class ScriptedServer:
    """Answers each connection with the next of its `answers`, then ends it."""

    answers: list[bytes]
    port: int = 0
    asked: list[list[str]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(asked.decode().split("\r\n"))
        writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        await writer.drain()
        writer.close()


@pytest.fixture
async def fetch() -> AsyncIterator[Callable]:
    servers = []
    transport = await Transport.open(
        "127.0.0.1",
        identity="device",
        key=None,
        on_event=lambda _event: None,
        clock=SystemClock().monotonic,
        parameters=QUICK.transmission,
        random=Random(1),
        network=Network(PERFECT, Random(1)),
    )

    async def fetched(*answers: bytes, profile: DeviceProfile | None = None) -> tuple[PackageIntake, ScriptedServer]:
        scripted = ScriptedServer(list(answers))
        server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
        servers.append(server)
        scripted.port = server.sockets[0].getsockname()[1]
        profile = profile or profile_named("http")
        intake = PackageIntake(profile)
        downloader = Downloader(
            transport=transport, profile=profile, timing=TIMING, clock=SystemClock(), on_progress=lambda _intake: None
        )
        await downloader.fetch(f"http://127.0.0.1:{scripted.port}/fw/token?x=1", intake)
        return intake, scripted

    yield fetched
    transport.udp.close()
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_a_package_comes_whole(fetch) -> None:
    intake, server = await fetch(WHOLE + PACKAGE)
    assert (intake.received, intake.total) == (len(PACKAGE), len(PACKAGE))
    assert server.asked[0][0] == "GET /fw/token?x=1 HTTP/1.1"


async def test_after_a_break_the_rest_is_asked_for(fetch) -> None:
    profile = replace(profile_named("http"), drops_query=True)
    intake, server = await fetch(WHOLE + PACKAGE[:HALF], REST + PACKAGE[HALF:], profile=profile)
    assert intake.received == len(PACKAGE)
    assert intake.intact
    assert {f"Range: bytes={HALF}-", 'If-Range: "a"'} <= set(server.asked[1])
    assert server.asked[0][0] == "GET /fw/token HTTP/1.1"


@pytest.mark.parametrize(
    "second",
    [
        WHOLE + PACKAGE,
        head("206 Partial Content", Content_Length=1, Content_Range="bytes 7-7/9", ETag='"a"') + b"x",
        REST.replace(b'"a"', b'"b"') + PACKAGE[HALF:],
        head("416 Range Not Satisfiable", Content_Length=0),
    ],
)
async def test_what_is_not_the_rest_of_the_same_package_is_fetched_from_its_start(fetch, second) -> None:
    intake, server = await fetch(WHOLE + PACKAGE[:HALF], second, WHOLE + PACKAGE)
    assert intake.received == len(PACKAGE)
    assert not any(line.startswith("Range") for line in server.asked[-1]) or second == WHOLE + PACKAGE


async def test_a_package_without_an_entity_tag_or_a_length_begins_again_after_a_break(fetch) -> None:
    weak = WHOLE.replace(b'"a"', b'W/"a"')
    _, server = await fetch(weak + PACKAGE[:HALF], head("503 Service Unavailable", Content_Length=0), weak + PACKAGE)
    assert not any(line.startswith("Range") for asked in server.asked for line in asked)
    intake, _ = await fetch(head("200 OK") + PACKAGE)
    assert (intake.received, intake.total) == (len(PACKAGE), None)
    chunked = head("200 OK", Transfer_Encoding="chunked") + b"%x\r\n" % len(PACKAGE) + PACKAGE + b"\r\n0\r\n\r\n"
    intake, _ = await fetch(chunked)
    assert intake.received == len(PACKAGE)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (head("404 Not Found", Content_Length=0), UpdateResult.INVALID_URI),
        (head("302 Found", Location="http://127.0.0.1/", Content_Length=0), UpdateResult.INVALID_URI),
        (head("503 Service Unavailable", Content_Length=0), UpdateResult.CONNECTION_LOST),
        (b"220 not an HTTP server\r\n\r\n", UpdateResult.CONNECTION_LOST),
        (b"", UpdateResult.CONNECTION_LOST),
    ],
)
async def test_a_package_that_cannot_be_had_is_given_up(fetch, answer, result) -> None:
    with pytest.raises(DownloadFailedError) as failed:
        await fetch(answer)
    assert failed.value.result is result
