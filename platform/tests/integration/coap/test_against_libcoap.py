"""libcoap's command line tools, an engine in C by other hands, where they are installed."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from firmcast.coap.codes import Code
from firmcast.coap.options import options
from firmcast.coap.udp import UdpEndpoint

CLIENT = shutil.which("coap-client-notls")
SERVER = shutil.which("coap-server-notls")
OpenUdp = Callable[..., Awaitable[UdpEndpoint]]

needs_client = pytest.mark.skipif(CLIENT is None, reason="libcoap's coap-client-notls is not installed")
needs_server = pytest.mark.skipif(SERVER is None, reason="libcoap's coap-server-notls is not installed")


async def coap_client(*arguments: str) -> tuple[bytes, bytes]:
    assert CLIENT is not None
    process = await asyncio.create_subprocess_exec(
        CLIENT, "-B", "20", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaints = await process.communicate()
    assert process.returncode == 0, complaints
    return said, complaints


def at(resources: Any, path: str) -> str:
    host, port = resources.udp.address
    return f"coap://{host}:{port}/{path}"


@needs_client
@pytest.mark.parametrize(("path", "size"), [("static", 1_000_000), ("large", 100_000)])
@pytest.mark.parametrize("block", ["1024", "256"])
async def test_libcoap_gets_large_bodies(
    resources: Any, body: bytes, tmp_path: Path, path: str, size: int, block: str
) -> None:
    target = tmp_path / "body"
    await coap_client("-m", "get", "-b", block, "-o", str(target), at(resources, path))
    assert target.read_bytes() == body[:size]


@needs_client
async def test_libcoap_gets_small_and_separate_answers(resources: Any) -> None:
    assert (await coap_client("-m", "get", at(resources, "small")))[0].strip() == b"small"
    assert (await coap_client("-m", "get", at(resources, "slow")))[0].strip() == b"slow"
    assert (await coap_client("-N", "-m", "get", at(resources, "small")))[0].strip() == b"small"
    said, complaints = await coap_client("-m", "get", at(resources, "nothing"))
    assert b"4.04" in said + complaints


@needs_client
@pytest.mark.parametrize("block", ["1024", "64"])
async def test_libcoap_puts_a_large_body(resources: Any, body: bytes, tmp_path: Path, block: str) -> None:
    source = tmp_path / "body"
    size = 500_000 if block == "1024" else 20_000
    source.write_bytes(body[:size])
    await coap_client("-m", "put", "-b", block, "-f", str(source), at(resources, "store"))
    assert resources.stored == body[:size]


@needs_client
async def test_libcoap_observes(resources: Any) -> None:
    assert CLIENT is not None
    process = await asyncio.create_subprocess_exec(
        CLIENT, "-s", "60", "-m", "get", "-w", at(resources, "count"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert (await process.stdout.readline()).strip() == b"0"
        for value in (1, 2, 3):
            resources.change(confirmable=value == 2)
            assert (await process.stdout.readline()).strip() == b"%d" % value
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def coap_server(free_port: int, open_udp: OpenUdp) -> AsyncIterator[tuple[str, int]]:
    assert SERVER is not None
    process = await asyncio.create_subprocess_exec(
        SERVER, "-A", "127.0.0.1", "-p", str(free_port), "-d", "10", stdout=asyncio.subprocess.DEVNULL
    )
    # The first request is retransmitted until the server listens.
    udp = await open_udp()
    await udp.request(("127.0.0.1", free_port), Code.GET)
    yield "127.0.0.1", free_port
    process.kill()
    await process.wait()


@needs_server
async def test_we_talk_to_libcoap(coap_server: tuple[str, int], open_udp: OpenUdp, body: bytes) -> None:
    udp = await open_udp()
    index = await udp.request(coap_server, Code.GET)
    assert b"libcoap" in index.payload
    links = await udp.request(coap_server, Code.GET, options=options(uri_path=(".well-known", "core")), szx=2)
    assert b"</time>" in links.payload
    assert len(links.payload) > 64


@needs_server
@pytest.mark.parametrize("szx", [6, 3])
async def test_we_put_and_get_a_large_body_at_libcoap(
    coap_server: tuple[str, int], open_udp: OpenUdp, body: bytes, szx: int
) -> None:
    udp = await open_udp()
    where = options(uri_path=("example_data",), content_format=42)
    put = await udp.request(coap_server, Code.PUT, options=where, payload=body[:50_000], szx=szx)
    assert put.code in {Code.CREATED, Code.CHANGED}
    got = await udp.request(coap_server, Code.GET, options=options(uri_path=("example_data",)), szx=szx)
    assert got.payload == body[:50_000]
