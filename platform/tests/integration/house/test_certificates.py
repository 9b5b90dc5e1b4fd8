import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firmcast.rest.certificates import load_or_make_certificate, make_certificate
from firmcast.rest.server import HttpsServer

NOW = datetime.now(UTC)


async def answer(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def test_a_client_that_trusts_the_authority_accepts_the_server(tmp_path: Path) -> None:
    files = make_certificate(tmp_path, ["localhost", "127.0.0.1"], NOW)
    server = await HttpsServer.start(answer, host="127.0.0.1", port=0, certificate=files.certificate, key=files.key)
    try:
        trusting = ssl.create_default_context(cafile=str(files.authority))
        reader, writer = await asyncio.open_connection(*server.address, ssl=trusting, server_hostname="localhost")
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(*server.address, ssl=trusting, server_hostname="other.example")
    finally:
        await server.stop()


def test_the_certificate_is_kept_until_it_runs_out(tmp_path: Path) -> None:
    first = load_or_make_certificate(tmp_path, ["localhost"], NOW).certificate.read_bytes()
    assert load_or_make_certificate(tmp_path, ["localhost"], NOW).certificate.read_bytes() == first
    later = NOW + timedelta(days=900)
    assert load_or_make_certificate(tmp_path, ["localhost"], later).certificate.read_bytes() != first


def test_the_key_is_the_owners_only(tmp_path: Path) -> None:
    assert make_certificate(tmp_path, ["localhost"], NOW).key.stat().st_mode & 0o077 == 0
