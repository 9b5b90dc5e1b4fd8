"""The HTTPS port of a platform gives up handshakes that do not end, and serves whoever shakes hands meanwhile."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2

from firmcast.app import Platform
from firmcast.metrics import CONTENT_TYPE
from firmcast.settings import GatewaySettings, MetricsSettings, RestSettings, Settings

HOST = "127.0.0.1"


@asynccontextmanager
async def platform_with(folder: Path, **bounds: Any) -> AsyncIterator[Platform]:
    settings = Settings(
        data=folder,
        rest=RestSettings(port=0, **bounds),
        gateway=GatewaySettings(port=0),
        metrics=MetricsSettings(port=0),
    )
    started = await Platform.start(settings)
    try:
        yield started
    finally:
        await started.stop()


@asynccontextmanager
async def silent(platform: Platform, count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connect so often, and say nothing."""
    made = [await asyncio.open_connection(*platform._server.address) for _ in range(count)]
    try:
        yield [reader for reader, _ in made]
    finally:
        for _, writer in made:
            writer.close()


async def is_ended(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(20):
        try:
            return await reader.read(1) == b""
        except ConnectionResetError:
            return True


async def figures(platform: Platform) -> str:
    assert platform._metrics_server is not None
    async with httpx2.AsyncClient() as client:
        answer = await client.get(f"{platform._metrics_server.url}/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    return answer.text


async def health_status(platform: Platform) -> int:
    context = ssl.create_default_context(cafile=platform._authority)
    async with httpx2.AsyncClient(verify=context) as client:
        return (await client.get(f"{platform.running.url}/v1/health")).status_code


async def test_who_says_nothing_is_given_up_in_time(tmp_path):
    async with platform_with(tmp_path, handshake_patience=timedelta(seconds=0.3)) as platform:
        async with silent(platform, 1) as (reader,):
            assert await is_ended(reader)
        assert 'firmcast_http_handshakes_total{reason="stalled"} 1' in await figures(platform)


async def test_who_says_nothing_keeps_nobody_out(tmp_path):
    async with platform_with(tmp_path, handshakes=4) as platform:
        async with silent(platform, 6) as readers:
            assert await health_status(platform) == 200
            assert all([await is_ended(reader) for reader in readers[:2]])
        assert 'firmcast_http_handshakes_total{reason="crowded_out"} 3' in await figures(platform)
