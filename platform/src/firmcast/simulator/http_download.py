"""A package by HTTP or HTTPS: one GET for what is missing; after a break, a Range that holds for the same package only.

Source: RFC 9110, sections 13.1.5 (If-Range) and 14 (ranges). A redirect is not followed, as by most devices.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httptools

from firmcast.lwm2m.firmware_update import UpdateResult
from firmcast.simulator.download_errors import DownloadFailedError, ServerBusyError
from firmcast.simulator.package_address import PackageAddress
from firmcast.simulator.package_intake import PackageIntake

SCHEMES: Final = ("http", "https")

_READ_BYTES: Final = 1 << 16


class _Response:
    """What the parser tells of a response, and the bytes of its body as they come."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.has_head = False
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def on_message_complete(self) -> None:
        self.is_complete = True

    @property
    def status(self) -> int:
        return int(self.parser.get_status_code())

    @property
    def ends_with_the_connection(self) -> bool:
        """Tell whether nothing in the head says where the body ends."""
        return "content-length" not in self.headers and "transfer-encoding" not in self.headers


async def fetch_rest(
    address: PackageAddress,
    intake: PackageIntake,
    *,
    authority: Path | None,
    patience: float,
    largest: int,
    on_progress: Callable[[PackageIntake], None],
) -> bool:
    """Fetch what is missing of a package; False when it must be fetched from its start.

    With HTTPS the server's certificate is checked against the `authority` (PEM), or those that this machine trusts.
    Nothing heard for `patience` seconds is a broken connection.

    Raises:
        DownloadFailedError: the server does not have it, or it has more than `largest` bytes.
        OSError: the connection broke.
    """
    context = _context(authority) if address.scheme == "https" else None
    async with asyncio.timeout(patience):
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    try:
        writer.write(_request(address, intake))
        response = _Response()
        await _feed(response, reader, patience)
        if not _begin(response, intake):
            return False
        while True:
            for chunk in response.chunks:
                if intake.received + len(chunk) > largest:
                    raise DownloadFailedError(UpdateResult.NOT_ENOUGH_FLASH)
                intake.write(intake.received, chunk)
                on_progress(intake)
            response.chunks.clear()
            if response.is_complete:
                return True
            if not await _feed(response, reader, patience):
                return True
    finally:
        writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()


def _request(address: PackageAddress, intake: PackageIntake) -> bytes:
    host = f"[{address.host}]" if ":" in address.host else address.host
    lines = [
        f"GET {address.target} HTTP/1.1",
        f"Host: {host}:{address.port}",
        "Accept-Encoding: identity",
        "Connection: close",
    ]
    tag = _strong(intake.entity_tag)
    if intake.received and tag is not None:
        lines += [f"Range: bytes={intake.received}-", f"If-Range: {tag}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _feed(response: _Response, reader: asyncio.StreamReader, patience: float) -> bool:
    """Read until there is a head and something more; False when the connection ended where the body may end.

    Raises ConnectionError when it ended before.
    """
    while True:
        async with asyncio.timeout(patience):
            data = await reader.read(_READ_BYTES)
        if not data:
            if response.has_head and response.ends_with_the_connection:
                return False
            raise ConnectionResetError("the server ended the connection before the package")
        try:
            response.parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ConnectionAbortedError(f"not HTTP: {error}") from error
        if response.has_head:
            return True


def _begin(response: _Response, intake: PackageIntake) -> bool:
    """Judge the head; False when there is nothing more after what came, so that it must be another package."""
    status = response.status
    tag = response.headers.get("etag", "").encode("latin-1") or None
    if status == HTTPStatus.OK:
        intake.begin()
        length = response.headers.get("content-length", "")
        intake.entity_tag, intake.total = tag, int(length) if length.isdecimal() else None
        return True
    if status == HTTPStatus.PARTIAL_CONTENT and intake.received:
        start = response.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
        if tag == intake.entity_tag and start == str(intake.received):
            return True
        intake.begin()
        return False
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and intake.received:
        intake.begin()
        return False
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        raise ServerBusyError(status)
    raise DownloadFailedError(UpdateResult.INVALID_URI)


def _strong(tag: bytes | None) -> str | None:
    return None if tag is None or tag.startswith(b"W/") else tag.decode("latin-1")


@lru_cache(maxsize=8)
def _context(authority: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)
