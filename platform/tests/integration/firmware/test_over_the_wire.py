"""Uploads in pieces over a real server, with connections that break and connections that hang."""

import asyncio
import hashlib

import httpx2
import pytest

from firmcast.clock import SystemClock
from firmcast.firmware.api.uploads import upload_endpoints
from firmcast.firmware.files import FirmwareFiles
from firmcast.firmware.model import UploadLimits
from firmcast.firmware.uploads import Uploads
from firmcast.rest.application import http_application
from firmcast.rest.authentication import OPERATOR
from firmcast.rest.server import HttpsServer
from firmcast.settings import FirmwareSettings

CONTENT = hashlib.shake_256(b"firmware").digest(3 << 20)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
UPLOADS = "/v1/firmware/uploads"


async def no_key(_tx, _application_id):
    return ""


async def anybody(_request, _scope):
    return OPERATOR


@pytest.fixture
def files(tmp_path, database):
    return FirmwareFiles(tmp_path / "firmware", database)


@pytest.fixture
def partial(files):
    return files.partial


@pytest.fixture
async def server(database, files):
    clock = SystemClock()
    limits = UploadLimits(package_size=4 << 20, open_uploads=3, total_size=1 << 24)
    calls = upload_endpoints(
        database=database,
        clock=clock,
        authorise_administrator=anybody,
        uploads=Uploads(database=database, clock=clock, files=files, limits=limits, verification_key=no_key),
        upload_life=FirmwareSettings().upload_life,
    )
    started = await HttpsServer.start(http_application(calls), host="127.0.0.1", port=0)
    yield started
    await started.stop()


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as made:
        yield made


async def begun(client):
    body = {"application_id": "a", "name": "image", "version": "2", "size": len(CONTENT), "sha256": DIGEST}
    answer = await client.post(UPLOADS, json=body)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


async def half_a_piece(server, path, offset, content):
    """Announce the rest of the package, send a part of it, and return the connection."""
    reader, writer = await asyncio.open_connection(*server.address)
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: platform\r\nUpload-Offset: {offset}\r\n"
        f"Content-Length: {len(CONTENT) - offset}\r\n\r\n"
    )
    writer.write(head.encode() + content)
    await writer.drain()
    return reader, writer


async def offset_of(client, path):
    return int((await client.head(path)).headers["upload-offset"])


async def test_a_connection_that_breaks_costs_little(server, client, partial):
    """What the server had not read yet is lost with the connection; what had reached the disk is not."""
    path = await begun(client)
    file = partial.path_of(path.rpartition("/")[2])
    offset = 0
    for _ in range(2):
        _, writer = await half_a_piece(server, path, offset, CONTENT[offset : offset + (5 << 18)])
        async with asyncio.timeout(10):
            while not file.exists() or file.stat().st_size < offset + (1 << 20):
                await asyncio.sleep(0)
            writer.close()
            former = offset
            while offset < former + (1 << 20):
                offset = await offset_of(client, path)
    answer = await client.patch(path, content=CONTENT[offset:], headers={"upload-offset": str(offset)})
    assert (answer.status_code, answer.json()["sha256"]) == (201, DIGEST)


async def test_a_connection_that_hangs_is_taken_over(server, client):
    path = await begun(client)
    reader, writer = await half_a_piece(server, path, 0, CONTENT[:50_000])
    offset = 0
    async with asyncio.timeout(10):
        while offset < len(CONTENT):
            answer = await client.patch(path, content=CONTENT[offset:], headers={"upload-offset": str(offset)})
            if answer.status_code == 201:
                break
            assert answer.status_code == 409
            offset = int(answer.headers["upload-offset"])
    assert answer.json()["sha256"] == DIGEST
    # Whether it had begun when the second sender came is up to the network; in either case it made no package.
    assert (await reader.readline()).startswith(b"HTTP/1.1 409")
    writer.close()


async def test_head_has_no_body(client):
    path = await begun(client)
    answer = await client.head(path)
    assert (answer.status_code, answer.content, answer.headers["upload-length"]) == (200, b"", str(len(CONTENT)))
